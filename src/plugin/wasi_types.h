/*
 * The numbers of WASI preview 1: errors, rights, flags and the layouts of what passes through guest
 * memory (WebAssembly/WASI, legacy/preview1, typenames.witx). Private to src/plugin/wasi*.c and
 * their tests.
 */
#ifndef PLUGIN_WASI_TYPES_H
#define PLUGIN_WASI_TYPES_H

#include <stdint.h>

/* Every errno of preview 1 that Linux knows by the same name, numbered from 1 in this order. */
#define WASI_ERRNOS(X) \
	X(E2BIG) \
	X(EACCES) \
	X(EADDRINUSE) \
	X(EADDRNOTAVAIL) \
	X(EAFNOSUPPORT) \
	X(EAGAIN) \
	X(EALREADY) \
	X(EBADF) \
	X(EBADMSG) \
	X(EBUSY) \
	X(ECANCELED) \
	X(ECHILD) \
	X(ECONNABORTED) \
	X(ECONNREFUSED) \
	X(ECONNRESET) \
	X(EDEADLK) \
	X(EDESTADDRREQ) \
	X(EDOM) \
	X(EDQUOT) \
	X(EEXIST) \
	X(EFAULT) \
	X(EFBIG) \
	X(EHOSTUNREACH) \
	X(EIDRM) \
	X(EILSEQ) \
	X(EINPROGRESS) \
	X(EINTR) \
	X(EINVAL) \
	X(EIO) \
	X(EISCONN) \
	X(EISDIR) \
	X(ELOOP) \
	X(EMFILE) \
	X(EMLINK) \
	X(EMSGSIZE) \
	X(EMULTIHOP) \
	X(ENAMETOOLONG) \
	X(ENETDOWN) \
	X(ENETRESET) \
	X(ENETUNREACH) \
	X(ENFILE) \
	X(ENOBUFS) \
	X(ENODEV) \
	X(ENOENT) \
	X(ENOEXEC) \
	X(ENOLCK) \
	X(ENOLINK) \
	X(ENOMEM) \
	X(ENOMSG) \
	X(ENOPROTOOPT) \
	X(ENOSPC) \
	X(ENOSYS) \
	X(ENOTCONN) \
	X(ENOTDIR) \
	X(ENOTEMPTY) \
	X(ENOTRECOVERABLE) \
	X(ENOTSOCK) \
	X(ENOTSUP) \
	X(ENOTTY) \
	X(ENXIO) \
	X(EOVERFLOW) \
	X(EOWNERDEAD) \
	X(EPERM) \
	X(EPIPE) \
	X(EPROTO) \
	X(EPROTONOSUPPORT) \
	X(EPROTOTYPE) \
	X(ERANGE) \
	X(EROFS) \
	X(ESPIPE) \
	X(ESRCH) \
	X(ESTALE) \
	X(ETIMEDOUT) \
	X(ETXTBSY) \
	X(EXDEV)

enum wasi_errno {
	WASI_ESUCCESS,
#define X(name) WASI_##name,
	WASI_ERRNOS(X)
#undef X
		WASI_ENOTCAPABLE,
};

/* X(bit, NAME) */
#define WASI_RIGHTS(X) \
	X(0, FD_DATASYNC) \
	X(1, FD_READ) \
	X(2, FD_SEEK) \
	X(3, FD_FDSTAT_SET_FLAGS) \
	X(4, FD_SYNC) \
	X(5, FD_TELL) \
	X(6, FD_WRITE) \
	X(7, FD_ADVISE) \
	X(8, FD_ALLOCATE) \
	X(9, PATH_CREATE_DIRECTORY) \
	X(10, PATH_CREATE_FILE) \
	X(11, PATH_LINK_SOURCE) \
	X(12, PATH_LINK_TARGET) \
	X(13, PATH_OPEN) \
	X(14, FD_READDIR) \
	X(15, PATH_READLINK) \
	X(16, PATH_RENAME_SOURCE) \
	X(17, PATH_RENAME_TARGET) \
	X(18, PATH_FILESTAT_GET) \
	X(19, PATH_FILESTAT_SET_SIZE) \
	X(20, PATH_FILESTAT_SET_TIMES) \
	X(21, FD_FILESTAT_GET) \
	X(22, FD_FILESTAT_SET_SIZE) \
	X(23, FD_FILESTAT_SET_TIMES) \
	X(24, PATH_SYMLINK) \
	X(25, PATH_REMOVE_DIRECTORY) \
	X(26, PATH_UNLINK_FILE) \
	X(27, POLL_FD_READWRITE) \
	X(28, SOCK_SHUTDOWN) \
	X(29, SOCK_ACCEPT)

#define X(bit, name) static const uint64_t WASI_RIGHT_##name = (uint64_t)1 << bit;
WASI_RIGHTS(X)
#undef X

enum wasi_clock_id {
	WASI_CLOCK_REALTIME,
	WASI_CLOCK_MONOTONIC,
	WASI_CLOCK_PROCESS_CPUTIME,
	WASI_CLOCK_THREAD_CPUTIME
};

enum wasi_filetype {
	WASI_FILETYPE_UNKNOWN,
	WASI_FILETYPE_BLOCK_DEVICE,
	WASI_FILETYPE_CHARACTER_DEVICE,
	WASI_FILETYPE_DIRECTORY,
	WASI_FILETYPE_REGULAR_FILE,
	WASI_FILETYPE_SOCKET_DGRAM,
	WASI_FILETYPE_SOCKET_STREAM,
	WASI_FILETYPE_SYMBOLIC_LINK
};

enum wasi_fdflags {
	WASI_FDFLAG_APPEND = 1,
	WASI_FDFLAG_DSYNC = 2,
	WASI_FDFLAG_NONBLOCK = 4,
	WASI_FDFLAG_RSYNC = 8,
	WASI_FDFLAG_SYNC = 16,
	WASI_FDFLAGS_ALL = 31
};

enum wasi_oflags {
	WASI_OFLAG_CREAT = 1,
	WASI_OFLAG_DIRECTORY = 2,
	WASI_OFLAG_EXCL = 4,
	WASI_OFLAG_TRUNC = 8,
	WASI_OFLAGS_ALL = 15
};

enum wasi_fstflags {
	WASI_FST_ATIM = 1,
	WASI_FST_ATIM_NOW = 2,
	WASI_FST_MTIM = 4,
	WASI_FST_MTIM_NOW = 8,
	WASI_FSTFLAGS_ALL = 15
};

enum { WASI_LOOKUP_SYMLINK_FOLLOW = 1 };
enum { WASI_SUBCLOCK_ABSTIME = 1 };
enum { WASI_EVENTRW_HANGUP = 1 };
enum wasi_whence { WASI_WHENCE_SET, WASI_WHENCE_CUR, WASI_WHENCE_END };
enum wasi_eventtype { WASI_EVENT_CLOCK, WASI_EVENT_FD_READ, WASI_EVENT_FD_WRITE };

/* The structures as they lie in guest memory, at any alignment: copy them, never point at them. */
struct wasi_iovec {
	uint32_t buf;
	uint32_t buf_len;
};

struct wasi_dirent {
	uint64_t next;
	uint64_t ino;
	uint32_t namlen;
	uint8_t type;
	uint8_t unused[3];
};

struct wasi_fdstat {
	uint8_t filetype;
	uint8_t unused0;
	uint16_t flags;
	uint32_t unused1;
	uint64_t rights_base;
	uint64_t rights_inheriting;
};

struct wasi_filestat {
	uint64_t dev;
	uint64_t ino;
	uint8_t filetype;
	uint8_t unused[7];
	uint64_t nlink;
	uint64_t size;
	uint64_t atim_ns;
	uint64_t mtim_ns;
	uint64_t ctim_ns;
};

struct wasi_prestat {
	uint8_t type; /* 0: a directory */
	uint8_t unused[3];
	uint32_t name_len;
};

struct wasi_event {
	uint64_t userdata;
	uint16_t error;
	uint8_t type;
	uint8_t unused0[5];
	uint64_t nbytes;
	uint16_t flags;
	uint8_t unused1[6];
};

struct wasi_subscription {
	uint64_t userdata;
	uint8_t type;
	uint8_t unused0[7];
	uint32_t clock_or_fd;
	uint8_t unused1[4];
	uint64_t timeout_ns;
	uint64_t precision_ns;
	uint16_t flags;
	uint8_t unused2[6];
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "guest memory is little-endian");
_Static_assert(WASI_EXDEV == 75 && WASI_ENOTCAPABLE == 76, "an errno is missing");
_Static_assert(sizeof(struct wasi_iovec) == 8, "iovec");
_Static_assert(sizeof(struct wasi_dirent) == 24, "dirent");
_Static_assert(sizeof(struct wasi_fdstat) == 24, "fdstat");
_Static_assert(sizeof(struct wasi_filestat) == 64, "filestat");
_Static_assert(sizeof(struct wasi_prestat) == 8, "prestat");
_Static_assert(sizeof(struct wasi_event) == 32, "event");
_Static_assert(sizeof(struct wasi_subscription) == 48, "subscription");

#endif
