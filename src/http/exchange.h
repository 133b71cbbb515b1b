/*
 * One request and its response: two heads, two bodies, one arena, the walk along its chain. Runs on
 * one loop from begin to end.
 *
 *   client connection --request--> middlewares, outermost first --> service
 *   client connection <--response-- middlewares, innermost first <-- service
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "core/counter.h"
#include "http/body.h"
#include "http/message.h"
#include "http/middleware.h"
#include "http/tunnel.h"
#include "net/address.h"
#include "net/loop.h"

/* X(NAME): the life of an exchange; each transition is one function that asserts where it comes
 * from. */
#define EXCHANGE_PHASES(X) \
	X(NEW) \
	X(REQUEST)  /* on its way inwards */ \
	X(SERVICE)  /* the service works on it */ \
	X(RESPONSE) /* on its way outwards */ \
	X(REWIND)   /* the response is dropped; what lies inside ends, to be begun again */ \
	X(SENDING)  /* the client gets the response */ \
	X(TUNNEL)   /* instead of SENDING: another protocol; its middlewares are through */ \
	X(CLOSING)

enum exchange_phase {
#define X(name) EXCHANGE_##name,
	EXCHANGE_PHASES(X)
#undef X
};

/** The client connection's side. */
struct exchange_client {
	/** The response's head is final: send it, then the body as it comes; then `exchange_end`.
	 * May end the exchange within the call. */
	void (*respond)(struct exchange *);

	/** An interim response (1xx) to pass on. */
	void (*inform)(struct exchange *, const struct response *);

	/** The exchange is to end now, in whatever state it is: closes the connection or resets the
	 * stream, and calls `exchange_end`. */
	void (*drop)(struct exchange *);
};

/** Limits of one exchange, from the entry point. */
struct exchange_limits {
	size_t arena_bytes_max;
	size_t body_queue_bytes;  /* between producer and consumer, for each body */
	unsigned repetitions_max; /* how often middlewares may say MW_AGAIN, and how often of them
				     to divert the request */
};

#define EXCHANGE_MAGIC 0x65786368u

struct exchange_branch;
struct exchange_pool;
struct tls;

/** What has to be given back at the end of an exchange, also of a tunnel that has left its chain.
 * In the exchange's arena, or in what `run` frees. */
struct exchange_ending {
	struct exchange_ending *next;
	void (*run)(struct exchange_ending *);
};

/** Owned by the client connection: `exchange_begin` … `exchange_end`. */
struct exchange {
	uint32_t magic;
	enum exchange_phase phase;
	struct loop *loop;
	struct arena arena;
	struct exchange_pool *pool;
	struct list link; /* in the pool's free list, or in its list of live exchanges */

	const struct exchange_client *client;
	void *connection;
	slice peer;      /* "192.0.2.1:4711" or "[2001:db8::1]:4711"; "@" on a Unix socket */
	slice peer_host; /* without port and brackets */
	struct address peer_address;  /* on a Unix socket none */
	bool tls;                     /* of the client connection */
	const struct tls *client_tls; /* its layer; NULL: none, or the connection is gone */
	slice server_name; /* with `tls`: what the client asked for, in lower case; may be empty */
	/* With `tls`: "1.3", and the cipher suite by its IANA name. Static. */
	const char *tls_version, *tls_cipher;

	struct request request;
	struct fields request_trailers;
	struct body *request_body; /* what the next one inside consumes; a middleware may put its
				      own in front */
	/* Of the response, set by middlewares before there is one; joined to it when it comes,
	 * before those further inside see it. */
	struct fields early_fields;
	bool early_is_lost; /* a middleware has put another response in the place of the one that
			       they were joined to */
	struct response response;
	struct fields response_trailers;
	struct body *response_body; /* what the next one outside consumes */

	const struct chain *chain;        /* NULL once a tunnel has left it */
	struct service *service;          /* the chain's */
	struct exchange_branch *branch;   /* that `chain` is of; NULL: it is that of the start */
	struct exchange_branch *diverted; /* what `branch` becomes with MW_AGAIN; NULL: it stays */
	struct tunnel *tunnel; /* NULL: none; what the client sends and receives after 101 */
	struct exchange_ending *endings;
	size_t at;      /* request: next to enter; response: how many are still to be left */
	size_t entered; /* middlewares whose on_request was called */
	void **states;  /* parallel to the chain's list; NULL: none of them has any */
	enum method client_method; /* of the request as it came: says whether the client expects a
				      body */
	bool walking;
	bool waiting; /* a hook has said MW_PENDING */
	bool service_active;
	void *service_state;        /* the service's own, while it is active */
	bool forwarded_for_dropped; /* X-Forwarded-For was removed on purpose and stays away */
	bool own_answer;            /* the response was made by the proxy, not by a service */
	bool reached_server;        /* a server was chosen and asked, or tried to be */
	bool request_sent;          /* bytes of the request may have arrived at a server */
	bool drops_interim;         /* interim responses are not passed on */
	bool guesses_type;          /* who packs a body without a type guesses it before */
	unsigned repetitions;       /* how often a middleware has said MW_AGAIN */
	unsigned diversions;        /* the same, to have the request made of another chain */
	bool failed;                /* the response could not be sent completely */
	bool detached;              /* the chain holds stand-ins for what lies in a generation */
	uint64_t expired_turn;      /* of the loop: when it was told to end; 0: was not */

	/** The response's head is final and goes to the client next; NULL: nobody wants to know.
	 * Not called for exchanges that end without a response. */
	void (*on_respond)(struct exchange *);
	/** Whoever routed the exchange cleans up here: unpins the generation, counts. Called once,
	 * last. */
	void (*on_release)(struct exchange *);
	/** The exchange is a tunnel and its middlewares are through with it: lets the route go, and
	 * changes `on_release`. At most once. NULL: nothing happens. */
	void (*on_tunnel)(struct exchange *);
	void *route;   /* the router's own */
	void *account; /* of whoever counts; in the arena, or NULL */
	void *record;  /* of whoever keeps a log; in the arena, or NULL */
	slice user;    /* who the client says to be; `p` is NULL unless a middleware has asked */

	struct body own_request_body;
	struct body own_response_body;
};

/** Exchanges of one loop: recycled, counted. */
#define EXCHANGE_POOL_MAGIC 0x78706f6fu

/* X(NAME, kind, help): counters of one pool, written by its loop only. */
#define EXCHANGE_COUNTERS(X) \
	X(begun, COUNTER, "Exchanges begun, and heads that did not become one") \
	X(tunnels, COUNTER, "Exchanges that became tunnels") \
	X(tunnels_live, GAUGE, "Tunnels that have not ended") \
	X(live, GAUGE, "Exchanges that have not ended") \
	X(memory_full, COUNTER, "Exchanges that reached the limit of their memory") \
	X(repeated, COUNTER, "Times that a middleware had a request made again") \
	X(diverted, COUNTER, "Times that `errors` had a page asked for instead of a response") \
	X(repetitions_refused, COUNTER, \
	  "Times that a request was not made again, because of the limit") \
	X(detached, COUNTER, "Exchanges that went on without the configuration they began with") \
	X(expired, COUNTER, \
	  "Exchanges that were ended because their configuration had been " \
	  "replaced for too long") \
	X(body_stalls, COUNTER, "Times that a sender waited for the receiver of its body")

struct exchange_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	EXCHANGE_COUNTERS(X)
#undef X
};

struct exchange_pool {
	uint32_t magic;
	struct loop *loop;
	struct list idle;
	struct list live;
	size_t idle_count, live_count;
	size_t idle_max;
	struct exchange_limits limits;
	struct exchange_counters counters;
};

/** An empty pool for exchanges on `loop`, which outlives it. The limits are copied. */
void exchange_pool_init(struct exchange_pool *pool, struct loop *loop,
			const struct exchange_limits *limits);

/** No exchange may be live. */
void exchange_pool_free(struct exchange_pool *pool);

/** A new exchange in phase NEW with empty heads and bodies, or NULL when memory is short. */
struct exchange *exchange_begin(struct exchange_pool *pool, const struct exchange_client *client,
				void *connection);

/** Begins the walk along `chain`. The exchange may be over when this returns. */
void exchange_start(struct exchange *x, const struct chain *chain);

/**
 * For whoever said MW_PENDING, on the same loop and outside of any hook: the hook that waits is
 * called again. Nothing happens if none does, so that a wake-up may come late or twice.
 */
void exchange_resume(struct exchange *x);

/**
 * A response of the proxy's own: head and body are replaced. `body` is copied. For hooks that then
 * return MW_ANSWERED, and for the client connection before `exchange_start`. Content-Type is
 * text/plain and sniffing is off, as in Go's http.Error, if `as_error`; else there is no
 * Content-Type.
 */
void exchange_answer(struct exchange *x, int status, slice body, bool as_error);

/** Answers without a chain, for example 404: allowed in phase NEW; the answer is sent at once. */
void exchange_refuse(struct exchange *x, int status, slice body, bool as_error);

/** From the service: `x->response` is filled in and `x->response_body` has its producer. The
 * exchange may be over on return. */
void exchange_respond(struct exchange *x);

/** From the service instead of `exchange_respond`: no response could be had; the service is done.
 * Body: the status text. */
void exchange_fail(struct exchange *x, int status);

/** From the service instead of `exchange_respond`: an answer that the proxy makes itself, as
 * `exchange_answer`; the service is done. */
void exchange_reply(struct exchange *x, int status, slice body, bool as_error);

/** From the service: an interim response, which the client gets unless a middleware keeps them
 * away. */
void exchange_inform(struct exchange *x, const struct response *interim);

/** From the service after `exchange_respond`: it will not touch the exchange any more. */
void exchange_service_done(struct exchange *x);

/** Whether the response is the upstream's 101, so that the exchange can become a tunnel. */
bool exchange_may_tunnel(const struct exchange *x);

/**
 * From the client connection within `respond`: the exchange becomes a tunnel. The service gives
 * `x->tunnel` its upstream end; the client's is the caller's, as is the response's head. The
 * middlewares finish now, as after a response that has been sent, and the route is let go when they
 * have. Returns 0 or -ENOMEM; then the exchange can only end.
 */
int exchange_open_tunnel(struct exchange *x);

/** `run` is called when the exchange is over; the latest first. */
void exchange_at_end(struct exchange *x, struct exchange_ending *e,
		     void (*run)(struct exchange_ending *));

/** Bytes of the request's body that went on, and those of the response's; with the tunnel's. */
uint64_t exchange_request_bytes(const struct exchange *x);
uint64_t exchange_response_bytes(const struct exchange *x);

/**
 * From the client connection: the response is sent, or (`failed`) cannot be. Ends whatever is still
 * active, lets the middlewares finish, which may take longer than the connection lives, and frees
 * the exchange. Not from within a hook.
 */
void exchange_end(struct exchange **giver, bool failed);

/**
 * Lets go of the chain and of all that belongs to the same generation, which may be destroyed after
 * this: the exchange goes on with copies. Possible once the response has passed the chain, tunnels
 * included. `x->route` is the caller's business. Not from within a hook. Returns 0; -EAGAIN before
 * that time; -EBUSY as long as something in the chain needs its generation; -ENOMEM. All of them
 * may be tried again.
 */
int exchange_detach(struct exchange *x);

/**
 * Ends an exchange whose generation has been replaced for too long: an exchange that waits for its
 * service is answered with 503, and all others are dropped. It may wait for a hook all the same.
 * Not from within a hook.
 */
void exchange_expire(struct exchange *x);

/**
 * Puts a stage into a body's way: `*where` (x->request_body or x->response_body) becomes `stage`,
 * initialised here, and what was there is returned, to be consumed by the caller.
 */
struct body *exchange_put_stage(struct exchange *x, struct body **where, struct body *stage);

/**
 * For `on_response` that then returns MW_AGAIN: another chain of the same generation takes the
 * place of what lies further inside, until one further outside says MW_AGAIN. The middleware's
 * `on_request`, which is called again, makes the request for it, and its `on_response` gets the
 * answer. No repetition, since a middleware does it once. Returns 0 or -ENOMEM (arena full).
 */
int exchange_divert(struct exchange *x, const struct chain *to);

/**
 * A request as what lies further inside gets it, to be made again (MW_AGAIN). In the state of the
 * middleware that repeats.
 */
struct exchange_mark {
	struct request request;
	struct fields early_fields;
	struct body *request_body;
	bool forwarded_for_dropped;
	bool drops_interim;
};

/** Keeps the request's head, and which body it has. For `on_request`, once. Returns 0 or -ENOMEM
 * (arena full). */
int exchange_mark(struct exchange *x, struct exchange_mark *mark);

/**
 * Makes the request what it was. For every `on_request` that follows MW_AGAIN. The body is the one
 * of then, without what has been taken from it. Returns 0 or -ENOMEM (arena full).
 */
int exchange_restore(struct exchange *x, const struct exchange_mark *mark);

/** The request's target as it is now, in origin form or "*". `p` is NULL when the arena is full. */
slice exchange_target(struct exchange *x);

/** A middleware's state within the exchange. */
void *exchange_state(struct exchange *x, size_t index);

#endif
