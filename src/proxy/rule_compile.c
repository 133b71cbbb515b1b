#include <errno.h>
#include <stdio.h>

#include "core/base.h"
#include "proxy/rule_match.h"

/* X(NAME, "Name", arguments at least, arguments at most) */
#define MATCHERS(X) \
	X(CLIENT_IP, "ClientIP", 1, 1) \
	X(METHOD, "Method", 1, 1) \
	X(HOST, "Host", 1, 1) \
	X(HOST_REGEXP, "HostRegexp", 1, 1) \
	X(PATH, "Path", 1, 1) \
	X(PATH_REGEXP, "PathRegexp", 1, 1) \
	X(PATH_PREFIX, "PathPrefix", 1, 1) \
	X(HEADER, "Header", 2, 2) \
	X(HEADER_REGEXP, "HeaderRegexp", 2, 2) \
	X(QUERY, "Query", 1, 2) \
	X(QUERY_REGEXP, "QueryRegexp", 1, 2)

enum matcher {
#define X(id, name, least, most) MATCHER_##id,
	MATCHERS(X)
#undef X
};

const slice rule_names_v3[] = {
#define X(id, name, least, most) {name, sizeof name - 1},
	MATCHERS(X)
#undef X
};
const size_t rule_names_v3_count = ARRAY_LEN(rule_names_v3);

static const struct {
	size_t least;
	size_t most;
} arguments[] = {
#define X(id, name, least, most) {least, most},
	MATCHERS(X)
#undef X
};

const char *rule_quote(slice s, char *to, size_t to_bytes)
{
	static const char escapes[] = "abtnvfr";
	size_t n = 0;

	to[n++] = '"';
	for (size_t i = 0; i < s.n && n + 6 < to_bytes; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			n += (size_t)sprintf(to + n, "\\%c", c);
		else if (c >= '\a' && c <= '\r')
			n += (size_t)sprintf(to + n, "\\%c", escapes[c - '\a']);
		else if (c < ' ' || c == 0x7f)
			n += (size_t)sprintf(to + n, "\\x%02x", c);
		else
			to[n++] = (char)c;
	}
	to[n++] = '"';
	to[n] = '\0';
	return to;
}

#define QUOTED_BYTES 512

static bool is_ascii(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	}
	return true;
}

slice rule_copy_case(struct rule *rule, slice s, char (*change)(char))
{
	slice copy = arena_copy(&rule->arena, s);

	if (copy.p == NULL)
		return copy;
	for (size_t i = 0; i < copy.n; i++)
		((char *)(uintptr_t)copy.p)[i] = change(copy.p[i]);
	return copy;
}

static int check_ascii(slice value, const char *who, struct weir_error *e)
{
	char quoted[QUOTED_BYTES];

	if (is_ascii(value))
		return 0;
	return error_set(e, -EINVAL,
			 "invalid value %s for %s matcher, non-ASCII characters are not allowed",
			 rule_quote(value, quoted, sizeof quoted), who);
}

static int compile_regexp(struct rule *rule, struct rule_leaf *leaf, slice pattern, const char *who,
			  struct weir_error *e)
{
	int r = rule_set_regex(rule, leaf, pattern, e);

	if (r < 0)
		error_prefix(e, "compiling %s matcher: ", who);
	return r;
}

static int compile_host(struct rule *rule, struct rule_leaf *leaf, slice value,
			struct weir_error *e)
{
	int r = check_ascii(value, "Host", e);

	if (r < 0)
		return r;
	leaf->test = slice_equal(value, SLICE("*")) ? RULE_TEST_ALWAYS : RULE_TEST_HOST;
	leaf->value = rule_copy_case(rule, value, ascii_lower);
	return leaf->value.p != NULL ? 0 : error_set(e, -ENOMEM, "out of memory");
}

/*
 * Traefik also tries the expression on the flattened name, which is empty without CNAME flattening:
 * an expression that matches the empty string matches every host.
 */
static int compile_host_regexp(struct rule *rule, struct rule_leaf *leaf, slice value,
			       struct weir_error *e)
{
	int r = check_ascii(value, "HostRegexp", e);

	if (r == 0)
		r = compile_regexp(rule, leaf, value, "HostRegexp", e);
	if (r < 0)
		return r;
	leaf->test =
		regex_matches(leaf->regex, SLICE("")) ? RULE_TEST_ALWAYS : RULE_TEST_HOST_REGEXP;
	return 0;
}

static int compile_path(struct rule_leaf *leaf, enum rule_test test, slice value,
			struct weir_error *e)
{
	char quoted[QUOTED_BYTES];

	leaf->test = test;
	leaf->value = value;
	if (value.p[0] == '/')
		return 0;
	return error_set(e, -EINVAL, "path %s does not start with a '/'",
			 rule_quote(value, quoted, sizeof quoted));
}

static int compile_client_ip(struct rule_leaf *leaf, slice value, struct weir_error *e)
{
	int r = address_set_new(&value, 1, &leaf->addresses, e);

	leaf->test = RULE_TEST_CLIENT_IP;
	if (r < 0)
		error_prefix(e, "initializing IP checker for ClientIP matcher: ");
	return r;
}

static int compile_pair(struct rule *rule, struct rule_leaf *leaf, const struct rule_node *node,
			struct weir_error *e)
{
	bool has_value = node->value_count == 2;

	leaf->name = node->values[0];
	leaf->value = has_value ? node->values[1] : SLICE("");
	leaf->field = field_id_of(leaf->name);
	switch ((enum matcher)node->matcher) {
	case MATCHER_HEADER:
		leaf->test = RULE_TEST_HEADER;
		return 0;
	case MATCHER_HEADER_REGEXP:
		leaf->test = RULE_TEST_HEADER_REGEXP;
		return compile_regexp(rule, leaf, leaf->value, "HeaderRegexp", e);
	case MATCHER_QUERY_REGEXP:
		if (has_value) {
			leaf->test = RULE_TEST_QUERY_REGEXP;
			return compile_regexp(rule, leaf, leaf->value, "QueryRegexp", e);
		}
		/* fall through */
	default:
		leaf->test = RULE_TEST_QUERY;
		return 0;
	}
}

static int check_count(const struct rule_node *node, struct weir_error *e)
{
	size_t least = arguments[node->matcher].least, most = arguments[node->matcher].most;

	if (node->value_count >= least && node->value_count <= most)
		return 0;
	if (least == most)
		return error_set(e, -EINVAL,
				 "unexpected number of parameters; got %zu, expected one of [%zu]",
				 node->value_count, least);
	return error_set(e, -EINVAL,
			 "unexpected number of parameters; got %zu, expected one of [%zu %zu]",
			 node->value_count, least, most);
}

int rule_compile_v3(struct rule *rule, const struct rule_node *node, struct rule_targets targets,
		    struct weir_error *e)
{
	struct rule_leaf *leaf;
	slice value = node->values[0];
	int r = check_count(node, e);

	if (r < 0)
		return r;
	leaf = rule_add_leaf(rule, RULE_TEST_ALWAYS, targets, e);
	if (leaf == NULL)
		return -ENOMEM;
	switch ((enum matcher)node->matcher) {
	case MATCHER_CLIENT_IP:
		return compile_client_ip(leaf, value, e);
	case MATCHER_METHOD:
		leaf->test = RULE_TEST_METHOD;
		leaf->value = rule_copy_case(rule, value, ascii_upper);
		return leaf->value.p != NULL ? 0 : error_set(e, -ENOMEM, "out of memory");
	case MATCHER_HOST:
		return compile_host(rule, leaf, value, e);
	case MATCHER_HOST_REGEXP:
		return compile_host_regexp(rule, leaf, value, e);
	case MATCHER_PATH:
		return compile_path(leaf, RULE_TEST_PATH, value, e);
	case MATCHER_PATH_PREFIX:
		return compile_path(leaf, RULE_TEST_PATH_PREFIX, value, e);
	case MATCHER_PATH_REGEXP:
		leaf->test = RULE_TEST_PATH_REGEXP;
		return compile_regexp(rule, leaf, value, "PathPrefix", e); /* Traefik's own slip */
	default:
		return compile_pair(rule, leaf, node, e);
	}
}

struct required {
	slice *values;
	size_t count; /* 0: nothing is required */
	size_t max;
};

/* `is_host`: hosts are asked for, else path prefixes. */
static void require_leaf(const struct rule *rule, const struct rule_node *node, bool is_host,
			 struct required *out)
{
	bool v3 = rule->syntax == RULE_V3;
	bool wanted;

	out->count = 0;
	if (is_host)
		wanted = slice_equal((v3 ? rule_names_v3 : rule_names_v2)[node->matcher],
				     SLICE("Host"));
	else
		wanted = v3 &&
			 (node->matcher == MATCHER_PATH || node->matcher == MATCHER_PATH_PREFIX);
	if (node->negated || !wanted || node->value_count > out->max)
		return;
	for (size_t i = 0; i < node->value_count; i++) {
		slice value = node->values[i];

		if (is_host && value.p[0] == '*' && (value.n < 3 || value.p[1] != '.')) {
			out->count = 0;
			return;
		}
		out->values[out->count++] = value;
	}
}

/*
 * Both sides of an "and" are required, so that the smaller set serves; an "or" needs one of either.
 * Sets are stacked in one array: the left one first.
 */
static void require(const struct rule *rule, const struct rule_node *node, bool is_host,
		    struct required *out)
{
	struct required right;

	if (node->kind == RULE_MATCHER) {
		require_leaf(rule, node, is_host, out);
		return;
	}
	require(rule, node->left, is_host, out);
	if (node->kind == RULE_OR && out->count == 0)
		return;
	right = (struct required){out->values + out->count, 0, out->max - out->count};
	require(rule, node->right, is_host, &right);
	if (node->kind == RULE_OR) {
		out->count = right.count > 0 ? out->count + right.count : 0;
	} else if (out->count == 0 || (right.count > 0 && right.count < out->count)) {
		memmove(out->values, right.values, right.count * sizeof *right.values);
		out->count = right.count;
	}
}

size_t rule_required_hosts(const struct rule *rule, slice *hosts, size_t max)
{
	struct required out = {hosts, 0, max};

	require(rule, rule->root, true, &out);
	return out.count;
}

size_t rule_required_prefixes(const struct rule *rule, slice *prefixes, size_t max)
{
	struct required out = {prefixes, 0, max};

	require(rule, rule->root, false, &out);
	return out.count;
}
