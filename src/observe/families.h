/*
 * All metrics: one row each, made from the tables of those who count. Names, types and texts of the
 * exposition and of docs/reference/metrics.md come from here.
 */
#ifndef OBSERVE_FAMILIES_H
#define OBSERVE_FAMILIES_H

#include "observe/exposition.h"

/**
 * One family. `stem` is the name without what follows from the type: "_total" of counters; and
 * "_ns" at its end, which says how it is counted, becomes "_seconds", as histograms are of times.
 */
struct family {
	const char *stem;
	enum metric_type type;
	const char *help;
	size_t offset; /* of the 64-bit number, or struct weir_histogram, in the group's object */
};

/** Families of one kind of object. */
struct family_group {
	const char *labels; /* names, separated by commas; "" for none */
	const char *doc;    /* what an object is */
	const struct family *families;
	size_t count;
};

/* X(NAME): the groups, in the order of the exposition. */
#define FAMILY_GROUPS(X) \
	X(PROXY) \
	X(EXCHANGES) \
	X(BUFFERS) \
	X(PIPES) \
	X(KEPT) \
	X(UPSTREAMS) \
	X(REDIS) \
	X(ENTRY_POINTS) \
	X(HOST) \
	X(PLUGINS) \
	X(FAILURES) \
	X(MIDDLEWARES) \
	X(PROVIDERS) \
	X(COMPRESSIONS) \
	X(SCRAPES) \
	X(ACCESS_LOG) \
	X(API) \
	X(PROCESS) \
	X(MEMORY) \
	X(CONNECTIONS) \
	X(RELOADS) \
	X(ENTRY_POINT_REQUESTS) \
	X(ROUTER_REQUESTS) \
	X(SERVICE_RETRIES) \
	X(SERVICE_REQUESTS) \
	X(ENTRY_POINT_REQUESTS_TLS) \
	X(ROUTER_REQUESTS_TLS) \
	X(SERVICE_REQUESTS_TLS) \
	X(CERTIFICATES)

enum family_group_id {
#define X(name) FAMILIES_##name,
	FAMILY_GROUPS(X)
#undef X
		FAMILY_GROUP_COUNT
};

extern const struct family_group family_groups[FAMILY_GROUP_COUNT];

/* The members of the groups of requests, whose objects are not structures with offsets. */
enum request_family {
	REQUESTS_TOTAL,
	REQUESTS_DURATION,
	REQUESTS_BYTES,
	RESPONSES_BYTES,
	REQUEST_FAMILY_COUNT
};

/** Whether the number is one of nanoseconds, to be shown in seconds. */
bool family_is_time(const struct family *f);

/** Adds the name in full. */
void family_add_name(struct str *out, const struct family *f);

/** Adds docs/reference/metrics.md. */
void family_add_reference(struct str *out);

/** The objects of groups that no other module has a structure for. */
struct scrape_numbers {
	uint64_t answered;
	uint64_t shared;
	uint64_t failed;
	uint64_t render_ns;
	uint64_t bytes;
};

struct process_numbers {
	uint64_t cpu_ns;
	uint64_t resident_bytes;
	uint64_t virtual_bytes;
	uint64_t open_fds;
	uint64_t max_fds;
	uint64_t start_ns;
	uint64_t restarts;
	uint64_t kept_bytes;
	uint64_t kept_failures;
};

#endif
