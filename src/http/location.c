#include "http/location.h"

#include <errno.h>
#include <stdbool.h>

#include "core/base.h"
#include "net/url.h"

/* What stands between the marks; `p` is NULL where there is none. */
struct parts {
	slice scheme, opaque, user, host, path, query, fragment;
};

/* Cuts `*after` off, which follows the byte at `at`. */
static void cut(slice *rest, size_t at, slice *after)
{
	*after = at < rest->n ? slice_from_at(*rest, at + 1) : (slice){NULL, 0};
	*rest = slice_first(*rest, at);
}

/* Go's getScheme: what stands before a colon, if it looks like one. */
static int cut_scheme(slice *rest, slice *scheme)
{
	size_t n = 0;

	while (n < rest->n) {
		char c = ascii_lower(rest->p[n]);
		bool other = n > 0 && (ascii_digit(c) || c == '+' || c == '-' || c == '.');

		if (!other && (c < 'a' || c > 'z'))
			break;
		n++;
	}
	if (n == rest->n || rest->p[n] != ':')
		return 0;
	*scheme = slice_first(*rest, n);
	*rest = slice_from_at(*rest, n + 1);
	return n > 0 ? 0 : -EINVAL;
}

/* Go's shouldEscape and unescape for hosts. */
static bool is_host(slice host)
{
	for (size_t i = 0; i < host.n; i++) {
		unsigned char c = (unsigned char)host.p[i];

		if (c >= 0x80)
			continue;
		if (c == '%' && host.n - i >= 3 && ascii_hex(host.p[i + 1]) >= 8 &&
		    ascii_hex(host.p[i + 2]) >= 0)
			continue;
		if (c <= ' ' || c == '%' || strchr("\\^`{|}#?/@", c) != NULL)
			return false;
	}
	return true;
}

static bool is_port(slice port)
{
	for (size_t i = 0; i < port.n; i++) {
		if (!ascii_digit(port.p[i]))
			return false;
	}
	return true;
}

static int check_host(slice host)
{
	size_t bracket = slice_find(host, ']');
	size_t colon = host.n > 0 && host.p[0] == '[' ? bracket + 1 : slice_find(host, ':');

	if (host.n > 0 && host.p[0] == '[' && bracket == host.n)
		return -EINVAL;
	if (colon < host.n && host.p[colon] != ':')
		return -EINVAL;
	return is_port(slice_from_at(host, colon + 1)) && is_host(host) ? 0 : -EINVAL;
}

static int parse_authority(slice authority, struct parts *p)
{
	size_t at = authority.n;

	while (at > 0 && authority.p[at - 1] != '@')
		at--;
	p->host = slice_from_at(authority, at);
	if (at > 0)
		p->user = slice_first(authority, at - 1);
	for (size_t i = 0; i < p->user.n; i++) {
		if ((unsigned char)p->user.p[i] > 0x7e ||
		    strchr(" \"#<>?[\\]^`{|}/", p->user.p[i]) != NULL)
			return -EINVAL;
	}
	return check_host(p->host);
}

static int parse(slice rest, struct parts *p)
{
	int r;

	*p = (struct parts){.scheme = {NULL, 0}};
	if (url_has_controls(rest))
		return -EINVAL;
	cut(&rest, slice_find(rest, '#'), &p->fragment);
	r = cut_scheme(&rest, &p->scheme);
	cut(&rest, slice_find(rest, '?'), &p->query);
	if (r < 0)
		return r;
	if (p->scheme.p != NULL && (rest.n == 0 || rest.p[0] != '/')) {
		p->opaque = slice_of(rest.p != NULL ? rest.p : "", rest.n);
		return 0;
	}
	/* The part before the colon would be read as a scheme. */
	if (rest.n > 0 && rest.p[0] != '/' && slice_find(rest, ':') < slice_find(rest, '/'))
		return -EINVAL;
	p->path = rest;
	if (!slice_starts(rest, SLICE("//")) ||
	    (p->scheme.p == NULL && slice_starts(rest, SLICE("///"))))
		return 0;
	rest = slice_from_at(rest, 2);
	p->path = slice_from_at(rest, slice_find(rest, '/'));
	return parse_authority(slice_first(rest, slice_find(rest, '/')), p);
}

/* Writing: `to` has room for three times the text. */

static char *put(char *to, slice s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

static char *put_lower(char *to, slice s)
{
	for (size_t i = 0; i < s.n; i++)
		*to++ = ascii_lower(s.p[i]);
	return to;
}

/* Bytes that are not ASCII, and those of `others`, are encoded. */
static char *put_encoded(char *to, slice s, const char *others)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x80 && strchr(others, c) == NULL) {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 15];
	}
	return to;
}

/* What a path or a fragment cannot hold. */
#define ODD " \"<>\\^`{|}"

static char *put_parts(char *to, const struct parts *p)
{
	if (p->scheme.p != NULL) {
		to = put_lower(to, p->scheme);
		*to++ = ':';
	}
	if (p->opaque.p != NULL)
		to = put(to, p->opaque);
	if (p->host.p != NULL) {
		to = put(to, SLICE("//"));
		to = put(to, p->user);
		if (p->user.p != NULL)
			*to++ = '@';
		to = put_encoded(to, p->host, "");
	}
	/* Two slashes without a host would be read as the beginning of one (RFC 3986 section 3). */
	if (p->scheme.p != NULL && p->host.p == NULL && slice_starts(p->path, SLICE("//")))
		to = put(to, SLICE("/."));
	to = put_encoded(to, p->path, ODD);
	if (p->query.p != NULL) {
		*to++ = '?';
		to = put(to, p->query);
	}
	if (p->fragment.n > 0)
		*to++ = '#';
	return put_encoded(to, p->fragment, ODD);
}

static int print(const struct parts *p, size_t text_bytes, struct arena *arena, slice *location)
{
	char *to;

	if (!url_percent_is_valid(p->path) || !url_percent_is_valid(p->fragment))
		return -EINVAL;
	to = arena_alloc(arena, text_bytes * 3 + 16);
	if (to == NULL)
		return -ENOMEM;
	*location = slice_of(to, (size_t)(put_parts(to, p) - to));
	return 0;
}

int location_normalize(slice text, struct arena *arena, slice *location)
{
	struct parts p;
	int r = parse(text, &p);

	return r < 0 ? r : print(&p, text.n, arena, location);
}

/* Removes the last of the elements that are there. */
static void drop_element(const char *start, char **end)
{
	while (*end > start && *--*end != '/')
		continue;
}

/* Without its dot segments, as Go's resolvePath has it: `full` is not empty. */
static slice without_dots(slice full, char *to)
{
	char *start = to, *end = to;
	bool first = true, found = true, dots = false;

	while (found) {
		size_t n = slice_find(full, '/');
		slice element = slice_first(full, n);

		found = n < full.n;
		full = slice_from_at(full, n + 1);
		dots = slice_equal(element, SLICE("..")) || slice_equal(element, SLICE("."));
		if (slice_equal(element, SLICE(".."))) {
			drop_element(start, &end);
			first = end == start;
		} else if (dots) {
			first = false;
		} else {
			if (!first)
				*end++ = '/';
			end = put(end, element);
			first = false;
		}
	}
	if (dots)
		*end++ = '/';
	return slice_of(start, (size_t)(end - start));
}

/* The path of `p` seen from `base`. Returns 0 or -ENOMEM. */
static int resolve_path(struct parts *p, slice base, struct arena *arena)
{
	slice from = p->path.n > 0 && p->path.p[0] == '/' ? (slice){NULL, 0} : base, path;
	char *full, *end;

	while (p->path.n > 0 && from.n > 0 && from.p[from.n - 1] != '/')
		from.n--;
	full = arena_alloc(arena, 2 * (from.n + p->path.n + 2));
	if (full == NULL)
		return -ENOMEM;
	end = put(put(full, from), p->path);
	if (end == full)
		return 0;
	/* Begins with exactly one slash. */
	*end = '/';
	path = without_dots(slice_of(full, (size_t)(end - full)), end + 1);
	p->path = path.n > 0 && path.p[0] == '/' ? path : slice_of(end, path.n + 1);
	return 0;
}

int location_resolve(slice text, const struct url *base, struct arena *arena, slice *location)
{
	bool only_fragment;
	struct parts p;
	int r = parse(text, &p);

	if (r < 0)
		return r;
	only_fragment = p.path.n == 0 && p.query.p == NULL;
	if (p.scheme.p != NULL || p.host.n > 0 || p.user.p != NULL) {
		r = resolve_path(&p, (slice){NULL, 0}, arena);
	} else {
		r = resolve_path(&p, base->path, arena);
		p.host = base->authority;
		if (only_fragment && base->has_query)
			p.query = base->query;
	}
	if (p.scheme.p == NULL)
		p.scheme = base->scheme;
	if (r < 0)
		return r;
	return print(&p, text.n + base->path.n + base->query.n + base->authority.n + base->scheme.n,
		     arena, location);
}
