/*
 * Private to forward_auth*.c.
 *
 *   forward_auth.c          options, the walk
 *   forward_auth_request.c  what the other server is asked
 *   forward_auth_answer.c   what becomes of its answer
 */
#ifndef MIDDLEWARE_FORWARD_AUTH_PRIVATE_H
#define MIDDLEWARE_FORWARD_AUTH_PRIVATE_H

#include "core/regex.h"
#include "http/exchange.h"
#include "http/inquiry.h"
#include "middleware/shared_state.h"
#include "net/url.h"

struct upstream;

/** RFC 2616 listed Trailer under this name among the fields of a hop; Traefik removes both. */
#define FORWARD_AUTH_TRAILERS SLICE("Trailers")

struct forward_auth {
	struct middleware middleware; /* first */
	const struct dynamic_forward_auth *options;
	struct arena arena;
	struct url address;
	slice target;                   /* path and query of the address */
	slice authorization;            /* of the address's user and password; empty: none */
	struct upstream *upstream;      /* one reference */
	struct regex *response_headers; /* NULL: none */
	uint64_t request_bytes_max;     /* of bodies */
	uint64_t answer_bytes_max;
	uint64_t in_progress_max;
	struct shared_state *state; /* counters only */
};

enum forward_auth_step { AUTH_NEW, AUTH_READING, AUTH_ASKING, AUTH_ANSWERED, AUTH_OVER };

#define FORWARD_AUTH_VISIT_MAGIC 0x66776176u

/** In the exchange's arena, zeroed. */
struct forward_auth_visit {
	uint32_t magic;
	enum forward_auth_step step;
	bool counted;
	struct exchange *x;
	const struct forward_auth *a;
	struct body *request_in;   /* NULL: the request's body is not read */
	struct spool request_kept; /* for the other server, and for the next one inside */
	struct body request_out;
	struct body response_out;
	struct replay replay; /* of one of the two */
	struct inquiry inquiry;
};

/**
 * Fills in the head of `v->inquiry.request` from that of the exchange's request. Returns 0 or
 * -ENOMEM.
 */
int forward_auth_compose(struct forward_auth_visit *v);

/** The answer was to let the request pass: what it gets of it. Returns 0 or -ENOMEM. */
int forward_auth_pass(struct forward_auth_visit *v);

/** The answer was not: the client gets it. For `on_request`, which returns what this returns. */
enum middleware_verdict forward_auth_refuse(struct forward_auth_visit *v);

/** Puts cookies of the answer into the response. Returns 0 or -ENOMEM. */
int forward_auth_set_cookies(struct forward_auth_visit *v);

#endif
