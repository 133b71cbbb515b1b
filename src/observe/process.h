/*
 * What the system says about this process.
 */
#ifndef OBSERVE_PROCESS_H
#define OBSERVE_PROCESS_H

#include "observe/families.h"

/** How many servers of this supervisor have died before this one. Before there are threads. */
void process_set_restarts(uint64_t restarts);

/** What cannot be found out is 0. Reads a few files of /proc. */
void process_read(struct process_numbers *numbers);

#endif
