/*
 * Private to plugin*.c: one exchange's visit to a plugin.
 *
 *   plugin.c           the hooks: driving the guest through request, response and afterwards
 *   plugin_messages.c  the guest's view of heads and bodies (struct weir_http)
 *   plugin_settle.c    what becomes of bodies and headers when a phase is over
 */
#ifndef MIDDLEWARE_PLUGIN_PRIVATE_H
#define MIDDLEWARE_PLUGIN_PRIVATE_H

#include "http/exchange.h"
#include "http/replay.h"
#include "middleware/plugin_registry.h"

struct plugin_middleware {
	struct middleware middleware; /* first */
	struct plugin_use *use;
	char *name;
};

/* X(NAME): where the visit is. */
#define PLUGIN_STAGES(X) \
	X(NEW) \
	X(ASKED)      /* handle_request is running or waiting */ \
	X(PASSED)     /* the request went on */ \
	X(COLLECTING) /* the response's body is being gathered for the guest */ \
	X(ANSWERING)  /* handle_response is running, its result will be sent */ \
	X(AFTER)      /* handle_response is running, the response is out */ \
	X(OVER)

enum plugin_stage {
#define X(name) PLUGIN_##name,
	PLUGIN_STAGES(X)
#undef X
};

#define PLUGIN_VISIT_MAGIC 0x76697369u

/** The middleware's state in the exchange's arena. */
struct plugin_visit {
	uint32_t magic;
	enum plugin_stage stage;
	struct exchange *x;
	struct plugin_middleware *m;
	struct weir_exchange *guest;      /* NULL: none (yet, or any more) */
	struct weir_exchange_facts facts; /* as of WEIR_NEXT or WEIR_STOP */
	struct task again;                /* resumes the exchange at the next turn */
	struct timer wake;                /* the guest sleeps, or its wait for an instance ends */
	bool responding;                  /* the guest is after WEIR_NEXT */

	struct body *request_in;   /* taken over when the guest reads; NULL: untouched */
	struct spool request_kept; /* what the guest has read */
	struct spool request_new;  /* what it wrote */
	struct replay request_replay;
	struct body request_out;

	struct fields fields_before; /* of the exchange's early fields, for a guest that fails */
	unsigned early_status;       /* 0: not set */
	struct body *response_in;    /* what is collected */
	struct spool response_kept;  /* prefix and upstream's bytes */
	struct spool response_new;   /* what the guest wrote after WEIR_NEXT */
	struct replay response_replay;
	struct body response_out;
	int collect_error;
};

/** The guest's accessors; their `x` is the visit. */
extern const struct weir_http plugin_http;

/** The pools' events; their `x` is the visit. */
extern const struct weir_pool_events plugin_pool_events;

/** Has the exchange resumed at the next turn of its loop. */
void plugin_resume_later(struct plugin_visit *v);

/** The longest body that the guest may have kept, in bytes. */
uint64_t plugin_body_limit(const struct plugin_visit *v);

/** The request goes on: the body that what lies inside will get, and its length. Returns 0 or a
 * negative errno value. */
int plugin_settle_request(struct plugin_visit *v);

/** The guest made the response itself. Returns 0 or a negative errno value. */
int plugin_settle_stop(struct plugin_visit *v);

/** The response's head is here: adds what the guest had set before. Returns 0 or a negative errno
 * value. */
int plugin_merge_head(struct plugin_visit *v);

/** Puts the bytes that the guest wrote before WEIR_NEXT in front of the response's body as it
 * streams. */
int plugin_settle_prefix(struct plugin_visit *v);

/** The guest has seen and perhaps changed the collected response. Returns 0 or a negative errno
 * value. */
int plugin_settle_response(struct plugin_visit *v);

#endif
