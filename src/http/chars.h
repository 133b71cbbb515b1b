/*
 * Character classes of HTTP/1 syntax. Private to http/.
 */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>

enum char_class {
	CHAR_TOKEN = 1,  /* RFC 9110 section 5.6.2 */
	CHAR_VALUE = 2,  /* in a field value: VCHAR, obs-text, space, tab */
	CHAR_TARGET = 4, /* in a request target: VCHAR */
	CHAR_HOST = 8,   /* in host[:port], RFC 3986 section 3.2; what Go's ValidHostHeader takes */
};

extern const uint8_t http_chars[256];

/** Whether `c` belongs to one of the classes in `mask`. */
static inline bool char_is(char c, unsigned mask)
{
	return (http_chars[(unsigned char)c] & mask) != 0;
}

#endif
