/*
 * Preloaded into weir: makes the n-th call of one function fail, or every call of it short. What
 * fails, when and with which error is said by a page of shared memory that the driver (faults.py)
 * maps too, so that start-up is not affected unless it is meant to be.
 *
 * Only calls from code that checks its results can fail: weir's own functions (the driver gives
 * their addresses), libuv, libyaml, Jansson and hiredis. The engine, the C++ library and in places
 * the C library (destructors of thread-local variables) end the process when they get no memory, by
 * design; libuv does so when its table of descriptors cannot grow, when the kernel refuses a
 * descriptor that it has accepted before, and when its own pipes or inotify cannot be read. Those
 * calls are never chosen.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the driver's order. */
enum kind {
	NOTHING,
	MALLOC,
	SOCKET,
	ACCEPT4,
	CONNECT,
	RECV,
	SENDMSG,
	EPOLL_CTL,
	OPEN,
	WRITE,
	MMAP,
	PREAD,
	READ,
	THREAD,
	BIND,
	LISTEN,
	MUNMAP,
	MPROTECT,
	MADVISE,
	MEMFD,
	IOCTL
};
enum mode { ONCE, EVERY, SHORT, RECORD };

#define RANGES_MAX 2048
#define LIBRARIES_MAX 16
#define SITES_MAX 2048

struct page {
	_Atomic uint32_t kind;
	uint32_t mode;
	int32_t error;
	_Atomic int32_t hits;
	_Atomic int64_t countdown;
	_Atomic uint64_t where; /* of the last hit: a place */
	_Atomic uint32_t
		address; /* of flip.example, in network order; 0: the name cannot be resolved now */
	_Atomic uint32_t lookups; /* of flip.example */
	uint64_t only;            /* 0, or the one place whose calls count */
	_Atomic uint64_t site_count;
	_Atomic uint64_t sites[SITES_MAX]; /* RECORD: where calls come from */
	uint64_t range_count;
	struct {
		uint64_t from, to; /* offsets in the program */
	} ranges[RANGES_MAX];
};

struct span {
	uintptr_t from, to;
	bool uv;
};

static struct page *page;
static struct span program, libraries[LIBRARIES_MAX];
static int library_count;

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static int (*real_socket)(int, int, int);
static int (*real_accept4)(int, struct sockaddr *, socklen_t *, int);
static int (*real_connect)(int, const struct sockaddr *, socklen_t);
static ssize_t (*real_recv)(int, void *, size_t, int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_epoll_ctl)(int, int, int, struct epoll_event *);
static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_read)(int, void *, size_t);
static int (*real_thread)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int (*real_bind)(int, const struct sockaddr *, socklen_t);
static int (*real_listen)(int, int);
static int (*real_getaddrinfo)(const char *, const char *, const struct addrinfo *,
			       struct addrinfo **);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);
static int (*real_munmap)(void *, size_t);
static int (*real_mprotect)(void *, size_t, int);
static int (*real_madvise)(void *, size_t, int);
static int (*real_memfd_create)(const char *, unsigned);
static int (*real_ioctl)(int, unsigned long, void *);

/* What dlsym() itself asks for before there is an allocator. Never given back. */
static _Alignas(16) char early[65536];
static size_t early_used;
static bool resolving;

static void *early_alloc(size_t n)
{
	char *p = early + early_used;

	early_used += (n + 15) & ~(size_t)15;
	if (early_used > sizeof early)
		abort();
	return p;
}

static bool resolve(void)
{
	if (resolving)
		return false;
	resolving = true;
	*(void **)&real_malloc = dlsym(RTLD_NEXT, "malloc");
	*(void **)&real_calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&real_realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&real_socket = dlsym(RTLD_NEXT, "socket");
	*(void **)&real_accept4 = dlsym(RTLD_NEXT, "accept4");
	*(void **)&real_connect = dlsym(RTLD_NEXT, "connect");
	*(void **)&real_recv = dlsym(RTLD_NEXT, "recv");
	*(void **)&real_send = dlsym(RTLD_NEXT, "send");
	*(void **)&real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
	*(void **)&real_epoll_ctl = dlsym(RTLD_NEXT, "epoll_ctl");
	*(void **)&real_open = dlsym(RTLD_NEXT, "open");
	*(void **)&real_write = dlsym(RTLD_NEXT, "write");
	*(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite");
	*(void **)&real_pread = dlsym(RTLD_NEXT, "pread");
	*(void **)&real_read = dlsym(RTLD_NEXT, "read");
	*(void **)&real_thread = dlsym(RTLD_NEXT, "pthread_create");
	*(void **)&real_bind = dlsym(RTLD_NEXT, "bind");
	*(void **)&real_listen = dlsym(RTLD_NEXT, "listen");
	*(void **)&real_getaddrinfo = dlsym(RTLD_NEXT, "getaddrinfo");
	*(void **)&real_mmap = dlsym(RTLD_NEXT, "mmap");
	*(void **)&real_munmap = dlsym(RTLD_NEXT, "munmap");
	*(void **)&real_mprotect = dlsym(RTLD_NEXT, "mprotect");
	*(void **)&real_madvise = dlsym(RTLD_NEXT, "madvise");
	*(void **)&real_memfd_create = dlsym(RTLD_NEXT, "memfd_create");
	*(void **)&real_ioctl = dlsym(RTLD_NEXT, "ioctl");
	resolving = false;
	return true;
}

#define RESOLVED(f) (f != NULL || resolve())

static int note_object(struct dl_phdr_info *o, size_t size, void *count)
{
	static const char *const checked[] = {"/libuv.so", "/libyaml-0.so", "/libjansson.so",
					      "/libhiredis.so"};
	struct span s = {UINTPTR_MAX, 0, strstr(o->dlpi_name, "/libuv.so") != NULL};

	(void)size;
	for (int i = 0; i < o->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &o->dlpi_phdr[i];

		if (h->p_type != PT_LOAD || !(h->p_flags & PF_X))
			continue;
		s.from = o->dlpi_addr + h->p_vaddr < s.from ? o->dlpi_addr + h->p_vaddr : s.from;
		s.to = o->dlpi_addr + h->p_vaddr + h->p_memsz > s.to
			       ? o->dlpi_addr + h->p_vaddr + h->p_memsz
			       : s.to;
	}
	if ((*(int *)count)++ == 0) {
		/* Offsets in the program count from where it was linked for. */
		program = (struct span){o->dlpi_addr, s.to, false};
		return 0;
	}
	for (size_t i = 0; i < sizeof checked / sizeof checked[0] && library_count < LIBRARIES_MAX;
	     i++) {
		if (strstr(o->dlpi_name, checked[i]) != NULL)
			libraries[library_count++] = s;
	}
	return 0;
}

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("WEIR_FAULTS");
	int fd, count = 0;
	void *p;

	if (!RESOLVED(real_mmap) || name == NULL)
		return;
	fd = real_open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		abort();
	p = real_mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		abort();
	(void)close(fd);
	(void)dl_iterate_phdr(note_object, &count);
	page = p;
}

static bool is_checked(uintptr_t caller, bool *uv)
{
	*uv = false;
	if (caller >= program.from && caller < program.to) {
		uint64_t at = caller - program.from, low = 0, high = page->range_count;

		while (low < high) {
			uint64_t middle = (low + high) / 2;

			if (at > page->ranges[middle].to)
				low = middle + 1;
			else
				high = middle;
		}
		return low < page->range_count && at > page->ranges[low].from;
	}
	for (int i = 0; i < library_count; i++) {
		if (caller >= libraries[i].from && caller < libraries[i].to) {
			*uv = libraries[i].uv;
			return true;
		}
	}
	return false;
}

/* The same in every run: the offset in the program, or the library's number and the offset in it.
 */
static uint64_t place_of(uintptr_t caller)
{
	if (caller >= program.from && caller < program.to)
		return caller - program.from;
	for (int i = 0; i < library_count; i++) {
		if (caller >= libraries[i].from && caller < libraries[i].to)
			return (uint64_t)(i + 1) << 48 | (caller - libraries[i].from);
	}
	return 0;
}

static void record(uint64_t where)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint64_t i = 0;

	(void)pthread_mutex_lock(&lock);
	while (i < page->site_count && page->sites[i] != where)
		i++;
	if (i == page->site_count && i < SITES_MAX) {
		page->sites[i] = where;
		page->site_count = i + 1;
	}
	(void)pthread_mutex_unlock(&lock);
}

/* Whether this call is the one; then errno is set. */
static bool strikes(enum kind kind, void *caller)
{
	uint64_t where;
	int64_t left;
	bool uv;

	if (page == NULL || atomic_load(&page->kind) != kind || page->mode == SHORT ||
	    !is_checked((uintptr_t)caller, &uv) || (uv && kind != MALLOC && kind != EPOLL_CTL))
		return false;
	where = place_of((uintptr_t)caller);
	if (page->mode == RECORD)
		record(where);
	if (page->mode == RECORD || (page->only != 0 && page->only != where))
		return false;
	left = atomic_fetch_sub(&page->countdown, 1);
	if (left > 1 || (left < 1 && page->mode == ONCE))
		return false;
	atomic_store(&page->where, where);
	atomic_fetch_add(&page->hits, 1);
	errno = page->error;
	return true;
}

static size_t shortened(enum kind kind, size_t n)
{
	if (page == NULL || page->mode != SHORT || atomic_load(&page->kind) != kind || n <= 1)
		return n;
	atomic_fetch_add(&page->hits, 1);
	return 1;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t n)
{
	if (!RESOLVED(real_malloc))
		return early_alloc(n);
	return strikes(MALLOC, CALLER) ? NULL : real_malloc(n);
}

void *calloc(size_t size, size_t count)
{
	if (!RESOLVED(real_calloc))
		return early_alloc(size * count);
	return strikes(MALLOC, CALLER) ? NULL : real_calloc(size, count);
}

void *realloc(void *p, size_t n)
{
	bool uv = false;

	if (!RESOLVED(real_realloc))
		abort();
	if (page != NULL && is_checked((uintptr_t)CALLER, &uv) && uv)
		return real_realloc(p, n);
	return strikes(MALLOC, CALLER) ? NULL : real_realloc(p, n);
}

int socket(int domain, int type, int protocol)
{
	(void)RESOLVED(real_socket);
	return strikes(SOCKET, CALLER) ? -1 : real_socket(domain, type, protocol);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	(void)RESOLVED(real_accept4);
	return strikes(ACCEPT4, CALLER) ? -1 : real_accept4(fd, address, size, flags);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	(void)RESOLVED(real_connect);
	return strikes(CONNECT, CALLER) ? -1 : real_connect(fd, address, size);
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
	(void)RESOLVED(real_recv);
	return strikes(RECV, CALLER) ? -1 : real_recv(fd, to, shortened(RECV, n), flags);
}

/* Of the same kind as `sendmsg`: which one it is depends on how many pieces there are. */
ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
	(void)RESOLVED(real_send);
	return strikes(SENDMSG, CALLER) ? -1 : real_send(fd, bytes, shortened(SENDMSG, n), flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct iovec first;
	struct msghdr part = *m;

	(void)RESOLVED(real_sendmsg);
	if (strikes(SENDMSG, CALLER))
		return -1;
	if (m->msg_iovlen > 0 && shortened(SENDMSG, 2) == 1) {
		first = (struct iovec){m->msg_iov[0].iov_base, m->msg_iov[0].iov_len > 0};
		part.msg_iov = &first;
		part.msg_iovlen = 1;
		return real_sendmsg(fd, &part, flags);
	}
	return real_sendmsg(fd, m, flags);
}

/* libuv asks the kernel once whether it takes a descriptor, with this mark, and trusts the answer
 * from then on. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
	(void)RESOLVED(real_epoll_ctl);
	if (what == EPOLL_CTL_ADD && event != NULL && event->data.fd == -1 &&
	    strikes(EPOLL_CTL, CALLER))
		return -1;
	return real_epoll_ctl(epoll, what, fd, event);
}

static int open_as(const char *name, int flags, mode_t mode, void *caller)
{
	(void)RESOLVED(real_open);
	return strikes(OPEN, caller) ? -1 : real_open(name, flags, mode);
}

int open(const char *name, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(args, mode_t);
	va_end(args);
	return open_as(name, flags, mode, CALLER);
}

int open64(const char *name, int flags, ...) __attribute__((alias("open")));

ssize_t write(int fd, const void *from, size_t n)
{
	(void)RESOLVED(real_write);
	return strikes(WRITE, CALLER) ? -1 : real_write(fd, from, n);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
	(void)RESOLVED(real_pwrite);
	return strikes(WRITE, CALLER) ? -1 : real_pwrite(fd, from, shortened(WRITE, n), at);
}

ssize_t pwrite64(int fd, const void *from, size_t n, off_t at) __attribute__((alias("pwrite")));

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
	(void)RESOLVED(real_pread);
	return strikes(PREAD, CALLER) ? -1 : real_pread(fd, to, shortened(PREAD, n), at);
}

ssize_t pread64(int fd, void *to, size_t n, off_t at) __attribute__((alias("pread")));

ssize_t read(int fd, void *to, size_t n)
{
	(void)RESOLVED(real_read);
	return strikes(READ, CALLER) ? -1 : real_read(fd, to, n);
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	(void)RESOLVED(real_mmap);
	return strikes(MMAP, CALLER) ? MAP_FAILED : real_mmap(at, n, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));

int munmap(void *at, size_t n)
{
	(void)RESOLVED(real_munmap);
	return strikes(MUNMAP, CALLER) ? -1 : real_munmap(at, n);
}

int mprotect(void *at, size_t n, int protection)
{
	(void)RESOLVED(real_mprotect);
	return strikes(MPROTECT, CALLER) ? -1 : real_mprotect(at, n, protection);
}

int madvise(void *at, size_t n, int advice)
{
	(void)RESOLVED(real_madvise);
	return strikes(MADVISE, CALLER) ? -1 : real_madvise(at, n, advice);
}

int memfd_create(const char *name, unsigned flags)
{
	(void)RESOLVED(real_memfd_create);
	return strikes(MEMFD, CALLER) ? -1 : real_memfd_create(name, flags);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	(void)RESOLVED(real_ioctl);
	return strikes(IOCTL, CALLER) ? -1 : real_ioctl(fd, request, argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
		   void *argument)
{
	(void)RESOLVED(real_thread);
	return strikes(THREAD, CALLER) ? page->error
				       : real_thread(thread, attributes, run, argument);
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
	(void)RESOLVED(real_bind);
	return strikes(BIND, CALLER) ? -1 : real_bind(fd, address, size);
}

int listen(int fd, int backlog)
{
	(void)RESOLVED(real_listen);
	return strikes(LISTEN, CALLER) ? -1 : real_listen(fd, backlog);
}

char *strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy;

	(void)RESOLVED(real_malloc);
	copy = strikes(MALLOC, CALLER) ? NULL : real_malloc(n);
	return copy != NULL ? memcpy(copy, s, n) : NULL;
}

/* One name is ours, so that it can change its address or vanish. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **found)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr address;

	(void)RESOLVED(real_getaddrinfo);
	if (page == NULL || node == NULL || strcmp(node, "flip.example") != 0)
		return real_getaddrinfo(node, service, hints, found);
	atomic_fetch_add(&page->lookups, 1);
	address.s_addr = atomic_load(&page->address);
	if (address.s_addr == 0)
		return EAI_AGAIN;
	return real_getaddrinfo(inet_ntop(AF_INET, &address, text, sizeof text), service, hints,
				found);
}
