#include "http/date.h"

#include <time.h>

slice date_now(void)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	static _Thread_local time_t made_for;
	static _Thread_local char text[32];
	static _Thread_local size_t n;
	struct timespec t;

	/* The coarse clock costs no system call and is off by one tick at most. */
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &t);
	if (t.tv_sec != made_for || n == 0) {
		struct tm utc;
		char format[32];

		(void)gmtime_r(&t.tv_sec, &utc);
		/* Names of days and months must not follow the locale. */
		(void)strftime(format, sizeof format, "???, %d @@@ %Y %H:%M:%S GMT", &utc);
		n = strlen(format);
		memcpy(text, format, n);
		memcpy(text, days[utc.tm_wday], 3);
		memcpy(text + 8, months[utc.tm_mon], 3);
		made_for = t.tv_sec;
	}
	return (slice){text, n};
}
