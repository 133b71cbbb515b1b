/*
 * A circuit breaker: what fails nearly every time is not tried again for a while, then once, and so
 * on until that succeeds. Not locked: whoever embeds it sees to that, except where it says so.
 */
#ifndef PLUGIN_CIRCUIT_H
#define PLUGIN_CIRCUIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * A share of failures of less than this does not open the circuit, however many they are: whoever
 * can make single requests fail must outnumber all others nine to one to keep them out.
 */
#define CIRCUIT_FAILING_PERCENT 90u

struct circuit_limits {
	uint32_t failures;    /* that open it, within the window; UINT32_MAX: never */
	uint64_t window_ns;   /* also how long it must stay closed for the waits to start anew */
	uint64_t wait_ns;     /* until the first trial; doubles when a trial fails, */
	uint64_t wait_max_ns; /* up to this */
};

struct circuit {
	struct circuit_limits limits;
	_Atomic bool open;            /* read by any thread */
	_Atomic uint64_t opened;      /* how often; read by any thread */
	_Atomic uint64_t retry_at_ns; /* monotonic, while open; read by any thread */
	uint64_t window_began_ns;
	uint64_t window_attempts; /* as they were counted when the window began */
	uint32_t window_failures;
	uint64_t closed_at_ns;
	uint64_t wait_ns; /* the last one; 0: none so far */
};

enum circuit_answer { CIRCUIT_PASS, CIRCUIT_TRY, CIRCUIT_REFUSE };

/** A closed circuit. */
void circuit_init(struct circuit *c, const struct circuit_limits *limits);

/** Whether it is closed, as it is nearly always. Any thread. */
static inline bool circuit_closed(const struct circuit *c)
{
	return !atomic_load_explicit(&c->open, memory_order_relaxed);
}

/**
 * May something be tried? CIRCUIT_TRY is the answer to one in each wait, whose outcome is then to
 * be told; a trial without an outcome only delays the next one.
 */
enum circuit_answer circuit_ask(struct circuit *c, uint64_t now_ns);

/** Something failed that was not a trial; `attempts` is how many there have been ever, this one and
 * those under way included. True: that opens the circuit. */
bool circuit_note_failure(struct circuit *c, uint64_t attempts, uint64_t now_ns);

/** The outcome of a trial. True: it closes the circuit. */
bool circuit_end_trial(struct circuit *c, bool success, uint64_t now_ns);

#endif
