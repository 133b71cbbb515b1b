/*
 * Included by the compiler before each source of a library under test: its system calls of these
 * kinds, and nobody else's, go through functions of the test that can fail.
 */
#ifndef TEST_FAILING_SYSTEM_H
#define TEST_FAILING_SYSTEM_H

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

/* X(function, errors that it is refused with) */
#define FAILING_CALLS(X) \
	X(mmap, ENOMEM, EPERM) \
	X(munmap, ENOMEM, ENOMEM) \
	X(mprotect, ENOMEM, EPERM) \
	X(madvise, ENOMEM, EPERM) \
	X(memfd_create, ENOSYS, EMFILE) \
	X(ftruncate, ENOSPC, EPERM) \
	X(fcntl, EPERM, EBUSY) \
	X(ioctl, ENOTTY, EPERM) \
	X(pread, EIO, EPERM) \
	X(pwrite, ENOSPC, ENOMEM) \
	X(open, EMFILE, EACCES) \
	X(pthread_create, EAGAIN, EPERM) \
	X(pthread_setspecific, ENOMEM, ENOMEM)

void *failing_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int failing_munmap(void *at, size_t n);
int failing_mprotect(void *at, size_t n, int protection);
int failing_madvise(void *at, size_t n, int advice);
int failing_memfd_create(const char *name, unsigned flags);
int failing_ftruncate(int fd, off_t n);
int failing_fcntl(int fd, int command, ...);
int failing_ioctl(int fd, unsigned long request, void *argument);
ssize_t failing_pread(int fd, void *to, size_t n, off_t at);
ssize_t failing_pwrite(int fd, const void *from, size_t n, off_t at);
int failing_open(const char *path, int flags, ...);
int failing_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			   void *(*run)(void *), void *argument);
int failing_pthread_setspecific(pthread_key_t key, const void *value);

/* Which can stand still. */
int failing_getrusage(int who, struct rusage *usage);

#define mmap(...) failing_mmap(__VA_ARGS__)
#define munmap(...) failing_munmap(__VA_ARGS__)
#define mprotect(...) failing_mprotect(__VA_ARGS__)
#define madvise(...) failing_madvise(__VA_ARGS__)
#define memfd_create(...) failing_memfd_create(__VA_ARGS__)
#define ftruncate(...) failing_ftruncate(__VA_ARGS__)
#define fcntl(...) failing_fcntl(__VA_ARGS__)
#define ioctl(...) failing_ioctl(__VA_ARGS__)
#define pread(...) failing_pread(__VA_ARGS__)
#define pwrite(...) failing_pwrite(__VA_ARGS__)
#define open(...) failing_open(__VA_ARGS__)
#define pthread_create(...) failing_pthread_create(__VA_ARGS__)
#define pthread_setspecific(...) failing_pthread_setspecific(__VA_ARGS__)
#define getrusage(...) failing_getrusage(__VA_ARGS__)

#endif
