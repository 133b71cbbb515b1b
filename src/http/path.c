#include "http/path.h"

#include <errno.h>

#include "core/base.h"
#include "net/address.h"

enum {
	PLAIN = 1,      /* Go's default encoding leaves it alone */
	VALID = 2,      /* may stand in an escaped path */
	UNRESERVED = 4, /* RFC 3986 section 2.3 */
	RESERVED = 8,   /* RFC 3986 section 2.2, and "%": stays encoded in a routing path */
	REFUSED = 16,   /* not even in a raw path */
};

#define LETTER (PLAIN | VALID | UNRESERVED)
#define DELIMITER (PLAIN | VALID | RESERVED)
#define VALID_ONLY (VALID | RESERVED)

static const unsigned char classes[256] = {
	[0x00 ... 0x1f] = REFUSED,
	[0x7f] = REFUSED,
	['0' ... '9'] = LETTER,
	['A' ... 'Z'] = LETTER,
	['a' ... 'z'] = LETTER,
	['-'] = LETTER,
	['.'] = LETTER,
	['_'] = LETTER,
	['~'] = LETTER,
	['$'] = DELIMITER,
	['&'] = DELIMITER,
	['+'] = DELIMITER,
	[','] = DELIMITER,
	['/'] = DELIMITER,
	[':'] = DELIMITER,
	[';'] = DELIMITER,
	['='] = DELIMITER,
	['@'] = DELIMITER,
	['!'] = VALID_ONLY,
	['\''] = VALID_ONLY,
	['('] = VALID_ONLY,
	[')'] = VALID_ONLY,
	['*'] = VALID_ONLY,
	['['] = VALID_ONLY,
	[']'] = VALID_ONLY,
	['%'] = VALID_ONLY,
	['?'] = RESERVED,
	['#'] = RESERVED | REFUSED,
};

static unsigned class_of(char c)
{
	return classes[(unsigned char)c];
}

/* Whether sanitising removes the segment that `rest` begins with: an empty one, "." or "..". */
static bool is_dirty(slice rest)
{
	size_t dots = 0;

	while (dots < rest.n && dots < 2 && rest.p[dots] == '.')
		dots++;
	if (dots == rest.n)
		return dots > 0;
	return rest.p[dots] == '/';
}

/* What one look at a path finds. */
struct findings {
	bool refused;
	bool invalid;     /* a byte that is neither allowed nor encoded */
	bool percent;     /* at least one percent sequence */
	bool bad_percent; /* one without two hexadecimal digits */
	bool dirty;       /* sanitising changes something */
};

static struct findings look(slice path)
{
	unsigned all = 0xff, any = 0;
	struct findings f = {0};

	for (size_t i = 0; i < path.n; i++) {
		unsigned class = class_of(path.p[i]);

		all &= class;
		any |= class;
		if (path.p[i] == '/' && !f.dirty)
			f.dirty = is_dirty(slice_from_at(path, i + 1));
	}
	f.refused = any & REFUSED;
	f.invalid = !(all & VALID);
	f.percent = slice_find(path, '%') < path.n;
	for (size_t i = slice_find(path, '%'); f.percent && i < path.n; i++) {
		if (path.p[i] != '%')
			continue;
		if (path.n - i < 3 || ascii_hex(path.p[i + 1]) < 0 || ascii_hex(path.p[i + 2]) < 0)
			f.bad_percent = true;
	}
	return f;
}

static char decode(const char *percent)
{
	return (char)(ascii_hex(percent[1]) << 4 | ascii_hex(percent[2]));
}

/* Writes what `percent` stands for if its class has one of `decoded`, else the sequence in upper
 * case. */
static size_t put_percent(char *to, const char *percent, bool is_decoded)
{
	if (is_decoded) {
		*to = decode(percent);
		return 1;
	}
	to[0] = '%';
	to[1] = ascii_upper(percent[1]);
	to[2] = ascii_upper(percent[2]);
	return 3;
}

enum decoding { DECODE_UNRESERVED, DECODE_FOR_ROUTING, DECODE_ALL };

/* Percent sequences of `path` are known to be complete. */
static int decode_path(slice path, enum decoding what, struct arena *arena, slice *out)
{
	char *to = arena_alloc(arena, path.n + 1);
	size_t n = 0;

	if (to == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < path.n; i++) {
		unsigned class;

		if (path.p[i] != '%') {
			to[n++] = path.p[i];
			continue;
		}
		class = class_of(decode(path.p + i));
		n += put_percent(to + n, path.p + i,
				 what == DECODE_ALL ||
					 (what == DECODE_UNRESERVED ? class & UNRESERVED
								    : !(class & RESERVED)));
		i += 2;
	}
	*out = slice_of(to, n);
	return 0;
}

int path_escape(slice path, struct arena *arena, slice *escaped)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t extra = 0, n = 0;
	char *to;

	for (size_t i = 0; i < path.n; i++)
		extra += class_of(path.p[i]) & PLAIN ? 0 : 2;
	*escaped = path;
	if (extra == 0 || slice_equal(path, SLICE("*")))
		return 0;
	to = arena_alloc(arena, path.n + extra);
	if (to == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];

		if (classes[c] & PLAIN) {
			to[n++] = (char)c;
			continue;
		}
		to[n++] = '%';
		to[n++] = digits[c >> 4];
		to[n++] = digits[c & 15];
	}
	*escaped = slice_of(to, n);
	return 0;
}

int path_unescape(slice escaped, struct arena *arena, slice *path)
{
	struct findings f = look(escaped);

	*path = escaped;
	if (f.bad_percent)
		return 400;
	return f.percent ? decode_path(escaped, DECODE_ALL, arena, path) : 0;
}

int path_escaped(slice raw, struct arena *arena, slice *escaped)
{
	struct findings f = look(raw);
	int r;

	*escaped = raw;
	if (f.bad_percent)
		return 400;
	if (!f.invalid)
		return 0;
	r = path_unescape(raw, arena, escaped);
	return r == 0 ? path_escape(*escaped, arena, escaped) : r;
}

int path_escape_like(slice path, slice raw, struct arena *arena, slice *escaped)
{
	slice plain;
	struct findings f = look(raw);

	int r = raw.n > 0 && !f.invalid ? path_unescape(raw, arena, &plain) : 400;

	if (r == 0 && slice_equal(plain, path)) {
		*escaped = raw;
		return 0;
	}
	return r < 0 ? r : path_escape(path, arena, escaped);
}

bool path_is_sanitized(slice path)
{
	if (path.n > 0 && path.p[0] != '/' && is_dirty(path))
		return false;
	for (size_t i = slice_find(path, '/'); i < path.n; i++) {
		if (path.p[i] == '/' && is_dirty(slice_from_at(path, i + 1)))
			return false;
	}
	return true;
}

/* Go's path.Clean on a rooted path, except that a final slash stays (URL.JoinPath). */
static int sanitize(slice path, struct arena *arena, slice *out)
{
	char *to = arena_alloc(arena, path.n + 1);
	slice rest = path, part;
	size_t n = 0;

	if (to == NULL)
		return -ENOMEM;
	while (slice_next(&rest, '/', &part)) {
		if (part.n == 0 || slice_equal(part, SLICE(".")))
			continue;
		if (slice_equal(part, SLICE(".."))) {
			while (n > 0 && to[--n] != '/')
				;
			continue;
		}
		to[n++] = '/';
		memcpy(to + n, part.p, part.n);
		n += part.n;
	}
	if (n == 0 || slice_ends(path, SLICE("/")))
		to[n++] = '/';
	*out = slice_of(to, n);
	return 0;
}

static int prepare_query(struct request *r, bool encode, struct arena *arena)
{
	size_t count = 0, n = 0;
	char *to;

	for (size_t i = slice_find(r->query, ';'); i < r->query.n; i++)
		count += r->query.p[i] == ';';
	if (count == 0)
		return 0;
	to = arena_alloc(arena, r->query.n + (encode ? 2 * count : 0));
	if (to == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < r->query.n; i++) {
		if (r->query.p[i] == ';' && encode) {
			memcpy(to + n, "%3B", 3);
			n += 3;
		} else {
			to[n++] = r->query.p[i] == ';' ? '&' : r->query.p[i];
		}
	}
	r->query = slice_of(to, n);
	return 0;
}

int path_prepare(struct request *r, const struct path_options *options, struct arena *arena)
{
	struct findings f;
	int code = 0;

	if (r->method_id == METHOD_CONNECT && r->path.n == 0)
		return 0;
	if (r->path.n == 0)
		r->path = SLICE("/");
	if (r->path.p[0] != '/' && !slice_equal(r->path, SLICE("*")))
		return 400;
	f = look(r->path);
	if (f.refused || f.bad_percent)
		return 400;
	if (f.invalid)
		code = path_escaped(r->path, arena, &r->path);
	else if (f.percent)
		code = decode_path(r->path, DECODE_UNRESERVED, arena, &r->path);
	if (code != 0)
		return code;
	if (f.invalid || f.percent)
		f = look(r->path);
	if (f.dirty && options->sanitize)
		code = sanitize(r->path, arena, &r->path);
	return code != 0 ? code : prepare_query(r, options->encode_semicolons, arena);
}

int path_routing(slice path, struct arena *arena, slice *routing)
{
	size_t percent = slice_find(path, '%');
	bool changes = false;

	*routing = path;
	for (size_t i = percent; i < path.n; i++) {
		if (path.p[i] != '%')
			continue;
		if (path.n - i < 3 || ascii_hex(path.p[i + 1]) < 0 || ascii_hex(path.p[i + 2]) < 0)
			return 400;
		changes = changes || !(class_of(decode(path.p + i)) & RESERVED);
		i += 2;
	}
	return changes ? decode_path(path, DECODE_FOR_ROUTING, arena, routing) : 0;
}

bool path_is_denied(slice path, unsigned denied)
{
	static const char *const hex[] = {
#define X(name, digits, option) [PATH_ENCODED_##name##_BIT] = digits,
		PATH_ENCODED(X)
#undef X
	};

	if (denied == 0)
		return false;
	for (size_t i = slice_find(path, '%'); i + 2 < path.n; i++) {
		if (path.p[i] != '%')
			continue;
		for (unsigned bit = 0; bit < PATH_ENCODED_COUNT; bit++) {
			if (denied & 1u << bit &&
			    slice_equal_nocase(slice_of(path.p + i + 1, 2), slice_of(hex[bit], 2)))
				return true;
		}
		i += 2;
	}
	return false;
}

/* Go's parse of the host in a Host field: the port goes, and the brackets around an address. */
static slice without_port(slice authority)
{
	slice host, port;

	if (slice_find(authority, ':') == authority.n)
		return authority;
	if (address_split(authority, &host, &port, NULL) == 0)
		return host;
	if (authority.p[0] == '[' && slice_ends(authority, SLICE("]")))
		return slice_of(authority.p + 1, authority.n - 2);
	return authority;
}

int path_host(slice authority, struct arena *arena, slice *host)
{
	bool upper = false;
	char *to;

	*host = slice_trim(without_port(authority));
	for (size_t i = 0; i < host->n; i++)
		upper |= ascii_lower(host->p[i]) != host->p[i];
	if (!upper)
		return 0;
	to = arena_alloc(arena, host->n);
	if (to == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < host->n; i++)
		to[i] = ascii_lower(host->p[i]);
	*host = slice_of(to, host->n);
	return 0;
}
