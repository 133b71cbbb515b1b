#include <errno.h>
#include <stdio.h>

#include "http/h1_server_private.h"

void h1_connection_format_peer(struct h1_connection *c, const struct sockaddr_storage *peer)
{
	char text[ADDRESS_TEXT_BYTES];
	uint16_t port = 0;
	bool brackets;
	slice host;
	int n;

	(void)address_from_sockaddr((const struct sockaddr *)peer, &c->address, &port);
	host = address_format(&c->address, text);
	brackets = !address_is_v4(&c->address);
	n = snprintf(c->peer, sizeof c->peer, brackets ? "[%.*s]:%u" : "%.*s:%u", SLICE_ARG(host),
		     port);
	must(n > 0 && (size_t)n < sizeof c->peer);
	c->peer_n = (uint8_t)n;
	c->peer_host_at = brackets;
	c->peer_host_n = (uint8_t)host.n;
}

int h1_connection_name_client(const struct h1_connection *c, struct exchange *x)
{
	slice peer = arena_copy(&x->arena, (slice){c->peer, c->peer_n}), name = {"", 0};

	x->tls = c->tls != NULL;
	if (c->tls != NULL) {
		name = arena_copy(&x->arena, tls_server_name(c->tls));
		x->tls_version = tls_version_text(c->tls);
		x->tls_cipher = tls_cipher_text(c->tls);
	}
	if (peer.p == NULL || name.p == NULL)
		return -ENOMEM;
	x->peer = peer;
	x->peer_host = (slice){peer.p + c->peer_host_at, c->peer_host_n};
	x->peer_address = c->address;
	x->server_name = name;
	return 0;
}
