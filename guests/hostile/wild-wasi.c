/*
 * Calls WASI functions with pointers outside its memory and with descriptors that do not exist, on
 * /evil/F/V like wild.c. Answers with the errno if the host did not trap.
 */
#include "../wasi.h"

WASI("fd_pread")
uint32_t wasi_fd_pread(uint32_t fd, const void *iov, uint32_t n, uint64_t at, uint32_t *got);
WASI("fd_pwrite")
uint32_t wasi_fd_pwrite(uint32_t fd, const void *iov, uint32_t n, uint64_t at, uint32_t *done);
WASI("fd_seek") uint32_t wasi_fd_seek(uint32_t fd, int64_t offset, uint32_t whence, uint64_t *at);
WASI("fd_tell") uint32_t wasi_fd_tell(uint32_t fd, uint64_t *at);
WASI("fd_fdstat_get") uint32_t wasi_fd_fdstat_get(uint32_t fd, void *stat);
WASI("fd_filestat_get") uint32_t wasi_fd_filestat_get(uint32_t fd, void *stat);
WASI("fd_renumber") uint32_t wasi_fd_renumber(uint32_t from, uint32_t to);
WASI("path_filestat_get")
uint32_t wasi_path_filestat_get(uint32_t fd, uint32_t flags, const char *path, uint32_t n,
				void *stat);
WASI("path_rename")
uint32_t wasi_path_rename(uint32_t fd, const char *a, uint32_t a_n, uint32_t to, const char *b,
			  uint32_t b_n);
WASI("path_readlink")
uint32_t wasi_path_readlink(uint32_t fd, const char *path, uint32_t n, char *buf, uint32_t limit,
			    uint32_t *used);
WASI("path_create_directory")
uint32_t wasi_path_create_directory(uint32_t fd, const char *path, uint32_t n);

static uint32_t call_descriptor(uint32_t function, void *p, uint32_t n)
{
	static char byte;
	static struct wasi_iovec iov;
	uint32_t result = 0;

	iov = (struct wasi_iovec){p, n};
	switch (function) {
	case 0:
		return wasi_fd_write(1, p, n, &result);
	case 1:
		return wasi_fd_write(1, &iov, 1, &result);
	case 2:
		return wasi_fd_write(1, &(struct wasi_iovec){&byte, 1}, 1, p);
	case 3:
		return wasi_fd_read(0, p, n, &result);
	case 4:
		return wasi_fd_read(3, &iov, 1, &result);
	case 5:
		return wasi_fd_pread(3, p, n, 0, &result);
	case 6:
		return wasi_fd_pwrite(3, &iov, 1, ~(uint64_t)0, &result);
	case 7:
		return wasi_fd_seek(3, INT64_MIN, 0, p);
	case 8:
		return wasi_fd_tell(3, p);
	case 9:
		return wasi_fd_fdstat_get(1, p);
	case 10:
		return wasi_fd_filestat_get(1, p);
	case 11:
		return wasi_fd_prestat_get(3, p);
	case 12:
		return wasi_fd_prestat_dir_name(3, p, n);
	case 13:
		return wasi_fd_readdir(3, p, n, ~(uint64_t)0, &result);
	case 14:
		return wasi_fd_close(n);
	case 15:
		return wasi_fd_renumber(n, 1);
	default:
		return 0;
	}
}

static uint32_t call_other(uint32_t function, void *p, uint32_t n)
{
	uint32_t result = 0;
	char buf[8];

	switch (function) {
	case 16:
		return wasi_args_sizes_get(p, &result);
	case 17:
		return wasi_args_get(p, p);
	case 18:
		return wasi_environ_sizes_get(&result, p);
	case 19:
		return wasi_environ_get(p, p);
	case 20:
		return wasi_clock_time_get(WASI_REALTIME, 0, p);
	case 21:
		return wasi_clock_time_get(n, 0, (uint64_t *)(void *)buf);
	case 22:
		return wasi_clock_res_get(WASI_MONOTONIC, p);
	case 23:
		return wasi_random_get(p, n);
	case 24:
		return wasi_poll_oneoff(p, p, 1, &result);
	case 25:
		return wasi_poll_oneoff(p, p, n, p);
	case 26:
		return wasi_path_open(3, 0, p, n, 0, 0, 0, 0, &result);
	case 27:
		return wasi_path_open(3, 0, "x", 1, 0, 0, 0, 0, p);
	case 28:
		return wasi_path_filestat_get(3, 0, p, n, buf);
	case 29:
		return wasi_path_rename(3, p, n, 3, p, n);
	case 30:
		return wasi_path_readlink(3, "x", 1, p, n, &result);
	case 31:
		return wasi_path_create_directory(3, p, n);
	case 32:
		return wasi_path_unlink_file(3, p, n);
	case 33:
		return wasi_path_symlink(p, n, 3, p, n);
	default:
		return 0;
	}
}

static uint32_t call(uint32_t function, uint32_t variant)
{
	uint32_t end = (uint32_t)__builtin_wasm_memory_size(0) * PAGE_SIZE;
	uint32_t at[] = {end, 0xffffffffu, 0, end - 4, 0xfffffff0u, 0x80000000u};
	uint32_t n[] = {1, 1, 0xffffffffu, 8, 0x20, 0x80000000u};
	void *p = (void *)(uintptr_t)at[variant % 6];

	return function < 16 ? call_descriptor(function, p, n[variant % 6])
			     : call_other(function, p, n[variant % 6]);
}

EXPORT("handle_request") int64_t handle_request(void)
{
	struct text uri = uri_text();
	char digits[20];
	struct out out = {digits, 0, sizeof digits};
	int32_t slash;

	if (!text_starts(uri, TEXT("/evil/")))
		return NEXT;
	uri = text_from(uri, 6);
	slash = text_find(uri, TEXT("/"));
	if (slash < 0)
		return NEXT;
	out_number(&out, call(text_number(uri), text_number(text_from(uri, (uint32_t)slash + 1))));
	return answer(200, out_slice(&out));
}

NO_RESPONSE_PHASE
