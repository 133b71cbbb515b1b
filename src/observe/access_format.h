/*
 * One line of the access log, in the formats of Traefik.
 */
#ifndef OBSERVE_ACCESS_FORMAT_H
#define OBSERVE_ACCESS_FORMAT_H

#include <time.h>

#include "core/str.h"
#include "observe/access_fields.h"

/** The second that was written last, broken down: most lines have it in common. One thread. */
struct access_clock {
	time_t second;
	bool known;
	struct tm local, utc;
};

/** Adds the line with its end. `x` and `r` are over but not yet freed; the exchange's arena gives
 * what room is needed. */
void access_format(struct str *out, struct access_clock *clock, const struct access_settings *s,
		   struct exchange *x, const struct access_record *r);

#endif
