/*
 * What the system says about this process.
 */
#ifndef OBSERVE_PROCESS_H
#define OBSERVE_PROCESS_H

#include "observe/families.h"

/** What cannot be found out is 0. Reads a few files of /proc. */
void process_read(struct process_numbers *numbers);

#endif
