#include "proxy/rule_match.h"

#include "core/base.h"
#include "proxy/rule_query.h"

/* `pattern` is exact or starts with "*" for the first label. */
static bool host_covers(slice pattern, slice host)
{
	if (pattern.n == 0 || pattern.p[0] != '*')
		return slice_equal(pattern, host);
	return slice_equal(slice_from_at(pattern, 1), slice_from_at(host, slice_find(host, '.')));
}

static slice without_last(slice s)
{
	return slice_first(s, s.n - 1);
}

/* A final dot on either side makes no difference. */
static bool host_matches(slice pattern, slice host, bool (*covers)(slice pattern, slice host))
{
	if (host.n == 0)
		return false;
	if (covers(pattern, host))
		return true;
	if (slice_ends(pattern, SLICE(".")) && covers(without_last(pattern), host))
		return true;
	return slice_ends(host, SLICE(".")) && covers(pattern, without_last(host));
}

static bool is_named(const struct rule_leaf *leaf, const struct field *f)
{
	if (leaf->field != FIELD_OTHER)
		return f->id == leaf->field;
	return f->id == FIELD_OTHER && slice_equal_nocase(f->name, leaf->name);
}

/* Go moves these out of the header map before Traefik looks at it. */
static bool is_hidden(enum field_id id)
{
	return id == FIELD_HOST || id == FIELD_TRANSFER_ENCODING || id == FIELD_TRAILER;
}

static bool test_header(const struct rule_leaf *leaf, const struct fields *fields)
{
	if (is_hidden(leaf->field))
		return false;
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *f = &fields->list[i];

		if (!is_named(leaf, f))
			continue;
		if (leaf->test == RULE_TEST_HEADER ? slice_equal(f->value, leaf->value)
						   : regex_matches(leaf->regex, f->value))
			return true;
	}
	return false;
}

/* The decoded form of a query value; sets `in->failed` and returns false if the arena is full. */
static bool decoded(struct rule_input *in, slice *value)
{
	if (!rule_query_is_encoded(*value))
		return true;
	if (in->scratch == NULL)
		in->scratch = arena_alloc(in->arena, in->request->query.n);
	if (in->scratch == NULL) {
		in->failed = true;
		return false;
	}
	*value = rule_query_decode(*value, in->scratch);
	return true;
}

static bool test_query(const struct rule_leaf *leaf, struct rule_input *in)
{
	slice rest = rule_query_begin(in->request->query);
	struct rule_query_pair pair;

	while (rule_query_next(&rest, &pair)) {
		if (!rule_query_equal(pair.key, leaf->name))
			continue;
		if (leaf->test == RULE_TEST_QUERY) {
			if (rule_query_equal(pair.value, leaf->value))
				return true;
		} else if (!decoded(in, &pair.value)) {
			return false;
		} else if (regex_matches(leaf->regex, pair.value)) {
			return true;
		} else if (leaf->test == RULE_TEST_QUERY_FIRST) {
			return false;
		}
	}
	return false;
}

static bool test(const struct rule_leaf *leaf, struct rule_input *in)
{
	switch (leaf->test) {
	case RULE_TEST_ALWAYS:
		return true;
	case RULE_TEST_CLIENT_IP:
		return address_set_has_peer(leaf->addresses, in->peer);
	case RULE_TEST_METHOD:
		return slice_equal(leaf->value, in->request->method);
	case RULE_TEST_HOST:
		return host_matches(leaf->value, in->host, host_covers);
	case RULE_TEST_HOST_EXACT:
		return host_matches(leaf->value, in->host, slice_equal);
	case RULE_TEST_HOST_REGEXP:
		return regex_matches(leaf->regex, in->host);
	case RULE_TEST_PATH:
		return slice_equal(leaf->value, in->path);
	case RULE_TEST_PATH_PREFIX:
		return slice_starts(in->path, leaf->value);
	case RULE_TEST_PATH_REGEXP:
		return regex_matches(leaf->regex, in->path);
	case RULE_TEST_HEADER:
	case RULE_TEST_HEADER_REGEXP:
		return test_header(leaf, &in->request->fields);
	case RULE_TEST_QUERY:
	case RULE_TEST_QUERY_REGEXP:
	case RULE_TEST_QUERY_FIRST:
		return test_query(leaf, in);
	}
	must_not_reach("a leaf without test");
}

bool rule_matches(const struct rule *rule, struct rule_input *in)
{
	uint32_t at = 0;

	OBJ_CHECK(rule, RULE_MAGIC);
	while (at < RULE_NO) {
		const struct rule_leaf *leaf = &rule->leaves[at];

		at = test(leaf, in) ? leaf->if_true : leaf->if_false;
	}
	return at == RULE_YES;
}
