#include <stdio.h>
#include <stdlib.h>

#include "core/base64.h"
#include "core/sha256.h"
#include "provider/template_private.h"

/* sprig's defaults, types, environment, encodings and paths; and the names of what is left out. */

static bool call_default(struct template_call *c)
{
	c->result = c->count > 1 && template_truth(&c->args[1]) ? c->args[1] : c->args[0];
	return true;
}

static bool call_empty(struct template_call *c)
{
	c->result = value_bool(!template_truth(&c->args[0]));
	return true;
}

static bool call_coalesce(struct template_call *c)
{
	c->result = value_nil();
	for (size_t i = 0; i < c->count; i++) {
		if (template_truth(&c->args[i])) {
			c->result = c->args[i];
			return true;
		}
	}
	return true;
}

static bool call_all(struct template_call *c)
{
	c->result = value_bool(true);
	for (size_t i = 0; i < c->count; i++)
		if (!template_truth(&c->args[i]))
			c->result = value_bool(false);
	return true;
}

static bool call_any(struct template_call *c)
{
	c->result = value_bool(false);
	for (size_t i = 0; i < c->count; i++)
		if (template_truth(&c->args[i]))
			c->result = value_bool(true);
	return true;
}

static bool call_ternary(struct template_call *c)
{
	c->result = c->args[c->args[2].boolean ? 0 : 1];
	return true;
}

static bool call_fail(struct template_call *c)
{
	return template_call_fail(c, "%.*s", SLICE_ARG(c->args[0].text));
}

static bool call_to_string(struct template_call *c)
{
	c->result.type = TYPE_STRING;
	return template_to_text(c->run, c->offset, &c->args[0], &c->result.text);
}

static bool call_type_of(struct template_call *c)
{
	c->result = value_text(slice_from(template_type_name(c->args[0].type)));
	return true;
}

static bool call_type_is(struct template_call *c)
{
	c->result = value_bool(
		slice_equal(c->args[0].text, slice_from(template_type_name(c->args[1].type))));
	return true;
}

static bool call_kind_of(struct template_call *c)
{
	c->result = value_text(slice_from(template_kind_name(&c->args[0])));
	return true;
}

static bool call_kind_is(struct template_call *c)
{
	c->result = value_bool(
		slice_equal(c->args[0].text, slice_from(template_kind_name(&c->args[1]))));
	return true;
}

static bool call_deep_equal(struct template_call *c)
{
	c->result = value_bool(template_deep_equal(c->run, &c->args[0], &c->args[1]));
	return true;
}

/* "" if it is not set, as os.Getenv. */
static slice variable(const struct template_call *c, slice name)
{
	const char *(*get)(const char *) = c->run->input->getenv;
	char *copy = slice_dup(name);
	const char *value = NULL;

	if (copy != NULL)
		value = get != NULL ? get(copy) : getenv(copy);
	free(copy);
	return slice_from(value != NULL ? value : "");
}

static bool call_env(struct template_call *c)
{
	c->result.type = TYPE_STRING;
	c->result.text = arena_copy(&c->run->arena, variable(c, c->args[0].text));
	return c->result.text.p != NULL || template_fail_memory(c->run, c->offset);
}

static bool is_name_char(char b)
{
	char lower = ascii_lower(b);

	return b == '_' || ascii_digit(b) || (lower >= 'a' && lower <= 'z');
}

/* The name after a `$`; returns what to skip. As os.Expand: "${" without end eats the two bytes. */
static size_t expand_name(slice s, slice *name)
{
	size_t n = 0;

	*name = (slice){0};
	if (s.n == 0)
		return 0;
	if (s.p[0] == '{') {
		n = slice_find(s, '}');
		if (n == s.n)
			return 1;
		*name = slice_of(s.p + 1, n - 1);
		return n + 1;
	}
	if (strchr("*#$@!?-", s.p[0]) != NULL || ascii_digit(s.p[0])) {
		*name = slice_first(s, 1);
		return 1;
	}
	while (n < s.n && is_name_char(s.p[n]))
		n++;
	*name = slice_first(s, n);
	return n;
}

static bool call_expandenv(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice s = c->args[0].text, name;

	while (s.n > 0 && !out.failed) {
		size_t n = slice_find(s, '$');

		str_add(&out, slice_first(s, n));
		if (n == s.n)
			break;
		s = slice_from_at(s, n + 1);
		n = expand_name(s, &name);
		if (n == 0)
			str_add_char(&out, '$');
		else if (name.n > 0)
			str_add(&out, variable(c, name));
		s = slice_from_at(s, n);
	}
	return template_return_text(c, &out);
}

static bool call_b64enc(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice s = c->args[0].text;

	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t group = 0;

		for (size_t j = 0; j < 3; j++)
			group = group << 8 | (i + j < s.n ? (unsigned char)s.p[i + j] : 0);
		for (size_t j = 0; j < 4; j++)
			str_add_char(&out, i + j <= s.n ? base64_digits[group >> (18 - 6 * j) & 63]
							: '=');
	}
	return template_return_text(c, &out);
}

/* Like sprig's, bad input gives the text of the error instead of an error. */
static bool call_b64dec(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice text = c->args[0].text;
	char *to = str_reserve(&out, BASE64_ROOM(text.n));
	size_t n, bad = 0;

	if (to != NULL && base64_decode(text, to, &n, &bad)) {
		str_commit(&out, n);
	} else if (to != NULL) {
		str_format(&out, "illegal base64 data at input byte %zu", bad);
	}
	return template_return_text(c, &out);
}

static bool call_sha256sum(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	unsigned char digest[SHA256_DIGEST_BYTES];
	struct sha256 h;

	sha256_begin(&h);
	sha256_add(&h, c->args[0].text);
	sha256_end(&h, digest);
	for (size_t i = 0; i < sizeof digest; i++)
		str_format(&out, "%02x", digest[i]);
	return template_return_text(c, &out);
}

static bool call_adler32sum(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < c->args[0].text.n; i++) {
		a = (a + (unsigned char)c->args[0].text.p[i]) % 65521;
		b = (b + a) % 65521;
	}
	str_format(&out, "%u", b << 16 | a);
	return template_return_text(c, &out);
}

/* path.Clean */
static void clean_path(struct str *out, slice s)
{
	size_t start = out->n, keep;
	slice part;
	bool rooted = s.n > 0 && s.p[0] == '/';

	if (rooted)
		str_add_char(out, '/');
	keep = out->n;
	while (slice_next(&s, '/', &part) && !out->failed) {
		bool up = slice_equal(part, SLICE(".."));

		if (part.n == 0 || slice_equal(part, SLICE(".")) ||
		    (up && rooted && out->n == keep))
			continue;
		if (up && out->n > keep) {
			while (out->n > keep && out->p[--out->n] != '/')
				;
			continue;
		}
		if (out->n > start + rooted)
			str_add_char(out, '/');
		str_add(out, part);
		if (up)
			keep = out->n;
	}
	if (out->n == start)
		str_add_char(out, '.');
}

static bool call_clean(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	clean_path(&out, c->args[0].text);
	return template_return_text(c, &out);
}

static size_t last_slash(slice s)
{
	size_t n = s.n;

	while (n > 0 && s.p[n - 1] != '/')
		n--;
	return n;
}

static bool call_base(struct template_call *c)
{
	slice s = c->args[0].text;
	bool empty = s.n == 0;

	while (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	c->result = value_text(empty      ? SLICE(".")
			       : s.n == 0 ? SLICE("/")
					  : slice_from_at(s, last_slash(s)));
	return true;
}

static bool call_dir(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	clean_path(&out, slice_first(c->args[0].text, last_slash(c->args[0].text)));
	return template_return_text(c, &out);
}

static bool call_ext(struct template_call *c)
{
	slice s = slice_from_at(c->args[0].text, last_slash(c->args[0].text));
	size_t n = s.n;

	while (n > 0 && s.p[n - 1] != '.')
		n--;
	c->result = value_text(n > 0 ? slice_from_at(s, n - 1) : SLICE(""));
	return true;
}

static bool call_is_abs(struct template_call *c)
{
	c->result = value_bool(slice_starts(c->args[0].text, SLICE("/")));
	return true;
}

static bool call_hello(struct template_call *c)
{
	c->result = value_text(SLICE("Hello!"));
	return true;
}

#define LEFT_OUT(name) \
	{ \
		name, "a*", NULL \
	}

const struct template_function template_other_functions[] = {
	{"default", "aa*", call_default},
	{"empty", "a", call_empty},
	{"coalesce", "a*", call_coalesce},
	{"all", "a*", call_all},
	{"any", "a*", call_any},
	{"ternary", "aab", call_ternary},
	{"fail", "s", call_fail},
	{"toString", "a", call_to_string},
	{"typeOf", "a", call_type_of},
	{"typeIs", "sa", call_type_is},
	{"typeIsLike", "sa", call_type_is},
	{"kindOf", "a", call_kind_of},
	{"kindIs", "sa", call_kind_is},
	{"deepEqual", "aa", call_deep_equal},
	{"env", "s", call_env},
	{"expandenv", "s", call_expandenv},
	{"b64enc", "s", call_b64enc},
	{"b64dec", "s", call_b64dec},
	{"sha256sum", "s", call_sha256sum},
	{"adler32sum", "s", call_adler32sum},
	{"base", "s", call_base},
	{"osBase", "s", call_base},
	{"dir", "s", call_dir},
	{"osDir", "s", call_dir},
	{"clean", "s", call_clean},
	{"osClean", "s", call_clean},
	{"ext", "s", call_ext},
	{"osExt", "s", call_ext},
	{"isAbs", "s", call_is_abs},
	{"osIsAbs", "s", call_is_abs},
	{"hello", "", call_hello},
	LEFT_OUT("ago"),
	LEFT_OUT("date"),
	LEFT_OUT("date_in_zone"),
	LEFT_OUT("date_modify"),
	LEFT_OUT("dateInZone"),
	LEFT_OUT("dateModify"),
	LEFT_OUT("duration"),
	LEFT_OUT("durationRound"),
	LEFT_OUT("htmlDate"),
	LEFT_OUT("htmlDateInZone"),
	LEFT_OUT("must_date_modify"),
	LEFT_OUT("mustDateModify"),
	LEFT_OUT("mustToDate"),
	LEFT_OUT("now"),
	LEFT_OUT("toDate"),
	LEFT_OUT("unixEpoch"),
	LEFT_OUT("sha1sum"),
	LEFT_OUT("b32enc"),
	LEFT_OUT("b32dec"),
	LEFT_OUT("bcrypt"),
	LEFT_OUT("htpasswd"),
	LEFT_OUT("genPrivateKey"),
	LEFT_OUT("derivePassword"),
	LEFT_OUT("buildCustomCert"),
	LEFT_OUT("genCA"),
	LEFT_OUT("genCAWithKey"),
	LEFT_OUT("genSelfSignedCert"),
	LEFT_OUT("genSelfSignedCertWithKey"),
	LEFT_OUT("genSignedCert"),
	LEFT_OUT("genSignedCertWithKey"),
	LEFT_OUT("encryptAES"),
	LEFT_OUT("decryptAES"),
	LEFT_OUT("uuidv4"),
	LEFT_OUT("semver"),
	LEFT_OUT("semverCompare"),
	LEFT_OUT("urlParse"),
	LEFT_OUT("urlJoin"),
	LEFT_OUT("getHostByName"),
	{NULL, NULL, NULL},
};
