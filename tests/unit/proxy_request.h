/*
 * Requests for the tests of the proxy: a head taken apart by hand, so that only the code under test
 * is exercised.
 */
#ifndef TEST_PROXY_REQUEST_H
#define TEST_PROXY_REQUEST_H

#include "http/path.h"
#include "proxy/rule.h"

/* Everything that one rule evaluation needs. */
struct test_request {
	struct arena arena;
	struct request request;
	struct address peer;
	struct rule_input input;
	int status; /* of the entry point's stages */
};

static inline void test_add_fields(struct fields *fields, slice lines)
{
	while (lines.n > 0) {
		size_t end = slice_search(lines, SLICE("\r\n"));
		slice line = slice_first(lines, end);
		size_t colon = slice_find(line, ':');

		must(colon < line.n);
		must(fields_add(fields, slice_first(line, colon),
				slice_trim(slice_from_at(line, colon + 1))) == 0);
		lines = slice_from_at(lines, end + 2);
	}
}

/* `target` is in origin form; `lines` are header lines that end in CRLF. */
static inline void test_request_init(struct test_request *t, const char *method, const char *target,
				     const char *host, const char *lines)
{
	static const struct path_options options = {.sanitize = true};
	slice whole = slice_from(target);
	size_t mark = slice_find(whole, '?');

	*t = (struct test_request){.status = 0};
	arena_init(&t->arena, 4096, 1 << 20);
	fields_init(&t->request.fields, &t->arena);
	t->request.method = slice_from(method);
	t->request.method_id = method_of(t->request.method);
	t->request.path = slice_first(whole, mark);
	t->request.query = slice_from_at(whole, mark + 1);
	t->request.has_query = mark < whole.n;
	t->request.authority = slice_from(host);
	if (host[0] != '\0')
		must(fields_add_id(&t->request.fields, FIELD_HOST, t->request.authority) == 0);
	test_add_fields(&t->request.fields, slice_from(lines));
	t->status = path_prepare(&t->request, &options, &t->arena);
	must(address_parse(SLICE("127.0.0.1"), &t->peer));
	t->input.request = &t->request;
	t->input.arena = &t->arena;
	t->input.peer = &t->peer;
	must(path_host(t->request.authority, &t->arena, &t->input.host) == 0);
	if (t->status == 0)
		t->status = path_routing(t->request.path, &t->arena, &t->input.path);
}

static inline void test_request_free(struct test_request *t)
{
	arena_free(&t->arena);
}

#endif
