#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base.h"
#include "net/socket_set.h"

static int listening_socket(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0);
	return fd;
}

static unsigned port_of(int fd)
{
	struct sockaddr_in at;
	socklen_t size = sizeof at;

	must(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
	return at.sin_port;
}

static void sockets_are_found_by_name(void **state)
{
	struct socket_set s = {0};
	int a = listening_socket(), b = listening_socket(), c = listening_socket(), got[3];

	(void)state;
	assert_int_equal(socket_set_add(&s, SLICE("web"), a), 0);
	assert_int_equal(socket_set_add(&s, SLICE("x:y"), b), 0);
	assert_int_equal(socket_set_add(&s, SLICE("web"), c), 0);
	assert_int_equal(socket_set_take(&s, SLICE("we"), got, 3), 0);
	assert_int_equal(socket_set_take(&s, SLICE("webs"), got, 3), 0);
	assert_int_equal(socket_set_take(&s, SLICE("web"), got, 1), 1);
	assert_int_equal(got[0], a);
	assert_int_equal(socket_set_take(&s, SLICE("web"), got, 3), 1);
	assert_int_equal(got[0], c);
	assert_int_equal(socket_set_take(&s, SLICE("x:y"), got, 3), 1);
	assert_int_equal(got[0], b);
	assert_int_equal(s.count, 0);
	socket_set_free(&s);
	(void)close(a);
	(void)close(b);
	(void)close(c);
}

static void set_numbers(pid_t pid, unsigned count)
{
	char text[32];

	(void)snprintf(text, sizeof text, "%ld", (long)pid);
	(void)setenv("LISTEN_PID", text, 1);
	(void)snprintf(text, sizeof text, "%u", count);
	(void)setenv("LISTEN_FDS", text, 1);
}

/* In a process of its own, whose descriptors from 3 on it may choose. */
static int in_child(int (*test)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(test());
	must(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Exported and inherited again: the same sockets, wherever they were before. */
static int there_and_back(void)
{
	struct socket_set s = {0}, t = {0};
	unsigned ports[4];
	int got[4];

	/* So that some stand where others are to go. */
	for (int fd = 3; fd < 20; fd++)
		(void)close(fd);
	for (size_t i = 0; i < 4; i++) {
		int fd = listening_socket();

		ports[i] = port_of(fd);
		must(socket_set_add(&s, i == 2 ? SLICE("b:c") : SLICE("a"), fd) == 0);
	}
	if (socket_set_end(&s) != 7 || socket_set_export(&s) != 0 || fcntl(3, F_GETFD) != 0)
		return 1;
	if (socket_set_inherit(&t) < 0 || t.count != 4 || getenv("LISTEN_FDS") != NULL)
		return 2;
	if (fcntl(3, F_GETFD) != FD_CLOEXEC || (fcntl(3, F_GETFL) & O_NONBLOCK) == 0)
		return 3;
	if (socket_set_take(&t, SLICE("a"), got, 4) != 3 || port_of(got[0]) != ports[0] ||
	    port_of(got[1]) != ports[1] || port_of(got[2]) != ports[3])
		return 4;
	if (socket_set_take(&t, SLICE("b:c"), got, 4) != 1 || port_of(got[0]) != ports[2])
		return 5;
	socket_set_free(&s);
	socket_set_free(&t);
	return 0;
}

static void sockets_go_to_the_next_program(void **state)
{
	(void)state;
	assert_int_equal(in_child(there_and_back), 0);
}

static int for_somebody_else(void)
{
	struct socket_set s = {0};

	(void)setenv("LISTEN_FDNAMES", "a", 1);
	set_numbers(getppid(), 1);
	if (socket_set_inherit(&s) < 0 || s.count != 0)
		return 1;
	return getenv("LISTEN_PID") == NULL && getenv("LISTEN_FDNAMES") == NULL ? 0 : 2;
}

/* Descriptor 3 is a pipe, 4 is nothing, 5 does not listen, 6 is good and has no name. 7 is a Unix
 * socket that takes datagrams, 8 one that listens. */
static int of_the_wrong_kind(void)
{
	struct socket_set s = {0};
	int pair[2], plain, good, got[1];
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	for (int fd = 3; fd < 20; fd++)
		(void)close(fd);
	must(pipe(pair) == 0 && pair[0] == 3);
	plain = socket(AF_INET, SOCK_STREAM, 0);
	must(plain == 5);
	good = listening_socket();
	must(good == 6);
	must(socket(AF_UNIX, SOCK_DGRAM, 0) == 7 && socket(AF_UNIX, SOCK_STREAM, 0) == 8);
	(void)snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "weir test %ld", (long)getpid());
	must(bind(8, (struct sockaddr *)&at, sizeof at) == 0 && listen(8, 1) == 0);
	(void)close(4);
	(void)setenv("LISTEN_FDNAMES", "a:b:c::d:web", 1);
	set_numbers(getpid(), 6);
	if (socket_set_inherit(&s) < 0 || s.count != 2)
		return 1;
	if (socket_set_take(&s, SLICE("web"), got, 1) != 1 || got[0] != 8)
		return 2;
	for (int fd = 3; fd < 9; fd++) {
		if (fd != 4 && fcntl(fd, F_GETFD) != FD_CLOEXEC)
			return 4;
	}
	return socket_set_take(&s, SLICE("LISTEN_FD_6"), got, 1) == 1 && got[0] == 6 ? 0 : 3;
}

static void what_is_not_meant_for_us_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(in_child(for_somebody_else), 0);
	assert_int_equal(in_child(of_the_wrong_kind), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_are_found_by_name),
		cmocka_unit_test(sockets_go_to_the_next_program),
		cmocka_unit_test(what_is_not_meant_for_us_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
