/*
 * What one instance has reserved of its plugin's budget. Pages that a guest changes become its own
 * without anybody being asked; so an instance reserves what instances of its plugin have been seen
 * to change, and more when it is seen to pass that.
 */
#ifndef PLUGIN_CHARGE_H
#define PLUGIN_CHARGE_H

#include <stdbool.h>
#include <stdint.h>

struct instance;
struct weir_plugin;

/** Part of an instance. */
struct charge {
	uint64_t reserved_bytes;
	uint64_t measured_bytes; /* of its own memory, when it was last looked at */
	uint64_t since_bytes;    /* that it can have changed since then at most */
	uint64_t faults;         /* of the thread, when it was last looked at */
	bool measured;           /* ever since it serves, by this thread */
};

/** What a new instance has to reserve. */
uint64_t charge_estimate(const struct weir_plugin *p);

/** After the guest has run for so long. False: it has passed what it has reserved, and there is no
 * more. */
bool charge_note(struct instance *i, uint64_t ran_ns);

/** Whether the instance has changed more than that for itself; looks only if that is possible. */
bool charge_exceeds(struct instance *i, uint64_t bytes);

/** The instance's memory has been put back: so much of it is its own now. */
void charge_measured(struct instance *i, uint64_t bytes);

/** Another thread takes the instance over: what is known about it has to be found out anew. */
void charge_move(struct instance *i);

/** Looks anew, and gives back what is reserved in excess. */
void charge_settle(struct instance *i);

/** Gives back all. */
void charge_end(struct instance *i);

#endif
