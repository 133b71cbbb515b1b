/*
 * Hop-by-hop fields: the standard ones and those that a message's Connection lines name (RFC 9110
 * section 7.6.1).
 */
#ifndef HTTP_HOPS_H
#define HTTP_HOPS_H

#include <stdbool.h>

#include "http/fields.h"

/**
 * Names that Connection lists: known ones as bits, others as an array, with a hash table once there
 * are many. Lifetime: that of the arena of the fields it was collected from.
 */
struct hops {
	uint64_t known;
	slice *others; /* lower case */
	size_t count;
	slice *table; /* NULL: `others` is searched */
	size_t mask;
};

/** Asked for each name before it is collected: true spares the field of that name. */
typedef bool hops_spare(void *context, enum field_id id, slice name);

/**
 * Collects the names of all Connection lines. Fields that frame and route the message cannot be
 * named. `spare` may be NULL. Returns 0 or -ENOMEM.
 */
int hops_collect(struct hops *h, const struct fields *fields, hops_spare *spare, void *context);

/** Removes the fields that were named. */
void hops_remove_named(const struct hops *h, struct fields *fields);

/** Removes the fields that were named and all standard ones; Trailer goes with its trailers. */
void hops_remove_all(const struct hops *h, struct fields *fields);

/** Keeps the lines for which `keep` says so, in their order. */
void hops_filter(struct fields *fields, bool (*keep)(const void *context, const struct field *f),
		 const void *context);

#endif
