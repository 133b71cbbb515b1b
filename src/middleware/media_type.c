#include "middleware/media_type.h"

#include <errno.h>

#include "http/fields.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static slice skip_spaces(slice s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = slice_from_at(s, 1);
	return s;
}

static slice trim(slice s)
{
	s = skip_spaces(s);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

static slice lowered(struct arena *a, slice s)
{
	char *to = arena_alloc(a, s.n + 1);

	for (size_t i = 0; to != NULL && i < s.n; i++)
		to[i] = ascii_lower(s.p[i]);
	return (slice){to, to != NULL ? s.n : 0};
}

static slice token_of(slice s)
{
	size_t n = 0;

	while (n < s.n && field_is_token(slice_of(s.p + n, 1)))
		n++;
	return slice_first(s, n);
}

static int check_name(slice name, struct weir_error *e)
{
	slice first = token_of(name), rest = slice_from_at(name, first.n);

	if (first.n == 0)
		return error_set(e, -EINVAL, "mime: no media type");
	if (rest.n == 0)
		return 0;
	if (rest.p[0] != '/')
		return error_set(e, -EINVAL, "mime: expected slash after first token");
	rest = slice_from_at(rest, 1);
	first = token_of(rest);
	if (first.n == 0)
		return error_set(e, -EINVAL, "mime: expected token after slash");
	if (first.n < rest.n)
		return error_set(e, -EINVAL, "mime: unexpected content after media subtype");
	return 0;
}

/* A quoted string; `*rest` moves behind it. `p` is NULL if there is none, or no memory. */
static slice unquote(struct arena *a, slice *rest)
{
	char *to = arena_alloc(a, rest->n + 1);
	size_t n = 0;

	for (size_t i = 1; to != NULL && i < rest->n; i++) {
		char c = rest->p[i];

		if (c == '"') {
			*rest = slice_from_at(*rest, i + 1);
			return slice_of(to, n);
		}
		if (c == '\r' || c == '\n')
			break;
		if (c == '\\' && i + 1 < rest->n && !is_space(rest->p[i + 1]) &&
		    !field_is_token(slice_of(rest->p + i + 1, 1)))
			c = rest->p[++i];
		to[n++] = c;
	}
	return (slice){NULL, 0};
}

/* One "; name=value". Returns false if there is none at the beginning of `*rest`. */
static bool take_parameter(struct arena *a, slice *rest, struct media_parameter *p)
{
	slice s = skip_spaces(*rest), token;

	if (s.n == 0 || s.p[0] != ';')
		return false;
	s = skip_spaces(slice_from_at(s, 1));
	token = token_of(s);
	p->name = lowered(a, token);
	s = skip_spaces(slice_from_at(s, token.n));
	if (token.n == 0 || p->name.p == NULL || s.n == 0 || s.p[0] != '=')
		return false;
	s = skip_spaces(slice_from_at(s, 1));
	if (s.n > 0 && s.p[0] == '"') {
		p->value = unquote(a, &s);
		if (p->value.p == NULL)
			return false;
	} else {
		p->value = token_of(s);
		if (p->value.n == 0)
			return false;
		s = slice_from_at(s, p->value.n);
	}
	*rest = s;
	return true;
}

static bool is_repeated(const struct media_type *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (slice_equal(t->parameters[i].name, t->parameters[t->count].name))
			return true;
	}
	return false;
}

int media_type_parse(struct arena *a, slice text, struct media_type *t, struct weir_error *e)
{
	slice rest, name = trim(slice_first(text, slice_find(text, ';')));
	int r = check_name(name, e);

	*t = (struct media_type){.name = {"", 0}};
	if (r < 0)
		return r;
	t->name = lowered(a, name);
	if (t->name.p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	rest = slice_from_at(text, slice_find(text, ';'));
	for (rest = skip_spaces(rest); rest.n > 0; rest = skip_spaces(rest)) {
		if (t->count == MEDIA_PARAMETERS)
			return error_set(e, -E2BIG, "more than %u parameters", MEDIA_PARAMETERS);
		if (!take_parameter(a, &rest, &t->parameters[t->count])) {
			/* A semicolon at the end is forgiven. */
			if (slice_equal(trim(rest), SLICE(";")))
				return 0;
			return error_set(e, -EINVAL, "mime: invalid media parameter");
		}
		if (is_repeated(t))
			return error_set(e, -EINVAL, "mime: duplicate parameter name");
		t->count++;
	}
	return 0;
}
