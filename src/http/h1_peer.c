#include <errno.h>
#include <stdio.h>

#include "core/log.h"
#include "http/h1_server_private.h"
#include "net/proxy_protocol.h"

void h1_connection_format_peer(struct h1_connection *c, const struct sockaddr_storage *peer)
{
	char text[ADDRESS_TEXT_BYTES];
	uint16_t port = 0;
	bool brackets;
	slice host;
	int n;

	if (!address_from_sockaddr((const struct sockaddr *)peer, &c->address, &port)) {
		/* As Go names who has no address. A name that the peer has given itself could look
		 * like anything. */
		c->address = (struct address){{0}};
		c->peer[0] = '@';
		c->peer_n = c->peer_host_n = 1;
		c->peer_host_at = 0;
		return;
	}
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
	x->client_tls = c->tls;
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

/* A header from somebody who is not trusted goes, too, but says nothing (as in Traefik). */
static void take_header(struct h1_connection *c, const struct proxy_header *h)
{
	const struct address_set *trusted = c->server->options.proxy_trusted;

	counter_add(&c->server->counters.proxy_headers, 1);
	h1_receiver_skip(&c->in, h->bytes);
	if (h->named && (trusted == NULL || address_set_has_peer(trusted, &c->address)))
		h1_connection_format_peer(c, &h->source);
}

bool h1_connection_is_announced(struct h1_connection *c)
{
	struct proxy_header h;

	if (c->announced || !c->server->options.proxy_header)
		return true;
	switch (proxy_header_parse(h1_receiver_bytes(&c->in), &h)) {
	case PROXY_HEADER_MORE:
		return false;
	case PROXY_HEADER_BAD:
		counter_add(&c->server->counters.bad_proxy_headers, 1);
		log_debug_with((LOG_TEXT("ClientAddr", slice_of(c->peer, c->peer_n))),
			       "Malformed header of the PROXY protocol");
		h1_connection_close(c, false);
		return false;
	case PROXY_HEADER_DONE:
		take_header(c, &h);
		break;
	case PROXY_HEADER_NONE:
		break;
	}
	c->announced = true;
	return h1_receiver_bytes(&c->in).n > 0;
}
