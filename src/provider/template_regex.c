#include "core/regex.h"
#include "provider/template_private.h"

/* sprig's functions on regular expressions. */

/* regexMatch alone takes a bad expression for one that does not match. */
static bool compile(struct template_call *c, size_t index, struct regex **re)
{
	struct weir_error e = {0};

	if (regex_compile(c->args[index].text, NULL, re, &e) == 0)
		return true;
	return template_call_fail(c, "%s", e.text);
}

static bool call_match(struct template_call *c)
{
	struct regex *re = NULL;
	bool matches = regex_compile(c->args[0].text, NULL, &re, NULL) == 0 &&
		       regex_matches(re, c->args[1].text);

	regex_free(&re);
	c->result = value_bool(matches);
	return true;
}

static bool call_must_match(struct template_call *c)
{
	struct regex *re = NULL;

	if (!compile(c, 0, &re))
		return false;
	c->result = value_bool(regex_matches(re, c->args[1].text));
	regex_free(&re);
	return true;
}

static bool call_find(struct template_call *c)
{
	struct regex *re = NULL;
	slice found;

	if (!compile(c, 0, &re))
		return false;
	if (!regex_find(re, c->args[1].text, &found, 1))
		found = SLICE("");
	regex_free(&re);
	c->result = value_text(found);
	return true;
}

static bool call_replace_all(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	struct regex *re = NULL;

	if (!compile(c, 0, &re))
		return false;
	(void)regex_replace(re, c->args[1].text, c->args[2].text, &out);
	regex_free(&re);
	return template_return_text(c, &out);
}

/* `$` is doubled, so that expansion gives the text back. */
static bool call_replace_literal(struct template_call *c)
{
	struct str out = template_scratch(c->run), literal = template_scratch(c->run);
	struct regex *re = NULL;
	slice s = c->args[2].text;

	if (!compile(c, 0, &re))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '$')
			str_add_char(&literal, '$');
		str_add_char(&literal, s.p[i]);
	}
	(void)regex_replace(re, c->args[1].text, str_slice(&literal), &out);
	out.failed |= literal.failed;
	str_free(&literal);
	regex_free(&re);
	return template_return_text(c, &out);
}

static bool call_quote_meta(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice s = c->args[0].text;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\0' && strchr("\\.+*?()|[]{}^$", s.p[i]) != NULL)
			str_add_char(&out, '\\');
		str_add_char(&out, s.p[i]);
	}
	return template_return_text(c, &out);
}

const struct template_function template_regex_functions[] = {
	{"regexMatch", "ss", call_match},
	{"mustRegexMatch", "ss", call_must_match},
	{"regexFind", "ss", call_find},
	{"mustRegexFind", "ss", call_find},
	{"regexReplaceAll", "sss", call_replace_all},
	{"mustRegexReplaceAll", "sss", call_replace_all},
	{"regexReplaceAllLiteral", "sss", call_replace_literal},
	{"mustRegexReplaceAllLiteral", "sss", call_replace_literal},
	{"regexQuoteMeta", "s", call_quote_meta},
	{"regexFindAll", "ssi", NULL},
	{"mustRegexFindAll", "ssi", NULL},
	{"regexSplit", "ssi", NULL},
	{"mustRegexSplit", "ssi", NULL},
	{NULL, NULL, NULL},
};
