#include "net/url.h"

#include <errno.h>

#include "net/address.h"

uint16_t url_default_port(slice scheme)
{
	static const struct {
		slice scheme;
		uint16_t port;
	} known[] = {
		{{"http", 4}, 80}, {{"https", 5}, 443}, {{"h2c", 3}, 80},
		{{"ws", 2}, 80},   {{"wss", 3}, 443},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (slice_equal_nocase(scheme, known[i].scheme))
			return known[i].port;
	}
	return 0;
}

/* Where what follows the last "@" begins; 0 if there is none. As in Go, a password may have some.
 */
static size_t behind_at(slice s)
{
	size_t n = s.n;

	while (n > 0 && s.p[n - 1] != '@')
		n--;
	return n;
}

/* What cannot be parsed may have its password anywhere before an "@", and a "/" in it. */
static void add_faulty(struct str *out, slice text)
{
	size_t start = slice_find(text, ':');
	size_t end = behind_at(text);

	if (end == 0 || start >= end) {
		str_add(out, text);
		return;
	}
	start += slice_starts(slice_from_at(text, start), SLICE("://")) ? 3 : 1;
	str_add(out, slice_first(text, start));
	str_add(out, SLICE("xxxx@"));
	str_add(out, slice_from_at(text, end));
}

static int fail(slice text, const char *why, struct weir_error *e)
{
	struct str shown = {0};

	add_faulty(&shown, text);
	(void)error_set(e, -EINVAL, "parse \"%s\": %s", shown.n > 0 && !shown.failed ? shown.p : "",
			why);
	str_free(&shown);
	return -EINVAL;
}

static bool is_letter(char c)
{
	return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/* RFC 3986 section 3.1; the first one is a letter. */
static bool is_scheme_byte(char c)
{
	return is_letter(c) || ascii_digit(c) || c == '+' || c == '-' || c == '.';
}

static bool is_scheme(slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_scheme_byte(s.p[i]))
			return false;
	return s.n > 0 && is_letter(s.p[0]);
}

bool url_has_controls(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	}
	return false;
}

bool url_percent_is_valid(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' &&
		    (s.n - i < 3 || ascii_hex(s.p[i + 1]) < 0 || ascii_hex(s.p[i + 2]) < 0))
			return false;
	}
	return true;
}

/* Bytes that a host may have: RFC 3986 reg-name without percent-encoding, and what brackets hold.
 */
static bool is_host(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == ' ' || s.p[i] == '%' || strchr("\"<>\\^`{|}#?/@", s.p[i]) != NULL)
			return false;
	}
	return true;
}

static bool is_number(slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_digit(s.p[i]))
			return false;
	return true;
}

static int parse_port(slice text, slice port, struct url *u, struct weir_error *e)
{
	if (port.n == 0)
		return 0;
	if (!address_port_parse(port, &u->port)) {
		u->port = 0;
		(void)fail(text, "invalid port", e);
		/* It may be the password of a URL that has a "/" in it. */
		if (slice_find(text, '@') < text.n)
			return -EINVAL;
		error_suffix(e, " \":%.*s\" after host", SLICE_ARG(port));
		return is_number(port) ? -ERANGE : -EINVAL;
	}
	u->has_port = true;
	return 0;
}

static int parse_authority(slice text, struct url *u, struct weir_error *e)
{
	slice rest = u->authority;
	size_t end;

	u->port = url_default_port(u->scheme);
	if (rest.n > 0 && rest.p[0] == '[') {
		struct address six;

		end = slice_find(rest, ']');
		if (end == rest.n)
			return fail(text, "missing ']' in host", e);
		u->host = slice_of(rest.p + 1, end - 1);
		if (slice_find(u->host, ':') == u->host.n || !address_parse(u->host, &six))
			return fail(text, "what stands in brackets is not an IPv6 address", e);
		rest = slice_from_at(rest, end + 1);
		if (rest.n > 0 && rest.p[0] != ':')
			return fail(text, "expected ':' and a port after ']'", e);
		return parse_port(text, slice_from_at(rest, 1), u, e);
	}
	end = slice_find(rest, ':');
	u->host = slice_first(rest, end);
	if (u->host.n == 0)
		return fail(text, "missing host", e);
	if (!is_host(u->host))
		return fail(text, "invalid character in host name", e);
	return parse_port(text, slice_from_at(rest, end + 1), u, e);
}

int url_parse(slice text, struct url *u, struct weir_error *e)
{
	slice rest = slice_first(text, slice_find(text, '#'));
	size_t end = slice_find(rest, ':');

	*u = (struct url){.port = 0};
	if (url_has_controls(text))
		return fail(text, "invalid control character in URL", e);
	u->scheme = slice_first(rest, end);
	rest = slice_from_at(rest, end);
	if (!is_scheme(u->scheme) || !slice_starts(rest, SLICE("://")))
		return fail(text, "expected scheme://host[:port]", e);
	rest = slice_from_at(rest, 3);
	end = slice_find(rest, '?');
	u->has_query = end < rest.n;
	u->query = slice_from_at(rest, end + 1);
	rest = slice_first(rest, end);
	end = slice_find(rest, '/');
	u->authority = slice_first(rest, end);
	u->path = slice_from_at(rest, end);
	if (!url_percent_is_valid(u->path))
		return fail(text, "invalid percent-encoding in path", e);
	end = behind_at(u->authority);
	if (end > 0) {
		u->userinfo = slice_first(u->authority, end - 1);
		u->authority = slice_from_at(u->authority, end);
	}
	return parse_authority(text, u, e);
}

/* How many bytes of a scheme `text` ends with. */
static size_t scheme_before(slice text)
{
	size_t n = 0;

	while (n < text.n && is_scheme_byte(text.p[text.n - n - 1]))
		n++;
	return n;
}

/* Where a URL ends in a text that is more than the URL. */
static size_t url_end(slice text)
{
	size_t n = 0;

	while (n < text.n && (unsigned char)text.p[n] > ' ' && text.p[n] != '"')
		n++;
	return n;
}

/* What is between "://" and the path, "@" or not. */
static slice authority_of(slice rest)
{
	size_t n = 0;

	while (n < rest.n && (rest.p[n] == '\0' || strchr("/?#", rest.p[n]) == NULL))
		n++;
	return slice_first(rest, n);
}

static bool has_bad_port(slice authority)
{
	slice port = slice_from_at(authority, slice_find(authority, ':') + 1);
	uint16_t number;

	return port.n > 0 && authority.p[0] != '[' && !address_port_parse(port, &number);
}

void url_add_hidden(struct str *out, slice text)
{
	/* Where the last URL ends that is in no other one, and what follows the last "@" in it. */
	size_t end = 0, last = 0;

	for (size_t at = 0; at < text.n;) {
		slice rest = slice_from_at(text, at), authority;
		size_t i = 0, n;
		bool whole, faulty;

		while (i < rest.n && !slice_starts(slice_from_at(rest, i), SLICE("://")))
			i += 1 + slice_find(slice_from_at(rest, i + 1), ':');
		i = MIN(i, rest.n);
		whole = at == 0 && i > 0 && scheme_before(slice_first(rest, i)) == i;
		i = MIN(i + 3, rest.n);
		str_add(out, slice_first(rest, i));
		at += i;
		rest = slice_from_at(text, at);
		if (at >= end) {
			end = whole ? text.n : at + url_end(rest);
			last = at + behind_at(slice_first(rest, end - at));
		}
		authority = authority_of(slice_first(rest, end - at));
		n = behind_at(authority);
		/* A password with a "/" in it ends who knows where. */
		faulty = whole ? url_parse(text, &(struct url){.port = 0}, NULL) < 0
			       : has_bad_port(authority);
		if (n == 0 && faulty && last > at)
			n = last - at;
		/* Without the "@". */
		str_add(out, n > 1 ? SLICE("xxxx") : SLICE(""));
		at += n > 1 ? n - 1 : 0;
	}
}
