/*
 * The Date field's value.
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "core/slice.h"

/** The current time as an IMF-fixdate (RFC 9110 section 5.6.7), remade once a second. Valid until
 * the next call on the same thread. */
slice date_now(void);

#endif
