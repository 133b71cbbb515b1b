/*
 * How much memory, or how many descriptors, plugins may take: one budget for the host, one below it
 * for each plugin. What is counted is reserved before it is used, so that the sum never passes the
 * limit.
 */
#ifndef PLUGIN_BUDGET_H
#define PLUGIN_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** Counts bytes, or descriptors. Any thread. */
struct budget {
	_Atomic uint64_t used;
	uint64_t limit;
	struct budget *above; /* that has to have room as well; NULL: none */
	_Atomic uint64_t
		refusals; /* grows when somebody found no room: others give up what is idle */
};

/** An empty budget of that size. */
void budget_init(struct budget *b, uint64_t limit, struct budget *above);

/** Whether there is room for so much, now. Does not count as a refusal. */
bool budget_has_room(const struct budget *b, uint64_t n);

/** Takes so much from the budget and those above, or nothing at all. */
bool budget_take(struct budget *b, uint64_t n);

/** Returns what was taken. */
void budget_give(struct budget *b, uint64_t n);

/** Counts a refusal by a rule other than the budget's size. */
void budget_note_refusal(struct budget *b);

/** Bytes: half of the memory that the cgroup, else the machine, has. */
uint64_t budget_default_bytes(void);

#endif
