/*
 * Who may say what about the client: the X-Forwarded headers at the entry point and at the
 * upstream, underscore spellings, and the hop-by-hop fields of both directions. New bytes come from
 * the arena of the message's fields.
 */
#ifndef PROXY_FORWARDED_H
#define PROXY_FORWARDED_H

#include <stdbool.h>

#include "core/error.h"
#include "http/message.h"
#include "net/address.h"

/** Entry point option http.underscoreHeadersStrategy. */
enum forwarded_underscores { FORWARDED_KEEP, FORWARDED_DELETE, FORWARDED_REJECT };

/** Entry point options `forwardedHeaders.*`; slices need to live only during `forwarded_new`. */
struct forwarded_options {
	bool insecure;
	const slice *trusted_ips; /* addresses and CIDR networks */
	size_t trusted_ips_count;
	const slice *connection; /* names that Connection may carry through the middlewares */
	size_t connection_count;
	bool not_append_for;     /* notAppendXForwardedFor */
	bool add_scheme_headers; /* addXForwardedSchemeHeaders */
	enum forwarded_underscores underscores;
	slice server_name; /* X-Forwarded-Server; empty: the machine's host name */
};

/** Immutable; shared by all workers. */
struct forwarded;

/** Returns 0, -EINVAL naming the address that could not be read, -ENOMEM. */
int forwarded_new(const struct forwarded_options *options, struct forwarded **f,
		  struct weir_error *e);
void forwarded_free(struct forwarded **f);

/** The client side of a connection. */
struct forwarded_peer {
	const struct address *address; /* none: headers tell nothing about it */
	slice text;                    /* `address` formatted once per connection */
	bool tls;
};

/** The first stage of an entry point: returns 0, or the status 400 if a name holds "_" and that is
 * refused. */
int forwarded_underscores(const struct forwarded *f, struct fields *fields);

/**
 * The entry point stage, before routing: deletes what an untrusted peer may not say, sets
 * X-Real-Ip, X-Forwarded-*, and reduces Connection to what may travel through the middlewares.
 * Returns 0 or -ENOMEM.
 */
int forwarded_receive(const struct forwarded *f, struct request *r,
		      const struct forwarded_peer *peer);

/**
 * The proxy stage, on the fields that go upstream: removes hop-by-hop fields and those that
 * Connection lists, keeps `Te: trailers` and an upgrade, appends the peer to X-Forwarded-For.
 * `for_was_deleted`: a middleware removed X-Forwarded-For on purpose, so that it stays away.
 * Returns 0 or -ENOMEM.
 */
int forwarded_send(const struct forwarded *f, struct request *r, const struct forwarded_peer *peer,
		   bool for_was_deleted);

/** Removes the hop-by-hop fields of a backend's answer; those of a 101 stay. Returns 0 or -ENOMEM.
 */
int forwarded_answer(struct response *r);

/** Whether a field of this name is one of those that the stages manage (also in underscore
 * spelling). */
bool forwarded_is_managed(slice name);

#endif
