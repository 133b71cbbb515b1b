/*
 * IP addresses, sets of networks, and the textual forms in which addresses come: peers, `Host`
 * values and the `address` of an entry point.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/error.h"
#include "core/slice.h"

/** Room for the longest textual form of an address with its terminator. */
#define ADDRESS_TEXT_BYTES 46

/** Longest path of a Unix socket, without terminator (unix(7)). */
#define ADDRESS_PATH_MAX 107u

/**
 * An address without port. IPv4 is held as IPv4-mapped IPv6, so that a peer compares equal
 * whichever socket accepted it. A value; all zero bytes are `::`, which stands for no address: what
 * the peer of a Unix socket has.
 */
struct address {
	uint8_t bytes[16];
};

static inline bool address_equal(const struct address *a, const struct address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/** Whether there is no address. */
static inline bool address_is_none(const struct address *a)
{
	return address_equal(a, &(struct address){{0}});
}

/** Whether `a` is an IPv4 address, which is always held in mapped form. */
bool address_is_v4(const struct address *a);

/** Strict dotted decimal (no leading zeros) or RFC 4291 section 2.2; no zone, no brackets. */
bool address_parse(slice text, struct address *a);

/** Writes the RFC 5952 form (dotted decimal for IPv4) with a terminator; returns it as a slice of
 * `text`. */
slice address_format(const struct address *a, char text[ADDRESS_TEXT_BYTES]);

/** AF_INET and AF_INET6 only; `port` (may be NULL) in host order. Returns false on another family.
 */
bool address_from_sockaddr(const struct sockaddr *from, struct address *a, uint16_t *port);

/** Fills in `to`: AF_INET for IPv4, else AF_INET6. Returns its length. */
socklen_t address_to_sockaddr(const struct address *a, uint16_t port, struct sockaddr_storage *to);

/** An immutable set of networks. Lookup is a binary search over disjoint ranges. Any thread. */
struct address_set;

/**
 * Builds the set from addresses and CIDR networks. Returns 0; -EINVAL with the text that could not
 * be read; -ENOMEM. An empty list gives a set that holds nothing.
 */
int address_set_new(const slice *texts, size_t count, struct address_set **set,
		    struct weir_error *e);
void address_set_free(struct address_set **set);

/** NULL is the set that holds nothing. */
bool address_set_has(const struct address_set *set, const struct address *a);

/** The same of a peer, which may have no address: no set holds it then. */
bool address_set_has_peer(const struct address_set *set, const struct address *a);

/**
 * Splits `host:port`, `[v6]:port`, `host%zone:port` by the rules of Go's net.SplitHostPort: the
 * port must be separated by a colon but may be empty. Returns 0 or -EINVAL with Go's text for the
 * fault.
 */
int address_split(slice text, slice *host, slice *port, struct weir_error *e);

enum address_protocol { ADDRESS_TCP, ADDRESS_UDP };

/** Where an entry point listens. */
struct listen_address {
	slice path; /* of a Unix socket, which has nothing of the following; borrowed from the text
		     */
	slice host; /* empty: all addresses; brackets removed; borrowed from the text */
	uint16_t port;
	enum address_protocol protocol;
	bool is_ip; /* `ip` holds what `host` says; false with a host to be resolved, or none */
	struct address ip;
};

/** Whether `text` is meant as the path of a Unix socket, well-formed or not. */
bool listen_address_is_path(slice text);

/** The entry point option `address`: `[host]:port[/tcp|/udp]`, or `unix:///path`. Returns 0 or
 * -EINVAL. */
int listen_address_parse(slice text, struct listen_address *l, struct weir_error *e);

/** Digits only, 0 to 65535. */
bool address_port_parse(slice text, uint16_t *port);

#endif
