/*
 * An embedder of plugins whose messages are in memory: feeds a request to a guest, answers for the
 * upstream, and keeps what came out.
 */
#ifndef CLI_PLUGIN_MESSAGE_H
#define CLI_PLUGIN_MESSAGE_H

#include "core/base.h"
#include "core/str.h"
#include "http/message.h"
#include "weir/plugin.h"

/** What a guest is fed: a request, and the response of an upstream that is not there. Borrowed. */
struct plugin_request {
	struct request head;
	slice body;
	struct response upstream;
	slice upstream_body;
	size_t piece_bytes; /* the body arrives in pieces of that size; 0: at once */
};

struct plugin_requests {
	struct plugin_request *list;
	size_t count;
};

/** Who made a response. X(NAME, text) */
#define PLUGIN_AUTHORS(X) \
	X(GUEST, "guest") \
	X(UPSTREAM, "upstream") \
	X(WEIR, "weir")

enum plugin_author {
#define X(name, text) PLUGIN_BY_##name,
	PLUGIN_AUTHORS(X)
#undef X
};

/** One exchange: while the guest works on it, and what became of it. Lifetime:
 * `plugin_exchange_init` to `plugin_exchange_free`, for many requests in turn. */
struct plugin_exchange {
	struct arena arena; /* of what the guest writes into heads */
	const struct plugin_request *from;
	uint64_t body_max;

	slice method;
	slice target;
	slice authority;
	struct fields fields;       /* of the request, without Host */
	struct fields early_fields; /* of the response, before the upstream was asked */
	struct response response;
	unsigned early_status;
	bool responding;
	size_t arrived_bytes; /* of the request's body */
	struct str body[2];   /* what the guest wrote; of the response: at the end, what is sent */
	struct str prefix;    /* of the response, before the upstream was asked */
	slice forwarded_body; /* of the request */
	slice response_body;

	enum weir_step step;          /* NEXT, STOP or FAILED */
	enum weir_step response_step; /* DONE, FAILED, or NEXT: `handle_response` was not called */
	enum plugin_author author;
	enum weir_cause cause;
	struct weir_error error;
	struct weir_exchange_facts facts;
	uint32_t yields;
	uint32_t body_waits;
	uint32_t sleeps;
	uint64_t cpu_ns[2]; /* of the guest, before and after the upstream */
};

/** Takes no memory yet. `body_max` is the plugin's limit for bodies. */
void plugin_exchange_init(struct plugin_exchange *x, uint64_t body_max);

/**
 * Sends one request through the plugin of the pool, to its end; the thread sleeps while the guest
 * does. What came of the last request is forgotten. CPU time is told if `plugin`, the pool's own,
 * is not NULL. Returns whether the guest did not fail.
 */
bool plugin_exchange_run(struct plugin_exchange *x, struct weir_pool *pool,
			 const struct weir_plugin *plugin, const struct plugin_request *from);

/** Frees what there is. */
void plugin_exchange_free(struct plugin_exchange *x);

/** The text of a row of PLUGIN_AUTHORS. */
const char *plugin_author_text(enum plugin_author author);

#endif
