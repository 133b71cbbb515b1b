/*
 * The client side of HTTP/2: calls of one endpoint and loop that share few connections. It lives on
 * a `client_connection`, which was opened as for HTTP/1 and is closed by it.
 */
#ifndef HTTP_H2_CLIENT_H
#define HTTP_H2_CLIENT_H

#include "http/client_private.h"

/** Puts the call on a connection that has room, or has it wait for the one that is being opened. */
void h2_client_start(struct client *k, struct client_call *call);

/** Lets go of a call; what its server still sends is thrown away. */
void h2_client_cancel(struct client_call *call);

/** The connection is open: its call and those that wait are sent. */
void h2_client_begin(struct client_connection *c);

/** No connection is being opened any more: moves the calls that waited for it to `waiting`. */
void h2_client_not_opened(struct client *k, struct list *waiting);

/** Fails calls that `h2_client_not_opened` gave. */
void h2_client_fail_all(struct list *waiting, int code);

/** When its connection is closed; no call is on it. NULL is allowed in `*h`. */
void h2_client_free(struct h2_client_connection **giver);

#endif
