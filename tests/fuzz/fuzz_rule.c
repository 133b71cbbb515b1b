/*
 * Rules of both syntaxes from any bytes, evaluated on a request from the same bytes: the compiler
 * refuses or gives a rule that can be evaluated and indexed, and the index agrees with the rule.
 */
#include <stdlib.h>

#include "core/base.h"
#include "http/path.h"
#include "proxy/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *context, slice host)
{
	*(size_t *)context += host.n;
}

static void evaluate(const struct rule *rule, slice target)
{
	static const struct path_options options = {.sanitize = true};
	struct request request = {.method = SLICE("GET"), .method_id = METHOD_GET};
	struct arena arena;
	struct address peer = {{0}};
	struct rule_input in = {.request = &request, .peer = &peer, .arena = &arena};
	struct router_entry entry = {.rule = rule, .target = &entry};
	struct router_set *set;
	size_t mark = slice_find(target, '?'), bytes = 0;

	arena_init(&arena, 1024, 1 << 20);
	fields_init(&request.fields, &arena);
	must(fields_add(&request.fields, SLICE("X-A"), target) == 0);
	request.path = slice_first(target, mark);
	request.query = slice_from_at(target, mark + 1);
	request.authority = slice_from_at(target, target.n / 2);
	if (path_prepare(&request, &options, &arena) == 0 &&
	    path_host(request.authority, &arena, &in.host) == 0 &&
	    path_routing(request.path, &arena, &in.path) == 0 &&
	    router_set_new(&entry, 1, &set, NULL) == 0) {
		must((router_find(set, &in) != NULL) == rule_matches(rule, &in));
		router_set_free(&set);
	}
	rule_each_host(rule, count, &bytes);
	arena_free(&arena);
}

/* Up to the first NUL the rule, after it the request's target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct rule_limits limits = {.regex_memory_bytes = 1 << 20};
	slice all = slice_of((const char *)data, size);
	size_t end = slice_find(all, '\0');
	struct weir_error e;
	struct rule *rule;

	for (int syntax = RULE_V3; syntax <= RULE_V2; syntax++) {
		if (rule_compile(slice_first(all, end), (enum rule_syntax)syntax, &limits, &rule,
				 &e) < 0)
			continue;
		evaluate(rule, slice_from_at(all, end + 1));
		rule_free(&rule);
	}
	return 0;
}
