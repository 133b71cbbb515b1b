/*
 * The header or trailer section of a message: an ordered list of field lines. Names keep the case
 * in which they came; all comparisons ignore case (RFC 9110 section 5.1). Names that the proxy
 * knows carry a number, so that the hot path compares integers.
 */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "core/arena.h"
#include "core/slice.h"

/* X(NUMBER, "Canonical-Name") */
#define FIELD_NAMES(X) \
	X(ACCEPT, "Accept") \
	X(ACCEPT_ENCODING, "Accept-Encoding") \
	X(ACCEPT_LANGUAGE, "Accept-Language") \
	X(AUTHORIZATION, "Authorization") \
	X(CACHE_CONTROL, "Cache-Control") \
	X(CONNECTION, "Connection") \
	X(CONTENT_ENCODING, "Content-Encoding") \
	X(CONTENT_LENGTH, "Content-Length") \
	X(CONTENT_TYPE, "Content-Type") \
	X(COOKIE, "Cookie") \
	X(DATE, "Date") \
	X(ETAG, "Etag") \
	X(EXPECT, "Expect") \
	X(FORWARDED, "Forwarded") \
	X(HOST, "Host") \
	X(IF_MODIFIED_SINCE, "If-Modified-Since") \
	X(IF_NONE_MATCH, "If-None-Match") \
	X(KEEP_ALIVE, "Keep-Alive") \
	X(LAST_MODIFIED, "Last-Modified") \
	X(LOCATION, "Location") \
	X(ORIGIN, "Origin") \
	X(PROXY_AUTHENTICATE, "Proxy-Authenticate") \
	X(PROXY_AUTHORIZATION, "Proxy-Authorization") \
	X(PROXY_CONNECTION, "Proxy-Connection") \
	X(RANGE, "Range") \
	X(REFERER, "Referer") \
	X(RETRY_AFTER, "Retry-After") \
	X(SERVER, "Server") \
	X(SET_COOKIE, "Set-Cookie") \
	X(TE, "Te") \
	X(TRAILER, "Trailer") \
	X(TRANSFER_ENCODING, "Transfer-Encoding") \
	X(UPGRADE, "Upgrade") \
	X(USER_AGENT, "User-Agent") \
	X(VARY, "Vary") \
	X(WWW_AUTHENTICATE, "Www-Authenticate") \
	X(X_CONTENT_TYPE_OPTIONS, "X-Content-Type-Options") \
	X(X_FORWARDED_FOR, "X-Forwarded-For") \
	X(X_FORWARDED_HOST, "X-Forwarded-Host") \
	X(X_FORWARDED_METHOD, "X-Forwarded-Method") \
	X(X_FORWARDED_PORT, "X-Forwarded-Port") \
	X(X_FORWARDED_PREFIX, "X-Forwarded-Prefix") \
	X(X_FORWARDED_PROTO, "X-Forwarded-Proto") \
	X(X_FORWARDED_SCHEME, "X-Forwarded-Scheme") \
	X(X_FORWARDED_SERVER, "X-Forwarded-Server") \
	X(X_FORWARDED_TLS_CLIENT_CERT, "X-Forwarded-Tls-Client-Cert") \
	X(X_FORWARDED_TLS_CLIENT_CERT_INFO, "X-Forwarded-Tls-Client-Cert-Info") \
	X(X_FORWARDED_URI, "X-Forwarded-Uri") \
	X(X_REAL_IP, "X-Real-Ip") \
	X(X_SCHEME, "X-Scheme")

enum field_id {
	FIELD_OTHER,
#define X(id, name) FIELD_##id,
	FIELD_NAMES(X)
#undef X
		FIELD_ID_COUNT
};

/** One field line. Slices are borrowed from the message's bytes or its arena. */
struct field {
	slice name;
	slice value; /* without leading and trailing white space */
	enum field_id id;
};

_Static_assert(FIELD_ID_COUNT <= 64, "struct fields keeps one bit for each known name");

/**
 * Lifetime: that of `arena`, from which the array grows. Changed by the functions below only; read
 * freely.
 */
struct fields {
	struct field *list;
	size_t count;
	size_t capacity;
	uint64_t present; /* FIELD_BIT of every id that some line has */
	struct arena *arena;
};

#define FIELD_BIT(id) (UINT64_C(1) << (id))

/** Takes no memory yet. */
void fields_init(struct fields *f, struct arena *arena);

/** Makes room for at least one more line. Returns 0 or -ENOMEM (arena full). */
int fields_grow(struct fields *f);

static inline bool fields_have(const struct fields *f, enum field_id id)
{
	return (f->present & FIELD_BIT(id)) != 0;
}

/** The number of a name in any case, or FIELD_OTHER. */
enum field_id field_id_of(slice name);

/** The canonical spelling of a known name; "" for FIELD_OTHER. Static. */
slice field_name(enum field_id id);

/** Appends a line whose bytes the caller keeps alive. Returns 0 or -ENOMEM (arena full). */
int fields_add(struct fields *f, slice name, slice value);

/** Like `fields_add` for a known name in its canonical spelling. */
int fields_add_id(struct fields *f, enum field_id id, slice value);

/**
 * Appends a line that another section holds; its bytes stay where they are. Returns 0 or -ENOMEM.
 */
int fields_add_field(struct fields *f, const struct field *line);

/** Makes `to` a section of its own with the same lines, in the same arena; their bytes stay where
 * they are. Returns 0 or -ENOMEM. */
int fields_copy(struct fields *to, const struct fields *from);

/**
 * Replaces all lines of that name by one, in the place of the first, or appends it. Returns 0 or
 * -ENOMEM.
 */
int fields_set(struct fields *f, slice name, slice value);
int fields_set_id(struct fields *f, enum field_id id, slice value);

/** Copies all bytes to the section's arena, so that nothing is borrowed from elsewhere. Returns 0
 * or -ENOMEM (arena full). */
int fields_own(struct fields *f);

/** Removes all lines of that name; order of the others stays. Returns how many there were. */
size_t fields_remove(struct fields *f, slice name);
size_t fields_remove_id(struct fields *f, enum field_id id);

/** The first line of that name, or NULL. Invalid after the next change of `f`. */
const struct field *fields_find(const struct fields *f, slice name);
const struct field *fields_find_id(const struct fields *f, enum field_id id);

/** The next line of the same name as `at`, or NULL. */
const struct field *fields_find_next(const struct fields *f, const struct field *at);

/** The value of the first line of that name; `{NULL, 0}` if there is none. */
slice fields_value_id(const struct fields *f, enum field_id id);

/** Whether the comma-separated lists of all lines of `id` hold `token` (case ignored). */
bool fields_has_token(const struct fields *f, enum field_id id, slice token);

/** A copy of a name in Go's canonical spelling (CanonicalHeaderKey); unchanged unless it is a
 * token. `p` is NULL when the arena is full. */
slice field_canonical(struct arena *arena, slice name);

/** RFC 9110 section 5.6.2: whether `s` is a non-empty token. */
bool field_is_token(slice s);

/**
 * Whether `value` holds no byte that a field value may not have (CTL other than HTAB; RFC 9110
 * section 5.5).
 */
bool field_is_value(slice value);

/** Whether `value` consists of characters that a host[:port] may have; it may be empty. */
bool field_is_host(slice value);

/**
 * What was set before there was a message (`early`, empty after) joins its `fields`: it comes
 * first, except for fields of which a message has one at most, where the message's win. Returns 0
 * or -ENOMEM.
 */
int fields_put_before(struct fields *fields, struct fields *early, struct arena *arena);

#endif
