/*
 * Listening sockets under names, as they are handed from one program to the next: by systemd's
 * socket activation (sd_listen_fds(3)), by the supervisor to the server, and through an upgrade.
 * One name may stand for several sockets.
 */
#ifndef NET_SOCKET_SET_H
#define NET_SOCKET_SET_H

#include "core/slice.h"

struct named_socket {
	char *name; /* owned */
	int fd;     /* owned; close-on-exec */
	int moved;  /* of an exported one: what stood in its place, or -1; owned; close-on-exec */
};

/** Owns its sockets. All zero is an empty set. */
struct socket_set {
	struct named_socket *list;
	size_t count;
	size_t capacity;
	size_t exported; /* so many of the first are in their places */
};

/**
 * Takes over the sockets that the environment names (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), if
 * they are meant for this process, and removes these variables. What is no listening TCP or Unix
 * socket is left alone. Those without a name are LISTEN_FD_3 and so on, as in Traefik. Returns 0 or
 * -ENOMEM. Before there are threads.
 */
int socket_set_inherit(struct socket_set *s);

/** Takes over `fd`. Returns 0, or -ENOMEM with `fd` still the caller's. */
int socket_set_add(struct socket_set *s, slice name, int fd);

/** Moves up to `max` sockets of that name out of the set. Returns how many. */
size_t socket_set_take(struct socket_set *s, slice name, int *fds, size_t max);

/** The first descriptor behind the places of the sockets: what lies below is moved or replaced by
 * `socket_set_export`. */
int socket_set_end(const struct socket_set *s);

/**
 * Puts the sockets at descriptors 3, 4, … where the next program finds them, and sets the variables
 * for a program that runs in this process: call between fork and exec, or before exec. What was at
 * those descriptors is put aside for `socket_set_unexport`. Returns 0 or a negative errno value.
 */
int socket_set_export(struct socket_set *s);

/** There is no next program: what stood in the places of the sockets is there again, as
 * close-on-exec. Allowed for a set that is not, or not wholly, exported. */
void socket_set_unexport(struct socket_set *s);

/** Closes what is left. */
void socket_set_free(struct socket_set *s);

#endif
