/*
 * Listening Unix sockets and their files. A file that nobody listens on is taken over and removed;
 * what is no socket, or is listened on, stays.
 */
#ifndef NET_UNIX_SOCKET_H
#define NET_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/error.h"
#include "core/slice.h"
#include "net/address.h"

/** How a socket's file is made. */
struct unix_socket_options {
	mode_t mode; /* permission bits */
	slice user;  /* name or number of who is to own it; empty: who makes it */
	slice group;
};

/** Permission bits as octal digits, at most 0777. Returns whether `text` is that. */
bool unix_socket_parse_mode(slice text, mode_t *mode);

/**
 * Opens a listening socket at `path`. It can be connected to by nobody but its user until it is as
 * `options` say. A file that is a socket on which nobody listens is replaced. Returns 0, or a
 * negative errno value with `e` naming the path: -EADDRINUSE if somebody listens, -EEXIST if the
 * file is no socket. Blocks for a moment; not reentrant (it asks for users by name).
 */
int unix_socket_listen(slice path, const struct unix_socket_options *options, int *fd,
		       struct weir_error *e);

/**
 * Gives the file of a socket that listens at `path` already the mode and owner of `options`. One
 * that is gone is no error. Returns 0, or a negative errno value with `e` naming the path. Not
 * reentrant.
 */
int unix_socket_adjust(slice path, const struct unix_socket_options *options, struct weir_error *e);

/** Files of sockets that are to go. All zero is an empty list. */
struct unix_socket_files {
	char (*paths)[ADDRESS_PATH_MAX + 1];
	size_t count;
};

/** Whether `fd` is a listening Unix socket; then `path` is where. */
bool unix_socket_path(int fd, char path[ADDRESS_PATH_MAX + 1]);

/**
 * Whether this process has made the listening Unix socket `fd`, rather than another one that has
 * handed it over. That survives an exec.
 */
bool unix_socket_is_own(int fd);

/** Notes the file of `fd` if this process has made it, once. Without memory the file will be left
 * over. */
void unix_socket_files_add(struct unix_socket_files *files, int fd);

/** Removes the noted files that nobody listens on any more (not a successor, either), and clears
 * the list. The process's own sockets must be closed. */
void unix_socket_files_remove(struct unix_socket_files *files);

#endif
