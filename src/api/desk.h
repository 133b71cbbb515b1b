/*
 * Answers requests on a thread of its own, one after the other, so that no other request waits for
 * an answer that takes long to write.
 */
#ifndef API_DESK_H
#define API_DESK_H

#include "core/error.h"
#include "core/str.h"
#include "http/exchange.h"
#include "proxy/stats.h"

/** What was asked; lives as long as the answer is being made. */
struct desk_request {
	enum method method;
	slice path; /* still escaped */
	slice query;
	slice accept; /* the field, if it is not too long; else empty */
};

/** Zeroed but for the limit of `body`. */
struct desk_answer {
	int status;
	const char *content_type; /* NULL: none */
	bool no_sniffing;
	const char *field; /* one more, or NULL */
	char field_value[64];
	struct str body; /* the desk's afterwards */
};

/** On the desk's thread. */
typedef void desk_fn(void *context, const struct desk_request *q, struct desk_answer *a);

struct desk_options {
	const char *thread; /* its name */
	size_t answer_bytes_max;
	struct api_counters *counters;
	desk_fn *answer;
	/* Called instead of `answer` where there is no room for one. NULL: nothing is to be done.
	 */
	void (*refused)(void *context, const struct desk_request *q);
	void *context;
};

struct desk;

/** Starts the thread. Returns 0 or a negative errno value. */
int desk_create(struct desk **desk, const struct desk_options *options, struct weir_error *e);

/** For the `start` of a service, or later. False: it has been refused, and `answer` will not be
 * called. The exchange's loop. */
bool desk_ask(struct desk *d, struct exchange *x);

/** For the `cancel` of the same service. */
void desk_cancel(struct exchange *x);

/** Something else to do on the desk's thread, in its turn. Embedded; the caller fills in `run`, and
 * keeps it until that is called. */
struct desk_errand {
	void (*run)(struct desk_errand *e);
	struct list link;
};

/** False: the desk has been stopped, or too much waits, and `run` will not be called. Any thread.
 */
bool desk_send(struct desk *d, struct desk_errand *e);

/** Answers those who wait and ends the thread; later requests get 503. NULL is allowed. */
void desk_stop(struct desk *d);

/** After every exchange has ended. NULL is allowed in `*desk`. */
void desk_destroy(struct desk **desk);

#endif
