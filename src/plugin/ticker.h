/*
 * The clock of guests: a thread that advances the engine's epoch while any guest runs, and sleeps
 * otherwise, so that running guests notice the end of their time slice.
 */
#ifndef PLUGIN_TICKER_H
#define PLUGIN_TICKER_H

#include <stdalign.h>
#include <stdatomic.h>
#include <wasm.h>

#include "core/error.h"
#include "core/list.h"

struct ticker;

/** Ticks until a slice is over. One: a call that happens to begin before a tick yields early, which
 * costs less than ticking more often. */
#define TICKER_SLICE_TICKS 1

#define TICKER_SEAT_MAGIC 0x73656174u

/** Where one thread says that it runs a guest. Shared by the thread's pools; `turns` is written by
 * that thread alone. */
struct ticker_seat {
	alignas(64) _Atomic uint64_t turns; /* odd while a guest runs */
	uint64_t seen;                      /* the ticker's */
	uint32_t magic;
	struct ticker *ticker;
	struct list link;
	uint64_t thread;
	uint32_t references; /* under the ticker's lock */
};

/** Starts the thread. `engine` is borrowed. Returns 0 or a negative errno value. */
int ticker_create(struct ticker **ticker, wasm_engine_t *engine, uint64_t slice_ns,
		  struct weir_error *error);

/** Ends the thread. All seats must have been given back. */
void ticker_destroy(struct ticker **ticker);

/** The calling thread's seat, the same one for each of its calls; NULL if memory is short. */
struct ticker_seat *ticker_seat_take(struct ticker *ticker);

/** Any thread. */
void ticker_seat_give(struct ticker_seat **seat);

/** Brackets the running of a guest; not nested. */
void ticker_enter(struct ticker_seat *seat);
void ticker_leave(struct ticker_seat *seat);

/** The longest time that a guest runs without a break. */
uint64_t ticker_slice_ns(const struct ticker *ticker);

/** Whether the thread sleeps: for tests. */
bool ticker_sleeps(struct ticker *ticker);

#endif
