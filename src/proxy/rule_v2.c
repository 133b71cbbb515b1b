#include <errno.h>

#include "core/base.h"
#include "proxy/rule_match.h"

#define MATCHERS(X) \
	X(HOST, "Host") \
	X(HOST_HEADER, "HostHeader") \
	X(HOST_REGEXP, "HostRegexp") \
	X(CLIENT_IP, "ClientIP") \
	X(PATH, "Path") \
	X(PATH_PREFIX, "PathPrefix") \
	X(METHOD, "Method") \
	X(HEADERS, "Headers") \
	X(HEADERS_REGEXP, "HeadersRegexp") \
	X(QUERY, "Query")

enum matcher {
#define X(id, name) MATCHER_##id,
	MATCHERS(X)
#undef X
};

const slice rule_names_v2[] = {
#define X(id, name) {name, sizeof name - 1},
	MATCHERS(X)
#undef X
};
const size_t rule_names_v2_count = ARRAY_LEN(rule_names_v2);

/* One test of a matcher that has several; the leaf is there and goes where it has to go. */
typedef int compile_one(struct rule *rule, struct rule_leaf *leaf, const slice *values,
			struct weir_error *e);

static int fail_quoted(struct weir_error *e, const char *format, slice text)
{
	char quoted[512];

	return error_set(e, -EINVAL, format, rule_quote(text, quoted, sizeof quoted));
}

static int fail_memory(struct weir_error *e)
{
	return error_set(e, -ENOMEM, "out of memory");
}

static void add_literal(struct str *pattern, slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (strchr("\\.+*?()|[]{}^$", text.p[i]) != NULL && text.p[i] != '\0')
			str_add_char(pattern, '\\');
		str_add_char(pattern, text.p[i]);
	}
}

/* Length of the braced part at the front of `s`, or 0 if its braces do not close. */
static size_t braced(slice s)
{
	size_t level = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '{')
			level++;
		else if (s.p[i] == '}' && --level == 0)
			return i + 1;
	}
	return 0;
}

/* The expression inside braces has to be one by itself. */
static int check_part(const struct rule *rule, slice part, struct weir_error *e)
{
	struct rule_leaf alone = {0};
	struct str anchored = {0};
	int r;

	str_format(&anchored, "^%.*s$", SLICE_ARG(part));
	r = anchored.failed ? fail_memory(e)
			    : rule_set_regex(rule, &alone, str_slice(&anchored), e);
	str_free(&anchored);
	regex_free(&alone.regex);
	return r;
}

/* gorilla/mux templates: `{name}` or `{name:expression}` between literal text. */
static int add_template(const struct rule *rule, slice template_text, const char *any,
			struct str *pattern, struct weir_error *e)
{
	slice rest = template_text;

	while (rest.n > 0) {
		size_t open = slice_find(rest, '{'), close = slice_find(rest, '}'), colon, n;
		slice inner, part = slice_from(any);
		int r;

		if (close < open || (open < rest.n && braced(slice_from_at(rest, open)) == 0))
			return fail_quoted(e, "mux: unbalanced braces in %s", template_text);
		add_literal(pattern, slice_first(rest, open));
		rest = slice_from_at(rest, open);
		if (rest.n == 0)
			break;
		n = braced(rest);
		inner = slice_of(rest.p + 1, n - 2);
		colon = slice_find(inner, ':');
		if (colon < inner.n)
			part = slice_from_at(inner, colon + 1);
		if (colon == 0 || part.n == 0)
			return fail_quoted(e, "mux: missing name or pattern in %s",
					   slice_first(rest, n));
		r = check_part(rule, part, e);
		if (r < 0)
			return r;
		str_format(pattern, "(?:%.*s)", SLICE_ARG(part));
		rest = slice_from_at(rest, n);
	}
	return 0;
}

static int compile_template(const struct rule *rule, struct rule_leaf *leaf, slice template_text,
			    const char *any, const char *start, const char *end,
			    struct weir_error *e)
{
	struct str pattern = {0};
	int r;

	str_add(&pattern, slice_from(start));
	r = add_template(rule, template_text, any, &pattern, e);
	str_add(&pattern, slice_from(end));
	if (r == 0)
		r = pattern.failed ? fail_memory(e)
				   : rule_set_regex(rule, leaf, str_slice(&pattern), e);
	str_free(&pattern);
	return r;
}

static bool is_ascii(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	}
	return true;
}

static int compile_host(struct rule *rule, struct rule_leaf *leaf, const slice *values,
			struct weir_error *e)
{
	if (!is_ascii(*values))
		return fail_quoted(e,
				   "invalid value %s for \"Host\" matcher, non-ASCII characters "
				   "are not allowed",
				   *values);
	leaf->test = RULE_TEST_HOST_EXACT;
	leaf->value = rule_copy_case(rule, *values, ascii_lower);
	return leaf->value.p != NULL ? 0 : fail_memory(e);
}

static int compile_host_regexp(struct rule *rule, struct rule_leaf *leaf, const slice *values,
			       struct weir_error *e)
{
	if (!is_ascii(*values))
		return fail_quoted(e,
				   "invalid value %s for HostRegexp matcher, non-ASCII characters "
				   "are not allowed",
				   *values);
	leaf->test = RULE_TEST_HOST_REGEXP;
	return compile_template(rule, leaf, *values, "[^.]+", "(?i)^", "$", e);
}

static int compile_any_path(struct rule *rule, struct rule_leaf *leaf, slice value, bool is_prefix,
			    struct weir_error *e)
{
	if (value.p[0] != '/')
		return fail_quoted(e, "mux: path must start with a slash, got %s", value);
	leaf->value = value;
	leaf->test = is_prefix ? RULE_TEST_PATH_PREFIX : RULE_TEST_PATH;
	if (slice_find(value, '{') == value.n && slice_find(value, '}') == value.n)
		return 0;
	leaf->test = RULE_TEST_PATH_REGEXP;
	return compile_template(rule, leaf, value, "[^/]+", "^", is_prefix ? "" : "$", e);
}

static int compile_path(struct rule *rule, struct rule_leaf *leaf, const slice *values,
			struct weir_error *e)
{
	return compile_any_path(rule, leaf, *values, false, e);
}

static int compile_path_prefix(struct rule *rule, struct rule_leaf *leaf, const slice *values,
			       struct weir_error *e)
{
	return compile_any_path(rule, leaf, *values, true, e);
}

static int compile_method(struct rule *rule, struct rule_leaf *leaf, const slice *values,
			  struct weir_error *e)
{
	leaf->test = RULE_TEST_METHOD;
	leaf->value = rule_copy_case(rule, *values, ascii_upper);
	return leaf->value.p != NULL ? 0 : fail_memory(e);
}

static int compile_header(struct rule *rule, struct rule_leaf *leaf, const slice *values,
			  struct weir_error *e)
{
	(void)rule;
	(void)e;
	leaf->test = RULE_TEST_HEADER;
	leaf->name = values[0];
	leaf->field = field_id_of(values[0]);
	leaf->value = values[1];
	return 0;
}

static int compile_header_regexp(struct rule *rule, struct rule_leaf *leaf, const slice *values,
				 struct weir_error *e)
{
	(void)compile_header(rule, leaf, values, e);
	leaf->test = RULE_TEST_HEADER_REGEXP;
	return rule_set_regex(rule, leaf, values[1], e);
}

/* Traefik looks up the key as it is written, so that one with braces is never there. */
static int compile_query(struct rule *rule, struct rule_leaf *leaf, const slice *values,
			 struct weir_error *e)
{
	leaf->test = RULE_TEST_QUERY_FIRST;
	leaf->name = values[0];
	return compile_template(rule, leaf, values[1], ".*", "^", values[1].n > 0 ? "$" : ".*$", e);
}

/* One leaf for every `step` values: with `all` every one has to hold, else any of them. */
static int compile_values(struct rule *rule, const slice *values, size_t count, size_t step,
			  bool all, compile_one *one, struct rule_targets targets,
			  struct weir_error *e)
{
	for (size_t i = 0; i < count; i += step) {
		uint32_t label = rule_new_label(rule), from = rule->leaf_count;
		struct rule_targets own = targets;
		struct rule_leaf *leaf;
		int r;

		if (i + step < count && all)
			own.if_true = label;
		else if (i + step < count)
			own.if_false = label;
		leaf = rule_add_leaf(rule, RULE_TEST_ALWAYS, own, e);
		if (leaf == NULL)
			return -ENOMEM;
		r = one(rule, leaf, values + i, e);
		if (r < 0)
			return r;
		rule_place_label(rule, label, from);
	}
	return 0;
}

static int fail_odd(struct rule *rule, const slice *values, size_t count, struct weir_error *e)
{
	slice all = {NULL, 0};

	for (size_t i = 0; i < count && (i == 0 || all.p != NULL); i++)
		all = arena_format(&rule->arena, "%.*s%s%.*s", SLICE_ARG(all), i > 0 ? " " : "",
				   SLICE_ARG(values[i]));
	return error_set(e, -EINVAL, "mux: number of parameters must be multiple of 2, got [%.*s]",
			 SLICE_ARG(all));
}

/* Keys and values: `key=value` arguments are cut at the "=". */
static int compile_queries(struct rule *rule, const struct rule_node *node,
			   struct rule_targets targets, struct weir_error *e)
{
	slice *parts = ARENA_ARRAY(&rule->arena, slice, node->value_count * 2);
	size_t count = 0;

	if (parts == NULL)
		return fail_memory(e);
	for (size_t i = 0; i < node->value_count; i++) {
		size_t equals = slice_find(node->values[i], '=');

		parts[count++] = slice_first(node->values[i], equals);
		if (equals < node->values[i].n)
			parts[count++] = slice_from_at(node->values[i], equals + 1);
	}
	if (count % 2 != 0)
		return fail_odd(rule, parts, count, e);
	return compile_values(rule, parts, count, 2, true, compile_query, targets, e);
}

static int compile_client_ip(struct rule *rule, const struct rule_node *node,
			     struct rule_targets targets, struct weir_error *e)
{
	struct rule_leaf *leaf = rule_add_leaf(rule, RULE_TEST_CLIENT_IP, targets, e);
	int r;

	if (leaf == NULL)
		return -ENOMEM;
	r = address_set_new(node->values, node->value_count, &leaf->addresses, e);
	if (r < 0)
		error_prefix(e, "could not initialize IP Checker for \"ClientIP\" matcher: ");
	return r;
}

int rule_compile_v2(struct rule *rule, const struct rule_node *node, struct rule_targets targets,
		    struct weir_error *e)
{
	static compile_one *const by_value[] = {
		[MATCHER_HOST] = compile_host,
		[MATCHER_HOST_HEADER] = compile_host,
		[MATCHER_HOST_REGEXP] = compile_host_regexp,
		[MATCHER_PATH] = compile_path,
		[MATCHER_PATH_PREFIX] = compile_path_prefix,
		[MATCHER_METHOD] = compile_method,
	};
	enum matcher matcher = (enum matcher)node->matcher;

	switch (matcher) {
	case MATCHER_CLIENT_IP:
		return compile_client_ip(rule, node, targets, e);
	case MATCHER_QUERY:
		return compile_queries(rule, node, targets, e);
	case MATCHER_HEADERS:
	case MATCHER_HEADERS_REGEXP:
		if (node->value_count % 2 != 0)
			return fail_odd(rule, node->values, node->value_count, e);
		return compile_values(rule, node->values, node->value_count, 2, true,
				      matcher == MATCHER_HEADERS ? compile_header
								 : compile_header_regexp,
				      targets, e);
	default:
		return compile_values(rule, node->values, node->value_count, 1, false,
				      by_value[matcher], targets, e);
	}
}
