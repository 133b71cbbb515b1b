/*
 * Profiles in the format that `go tool pprof` reads: a message of protocol buffers
 * (github.com/google/pprof, proto/profile.proto). What has no memory or too much text shows at the
 * end.
 */
#ifndef OBSERVE_PPROF_H
#define OBSERVE_PPROF_H

#include "core/arena.h"
#include "core/map.h"
#include "core/str.h"

/** Lifetime: `pprof_init`, then `pprof_free`. One thread. */
struct pprof {
	struct str message;
	struct str part; /* of one message within */
	struct str inner;
	struct arena arena; /* keys of the map */
	struct map known;   /* texts, functions and locations to their numbers */
	uint64_t texts, functions, locations;
	bool failed;
};

/** `bytes_max` bounds the message, and what is kept to make it. */
void pprof_init(struct pprof *p, size_t bytes_max);

/** Frees all. */
void pprof_free(struct pprof *p);

/** Declares the next value of each sample: ("cpu", "nanoseconds"). All of them before the first
 * sample. */
void pprof_value(struct pprof *p, const char *type, const char *unit);

/** What a sample stands for: ("cpu", "nanoseconds", 10000000). Once at most. */
void pprof_period(struct pprof *p, const char *type, const char *unit, uint64_t period);

/** When the profile was begun, since 1970, and how long it took. Once at most. */
void pprof_times(struct pprof *p, uint64_t begun_ns, uint64_t duration_ns);

/** The number of a place in a function: the same for the same arguments. `file` says where it comes
 * from and may be empty; `address` may be 0. */
uint64_t pprof_location(struct pprof *p, slice function, slice file, uint64_t address);

struct pprof_label {
	const char *key;
	slice text;
};

/** Where something was seen, the innermost first. */
struct pprof_sample {
	const uint64_t *locations;
	size_t depth;
	const uint64_t *values; /* as many as were declared */
	size_t value_count;
	const struct pprof_label *labels;
	size_t label_count;
};

/** Adds it; samples with the same locations and labels are summed up by who reads them. */
void pprof_add(struct pprof *p, const struct pprof_sample *s);

/** The message as it is, which is to be compressed (gzip); until it is freed. False: memory was
 * short, or it is too long. */
bool pprof_message(const struct pprof *p, slice *message);

#endif
