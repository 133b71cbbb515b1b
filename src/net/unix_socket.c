#include "net/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base.h"
#include "net/listener.h"

#define LOCK_PATIENCE_MS 1000
#define PAUSE_MS 10
#define NOBODY ((unsigned)-1) /* to chown: leave it */

_Static_assert(sizeof((struct sockaddr_un *)0)->sun_path == ADDRESS_PATH_MAX + 1, "sun_path");

/* What a file is to who wants its place. */
enum place {
	PLACE_FREE,
	PLACE_LEFT_OVER, /* a socket on which nobody listens */
	PLACE_IN_USE,
	PLACE_NO_SOCKET,
	PLACE_UNKNOWN /* errno says why */
};

bool unix_socket_parse_mode(slice text, mode_t *mode)
{
	*mode = 0;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '7' || *mode > 0777 >> 3)
			return false;
		*mode = *mode << 3 | (mode_t)(text.p[i] - '0');
	}
	return text.n > 0;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	memcpy(at.sun_path, path, MIN(strlen(path), ADDRESS_PATH_MAX));
	return at;
}

/*
 * Whoever looks whether a file is left over and then replaces it keeps others who do so out, by a
 * lock of its directory, which needs no file. It is a courtesy between processes of weir: who
 * cannot have it goes on.
 */
static int lock_directory(const char *path)
{
	char directory[ADDRESS_PATH_MAX + 1];
	size_t n = (size_t)(strrchr(path, '/') - path);
	int fd;

	memcpy(directory, path, MAX(n, 1));
	directory[MAX(n, 1)] = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int waited = 0; fd >= 0 && waited < LOCK_PATIENCE_MS; waited += PAUSE_MS) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			break;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	return fd;
}

static void unlock(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

static enum place ask(const char *path)
{
	struct sockaddr_un at = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return PLACE_UNKNOWN;
	r = connect(fd, (struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
	(void)close(fd);
	switch (r) {
	case ECONNREFUSED:
		return PLACE_LEFT_OVER;
	case ENOENT:
		return PLACE_FREE;
	case 0:
	case EAGAIN: /* its queue is full */
	case EPROTOTYPE:
		return PLACE_IN_USE;
	default:
		errno = r;
		return PLACE_UNKNOWN;
	}
}

static enum place look_at(const char *path)
{
	struct stat s;

	if (lstat(path, &s) < 0)
		return errno == ENOENT ? PLACE_FREE : PLACE_UNKNOWN;
	return S_ISSOCK(s.st_mode) ? ask(path) : PLACE_NO_SOCKET;
}

/* With the directory locked. Returns 0 if the place is free now. */
static int make_room(const char *path, struct weir_error *e)
{
	switch (look_at(path)) {
	case PLACE_FREE:
		return 0;
	case PLACE_LEFT_OVER:
		if (unlink(path) == 0 || errno == ENOENT)
			return 0;
		return error_set(e, -errno, "the socket that is left over cannot be removed: %s",
				 strerror(errno));
	case PLACE_IN_USE:
		return error_set(e, -EADDRINUSE, "address already in use");
	case PLACE_NO_SOCKET:
		return error_set(e, -EEXIST,
				 "found a file that is no socket, expected none, or "
				 "a socket on which nobody listens");
	case PLACE_UNKNOWN:
		break;
	}
	return error_set(e, -errno, "cannot tell whether somebody listens: %s", strerror(errno));
}

static bool is_number(slice text, unsigned *id)
{
	uint64_t n;

	if (!slice_to_u64(text, &n) || n >= NOBODY)
		return false;
	*id = (unsigned)n;
	return true;
}

static int find_owner(const struct unix_socket_options *o, uid_t *user, gid_t *group,
		      struct weir_error *e)
{
	const struct passwd *u;
	const struct group *g;

	*user = *group = NOBODY;
	if (o->user.n > 0 && !is_number(o->user, user)) {
		u = getpwnam(o->user.p);
		if (u == NULL)
			return error_set(e, -ENOENT, "there is no user \"%.*s\"",
					 SLICE_ARG(o->user));
		*user = u->pw_uid;
	}
	if (o->group.n > 0 && !is_number(o->group, group)) {
		g = getgrnam(o->group.p);
		if (g == NULL)
			return error_set(e, -ENOENT, "there is no group \"%.*s\"",
					 SLICE_ARG(o->group));
		*group = g->gr_gid;
	}
	return 0;
}

static int set_owner(const char *path, const struct unix_socket_options *o, struct weir_error *e)
{
	uid_t user;
	gid_t group;
	int r = find_owner(o, &user, &group, e);

	if (r < 0)
		return r;
	if ((user != NOBODY || group != NOBODY) && lchown(path, user, group) < 0)
		return error_set(e, -errno,
				 "it cannot be given to user \"%.*s\", group \"%.*s\": %s",
				 SLICE_ARG(o->user), SLICE_ARG(o->group), strerror(errno));
	/* Not of what somebody with rights to the directory has linked there meanwhile. */
	if (fchmodat(AT_FDCWD, path, o->mode, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(e, -errno, "mode %03o: %s", (unsigned)o->mode, strerror(errno));
	return 0;
}

/* With the directory locked until it listens: else it could be taken for one that is left over. */
static int open_at(const char *path, const struct unix_socket_options *o, int *fd,
		   struct weir_error *e)
{
	struct sockaddr_un at = address_of(path);
	int r;

	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* The file gets the mode of its socket, less the umask. */
	if (*fd < 0 || fchmod(*fd, o->mode & S_IRWXU) < 0 ||
	    bind(*fd, (struct sockaddr *)&at, sizeof at) < 0) {
		r = error_set(e, -errno, "%s",
			      errno == EADDRINUSE ? "address already in use" : strerror(errno));
	} else {
		r = set_owner(path, o, e);
		if (r == 0 && listen(*fd, LISTENER_BACKLOG) < 0)
			r = error_set(e, -errno, "%s", strerror(errno));
		if (r < 0)
			(void)unlink(path);
	}
	if (r < 0 && *fd >= 0)
		(void)close(*fd);
	return r;
}

int unix_socket_listen(slice path, const struct unix_socket_options *options, int *fd,
		       struct weir_error *e)
{
	char text[ADDRESS_PATH_MAX + 1] = "";
	int lock, r;

	must(path.n > 0 && path.p[0] == '/' && path.n < sizeof text);
	memcpy(text, path.p, path.n);
	lock = lock_directory(text);
	r = make_room(text, e);
	if (r == 0)
		r = open_at(text, options, fd, e);
	unlock(lock);
	if (r < 0)
		error_prefix(e, "listen unix://%s: ", text);
	return r;
}

int unix_socket_adjust(slice path, const struct unix_socket_options *options, struct weir_error *e)
{
	char text[ADDRESS_PATH_MAX + 1] = "";
	struct stat s;
	int r;

	must(path.n > 0 && path.p[0] == '/' && path.n < sizeof text);
	memcpy(text, path.p, path.n);
	if (lstat(text, &s) < 0 || !S_ISSOCK(s.st_mode))
		return 0;
	r = set_owner(text, options, e);
	if (r < 0)
		error_prefix(e, "listen unix://%s: ", text);
	return r;
}

bool unix_socket_path(int fd, char path[ADDRESS_PATH_MAX + 1])
{
	struct sockaddr_un at = {.sun_family = AF_UNSPEC};
	socklen_t size = sizeof at, flag_size = sizeof(int);
	int listening = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &flag_size) < 0 || !listening ||
	    getsockname(fd, (struct sockaddr *)&at, &size) < 0 || at.sun_family != AF_UNIX)
		return false;
	(void)memset(path, 0, ADDRESS_PATH_MAX + 1);
	memcpy(path, at.sun_path, strnlen(at.sun_path, ADDRESS_PATH_MAX));
	return true;
}

bool unix_socket_is_own(int fd)
{
	struct ucred maker; /* of a listening socket: who has called listen() */
	socklen_t size = sizeof maker;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0 && maker.pid == getpid();
}

void unix_socket_files_add(struct unix_socket_files *files, int fd)
{
	char path[ADDRESS_PATH_MAX + 1];
	void *list;

	if (!unix_socket_path(fd, path) || path[0] != '/' || !unix_socket_is_own(fd))
		return;
	for (size_t i = 0; i < files->count; i++) {
		if (strcmp(files->paths[i], path) == 0)
			return;
	}
	list = realloc(files->paths, (files->count + 1) * sizeof files->paths[0]);
	if (list == NULL)
		return;
	files->paths = list;
	memcpy(files->paths[files->count++], path, sizeof path);
}

void unix_socket_files_remove(struct unix_socket_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		int lock = lock_directory(files->paths[i]);

		if (look_at(files->paths[i]) == PLACE_LEFT_OVER)
			(void)unlink(files->paths[i]);
		unlock(lock);
	}
	free(files->paths);
	*files = (struct unix_socket_files){0};
}
