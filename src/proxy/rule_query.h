/*
 * The query of a request as Go's url.ParseQuery reads it, without building anything: pairs are
 * walked and compared while they are decoded.
 */
#ifndef PROXY_RULE_QUERY_H
#define PROXY_RULE_QUERY_H

#include <stdbool.h>

#include "core/slice.h"

/** Go refuses queries with more pairs than this: they count as empty. */
#define RULE_QUERY_PAIRS_MAX 10000

/** One pair, still encoded. */
struct rule_query_pair {
	slice key;
	slice value;
};

/** What to walk: the query, or nothing if it has too many pairs. */
slice rule_query_begin(slice query);

/** Cuts off the next valid pair; those with ";" or invalid percent-encoding are skipped. False at
 * the end. */
bool rule_query_next(slice *rest, struct rule_query_pair *pair);

/** Whether `encoded`, decoded ("+" is a space), equals `plain`. */
bool rule_query_equal(slice encoded, slice plain);

/** Whether decoding changes anything. */
bool rule_query_is_encoded(slice encoded);

/** Decodes to `to`, which has room for `encoded.n` bytes. */
slice rule_query_decode(slice encoded, char *to);

#endif
