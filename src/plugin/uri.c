#include "plugin/uri.h"

#include "core/base.h"

static bool unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '~';
}

/* What an encoder leaves alone in a path. */
static bool plain_in_path(unsigned char c)
{
	return unreserved(c) || (c != '\0' && strchr("$&+,/:;=@", c) != NULL);
}

/* What a path that somebody else encoded may contain. */
static bool valid_in_path(unsigned char c)
{
	return plain_in_path(c) || c == '%' || (c != '\0' && strchr("!'()*[]", c) != NULL);
}

static bool escapes_are_whole(slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] != '%')
			continue;
		if (path.n - i < 3 || ascii_hex(path.p[i + 1]) < 0 || ascii_hex(path.p[i + 2]) < 0)
			return false;
		i += 2;
	}
	return true;
}

static bool validly_encoded(slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		if (!valid_in_path((unsigned char)path.p[i]))
			return false;
	}
	return true;
}

static void add_escape(struct str *out, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";

	str_add_char(out, '%');
	str_add_char(out, digits[c >> 4]);
	str_add_char(out, digits[c & 15]);
}

static void add_recoded(struct str *out, slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];

		if (c == '%') {
			c = (unsigned char)(ascii_hex(path.p[i + 1]) << 4 |
					    ascii_hex(path.p[i + 2]));
			i += 2;
		}
		if (plain_in_path(c))
			str_add_char(out, (char)c);
		else
			add_escape(out, c);
	}
}

/* A path with broken escapes cannot be decoded: only what must not appear raw is encoded. */
static void add_patched(struct str *out, slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];

		if (valid_in_path(c))
			str_add_char(out, (char)c);
		else
			add_escape(out, c);
	}
}

static void add_path(struct str *out, slice path)
{
	if (path.n == 0)
		str_add_char(out, '/');
	else if (!escapes_are_whole(path))
		add_patched(out, path);
	else if (validly_encoded(path))
		str_add(out, path);
	else
		add_recoded(out, path);
}

/* The part behind "scheme://authority", or an empty `p` if there is no such front. */
static bool without_authority(slice uri, slice *rest)
{
	size_t colon = slice_find(uri, ':');

	if (colon == 0 || !slice_starts(slice_from_at(uri, colon), SLICE("://")))
		return false;
	for (size_t i = 0; i < colon; i++) {
		char c = ascii_lower(uri.p[i]);
		bool letter = c >= 'a' && c <= 'z';

		if (!letter && (i == 0 || !(ascii_digit(c) || c == '+' || c == '-' || c == '.')))
			return false;
	}
	*rest = slice_from_at(uri, colon + 3);
	while (rest->n > 0 && rest->p[0] != '/' && rest->p[0] != '?')
		*rest = slice_from_at(*rest, 1);
	return true;
}

void uri_show(struct str *out, slice target)
{
	slice rest = target;
	size_t path;

	if (slice_equal(target, SLICE("*"))) {
		str_add_char(out, '*');
		return;
	}
	if (!slice_starts(target, SLICE("/")) && !without_authority(target, &rest))
		rest = SLICE("");
	path = slice_find(rest, '?');
	add_path(out, slice_first(rest, path));
	str_add(out, slice_from_at(rest, path));
}

const char *uri_take(struct str *out, slice uri)
{
	slice rest = uri;
	size_t path;

	for (size_t i = 0; i < uri.n; i++) {
		if ((unsigned char)uri.p[i] < 0x20 || uri.p[i] == 0x7f)
			return "it contains a control character";
	}
	if (slice_equal(uri, SLICE("*"))) {
		str_add_char(out, '*');
		return NULL;
	}
	if (uri.n > 0 && uri.p[0] != '/' && !without_authority(uri, &rest))
		return "expected a path that starts with \"/\", \"*\" or an absolute URI";
	path = slice_find(rest, '?');
	if (!escapes_are_whole(slice_first(rest, path)))
		return "its path contains a \"%\" without two hexadecimal digits";
	add_path(out, slice_first(rest, path));
	for (size_t i = path; i < rest.n; i++) {
		unsigned char c = (unsigned char)rest.p[i];

		if (c <= 0x20 || c >= 0x7f || c == '#')
			add_escape(out, c);
		else
			str_add_char(out, (char)c);
	}
	return NULL;
}
