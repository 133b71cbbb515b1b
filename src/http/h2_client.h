/*
 * The client side of HTTP/2: calls of one endpoint and loop that share few connections. It lives on
 * a `client_connection`, which was opened as for HTTP/1 and is closed by it.
 */
#ifndef HTTP_H2_CLIENT_H
#define HTTP_H2_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "http/client_private.h"

/** Puts the call on an open connection that has room. Returns false if there is none. */
bool h2_client_send(struct client *k, struct client_call *call);

/** Whether that would find one. */
bool h2_client_has_room(const struct client *k);

/** Whether the call is on a shared connection, or waits for one. */
static inline bool h2_client_has(const struct client_call *call)
{
	return call->h2 != NULL || list_linked(&call->link) ||
	       (call->connection != NULL && call->connection->awaited);
}

/** Lets go of a call; what its server still sends is thrown away. */
void h2_client_cancel(struct client_call *call);

/** The connection is open and speaks HTTP/2: its call is sent, and those that wait are when the
 * server has said how many it takes at a time. */
void h2_client_begin(struct client_connection *c);

/** The lines of a call's head, in its arena; NULL when memory is short. */
nghttp2_nv *h2_client_lines(const struct client_call *call, size_t *count);

/** When its connection is closed; no call is on it. NULL is allowed in `*h`. */
void h2_client_free(struct h2_client_connection **giver);

/* h2_client_waiting.c */

/** Opens a connection for the call that others may share, or has it wait for the one that is being
 * opened. `failed` may be called within. */
void h2_client_open(struct client *k, struct client_call *call);

/** For `client.place`: nothing is awaited any more, or there may be room. `failed` may be called
 * within. */
void h2_client_place_waiting(struct task *t);

/** The connection that was awaited is none that can be shared: moves the calls that waited for it
 * to `waiting`. */
void h2_client_not_opened(struct client *k, struct list *waiting);

/** Takes the first of the calls that `h2_client_not_opened` gave, or NULL: then the client, which
 * the owner of the last one may have destroyed, is not looked at. */
struct client_call *h2_client_next(struct client *k, struct list *waiting);

/** They cannot be on a new connection because of `code`. Where there are others they have one more
 * chance; else they fail. */
void h2_client_go_without(struct client *k, struct list *waiting, int code);

#endif
