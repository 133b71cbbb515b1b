/*
 * The text format of Prometheus, version 0.0.4: families with HELP and TYPE, samples with labels.
 * All functions add to a string, which says in the end whether it was long enough.
 */
#ifndef OBSERVE_EXPOSITION_H
#define OBSERVE_EXPOSITION_H

#include "core/str.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"

/* X(NAME, text) */
#define METRIC_TYPES(X) X(COUNTER, "counter") X(GAUGE, "gauge") X(HISTOGRAM, "histogram")

enum metric_type {
#define X(name, text) METRIC_##name,
	METRIC_TYPES(X)
#undef X
};

/** "counter" … */
const char *metric_type_text(enum metric_type type);

/** Names are as Prometheus wants them; values are any bytes. */
struct label {
	const char *name;
	slice value;
};

/** Begins a family; its samples follow. */
void exposition_family(struct str *out, slice name, enum metric_type type, const char *help);

/** One sample with a whole number as its value. */
void exposition_number(struct str *out, slice name, const struct label *labels, size_t count,
		       uint64_t value);

/** The same with a time, in seconds. */
void exposition_seconds(struct str *out, slice name, const struct label *labels, size_t count,
			uint64_t ns);

/** `counts` has one more than `bounds_ns`, whose last one is for what passes all of them. */
struct exposition_histogram {
	const uint64_t *bounds_ns;
	size_t bound_count;
	const uint64_t *counts; /* of each bucket for itself */
	uint64_t sum_ns;
};

/** The samples of a histogram of times: cumulative buckets, sum and count. */
void exposition_histogram(struct str *out, slice name, const struct label *labels, size_t count,
			  const struct exposition_histogram *h);

#endif
