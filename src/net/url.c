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

/* Go's validUserinfo: nothing else can be one. */
static bool is_user_info(char c)
{
	char low = ascii_lower(c);

	return (low >= 'a' && low <= 'z') || ascii_digit(c) ||
	       (c != '\0' && strchr("-._:~!$&'()*+,;=%@", c) != NULL);
}

/* How long the user information is that `s` begins with, without the "@" at its end; 0: none. */
static size_t user_info(slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n && is_user_info(s.p[i]); i++)
		if (s.p[i] == '@')
			n = i;
	return n;
}

void url_add_hidden(struct str *out, slice text)
{
	while (text.n > 0) {
		size_t i = 0, n;

		while (i < text.n && !slice_starts(slice_from_at(text, i), SLICE("://")))
			i += 1 + slice_find(slice_from_at(text, i + 1), ':');
		i = MIN(i + 3, text.n);
		str_add(out, slice_first(text, i));
		text = slice_from_at(text, i);
		n = user_info(text);
		str_add(out, n > 0 ? SLICE("xxxx") : SLICE(""));
		text = slice_from_at(text, n);
	}
}

/* What cannot be parsed may have its password anywhere before an "@", and a "/" in it. */
static void add_faulty(struct str *out, slice text)
{
	size_t start = slice_find(text, ':');
	size_t end = text.n;

	while (end > 0 && text.p[end - 1] != '@')
		end--;
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

/* RFC 3986 section 3.1. */
static bool is_scheme(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);
		bool letter = c >= 'a' && c <= 'z';

		if (!letter && (i == 0 || (!ascii_digit(c) && c != '+' && c != '-' && c != '.')))
			return false;
	}
	return s.n > 0;
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

static int parse_port(slice text, slice port, struct url *u, struct weir_error *e)
{
	if (port.n == 0)
		return 0;
	if (!address_port_parse(port, &u->port)) {
		(void)fail(text, "invalid port", e);
		/* It may be the password of a URL that has a "/" in it. */
		if (slice_find(text, '@') == text.n)
			error_suffix(e, " \":%.*s\" after host", SLICE_ARG(port));
		return -EINVAL;
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
	end = slice_find(u->authority, '@');
	if (end < u->authority.n) {
		u->userinfo = slice_first(u->authority, end);
		u->authority = slice_from_at(u->authority, end + 1);
	}
	return parse_authority(text, u, e);
}
