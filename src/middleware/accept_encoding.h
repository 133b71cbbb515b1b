/*
 * Which coding of a response a client gets, by its Accept-Encoding, as Traefik's compress chooses.
 */
#ifndef MIDDLEWARE_ACCEPT_ENCODING_H
#define MIDDLEWARE_ACCEPT_ENCODING_H

#include "http/fields.h"

/* X(NAME, "name in Content-Encoding") */
#define CODINGS(X) \
	X(GZIP, "gzip") \
	X(BR, "br") \
	X(ZSTD, "zstd")

enum coding {
	CODING_NONE,
#define X(name, text) CODING_##name,
	CODINGS(X)
#undef X
		CODING_COUNT
};

/** The name of a coding. Static. */
slice coding_name(enum coding c);

/** The coding of that name (case counts), or CODING_NONE. */
enum coding coding_of(slice name);

/** What a middleware offers. */
struct coding_offer {
	enum coding list[CODING_COUNT]; /* the best first; at least one */
	size_t count;
	enum coding initial; /* for clients that take any; CODING_NONE: the first */
};

/**
 * The best of the offered codings that the request's lines of Accept-Encoding allow; CODING_NONE if
 * the response is to be left alone. The list is Traefik's to the letter, weights above 1 included.
 */
enum coding accept_encoding_choose(const struct coding_offer *offer, const struct fields *request);

/** Whether the first line names gzip with a weight above 0: Traefik's writer of gzip looks for
 * itself once more. */
bool accept_encoding_has_gzip(const struct fields *request);

#endif
