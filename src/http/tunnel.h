/*
 * What an exchange becomes after 101 (RFC 9110 section 7.8): two streams of bytes between a client
 * and an upstream, without any meaning to the proxy. The bodies are queues as any others, so that
 * back pressure and the end of one direction travel as they do in messages.
 */
#ifndef HTTP_TUNNEL_H
#define HTTP_TUNNEL_H

#include "http/body.h"

/** In the arena of its exchange, which frees the bodies' pieces. */
struct tunnel {
	struct body up;   /* from the client to the upstream */
	struct body down; /* from the upstream to the client */
};

#endif
