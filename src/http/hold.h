/*
 * Leaving out an endpoint that cannot be reached, for a while that grows with each failure in a
 * row: from `HOLD_FIRST_MS` to a limit. When it is over, one request tries the endpoint, and the
 * others keep away for as long again, unless it answers. Shared by all loops, without a lock: any
 * thread.
 */
#ifndef HTTP_HOLD_H
#define HTTP_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#define HOLD_FIRST_MS UINT64_C(250)

/** Zeroed: the endpoint is not left out. Times are of `loop_now_ms`. */
struct hold {
	_Atomic uint64_t until_ms;  /* others keep away; 0: nobody does */
	_Atomic uint64_t struck_ms; /* until then failures are of the same outage */
	_Atomic uint32_t strikes;   /* failures in a row */
};

/** Whether to leave the endpoint out. False to one caller when the time is over: it tries. */
bool hold_is_on(struct hold *h, uint64_t now_ms, uint64_t max_ms);

/** The endpoint could not be reached. Returns for how long it is left out from now, or 0 if this
 * failure belongs to one that was told already, or `max_ms` is 0. */
uint64_t hold_begin(struct hold *h, uint64_t now_ms, uint64_t max_ms);

/** The endpoint has answered. Returns whether it was left out before. */
bool hold_end(struct hold *h);

#endif
