/*
 * The WASI preview 1 imports that the probes call.
 */
#ifndef WASI_H
#define WASI_H

#include "http_wasm.h"

#define WASI(name) IMPORT("wasi_snapshot_preview1", name)

struct wasi_iovec {
	void *p;
	uint32_t n;
};

WASI("args_sizes_get") uint32_t wasi_args_sizes_get(uint32_t *count, uint32_t *size_bytes);
WASI("args_get") uint32_t wasi_args_get(char **args, char *buf);
WASI("environ_sizes_get") uint32_t wasi_environ_sizes_get(uint32_t *count, uint32_t *size_bytes);
WASI("environ_get") uint32_t wasi_environ_get(char **entries, char *buf);
WASI("clock_res_get") uint32_t wasi_clock_res_get(uint32_t clock, uint64_t *resolution_ns);
WASI("clock_time_get")
uint32_t wasi_clock_time_get(uint32_t clock, uint64_t precision_ns, uint64_t *time_ns);
WASI("random_get") uint32_t wasi_random_get(void *buf, uint32_t n);
WASI("sched_yield") uint32_t wasi_sched_yield(void);
WASI("proc_exit") _Noreturn void wasi_proc_exit(uint32_t code);
WASI("poll_oneoff")
uint32_t wasi_poll_oneoff(const void *in, void *out, uint32_t n, uint32_t *events);
WASI("fd_write")
uint32_t wasi_fd_write(uint32_t fd, const struct wasi_iovec *iov, uint32_t n, uint32_t *written);
WASI("fd_read")
uint32_t wasi_fd_read(uint32_t fd, const struct wasi_iovec *iov, uint32_t n, uint32_t *got);
WASI("fd_close") uint32_t wasi_fd_close(uint32_t fd);
WASI("fd_prestat_get") uint32_t wasi_fd_prestat_get(uint32_t fd, void *prestat);
WASI("fd_prestat_dir_name") uint32_t wasi_fd_prestat_dir_name(uint32_t fd, char *path, uint32_t n);
WASI("fd_readdir")
uint32_t wasi_fd_readdir(uint32_t fd, void *buf, uint32_t n, uint64_t cookie, uint32_t *used);
WASI("path_open")
uint32_t wasi_path_open(uint32_t dir, uint32_t lookup, const char *path, uint32_t path_n,
			uint32_t open_flags, uint64_t rights, uint64_t inheriting,
			uint32_t fd_flags, uint32_t *fd);
WASI("path_unlink_file") uint32_t wasi_path_unlink_file(uint32_t dir, const char *path, uint32_t n);
WASI("path_symlink")
uint32_t wasi_path_symlink(const char *old, uint32_t old_n, uint32_t dir, const char *path,
			   uint32_t n);

enum wasi_open { WASI_CREATE = 1, WASI_DIRECTORY = 2, WASI_EXCLUSIVE = 4, WASI_TRUNCATE = 8 };
enum wasi_right {
	WASI_RIGHT_READ = 1 << 1,
	WASI_RIGHT_WRITE = 1 << 6,
	WASI_RIGHT_READDIR = 1 << 14
};
enum wasi_clock { WASI_REALTIME, WASI_MONOTONIC };

UNUSED static uint32_t wasi_print(uint32_t fd, struct text s)
{
	struct wasi_iovec iov = {(void *)(uintptr_t)s.p, s.n};
	uint32_t written = 0;

	return wasi_fd_write(fd, &iov, 1, &written);
}

/** Sleeps through poll_oneoff; returns the errno. */
UNUSED static uint32_t wasi_sleep(uint64_t duration_ns)
{
	struct {
		uint64_t userdata;
		uint32_t tag;
		uint32_t unused;
		uint32_t clock;
		uint32_t unused2;
		uint64_t timeout_ns;
		uint64_t precision_ns;
		uint32_t flags;
		uint32_t unused3;
	} subscription = {.userdata = 1, .clock = WASI_MONOTONIC, .timeout_ns = duration_ns};
	uint64_t event[4];
	uint32_t events = 0;

	_Static_assert(sizeof subscription == 48, "layout of a WASI subscription");
	return wasi_poll_oneoff(&subscription, event, 1, &events);
}

#endif
