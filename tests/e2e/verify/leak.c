/* To be preloaded: memory that a program gives back to the system stays its own. So what a plugin's
 * instance had is leaked when it is destroyed. Small pieces are given back: allocators and loaders
 * handle many of them. */
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAST_BYTES ((size_t)2 * 1024 * 1024)

int munmap(void *at, size_t size);
int munmap(void *at, size_t size)
{
	return size >= LEAST_BYTES ? 0 : (int)syscall(SYS_munmap, at, size);
}
