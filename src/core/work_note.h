/*
 * What the calling thread is working for, to be told should the process die of it.
 */
#ifndef CORE_WORK_NOTE_H
#define CORE_WORK_NOTE_H

#include "core/slice.h"

/** Borrowed: whoever sets a member clears it before what it points to goes. NULL: nothing. */
struct work_note {
	const slice *method; /* of the request */
	const slice *target;
	const char *plugin; /* whose code runs */
};

extern _Thread_local struct work_note work_note;

#endif
