#include "proxy/rule.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base.h"
#include "proxy/rule_match.h"

#define LABELS 0x80000000u /* targets from here to RULE_NO are labels */
#define TEXT_DEFAULT_BYTES (64u * 1024)
#define DEPTH_DEFAULT 256
#define MATCHERS_DEFAULT 2048

static const slice *names_of(const struct rule *rule, size_t *count)
{
	*count = rule->syntax == RULE_V2 ? rule_names_v2_count : rule_names_v3_count;
	return rule->syntax == RULE_V2 ? rule_names_v2 : rule_names_v3;
}

struct rule_leaf *rule_add_leaf(struct rule *rule, enum rule_test test, struct rule_targets targets,
				struct weir_error *e)
{
	struct rule_leaf *leaf;

	if (rule->leaf_count == rule->leaf_capacity) {
		uint32_t capacity = rule->leaf_capacity == 0 ? 4 : rule->leaf_capacity * 2;

		leaf = reallocarray(rule->leaves, capacity, sizeof *leaf);
		if (leaf == NULL) {
			(void)error_set(e, -ENOMEM, "out of memory");
			return NULL;
		}
		rule->leaves = leaf;
		rule->leaf_capacity = capacity;
	}
	leaf = &rule->leaves[rule->leaf_count++];
	*leaf = (struct rule_leaf){
		.test = test, .if_true = targets.if_true, .if_false = targets.if_false};
	return leaf;
}

uint32_t rule_new_label(struct rule *rule)
{
	return LABELS + rule->label_count++;
}

void rule_place_label(struct rule *rule, uint32_t label, uint32_t from)
{
	for (uint32_t i = from; i < rule->leaf_count; i++) {
		struct rule_leaf *leaf = &rule->leaves[i];

		if (leaf->if_true == label)
			leaf->if_true = rule->leaf_count;
		if (leaf->if_false == label)
			leaf->if_false = rule->leaf_count;
	}
}

int rule_set_regex(const struct rule *rule, struct rule_leaf *leaf, slice pattern,
		   struct weir_error *e)
{
	struct regex_limits limits = {.memory_bytes = rule->regex_memory_bytes};

	return regex_compile(pattern, &limits, &leaf->regex, e);
}

static int compile_matcher(struct rule *rule, const struct rule_node *node,
			   struct rule_targets targets, struct weir_error *e)
{
	size_t count;
	const slice name = names_of(rule, &count)[node->matcher];
	int r;

	if (node->value_count == 0)
		return error_set(e, -EINVAL,
				 "error while checking rule %.*s: no args for matcher %.*s",
				 SLICE_ARG(name), SLICE_ARG(name));
	for (size_t i = 0; i < node->value_count; i++) {
		slice all = {NULL, 0};

		if (node->values[i].n > 0)
			continue;
		for (size_t j = 0; j < node->value_count && (j == 0 || all.p != NULL); j++)
			all = arena_format(&rule->arena, "%.*s%s%.*s", SLICE_ARG(all),
					   j > 0 ? " " : "", SLICE_ARG(node->values[j]));
		return error_set(
			e, -EINVAL,
			"error while checking rule %.*s: empty args for matcher %.*s, [%.*s]",
			SLICE_ARG(name), SLICE_ARG(name), SLICE_ARG(all));
	}
	if (node->negated)
		targets = (struct rule_targets){targets.if_false, targets.if_true};
	r = rule->syntax == RULE_V2 ? rule_compile_v2(rule, node, targets, e)
				    : rule_compile_v3(rule, node, targets, e);
	if (r < 0)
		error_prefix(e, "error while adding rule %.*s: ", SLICE_ARG(name));
	return r;
}

static int compile(struct rule *rule, const struct rule_node *node, struct rule_targets targets,
		   struct weir_error *e)
{
	struct rule_targets left = targets;
	uint32_t from = rule->leaf_count, label;
	int r;

	if (node->kind == RULE_MATCHER)
		return compile_matcher(rule, node, targets, e);
	label = rule_new_label(rule);
	if (node->kind == RULE_AND)
		left.if_true = label;
	else
		left.if_false = label;
	r = compile(rule, node->left, left, e);
	if (r < 0) {
		error_prefix(e,
			     "error while adding rule %s: ", node->kind == RULE_AND ? "and" : "or");
		return r;
	}
	rule_place_label(rule, label, from);
	return compile(rule, node->right, targets, e);
}

/* Longer rules are cut in messages, so that the reason still fits. */
#define SHOWN_RULE_BYTES 300

static void explain(struct weir_error *e, slice text, const char *stage)
{
	slice shown = slice_first(text, SHOWN_RULE_BYTES);
	const char *cut = shown.n < text.n ? "..." : "";

	if (stage != NULL)
		error_prefix(e, "%s rule %.*s%s: ", stage, SLICE_ARG(shown), cut);
	error_prefix(e, "error while parsing rule %.*s%s: ", SLICE_ARG(shown), cut);
}

static int build(struct rule *rule, const struct rule_limits *limits, struct weir_error *e)
{
	size_t count;
	const slice *names = names_of(rule, &count);
	struct rule_targets ends = {RULE_YES, RULE_NO};
	int r = rule_parse(rule->text, names, count, limits, &rule->arena, &rule->root, e);

	if (r < 0) {
		explain(e, rule->text, "parsing");
		return r;
	}
	if (rule->root == NULL) {
		r = error_set(e, -EINVAL, "obtaining build tree");
		explain(e, rule->text, NULL);
		return r;
	}
	r = compile(rule, rule->root, ends, e);
	if (r < 0)
		explain(e, rule->text, "adding");
	return r;
}

int rule_compile(slice text, enum rule_syntax syntax, const struct rule_limits *limits,
		 struct rule **rule, struct weir_error *e)
{
	struct rule_limits bounds = limits != NULL ? *limits : (struct rule_limits){0};
	struct rule *made;
	int r;

	*rule = NULL;
	bounds.text_bytes = bounds.text_bytes != 0 ? bounds.text_bytes : TEXT_DEFAULT_BYTES;
	bounds.depth = bounds.depth != 0 ? bounds.depth : DEPTH_DEFAULT;
	bounds.matchers = bounds.matchers != 0 ? bounds.matchers : MATCHERS_DEFAULT;
	if (text.n > bounds.text_bytes)
		return error_set(e, -E2BIG, "rule has %zu bytes, at most %zu are allowed", text.n,
				 bounds.text_bytes);
	made = calloc(1, sizeof *made);
	if (made == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	made->magic = RULE_MAGIC;
	made->syntax = syntax;
	made->regex_memory_bytes = bounds.regex_memory_bytes;
	arena_init(&made->arena, 1024, SIZE_MAX);
	made->text = arena_copy(&made->arena, text);
	r = made->text.p != NULL ? build(made, &bounds, e) : error_set(e, -ENOMEM, "out of memory");
	if (r < 0)
		rule_free(&made);
	*rule = made;
	return r;
}

void rule_free(struct rule **rule)
{
	struct rule *r;

	if (*rule == NULL)
		return;
	OBJ_TAKE(r, rule, RULE_MAGIC);
	for (uint32_t i = 0; i < r->leaf_count; i++) {
		regex_free(&r->leaves[i].regex);
		address_set_free(&r->leaves[i].addresses);
	}
	free(r->leaves);
	arena_free(&r->arena);
	r->magic = 0;
	free(r);
}

int64_t rule_priority(const struct rule *rule)
{
	OBJ_CHECK(rule, RULE_MAGIC);
	return (int64_t)rule->text.n;
}

static bool is_host_matcher(const struct rule *rule, const struct rule_node *node)
{
	size_t count;

	return slice_equal(names_of(rule, &count)[node->matcher], SLICE("Host"));
}

static void visit_hosts(const struct rule *rule, const struct rule_node *node,
			void (*visit)(void *context, slice host), void *context)
{
	char host[256];

	if (node->kind != RULE_MATCHER) {
		visit_hosts(rule, node->left, visit, context);
		visit_hosts(rule, node->right, visit, context);
		return;
	}
	if (node->negated || !is_host_matcher(rule, node))
		return;
	for (size_t i = 0; i < node->value_count; i++) {
		slice value = node->values[i];

		if (value.n > sizeof host)
			continue; /* longer than any domain name */
		for (size_t j = 0; j < value.n; j++)
			host[j] = ascii_lower(value.p[j]);
		visit(context, slice_of(host, value.n));
	}
}

void rule_each_host(const struct rule *rule, void (*visit)(void *context, slice host),
		    void *context)
{
	OBJ_CHECK(rule, RULE_MAGIC);
	visit_hosts(rule, rule->root, visit, context);
}
