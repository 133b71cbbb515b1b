/*
 * The header by which a load balancer says for whom it connects: the PROXY protocol, versions 1 and
 * 2, as its specification (2020/03/05) has it. It stands before the first byte of the client.
 */
#ifndef NET_PROXY_PROTOCOL_H
#define NET_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/slice.h"

/** Longest header of version 2 with all that it carries besides addresses; longer ones are bad. */
#define PROXY_HEADER_BYTES_MAX 4096u

enum proxy_header_result {
	PROXY_HEADER_NONE, /* these bytes begin something else */
	PROXY_HEADER_MORE, /* they may begin a header, but do not end it */
	PROXY_HEADER_DONE,
	PROXY_HEADER_BAD
};

struct proxy_header {
	size_t bytes;                   /* of the header */
	bool named;                     /* it says who the client is */
	struct sockaddr_storage source; /* the client's address and port, if it does */
};

/** Looks at the first bytes of a connection. `h` is filled in with PROXY_HEADER_DONE. */
enum proxy_header_result proxy_header_parse(slice bytes, struct proxy_header *h);

#endif
