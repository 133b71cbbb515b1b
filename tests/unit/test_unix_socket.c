#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base.h"
#include "net/unix_socket.h"

static const struct unix_socket_options usual = {.mode = 0660};

static char directory[32], path[64];

static char victim[64]; /* what a link takes the socket's place to; empty: nothing does */

/* In the place of the C library's, at the moment when the socket's file has an owner and no mode.
 */
int lchown(const char *file, uid_t user, gid_t group)
{
	must(victim[0] == '\0' || (unlink(file) == 0 && symlink(victim, file) == 0));
	return fchownat(AT_FDCWD, file, user, group, AT_SYMLINK_NOFOLLOW);
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof directory, "/tmp/weir-unix.XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(path, sizeof path, "%s/web.sock", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(directory);
}

static int open_one(const struct unix_socket_options *options, struct weir_error *e)
{
	int fd = -1, r;

	*e = (struct weir_error){0};
	r = unix_socket_listen(slice_from(path), options, &fd, e);
	return r < 0 ? r : fd;
}

static int must_open(void)
{
	struct weir_error e;
	int fd = open_one(&usual, &e);

	if (fd < 0)
		fail_msg("%s", e.text);
	return fd;
}

static void must_fail(const struct unix_socket_options *options, int code, const char *why)
{
	struct weir_error e;

	assert_int_equal(open_one(options, &e), code);
	if (strstr(e.text, why) == NULL || strstr(e.text, path) == NULL)
		fail_msg("found \"%s\", expected \"%s\"", e.text, why);
}

static bool is_there(void)
{
	struct stat s;

	return lstat(path, &s) == 0;
}

static int connected(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	return fd;
}

static void modes(void **state)
{
	static const struct {
		const char *text;
		int mode; /* -1: refused */
	} rows[] = {
		{"0660", 0660},
		{"660", 0660},
		{"0", 0},
		{"0777", 0777},
		{"00777", 0777},
		{"", -1},
		{"0o660", -1},
		{"01000", -1},
		{"680", -1},
		{"-1", -1},
		{"rw", -1},
		{"4755", -1},
		{"77777777777777777777777", -1},
	};
	mode_t mode;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool good = unix_socket_parse_mode(slice_from(rows[i].text), &mode);

		assert_int_equal(good, rows[i].mode >= 0);
		if (good)
			assert_int_equal(mode, rows[i].mode);
	}
}

static void the_file_is_as_it_is_asked_for(void **state)
{
	static const mode_t modes[] = {0660, 0600, 0666, 0777, 0};
	mode_t before = umask(077);
	struct stat s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		const struct unix_socket_options options = {.mode = modes[i]};
		struct weir_error e;
		int fd = open_one(&options, &e);

		assert_true(fd >= 0);
		assert_int_equal(lstat(path, &s), 0);
		assert_true(S_ISSOCK(s.st_mode));
		assert_int_equal(s.st_mode & 07777, modes[i]);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		(void)close(fd);
		(void)unlink(path);
	}
	(void)umask(before);
}

static void owners(void **state)
{
	struct unix_socket_options options = {
		.mode = 0660, .user = SLICE("0"), .group = SLICE("12345")};
	struct weir_error e;
	struct stat s;
	int fd;

	(void)state;
	if (geteuid() == 0) {
		fd = open_one(&options, &e);
		assert_true(fd >= 0 && lstat(path, &s) == 0);
		assert_int_equal(s.st_uid, 0);
		assert_int_equal(s.st_gid, 12345);
		assert_int_equal(s.st_mode & 07777, 0660);
		(void)close(fd);
	} else {
		must_fail(&options, -EPERM, "cannot be given to");
		assert_false(is_there());
	}
	options.group = SLICE("no such group");
	must_fail(&options, -ENOENT, "there is no group \"no such group\"");
	assert_false(is_there());
	options.user = SLICE("no such user");
	must_fail(&options, -ENOENT, "there is no user \"no such user\"");
}

static void a_link_in_its_place_leads_nowhere(void **state)
{
	char user[16];
	struct unix_socket_options options = {.mode = 0666};
	struct stat s;
	int fd;

	(void)state;
	(void)snprintf(user, sizeof user, "%u", (unsigned)geteuid());
	options.user = slice_from(user);
	(void)snprintf(victim, sizeof victim, "%s/secret", directory);
	fd = open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must_fail(&options, -EOPNOTSUPP, "mode 666");
	assert_int_equal(fstat(fd, &s), 0);
	assert_int_equal(s.st_mode & 07777, 0600);
	(void)close(fd);
	(void)unlink(victim);
	victim[0] = '\0';
}

static void what_is_left_over_is_taken_over(void **state)
{
	int fd = must_open();

	(void)state;
	must_fail(&usual, -EADDRINUSE, "address already in use");
	(void)close(connected());
	(void)close(fd);
	assert_true(is_there());
	fd = must_open();
	(void)close(connected());
	(void)close(fd);
}

static void what_is_in_use_stays(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[8], count = 0;

	(void)state;
	(void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 0), 0);
	/* Also when its queue is full. */
	do {
		waiting[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	} while (connect(waiting[count++], (struct sockaddr *)&at, sizeof at) == 0 && count < 8);
	assert_int_equal(errno, EAGAIN);
	must_fail(&usual, -EADDRINUSE, "address already in use");
	while (count > 0)
		(void)close(waiting[--count]);
	(void)close(fd);
	(void)unlink(path);
	/* A socket of another kind. */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	must_fail(&usual, -EADDRINUSE, "address already in use");
	(void)close(fd);
}

static void what_is_no_socket_stays(void **state)
{
	struct unix_socket_files files = {0};
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), socket_fd;
	char other[80];

	(void)state;
	(void)close(fd);
	must_fail(&usual, -EEXIST, "no socket");
	assert_true(is_there());
	(void)unlink(path);
	/* A link, even one to a socket. */
	(void)snprintf(other, sizeof other, "%s.other", path);
	assert_int_equal(symlink(other, path), 0);
	must_fail(&usual, -EEXIST, "no socket");
	(void)unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	must_fail(&usual, -EEXIST, "no socket");
	assert_int_equal(rmdir(path), 0);
	/* At the end, too. */
	socket_fd = must_open();
	unix_socket_files_add(&files, socket_fd);
	assert_int_equal(files.count, 1);
	(void)close(socket_fd);
	(void)unlink(path);
	(void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	unix_socket_files_remove(&files);
	assert_true(is_there());
}

static void a_place_that_cannot_be(void **state)
{
	struct weir_error e = {0};
	int fd;

	(void)state;
	assert_int_equal(unix_socket_listen(SLICE("/nonexistent/x/web.sock"), &usual, &fd, &e),
			 -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent/x/web.sock: No such file or directory"));
}

static void files_go_unless_somebody_listens(void **state)
{
	struct unix_socket_files files = {0};
	int fd = must_open(), again = fcntl(fd, F_DUPFD_CLOEXEC, 0), successor;

	(void)state;
	unix_socket_files_add(&files, fd);
	unix_socket_files_add(&files, again);
	unix_socket_files_add(&files, -1);
	assert_int_equal(files.count, 1);
	(void)close(fd);
	unix_socket_files_remove(&files);
	assert_true(is_there());
	unix_socket_files_add(&files, again);
	(void)close(again);
	successor = must_open();
	unix_socket_files_remove(&files);
	assert_true(is_there());
	assert_int_equal(files.count, 0);
	unix_socket_files_add(&files, successor);
	(void)close(successor);
	unix_socket_files_remove(&files);
	assert_false(is_there());
}

static void a_socket_knows_its_maker(void **state)
{
	char found[ADDRESS_PATH_MAX + 1];
	struct unix_socket_files files = {0};
	int fd = must_open(), client = connected(), status = 0;
	pid_t pid;

	(void)state;
	assert_true(unix_socket_path(fd, found));
	assert_string_equal(found, path);
	assert_false(unix_socket_path(client, found));
	assert_true(unix_socket_is_own(fd));
	pid = fork();
	if (pid == 0) {
		unix_socket_files_add(&files, fd);
		_exit(unix_socket_is_own(fd) || files.count > 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(client);
	(void)close(fd);
}

/* Who cannot have the lock goes on. */
static void a_lock_keeps_nobody_out_for_long(void **state)
{
	int lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	(void)state;
	assert_int_equal(flock(lock, LOCK_EX), 0);
	fd = must_open();
	(void)close(fd);
	(void)close(lock);
}

/* Many at once want a place that is left over: one has it. */
static void one_of_many_has_the_place(void **state)
{
	enum { STARTERS = 8 };
	pid_t pids[STARTERS];
	int go[2], said[2], good = 0, status, left;
	char c;

	(void)state;
	left = must_open();
	(void)close(left);
	assert_int_equal(pipe(go) | pipe(said), 0);
	for (size_t i = 0; i < STARTERS; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		(void)close(go[1]);
		(void)!read(go[0], &c, 1);
		struct weir_error e;
		int fd = open_one(&usual, &e);

		(void)!write(said[1], "x", 1);
		(void)close(said[1]);
		/* Until all have tried. */
		for (size_t n = 0; fd >= 0 && n < STARTERS; n++)
			(void)!read(said[0], &c, 1);
		_exit(fd >= 0 ? 0 : fd == -EADDRINUSE ? 1 : 2);
	}
	(void)close(go[0]);
	(void)close(go[1]);
	for (size_t i = 0; i < STARTERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		good += WEXITSTATUS(status) == 0;
	}
	(void)close(said[0]);
	(void)close(said[1]);
	assert_int_equal(good, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes),
		cmocka_unit_test_setup_teardown(the_file_is_as_it_is_asked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(owners, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_link_in_its_place_leads_nowhere, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_is_left_over_is_taken_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_in_use_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_socket_stays, set_up, tear_down),
		cmocka_unit_test(a_place_that_cannot_be),
		cmocka_unit_test_setup_teardown(files_go_unless_somebody_listens, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_socket_knows_its_maker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lock_keeps_nobody_out_for_long, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(one_of_many_has_the_place, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
