/*
 * Private to plugin*.c: one exchange's visit to a plugin.
 *
 *   plugin.c           the hooks: driving the guest through request, response and afterwards
 *   plugin_messages.c  the guest's view of heads and bodies (struct weir_http)
 *   plugin_settle.c    what becomes of bodies and headers when a phase is over
 *   plugin_open.c      how an exchange goes on without a guest that failed
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

/** What a guest under `failure: open` has not touched, to go back to. */
struct plugin_original {
	bool has_request; /* kept when the guest first changes it */
	struct request request;
	struct fields early; /* the exchange's early fields as handle_request left them */
	struct response response;
	bool merged;              /* `early` was not part of `response` yet */
	uint64_t response_prefix; /* bytes of `response_kept` that the guest wrote */
};

#define PLUGIN_VISIT_MAGIC 0x76697369u

/** The middleware's state in the exchange's arena. */
struct plugin_visit {
	uint32_t magic;
	enum plugin_stage stage;
	struct exchange *x;
	struct plugin_use *use;
	slice name;                  /* of the middleware */
	struct plugin_use *kept;     /* one reference to `use`, once the middleware may be gone */
	struct weir_exchange *guest; /* NULL: none (yet, or any more) */
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
	struct plugin_original original;
	unsigned early_status;      /* 0: not set */
	struct body *response_in;   /* what is collected */
	struct spool response_kept; /* prefix and upstream's bytes */
	struct spool response_new;  /* what the guest wrote after WEIR_NEXT */
	struct replay response_replay;
	struct body response_out;
	int collect_error;
};

/** The guest's accessors; their `x` is the visit. */
extern const struct weir_http plugin_http;

/** The pools' `wake`; its `x` is the visit. */
void plugin_wake(void *context, struct weir_exchange *guest, void *x);

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

/** The request's body goes on from its beginning: what the guest has read, then the rest. */
void plugin_replay_request(struct plugin_visit *v);

/** The response's body becomes what was kept of it, without the first `from` bytes. */
void plugin_send_kept(struct plugin_visit *v, uint64_t from);

/** Whether the exchange goes on without a guest that failed for this reason. */
bool plugin_passes(const struct plugin_visit *v, enum weir_cause cause);

/** Keep what a failed guest is to leave as it was: the request's head before the guest first
 * changes it; what the guest has set for the response, when the request goes on; the response's
 * head before that is joined to it. Under `failure: closed` only the second is kept, for a response
 * that takes the place of the first one. Return 0 or -ENOMEM (arena full).
 */
int plugin_keep_request(struct plugin_visit *v);
int plugin_keep_early(struct plugin_visit *v);
int plugin_keep_response(struct plugin_visit *v);

/** The guest failed in handle_request: the request becomes what it was. */
void plugin_restore_request(struct plugin_visit *v);

/** The guest failed in handle_response: the collected response becomes what it was without the
 * guest. Returns 0 or -ENOMEM (arena full). */
int plugin_restore_response(struct plugin_visit *v);

#endif
