/*
 * The stages of an entry point on any path, query and host: what they let pass is clean, stays as
 * it is when it passes again, and routes.
 */
#include <stdlib.h>

#include "core/base.h"
#include "http/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_prepared(struct request *r, const struct path_options *options,
			   struct arena *arena)
{
	slice path = r->path, query = r->query, routing, plain, escaped;

	must(path_prepare(r, options, arena) == 0);
	must(slice_equal(path, r->path) && slice_equal(query, r->query));
	must(path_routing(path, arena, &routing) == 0);
	must(path_unescape(path, arena, &plain) == 0);
	must(path_escaped(path, arena, &escaped) == 0 && slice_equal(escaped, path));
	must(path_escape(plain, arena, &escaped) == 0);
	must(slice_find(query, ';') == query.n && slice_find(path, '#') == path.n);
	if (!options->sanitize || path.p[0] != '/')
		return;
	must(slice_search(path, SLICE("//")) == path.n);
	must(slice_search(path, SLICE("/./")) == path.n && !slice_ends(path, SLICE("/.")));
	must(slice_search(path, SLICE("/../")) == path.n && !slice_ends(path, SLICE("/..")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	slice all = slice_of((const char *)data, size);

	for (unsigned bits = 0; bits < 4; bits++) {
		const struct path_options options = {.sanitize = bits & 1,
						     .encode_semicolons = (bits & 2) != 0};
		struct request r = {.method = SLICE("GET"), .method_id = METHOD_GET};
		size_t mark = slice_find(all, '?');
		struct arena arena;
		slice host;

		arena_init(&arena, 1024, 64 << 20);
		r.path = slice_first(all, mark);
		r.query = slice_from_at(all, mark + 1);
		must(path_host(all, &arena, &host) == 0);
		if (path_prepare(&r, &options, &arena) == 0)
			check_prepared(&r, &options, &arena);
		(void)path_is_denied(r.path, (1u << PATH_ENCODED_COUNT) - 1);
		arena_free(&arena);
	}
	return 0;
}
