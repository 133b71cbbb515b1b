#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>

#include "core/clock.h"
#include "wasi_guest.h"

static int setup(void **state)
{
	static const char *const envs[] = {"A=1", "LONG=two words", "EMPTY="};
	struct guest *g = calloc(1, sizeof *g);
	struct wasi_options options = {
		.envs = envs, .env_count = 3, .output = guest_line, .ctx = g};

	guest_map(g);
	assert_int_equal(wasi_create(&g->w, &options, NULL), 0);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	guest_unmap(*state);
	free(*state);
	return 0;
}

/* From the specification: name, parameters. */
static const char *const signatures[][2] = {
	{"args_get", "ii"},
	{"args_sizes_get", "ii"},
	{"environ_get", "ii"},
	{"environ_sizes_get", "ii"},
	{"clock_res_get", "ii"},
	{"clock_time_get", "iIi"},
	{"fd_advise", "iIIi"},
	{"fd_allocate", "iII"},
	{"fd_close", "i"},
	{"fd_datasync", "i"},
	{"fd_fdstat_get", "ii"},
	{"fd_fdstat_set_flags", "ii"},
	{"fd_fdstat_set_rights", "iII"},
	{"fd_filestat_get", "ii"},
	{"fd_filestat_set_size", "iI"},
	{"fd_filestat_set_times", "iIIi"},
	{"fd_pread", "iiiIi"},
	{"fd_prestat_get", "ii"},
	{"fd_prestat_dir_name", "iii"},
	{"fd_pwrite", "iiiIi"},
	{"fd_read", "iiii"},
	{"fd_readdir", "iiiIi"},
	{"fd_renumber", "ii"},
	{"fd_seek", "iIii"},
	{"fd_sync", "i"},
	{"fd_tell", "ii"},
	{"fd_write", "iiii"},
	{"path_create_directory", "iii"},
	{"path_filestat_get", "iiiii"},
	{"path_filestat_set_times", "iiiiIIi"},
	{"path_link", "iiiiiii"},
	{"path_open", "iiiiiIIii"},
	{"path_readlink", "iiiiii"},
	{"path_remove_directory", "iii"},
	{"path_rename", "iiiiii"},
	{"path_symlink", "iiiii"},
	{"path_unlink_file", "iii"},
	{"poll_oneoff", "iiii"},
	{"proc_exit", "i"},
	{"proc_raise", "i"},
	{"sched_yield", ""},
	{"random_get", "ii"},
	{"sock_accept", "iii"},
	{"sock_recv", "iiiiii"},
	{"sock_send", "iiiii"},
	{"sock_shutdown", "ii"},
};

static void table_is_complete(void **state)
{
	size_t count;
	const struct wasi_function *all = wasi_functions(&count);

	(void)state;
	assert_int_equal(count, 46);
	assert_int_equal(count, ARRAY_LEN(signatures));
	for (size_t i = 0; i < count; i++) {
		const struct wasi_function *f = guest_function(signatures[i][0]);

		assert_string_equal(f->params, signatures[i][1]);
		assert_int_equal(f->has_result, strcmp(f->name, "proc_exit") != 0);
		assert_true(i == 0 || strcmp(all[i - 1].name, all[i].name) < 0);
	}
}

static void layouts_are_those_of_the_specification(void **state)
{
	(void)state;
	assert_int_equal(offsetof(struct wasi_dirent, ino), 8);
	assert_int_equal(offsetof(struct wasi_dirent, namlen), 16);
	assert_int_equal(offsetof(struct wasi_dirent, type), 20);
	assert_int_equal(offsetof(struct wasi_fdstat, flags), 2);
	assert_int_equal(offsetof(struct wasi_fdstat, rights_base), 8);
	assert_int_equal(offsetof(struct wasi_fdstat, rights_inheriting), 16);
	assert_int_equal(offsetof(struct wasi_filestat, ino), 8);
	assert_int_equal(offsetof(struct wasi_filestat, filetype), 16);
	assert_int_equal(offsetof(struct wasi_filestat, nlink), 24);
	assert_int_equal(offsetof(struct wasi_filestat, size), 32);
	assert_int_equal(offsetof(struct wasi_filestat, atim_ns), 40);
	assert_int_equal(offsetof(struct wasi_filestat, mtim_ns), 48);
	assert_int_equal(offsetof(struct wasi_filestat, ctim_ns), 56);
	assert_int_equal(offsetof(struct wasi_prestat, name_len), 4);
	assert_int_equal(offsetof(struct wasi_event, error), 8);
	assert_int_equal(offsetof(struct wasi_event, type), 10);
	assert_int_equal(offsetof(struct wasi_event, nbytes), 16);
	assert_int_equal(offsetof(struct wasi_event, flags), 24);
	assert_int_equal(offsetof(struct wasi_subscription, type), 8);
	assert_int_equal(offsetof(struct wasi_subscription, clock_or_fd), 16);
	assert_int_equal(offsetof(struct wasi_subscription, timeout_ns), 24);
	assert_int_equal(offsetof(struct wasi_subscription, precision_ns), 32);
	assert_int_equal(offsetof(struct wasi_subscription, flags), 40);
	assert_int_equal(WASI_EAGAIN, 6);
	assert_int_equal(WASI_EBADF, 8);
	assert_int_equal(WASI_EFAULT, 21);
	assert_int_equal(WASI_EINVAL, 28);
	assert_int_equal(WASI_ENOENT, 44);
	assert_int_equal(WASI_ENOSYS, 52);
	assert_int_equal(WASI_ENOTSOCK, 57);
	assert_int_equal(WASI_ENOTSUP, 58);
	assert_int_equal(WASI_EPERM, 63);
	assert_int_equal(WASI_EROFS, 69);
	assert_int_equal(WASI_ENOTCAPABLE, 76);
	assert_int_equal(WASI_RIGHT_SOCK_ACCEPT, 1 << 29);
	assert_int_equal(WASI_RIGHT_FD_READDIR, 1 << 14);
}

static void socket_extensions_are_recognised(void **state)
{
	(void)state;
	assert_true(wasi_is_socket_extension(SLICE("sock_open"), 3));
	assert_true(wasi_is_socket_extension(SLICE("sock_getaddrinfo"), 8));
	assert_true(wasi_is_socket_extension(SLICE("sock_accept"), 2));
	assert_false(wasi_is_socket_extension(SLICE("sock_accept"), 3));
	assert_false(wasi_is_socket_extension(SLICE("sock_send"), 5));
	assert_false(wasi_is_socket_extension(SLICE("sock_opens"), 3));
	assert_false(wasi_is_socket_extension(SLICE(""), 2));
}

static void arguments_are_empty(void **state)
{
	struct guest *g = *state;

	memset(g->m.base, 0xff, 64);
	assert_int_equal(CALL(g, args_sizes_get, 0, 4), 0);
	assert_int_equal(get_u64(g, 0), 0);
	assert_int_equal(CALL(g, args_get, 8, 16), 0);
	assert_int_equal(get_u64(g, 8), UINT64_MAX);
}

static void environment_is_what_was_given(void **state)
{
	struct guest *g = *state;

	assert_int_equal(CALL(g, environ_sizes_get, 0, 4), 0);
	assert_int_equal(get_u32(g, 0), 3);
	assert_int_equal(get_u32(g, 4), 4 + 15 + 7);
	/* Unaligned on purpose. */
	assert_int_equal(CALL(g, environ_get, 0x101, 0x201), 0);
	assert_int_equal(get_u32(g, 0x101), 0x201);
	assert_string_equal((char *)g->m.base + get_u32(g, 0x105), "LONG=two words");
	assert_string_equal((char *)g->m.base + get_u32(g, 0x109), "EMPTY=");
	assert_int_equal(CALL(g, environ_get, 0x101, GUEST_BYTES - 25), WASI_EFAULT);
	assert_int_equal(CALL(g, environ_get, 0x101, GUEST_BYTES - 26), 0);
}

static void clocks_are_real(void **state)
{
	struct guest *g = *state;
	uint64_t wall = clock_wall_ns(), mono = clock_mono_ns();

	for (uint64_t id = 0; id < 4; id++) {
		assert_int_equal(CALL(g, clock_res_get, id, AT_RESULT), 0);
		assert_in_range(get_u64(g, AT_RESULT), 1, 1000000000);
		assert_int_equal(CALL(g, clock_time_get, id, 1, AT_RESULT), 0);
	}
	assert_int_equal(CALL(g, clock_time_get, 0, 0, AT_RESULT), 0);
	assert_true(get_u64(g, AT_RESULT) >= wall && get_u64(g, AT_RESULT) < wall + 60000000000u);
	assert_int_equal(CALL(g, clock_time_get, 1, 0, AT_RESULT), 0);
	assert_true(get_u64(g, AT_RESULT) >= mono && get_u64(g, AT_RESULT) <= clock_mono_ns());
	assert_int_equal(CALL(g, clock_time_get, 4, 0, AT_RESULT), WASI_EINVAL);
	assert_int_equal(CALL(g, clock_res_get, UINT32_MAX, AT_RESULT), WASI_EINVAL);
}

static void entropy_is_drawn_and_remembered(void **state)
{
	struct guest *g = *state;
	struct wasi *copy;
	size_t zeros = 0;

	assert_false(wasi_drew_entropy(g->w));
	/* Longer than one piece. */
	assert_int_equal(CALL(g, random_get, 1, GUEST_BYTES - 2), 0);
	assert_true(wasi_drew_entropy(g->w));
	assert_int_equal(g->m.base[0], 0);
	assert_int_equal(g->m.base[GUEST_BYTES - 1], 0);
	for (size_t i = 1; i < GUEST_BYTES - 1; i++)
		zeros += g->m.base[i] == 0;
	assert_in_range(zeros, GUEST_BYTES / 512, GUEST_BYTES / 128);
	assert_int_equal(wasi_clone(&copy, g->w, NULL), 0);
	assert_true(wasi_drew_entropy(copy));
	wasi_destroy(&copy);
	assert_null(copy);
}

static void entropy_has_a_limit(void **state)
{
	struct guest *g = *state;
	struct wasi_options options = {.random_max_bytes = 16};

	wasi_destroy(&g->w);
	assert_int_equal(wasi_create(&g->w, &options, NULL), 0);
	assert_int_equal(CALL(g, random_get, 0, 17), WASI_EINVAL);
	assert_false(wasi_drew_entropy(g->w));
	assert_int_equal(CALL(g, random_get, 0, 16), 0);
}

static void exit_ends_everything(void **state)
{
	struct guest *g = *state;
	struct weir_error error = {0};
	struct wasi *copy;

	assert_int_equal(guest_write(g, 2, "last words"), 0);
	CALL(g, proc_exit, 0xfffffffff);
	assert_int_equal(g->outcome, WASI_EXIT);
	assert_int_equal(wasi_exit_code(g->w), 0xffffffff);
	assert_string_equal(g->lines.p, "2:last words\n");
	CALL(g, sched_yield, 0);
	assert_int_equal(g->outcome, WASI_FAULT);
	assert_int_equal(wasi_clone(&copy, g->w, &error), -EINVAL);
	assert_null(copy);
	assert_non_null(strstr(error.text, "exited"));
}

static void small_ones(void **state)
{
	struct guest *g = *state;

	assert_int_equal(CALL(g, sched_yield, 0), 0);
	for (uint64_t signal = 0; signal < 32; signal++)
		assert_int_equal(CALL(g, proc_raise, signal), WASI_ENOTSUP);
	assert_int_equal(CALL(g, sock_accept, 0, 0, 0), WASI_ENOTSOCK);
	assert_int_equal(CALL(g, sock_recv, 1, 0, 0, 0, 0, 0), WASI_ENOTSOCK);
	assert_int_equal(CALL(g, sock_send, 2, 0, 0, 0, 0), WASI_ENOTSOCK);
	assert_int_equal(CALL(g, sock_shutdown, 1, 3), WASI_ENOTSOCK);
	assert_int_equal(CALL(g, sock_shutdown, 3, 3), WASI_EBADF);
}

static void standard_streams_look_like_terminals(void **state)
{
	struct guest *g = *state;
	struct wasi_fdstat st;
	struct wasi_filestat file;

	for (uint32_t fd = 0; fd < 3; fd++) {
		assert_int_equal(CALL(g, fd_fdstat_get, fd, AT_DATA + 1), 0);
		memcpy(&st, g->m.base + AT_DATA + 1, sizeof st);
		assert_int_equal(st.filetype, WASI_FILETYPE_CHARACTER_DEVICE);
		assert_int_equal(st.rights_base & (WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_TELL), 0);
		assert_int_equal((st.rights_base & WASI_RIGHT_FD_READ) != 0, fd == 0);
		assert_int_equal((st.rights_base & WASI_RIGHT_FD_WRITE) != 0, fd != 0);
		assert_int_equal(CALL(g, fd_filestat_get, fd, AT_DATA), 0);
		memcpy(&file, g->m.base + AT_DATA, sizeof file);
		assert_int_equal(file.filetype, WASI_FILETYPE_CHARACTER_DEVICE);
		assert_int_equal(CALL(g, fd_seek, fd, 0, WASI_WHENCE_CUR, AT_RESULT), WASI_ESPIPE);
		assert_int_equal(CALL(g, fd_tell, fd, AT_RESULT), WASI_ESPIPE);
		assert_int_equal(CALL(g, fd_prestat_get, fd, AT_RESULT), WASI_EBADF);
		assert_int_equal(CALL(g, fd_readdir, fd, 0, 64, 0, AT_RESULT), WASI_ENOTDIR);
		assert_int_equal(CALL(g, fd_sync, fd), WASI_EINVAL);
		assert_int_equal(CALL(g, fd_allocate, fd, 0, 1), WASI_EBADF);
		assert_int_equal(CALL(g, fd_fdstat_set_flags, fd, WASI_FDFLAG_NONBLOCK), 0);
		assert_int_equal(CALL(g, fd_fdstat_set_flags, fd, 32), WASI_EINVAL);
		assert_int_equal(CALL(g, path_open, fd, 0, PATH(g, "x"), 0, 0, 0, 0, AT_RESULT),
				 WASI_ENOTDIR);
	}
	assert_int_equal(CALL(g, fd_fdstat_get, 0, AT_DATA), 0);
	assert_int_equal(g->m.base[AT_DATA + 2], WASI_FDFLAG_NONBLOCK);
	assert_string_equal(guest_read(g, 0, 10), "");
	assert_int_equal(guest_write(g, 0, "x"), WASI_EBADF);
	assert_null(guest_read(g, 1, 10));
	assert_int_equal(CALL(g, fd_pread, 0, AT_IOVEC, 1, 0, AT_RESULT), WASI_ESPIPE);
}

static void rights_can_only_be_given_up(void **state)
{
	struct guest *g = *state;

	assert_int_equal(
		CALL(g, fd_fdstat_set_rights, 1, WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_READ, 0),
		WASI_ENOTCAPABLE);
	assert_int_equal(CALL(g, fd_fdstat_set_rights, 1, 0, 1), WASI_ENOTCAPABLE);
	assert_int_equal(CALL(g, fd_fdstat_set_rights, 1, 0, 0), 0);
	assert_int_equal(guest_write(g, 1, "x\n"), WASI_EBADF);
	assert_int_equal(CALL(g, fd_fdstat_set_rights, 1, WASI_RIGHT_FD_WRITE, 0),
			 WASI_ENOTCAPABLE);
	assert_int_equal(CALL(g, fd_fdstat_set_rights, 9, 0, 0), WASI_EBADF);
}

static void output_comes_in_lines(void **state)
{
	struct guest *g = *state;

	assert_int_equal(guest_write(g, 1, "a"), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 1);
	assert_int_equal(guest_write(g, 2, "error\r\n"), 0);
	assert_int_equal(guest_write(g, 1, "b\nc\n\nd"), 0);
	assert_string_equal(g->lines.p, "2:error\n1:ab\n1:c\n1:\n");
	str_clear(&g->lines);
	put_text(g, AT_DATA, "eXfg\n");
	put_iovec(g, 0, AT_DATA, 1);
	put_iovec(g, 1, AT_DATA, 0);
	put_iovec(g, 2, AT_DATA + 2, 3);
	assert_int_equal(CALL(g, fd_write, 1, AT_IOVEC, 3, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 4);
	assert_string_equal(g->lines.p, "1:defg\n");
	str_clear(&g->lines);
	assert_int_equal(guest_write(g, 2, "tail"), 0);
	wasi_flush(g->w);
	assert_string_equal(g->lines.p, "2:tail\n");
	wasi_flush(g->w);
	assert_int_equal(guest_write(g, 1, "end"), 0);
	wasi_destroy(&g->w);
	assert_string_equal(g->lines.p, "2:tail\n1:end\n");
}

static void long_lines_come_in_pieces(void **state)
{
	struct guest *g = *state;
	struct wasi_options options = {.output = guest_line, .ctx = g, .line_max_bytes = 4};

	wasi_destroy(&g->w);
	assert_int_equal(wasi_create(&g->w, &options, NULL), 0);
	assert_int_equal(guest_write(g, 1, "1234"), 0);
	assert_int_equal(guest_write(g, 1, "\n"), 0);
	assert_int_equal(guest_write(g, 1, "12"), 0);
	assert_int_equal(guest_write(g, 1, "34567890\nx\n"), 0);
	assert_string_equal(g->lines.p, "1:1234\n1:1234\n1:5678\n1:90\n1:x\n");
}

static void writes_are_bounded(void **state)
{
	struct guest *g = *state;
	struct wasi_options options = {.transfer_max_bytes = 5};

	wasi_destroy(&g->w);
	assert_int_equal(wasi_create(&g->w, &options, NULL), 0);
	put_iovec(g, 0, 0, 3);
	put_iovec(g, 1, 0, 30);
	assert_int_equal(CALL(g, fd_write, 1, AT_IOVEC, 2, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 5);
	assert_int_equal(CALL(g, fd_write, 1, AT_IOVEC, 1025, AT_RESULT), WASI_EINVAL);
	assert_int_equal(CALL(g, fd_write, 1, AT_IOVEC, 0, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 0);
}

static void clones_begin_no_line_of_their_original(void **state)
{
	struct guest *g = *state, other = {.m = g->m};

	assert_int_equal(guest_write(g, 1, "begun"), 0);
	assert_int_equal(wasi_clone(&other.w, g->w, NULL), 0);
	wasi_set_output_ctx(other.w, &other);
	assert_int_equal(guest_write(&other, 1, "mine\n"), 0);
	assert_string_equal(other.lines.p, "1:mine\n");
	wasi_destroy(&other.w);
	str_free(&other.lines);
	wasi_flush(g->w);
	assert_string_equal(g->lines.p, "1:begun\n");
}

static void streams_can_be_closed_and_renumbered(void **state)
{
	struct guest *g = *state;

	assert_int_equal(CALL(g, fd_renumber, 2, 1), 0);
	assert_int_equal(guest_write(g, 1, "to stderr\n"), 0);
	assert_string_equal(g->lines.p, "2:to stderr\n");
	assert_int_equal(guest_write(g, 2, "x"), WASI_EBADF);
	assert_int_equal(CALL(g, fd_renumber, 1, 7), WASI_EBADF);
	assert_int_equal(CALL(g, fd_renumber, 7, 1), WASI_EBADF);
	assert_int_equal(CALL(g, fd_renumber, 1, 1), 0);
	assert_int_equal(CALL(g, fd_close, 1), 0);
	assert_int_equal(CALL(g, fd_close, 1), WASI_EBADF);
	assert_int_equal(wasi_open_files(g->w), 0);
}

static void put_subscription(struct guest *g, uint32_t nth, struct wasi_subscription s)
{
	memcpy(g->m.base + AT_PATH + nth * sizeof s, &s, sizeof s);
}

static struct wasi_event event_at(const struct guest *g, uint32_t nth)
{
	struct wasi_event e;

	memcpy(&e, g->m.base + AT_DATA + nth * sizeof e, sizeof e);
	return e;
}

#define POLL(count) AT_PATH, AT_DATA, count, AT_RESULT
#define TIMER(data, clock, ns, how) \
	((struct wasi_subscription){ \
		.userdata = data, .clock_or_fd = clock, .timeout_ns = ns, .flags = how})
#define READY(data, kind, fd) \
	((struct wasi_subscription){.userdata = data, .type = kind, .clock_or_fd = fd})

static void poll_answers_at_once_if_it_can(void **state)
{
	struct guest *g = *state;

	put_subscription(g, 0, TIMER(1, WASI_CLOCK_MONOTONIC, 1000000000000, 0));
	put_subscription(g, 1, READY(2, WASI_EVENT_FD_READ, 0));
	put_subscription(g, 2, READY(3, WASI_EVENT_FD_WRITE, 1));
	put_subscription(g, 3, READY(4, WASI_EVENT_FD_READ, 77));
	put_subscription(g, 4, READY(5, WASI_EVENT_FD_WRITE, 0));
	put_subscription(g, 5, TIMER(6, WASI_CLOCK_REALTIME, 1, WASI_SUBCLOCK_ABSTIME));
	put_subscription(g, 6, TIMER(7, WASI_CLOCK_THREAD_CPUTIME, 1, 0));
	put_subscription(g, 7, TIMER(8, 9, 1, 0));
	put_subscription(g, 8, TIMER(9, WASI_CLOCK_MONOTONIC, 0, 0));
	put_subscription(g, 9, TIMER(10, WASI_CLOCK_MONOTONIC, 0, 2));
	assert_int_equal(CALL(g, poll_oneoff, POLL(10)), 0);
	assert_int_equal(g->outcome, WASI_DONE);
	assert_int_equal(get_u32(g, AT_RESULT), 9);
	for (uint32_t i = 0; i < 9; i++)
		assert_int_equal(event_at(g, i).userdata, i + 2);
	assert_int_equal(event_at(g, 0).type, WASI_EVENT_FD_READ);
	assert_int_equal(event_at(g, 0).nbytes, 0);
	assert_int_equal(event_at(g, 0).flags, WASI_EVENTRW_HANGUP);
	assert_int_equal(event_at(g, 1).error, 0);
	assert_true(event_at(g, 1).nbytes > 0);
	assert_int_equal(event_at(g, 2).error, WASI_EBADF);
	assert_int_equal(event_at(g, 3).error, WASI_EBADF);
	assert_int_equal(event_at(g, 4).error, 0);
	assert_int_equal(event_at(g, 4).type, WASI_EVENT_CLOCK);
	assert_int_equal(event_at(g, 5).error, WASI_ENOTSUP);
	assert_int_equal(event_at(g, 6).error, WASI_EINVAL);
	assert_int_equal(event_at(g, 7).error, 0);
	assert_int_equal(event_at(g, 8).error, WASI_EINVAL);
}

static void poll_sleeps_until_its_nearest_timer(void **state)
{
	struct guest *g = *state;
	const uint64_t second = 1000000000, args[] = {POLL(4)};
	uint64_t before = clock_mono_ns();
	uint32_t result = 1;
	struct wasi *copy;

	put_subscription(g, 0, TIMER(1, WASI_CLOCK_MONOTONIC, 5 * second, 0));
	put_subscription(g, 1, TIMER(2, WASI_CLOCK_MONOTONIC, 2 * second, 0));
	put_subscription(g, 2, TIMER(3, WASI_CLOCK_MONOTONIC, before + 4 * second, 1));
	put_subscription(g, 3, TIMER(4, WASI_CLOCK_REALTIME, clock_wall_ns() + 3 * second, 1));
	CALL(g, poll_oneoff, POLL(4));
	assert_int_equal(g->outcome, WASI_SLEEP);
	assert_true(wasi_wake_at_ns(g->w) >= before + 2 * second);
	assert_true(wasi_wake_at_ns(g->w) <= clock_mono_ns() + 2 * second);
	CALL(g, sched_yield, 0);
	assert_int_equal(g->outcome, WASI_FAULT);
	assert_int_equal(wasi_clone(&copy, g->w, NULL), -EINVAL);
	/* Woken early: the nearest has still happened, the others have not. */
	assert_int_equal(wasi_poll_finish(g->w, g->m, args, &result), WASI_DONE);
	assert_int_equal(result, 0);
	assert_int_equal(get_u32(g, AT_RESULT), 1);
	assert_int_equal(event_at(g, 0).userdata, 2);
	assert_int_equal(event_at(g, 0).error, 0);
	assert_int_equal(CALL(g, sched_yield, 0), 0);
}

static void wall_timers_become_monotonic(void **state)
{
	struct guest *g = *state;
	const uint64_t second = 1000000000, args[] = {POLL(1)};
	uint64_t before = clock_mono_ns();
	uint32_t result;

	put_subscription(
		g, 0,
		TIMER(1, WASI_CLOCK_REALTIME, clock_wall_ns() + 7 * second, WASI_SUBCLOCK_ABSTIME));
	CALL(g, poll_oneoff, POLL(1));
	assert_int_equal(g->outcome, WASI_SLEEP);
	assert_true(wasi_wake_at_ns(g->w) > before + 6 * second);
	assert_true(wasi_wake_at_ns(g->w) < clock_mono_ns() + 8 * second);
	assert_int_equal(wasi_poll_finish(g->w, g->m, args, &result), WASI_DONE);
	assert_int_equal(get_u32(g, AT_RESULT), 1);
}

static void sleeps_are_bounded(void **state)
{
	struct guest *g = *state;
	const uint64_t args[] = {POLL(1)};
	uint32_t result;

	put_subscription(g, 0, TIMER(1, WASI_CLOCK_MONOTONIC, UINT64_MAX, 0));
	CALL(g, poll_oneoff, POLL(1));
	assert_int_equal(g->outcome, WASI_SLEEP);
	assert_true(wasi_wake_at_ns(g->w) <= clock_mono_ns() + 30000000000u);
	assert_int_equal(wasi_poll_finish(g->w, g->m, args, &result), WASI_DONE);
	assert_int_equal(result, 0);
	assert_int_equal(get_u32(g, AT_RESULT), 1);
}

static void poll_refuses_nonsense(void **state)
{
	struct guest *g = *state;

	assert_int_equal(CALL(g, poll_oneoff, POLL(0)), WASI_EINVAL);
	assert_int_equal(CALL(g, poll_oneoff, POLL(1025)), WASI_EINVAL);
	assert_int_equal(CALL(g, poll_oneoff, POLL(UINT32_MAX)), WASI_EFAULT);
	put_subscription(g, 0, READY(1, 3, 0));
	assert_int_equal(CALL(g, poll_oneoff, POLL(1)), WASI_EINVAL);
	/* Events over subscriptions: nonsense, but only the guest's own. */
	for (uint32_t i = 0; i < 64; i++)
		put_subscription(g, i, READY(i, WASI_EVENT_FD_READ, 0));
	CALL(g, poll_oneoff, AT_PATH, AT_PATH + 20, 64, AT_PATH + 40);
	assert_int_equal(g->outcome, WASI_DONE);
}

static void bad_options_are_named(void **state)
{
	static const char *const no_value[] = {"A=1", "NONSENSE"}, *const no_name[] = {"=x"};
	struct wasi_options options = {.envs = no_value, .env_count = 2};
	struct weir_error error;
	struct wasi *w;

	(void)state;
	assert_int_equal(wasi_create(&w, &options, &error), -EINVAL);
	assert_string_equal(error.text, "envs: found \"NONSENSE\", expected NAME=value");
	options = (struct wasi_options){.envs = no_name, .env_count = 1};
	assert_int_equal(wasi_create(&w, &options, &error), -EINVAL);
	assert_null(w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_is_complete),
		cmocka_unit_test(layouts_are_those_of_the_specification),
		cmocka_unit_test(socket_extensions_are_recognised),
		cmocka_unit_test(bad_options_are_named),
		TEST(arguments_are_empty),
		TEST(environment_is_what_was_given),
		TEST(clocks_are_real),
		TEST(entropy_is_drawn_and_remembered),
		TEST(entropy_has_a_limit),
		TEST(exit_ends_everything),
		TEST(small_ones),
		TEST(standard_streams_look_like_terminals),
		TEST(rights_can_only_be_given_up),
		TEST(output_comes_in_lines),
		TEST(long_lines_come_in_pieces),
		TEST(writes_are_bounded),
		TEST(clones_begin_no_line_of_their_original),
		TEST(streams_can_be_closed_and_renumbered),
		TEST(poll_answers_at_once_if_it_can),
		TEST(poll_sleeps_until_its_nearest_timer),
		TEST(wall_timers_become_monotonic),
		TEST(sleeps_are_bounded),
		TEST(poll_refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
