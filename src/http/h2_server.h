/*
 * The server side of an HTTP/2 connection. It lives on the transport of an `h1_connection`, which
 * accepted it, counts it and closes it; each of its streams is an exchange like any other.
 */
#ifndef HTTP_H2_SERVER_H
#define HTTP_H2_SERVER_H

#include "http/h1_server_private.h"

/**
 * Whether what has been read on a new connection is HTTP/2's preface, or its beginning: the
 * connection is then HTTP/2, or waits for more. It may be closed on return.
 */
bool h2_connection_takes(struct h1_connection *c);

/** The connection is HTTP/2 from now on, for example because TLS said so; what is buffered is taken
 * first. It may be closed on return. */
void h2_connection_begin(struct h1_connection *c);

/** The transport's callback. The connection may be closed on return. */
void h2_connection_on_ready(struct h2_connection *h, int events);

/** No new streams (GOAWAY); the connection closes after the last one. */
void h2_connection_drain(struct h2_connection *h);

/** Ends what is in progress. NULL is allowed in `*h`. */
void h2_connection_free(struct h2_connection **giver);

#endif
