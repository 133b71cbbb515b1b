/*
 * What an entry point does to every exchange before a router is chosen. Immutable from start to end
 * of the process.
 */
#ifndef PROXY_ENTRY_POINT_H
#define PROXY_ENTRY_POINT_H

#include "config/static.h"
#include "http/h1_server.h"
#include "http/path.h"
#include "net/socket_set.h"
#include "net/unix_socket.h"
#include "proxy/forwarded.h"

#define ENTRY_POINT_MAGIC 0x656e7472u

struct access_sink;
struct series_group;
struct series_shape;

struct entry_point {
	uint32_t magic;
	size_t index; /* among the process's entry points */
	slice name;
	const struct entry_point_config *config;
	struct listen_address address;
	struct unix_socket_options unix_socket; /* if the address is one */
	struct address_set *proxy_trusted;      /* NULL: anybody is, or there is no such header */
	struct forwarded *forwarded;
	struct path_options path;
	unsigned encoded_denied; /* enum path_encoded */
	struct h1_server_options server;
	/* Set by the proxy, which owns them; NULL: not counted. */
	const struct series_shape *shape;
	struct series_group *series;
	struct access_sink *access; /* NULL: nothing is logged. Not owned. */
	int *fds;                   /* one listening socket per worker; -1 once handed over */
};

/**
 * All entry points of a configuration (which must outlive them), without listening yet. Returns 0,
 * or a negative errno value with `e` naming the entry point.
 */
int entry_points_create(struct entry_point **list, size_t *count,
			const struct static_config *config, struct weir_error *e);

/**
 * Gives all entry points their sockets, one per worker: those of their name in `inherited` (NULL:
 * none) that can be meant for them, several workers sharing one if they are fewer; else new ones.
 * All share the one of a Unix address. Returns as above; what was
 * opened is closed by `entry_points_destroy`.
 */
int entry_points_listen(struct entry_point *list, size_t count, size_t workers,
			struct socket_set *inherited, struct weir_error *e);

/** Notes the files of Unix sockets that this process has made for entry points. Before workers take
 * them over. */
void entry_points_note_files(const struct entry_point *list, size_t count, size_t workers,
			     struct unix_socket_files *files);

/** Closes sockets that no worker has taken over. `workers` is as for `entry_points_listen`, or 0.
 * NULL is allowed in `*list`. */
void entry_points_destroy(struct entry_point **list, size_t count, size_t workers);

#endif
