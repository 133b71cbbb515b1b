/*
 * Answers with what WASI gives it. The path is the question: /args /environ /clocks /random
 * /preopens /read/NAME /write/NAME /list /hold/NAME /unlink/NAME /symlink/NAME; names are relative
 * to the first preopened directory.
 */
#include "wasi.h"

#define FIRST_PREOPEN 3u

static char buf[65536];
static struct out out;

static void out_errno(struct text what, uint32_t error)
{
	out_text(&out, what);
	out_text(&out, TEXT(" errno="));
	out_number(&out, error);
}

static void show_args(void)
{
	uint32_t count = 0, size_bytes = 0;

	wasi_args_sizes_get(&count, &size_bytes);
	out_text(&out, TEXT("args="));
	out_number(&out, count);
}

static void show_environ(void)
{
	static char *entries[256];
	static char text[16384];
	uint32_t count = 0, size_bytes = 0;

	if (wasi_environ_sizes_get(&count, &size_bytes) != 0 || count > 256 ||
	    size_bytes > sizeof text)
		return;
	wasi_environ_get(entries, text);
	for (uint32_t i = 0; i < count; i++) {
		out_text(&out, text_of(entries[i]));
		out_text(&out, TEXT("\n"));
	}
}

static void show_clocks(void)
{
	uint64_t realtime_ns = 0, before_ns = 0, after_ns = 0;

	wasi_clock_time_get(WASI_REALTIME, 1, &realtime_ns);
	wasi_clock_time_get(WASI_MONOTONIC, 1, &before_ns);
	wasi_sleep(20 * 1000 * 1000);
	wasi_clock_time_get(WASI_MONOTONIC, 1, &after_ns);
	out_number(&out, realtime_ns);
	out_text(&out, TEXT(" "));
	out_number(&out, after_ns - before_ns);
}

static void show_random(void)
{
	char bytes[16];

	wasi_random_get(bytes, sizeof bytes);
	out_hex(&out, (struct text){bytes, sizeof bytes});
}

static void show_preopens(void)
{
	for (uint32_t fd = FIRST_PREOPEN;; fd++) {
		uint32_t prestat[2];
		char path[256];

		if (wasi_fd_prestat_get(fd, prestat) != 0 || prestat[1] > sizeof path)
			return;
		wasi_fd_prestat_dir_name(fd, path, prestat[1]);
		out_text(&out, (struct text){path, prestat[1]});
		out_text(&out, TEXT("\n"));
	}
}

static uint32_t open_path(struct text name, uint32_t flags, uint64_t rights, uint32_t *fd)
{
	return wasi_path_open(FIRST_PREOPEN, 1, name.p, name.n, flags, rights, 0, 0, fd);
}

static void read_file(struct text name)
{
	struct wasi_iovec iov = {buf, sizeof buf};
	uint32_t fd = 0, n = 0, error = open_path(name, 0, WASI_RIGHT_READ, &fd);

	if (error == 0) {
		error = wasi_fd_read(fd, &iov, 1, &n);
		wasi_fd_close(fd);
	}
	if (error == 0)
		out.n = n;
	else
		out_errno(TEXT("read"), error);
}

static void write_file(struct text name)
{
	struct text content = TEXT("written by the guest");
	struct wasi_iovec iov = {(void *)(uintptr_t)content.p, content.n};
	uint32_t fd = 0, n = 0,
		 error = open_path(name, WASI_CREATE | WASI_TRUNCATE, WASI_RIGHT_WRITE, &fd);

	if (error == 0) {
		error = wasi_fd_write(fd, &iov, 1, &n);
		wasi_fd_close(fd);
	}
	out_errno(TEXT("write"), error);
}

/* Opens it, and does not close it again. */
static void hold_file(struct text name)
{
	uint32_t fd = 0;

	out_errno(TEXT("hold"), open_path(name, 0, WASI_RIGHT_READ, &fd));
}

static void list_directory(void)
{
	static char entries[8192];
	uint32_t used = 0, at = 0, fd = 0,
		 error = open_path(TEXT("."), WASI_DIRECTORY, WASI_RIGHT_READDIR, &fd);

	if (error == 0)
		error = wasi_fd_readdir(fd, entries, sizeof entries, 0, &used);
	if (error != 0) {
		out_errno(TEXT("list"), error);
		return;
	}
	wasi_fd_close(fd);
	while (at + 24 <= used) {
		uint32_t n;

		__builtin_memcpy(&n, entries + at + 16, sizeof n);
		if (at + 24 + n > used)
			return;
		out_text(&out, (struct text){entries + at + 24, n});
		out_text(&out, TEXT("\n"));
		at += 24 + n;
	}
}

static bool ask(struct text uri, struct text question, struct text *rest)
{
	if (!text_starts(uri, question))
		return false;
	*rest = text_from(uri, question.n);
	return true;
}

EXPORT("handle_request") int64_t handle_request(void)
{
	struct text uri = uri_text(), rest, target = TEXT("/etc/hostname");

	out = (struct out){buf, 0, sizeof buf};
	if (ask(uri, TEXT("/args"), &rest))
		show_args();
	else if (ask(uri, TEXT("/environ"), &rest))
		show_environ();
	else if (ask(uri, TEXT("/clocks"), &rest))
		show_clocks();
	else if (ask(uri, TEXT("/random"), &rest))
		show_random();
	else if (ask(uri, TEXT("/preopens"), &rest))
		show_preopens();
	else if (ask(uri, TEXT("/read/"), &rest))
		read_file(rest);
	else if (ask(uri, TEXT("/write/"), &rest))
		write_file(rest);
	else if (ask(uri, TEXT("/list"), &rest))
		list_directory();
	else if (ask(uri, TEXT("/hold/"), &rest))
		hold_file(rest);
	else if (ask(uri, TEXT("/unlink/"), &rest))
		out_errno(TEXT("unlink"), wasi_path_unlink_file(FIRST_PREOPEN, rest.p, rest.n));
	else if (ask(uri, TEXT("/symlink/"), &rest))
		out_errno(TEXT("symlink"),
			  wasi_path_symlink(target.p, target.n, FIRST_PREOPEN, rest.p, rest.n));
	return answer(200, out_slice(&out));
}

NO_RESPONSE_PHASE
