#include "core/folders.h"

#include <sys/stat.h>

void folders_make(char *path)
{
	for (char *at = path; *at != '\0'; at++) {
		if (*at != '/' || at == path)
			continue;
		*at = '\0';
		(void)mkdir(path, 0755);
		*at = '/';
	}
}
