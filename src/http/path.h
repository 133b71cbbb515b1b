/*
 * What an entry point does to the target of a request before routing: normalisation, sanitising,
 * semicolons, refusals, and the forms of path and host that rules look at. Clean targets pass in
 * one scan and nothing is copied.
 */
#ifndef HTTP_PATH_H
#define HTTP_PATH_H

#include <stdbool.h>

#include "core/arena.h"
#include "http/message.h"

/** Entry point options. */
struct path_options {
	bool sanitize;          /* http.sanitizePath, default true */
	bool encode_semicolons; /* http.encodeQuerySemicolons, default false */
};

/**
 * Rewrites `r->path` and `r->query` as the entry point's stages do, in Traefik's order; new bytes
 * come from `arena`. Returns 0; the status 400 for a target that Go's parser or Traefik refuses
 * (`#`, invalid percent-encoding, a path that does not start with "/"); -ENOMEM.
 */
int path_prepare(struct request *r, const struct path_options *options, struct arena *arena);

/**
 * The routing path of a prepared path: percent sequences decoded except those of RFC 3986 reserved
 * characters and
 * "%25". Equals `path` unless there is something to decode. Returns 0, 400 or -ENOMEM.
 */
int path_routing(slice path, struct arena *arena, slice *routing);

/* X(NAME, hex digits, option) */
#define PATH_ENCODED(X) \
	X(SLASH, "2F", "allowEncodedSlash") \
	X(BACKSLASH, "5C", "allowEncodedBackSlash") \
	X(NULL, "00", "allowEncodedNullCharacter") \
	X(SEMICOLON, "3B", "allowEncodedSemicolon") \
	X(PERCENT, "25", "allowEncodedPercent") \
	X(QUESTION_MARK, "3F", "allowEncodedQuestionMark") \
	X(HASH, "23", "allowEncodedHash")

enum path_encoded_bit {
#define X(name, hex, option) PATH_ENCODED_##name##_BIT,
	PATH_ENCODED(X)
#undef X
		PATH_ENCODED_COUNT
};

/** Bits of the characters that an entry point (http.encodedCharacters) refuses in encoded form. */
enum path_encoded {
#define X(name, hex, option) PATH_ENCODED_##name = 1 << PATH_ENCODED_##name##_BIT,
	PATH_ENCODED(X)
#undef X
};

/** Whether a prepared path holds an encoded character of the set `denied` (answer 400, after
 * routing). */
bool path_is_denied(slice path, unsigned denied);

/**
 * The canonical host of `host[:port]`: port and brackets removed, lower-cased. Copies only if there
 * is an upper-case letter. Returns 0 or -ENOMEM.
 */
int path_host(slice authority, struct arena *arena, slice *host);

/**
 * Go's URL.EscapedPath after parsing `raw`: itself if every byte may stand in a path, else decoded
 * and encoded afresh. For middlewares that rewrite paths. Returns 0, 400 on invalid
 * percent-encoding, -ENOMEM.
 */
int path_escaped(slice raw, struct arena *arena, slice *escaped);

/** Go's url.PathUnescape. Returns 0, 400 on invalid percent-encoding, -ENOMEM. */
int path_unescape(slice escaped, struct arena *arena, slice *path);

/** Go's encoding of a path (url.URL{Path: path}.EscapedPath()). Returns 0 or -ENOMEM. */
int path_escape(slice path, struct arena *arena, slice *escaped);

/**
 * Go's url.URL{Path: path, RawPath: raw}.EscapedPath(): `raw` (`p` is NULL: none) if it is a valid
 * encoding of `path`, else the usual one. Returns 0 or -ENOMEM.
 */
int path_escape_like(slice path, slice raw, struct arena *arena, slice *escaped);

/** Whether sanitising would leave an escaped path as it is: no empty segment, "." or "..". The
 * first segment may come without its slash. */
bool path_is_sanitized(slice path);

#endif
