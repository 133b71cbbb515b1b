#include "core/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void base_broken(const char *what, const char *file, int line, const char *func)
{
	char text[512];
	int n = snprintf(text, sizeof text, "weir: broken invariant at %s:%d (%s): %s\n", file,
			 line, func, what);

	if (n > 0) {
		size_t size = MIN((size_t)n, sizeof text - 1);
		ssize_t ignored = write(STDERR_FILENO, text, size);

		(void)ignored;
	}
	abort();
}
