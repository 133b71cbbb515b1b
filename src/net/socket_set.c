#include "net/socket_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base.h"
#include "core/str.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define INHERITED_MAX 4096L

/* Names are separated by colons on their way. */
static char on_the_way(char c)
{
	return c == ':' ? '_' : c;
}

static bool is_name(const char *stored, slice name)
{
	size_t i = 0;

	while (i < name.n && stored[i] == on_the_way(name.p[i]))
		i++;
	return i == name.n && stored[i] == '\0';
}

int socket_set_add(struct socket_set *s, slice name, int fd)
{
	char *copy;

	if (s->count == s->capacity) {
		size_t capacity = MAX(s->capacity * 2, 8);
		struct named_socket *list = realloc(s->list, capacity * sizeof *list);

		if (list == NULL)
			return -ENOMEM;
		s->list = list;
		s->capacity = capacity;
	}
	copy = malloc(name.n + 1);
	if (copy == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < name.n; i++)
		copy[i] = on_the_way(name.p[i]);
	copy[name.n] = '\0';
	s->list[s->count++] = (struct named_socket){.name = copy, .fd = fd};
	return 0;
}

/* On which HTTP can be served. */
static bool is_listening(int fd)
{
	int listening = 0, type = 0, domain = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
}

static int inherit_one(struct socket_set *s, slice name, int fd)
{
	char number[32];

	/* Also what is of no use: it is ours all the same, and not for programs that we start. */
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (!is_listening(fd))
		return 0;
	if (name.n == 0) {
		(void)snprintf(number, sizeof number, "LISTEN_FD_%d", fd);
		name = slice_from(number);
	}
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return socket_set_add(s, name, fd);
}

static long number_in(const char *variable)
{
	const char *text = getenv(variable);

	return text != NULL ? strtol(text, NULL, 10) : 0;
}

static void unset_variables(void)
{
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
}

int socket_set_inherit(struct socket_set *s)
{
	const char *names = getenv("LISTEN_FDNAMES");
	slice rest = slice_from(names != NULL ? names : ""), name;
	long count = MIN(number_in("LISTEN_FDS"), INHERITED_MAX);
	int r = 0;

	if (number_in("LISTEN_PID") == (long)getpid()) {
		for (long i = 0; i < count && r == 0; i++) {
			if (!slice_next(&rest, ':', &name))
				name = SLICE("");
			r = inherit_one(s, name, FIRST_FD + (int)i);
		}
	}
	unset_variables();
	return r;
}

size_t socket_set_take(struct socket_set *s, slice name, int *fds, size_t max)
{
	size_t taken = 0, left = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct named_socket *n = &s->list[i];

		if (taken < max && is_name(n->name, name)) {
			fds[taken++] = n->fd;
			free(n->name);
		} else {
			s->list[left++] = *n;
		}
	}
	s->count = left;
	return taken;
}

static int set_variables(const struct socket_set *s)
{
	struct str names = {0};
	char text[32];
	int r;

	for (size_t i = 0; i < s->count; i++)
		str_format(&names, "%s%s", i > 0 ? ":" : "", s->list[i].name);
	(void)snprintf(text, sizeof text, "%ld", (long)getpid());
	r = names.failed || setenv("LISTEN_PID", text, 1) < 0 ? -ENOMEM : 0;
	(void)snprintf(text, sizeof text, "%zu", s->count);
	if (r == 0 && (setenv("LISTEN_FDS", text, 1) < 0 ||
		       setenv("LISTEN_FDNAMES", names.p != NULL ? names.p : "", 1) < 0))
		r = -ENOMEM;
	str_free(&names);
	return r;
}

/* Moves what stands in the place aside, and puts the socket there, without close-on-exec. */
static int place(struct named_socket *n, int at, int behind)
{
	n->moved = fcntl(at, F_DUPFD_CLOEXEC, behind);
	if (n->moved < 0 && errno != EBADF)
		return -errno;
	return dup2(n->fd, at) < 0 ? -errno : 0;
}

int socket_set_end(const struct socket_set *s)
{
	return FIRST_FD + (int)s->count;
}

int socket_set_export(struct socket_set *s)
{
	int last = socket_set_end(s);

	/* First out of the way: one may stand where another is to be. */
	for (size_t i = 0; i < s->count; i++) {
		int fd = fcntl(s->list[i].fd, F_DUPFD_CLOEXEC, last);

		if (fd < 0)
			return -errno;
		(void)close(s->list[i].fd);
		s->list[i].fd = fd;
	}
	while (s->exported < s->count) {
		struct named_socket *n = &s->list[s->exported];
		int r = place(n, FIRST_FD + (int)s->exported, last);

		if (r < 0)
			return r;
		s->exported++;
	}
	return set_variables(s);
}

void socket_set_unexport(struct socket_set *s)
{
	while (s->exported > 0) {
		int at = FIRST_FD + (int)--s->exported, *moved = &s->list[s->exported].moved;

		if (*moved >= 0) {
			(void)dup3(*moved, at, O_CLOEXEC);
			(void)close(*moved);
		} else {
			(void)close(at);
		}
	}
	unset_variables();
}

void socket_set_free(struct socket_set *s)
{
	for (size_t i = 0; i < s->count; i++) {
		(void)close(s->list[i].fd);
		free(s->list[i].name);
	}
	free(s->list);
	*s = (struct socket_set){0};
}
