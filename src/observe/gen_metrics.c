/*
 * Writes docs/reference/metrics.md to standard output; scripts/gen-reference runs it.
 */
#include <stdio.h>

#include "observe/families.h"

int main(void)
{
	struct str out = {0};
	bool written;

	family_add_reference(&out);
	written = !out.failed && fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0;
	str_free(&out);
	return written ? 0 : 1;
}
