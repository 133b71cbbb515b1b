/*
 * What a middleware is to the exchange: a small class with hooks, and the chain that orders them.
 * The walk along the chain is in exchange.c and nowhere else; a middleware never calls the next
 * one.
 */
#ifndef HTTP_MIDDLEWARE_H
#define HTTP_MIDDLEWARE_H

#include "core/base.h"
#include "core/error.h"

struct exchange;
struct loop;
struct middleware;
struct tunnel;

enum middleware_verdict {
	MW_CONTINUE, /* go on with the next one */
	MW_ANSWERED, /* the exchange's response is set (`exchange_answer`): what lies further inside
			is skipped */
	MW_PENDING,  /* the same hook is called again after `exchange_resume` */
	MW_FAILED,   /* answer 500 and go on as after MW_ANSWERED */
	MW_AGAIN,    /* of `on_response` only: the response is dropped, what lies further inside
			ends, and this middleware's `on_request` is called again, with its state as
			it is. At the limit of repetitions it means MW_CONTINUE */
};

/** Hooks run on the exchange's loop. A hook that is NULL means MW_CONTINUE. */
struct middleware_class {
	const char *name;   /* as in the configuration: "stripPrefix" */
	size_t state_bytes; /* per exchange, zeroed, from the exchange's arena */

	/** The request's head is known; its body may still be coming. */
	enum middleware_verdict (*on_request)(struct middleware *, struct exchange *, void *state);

	/** The response's head is known and not yet sent. Not called on the middleware that
	 * answered. */
	enum middleware_verdict (*on_response)(struct middleware *, struct exchange *, void *state);

	/**
	 * The response has been sent, or cannot be (`x->failed`), or will not be, because one
	 * further outside has said MW_AGAIN, or the exchange has become a tunnel, which goes on;
	 * except in these two cases the client connection is no longer part of it. For work that
	 * comes after the response: only MW_CONTINUE and MW_PENDING. Called for each middleware
	 * whose `on_request` was called.
	 */
	enum middleware_verdict (*on_sent)(struct middleware *, struct exchange *, void *state);

	/** The exchange, or its visit to this middleware before one further outside says MW_AGAIN,
	 * is over: exactly once for each middleware whose `on_request` was called, also after a
	 * failure. Its state is cleared afterwards. */
	void (*on_end)(struct middleware *, struct exchange *, void *state);

	/**
	 * The generation is to go although the exchange goes on, whose response has passed: keeps
	 * in `state` what `on_sent` and `on_end` need (references, copies in the exchange's arena);
	 * these get NULL for the middleware from then on. Returns 0, or a negative errno value; may
	 * be called again after either. NULL: nothing is needed if both hooks are NULL, else the
	 * exchange holds its generation to its end.
	 */
	int (*detach)(struct middleware *, struct exchange *, void *state);

	/** Its generation has come into force on this loop: what is to be ready before the first
	 * request can be begun now. The loop's thread. NULL: nothing. */
	void (*prepare)(struct middleware *, struct loop *);

	/** Frees what `create` made. Control thread. */
	void (*destroy)(struct middleware **);
};

#define MIDDLEWARE_MAGIC 0x6d696477u

/** First member of every middleware. Immutable once its generation is published. */
struct middleware {
	uint32_t magic;
	const struct middleware_class *class;
	slice name; /* "auth@file", for logs; lives as long as the middleware */
};

struct service;

/** What stands at the inner end of a chain and makes responses. Hooks run on the exchange's loop.
 */
struct service_class {
	const char *name;

	/** Takes the request; answers with `exchange_respond` or `exchange_fail`, now or later. */
	void (*start)(struct service *, struct exchange *);

	/** The exchange ends before the service is done with it: let go at once. Not called after
	 * `exchange_service_done`. */
	void (*cancel)(struct service *, struct exchange *);

	/** As a middleware's, while the service is still active; `cancel` gets NULL for the service
	 * from then on. NULL: an active service holds the generation. */
	int (*detach)(struct service *, struct exchange *);

	/** The exchange becomes a tunnel after the service's 101: gives the tunnel its upstream
	 * end, and is done when both directions are. NULL: the service answers no 101. */
	void (*tunnel)(struct exchange *, struct tunnel *);
};

#define SERVICE_MAGIC 0x73657276u

/** First member of every service. */
struct service {
	uint32_t magic;
	const struct service_class *class;
	slice name; /* "api@file" */
};

#define CHAIN_MAGIC 0x63686169u

/** Outermost first. Immutable; lives as long as its generation. */
struct chain {
	uint32_t magic;
	size_t count;
	struct middleware **list;
	size_t state_bytes; /* of all, each rounded up to the alignment of any type */
	struct service *service;
};

/** Fills in `state_bytes` from the list. */
void chain_finish(struct chain *c);

/** The hook `detach` of classes whose `on_sent` and `on_end` use their state only. */
int middleware_detach_nothing(struct middleware *m, struct exchange *x, void *state);

#endif
