/*
 * A request head (and its chunked body) is understood in the same way however it is cut, its slices
 * lie in the input, and what the proxy writes for it is understood in the same way again.
 */
#include "../unit/h1_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether two requests have the same fields; lines of a repeated length have become one. */
static void must_have_same_fields(const struct fields *a, const struct fields *b)
{
	must(a->count == b->count && a->present == b->present);
	for (size_t i = 0; i < a->count; i++) {
		must(slice_equal(a->list[i].name, b->list[i].name));
		must(slice_equal(a->list[i].value, b->list[i].value));
		must(a->list[i].id == b->list[i].id);
	}
}

static void check_written(slice bytes)
{
	const struct h1_limits wide = {1 << 20, 100, 1 << 20};
	size_t scanned = 0, head_bytes = 0, again_bytes = 0;
	struct request r, again;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	if (h1_parse_request(&r, &arena, bytes, &transcript_limits, &scanned, &head_bytes) ==
		    H1_DONE &&
	    r.version == HTTP_1_1) {
		size_t n = h1_request_bytes(&r, r.target);
		char *out = malloc(n);

		must(out != NULL);
		must(h1_write_request(out, &r, r.target) == out + n);
		scanned = 0;
		must(h1_parse_request(&again, &arena, slice_of(out, n), &wide, &scanned,
				      &again_bytes) == H1_DONE);
		must(again_bytes == n);
		must(slice_equal(r.method, again.method) && slice_equal(r.target, again.target));
		must(slice_equal(r.authority, again.authority) && slice_equal(r.path, again.path));
		must(r.framing == again.framing && r.content_length == again.content_length);
		must(r.keep_alive == again.keep_alive && r.upgrade == again.upgrade);
		must_have_same_fields(&r.fields, &again.fields);
		free(out);
	}
	arena_free(&arena);
}

static void check_cut(slice bytes, struct cut cut)
{
	struct transcript whole = transcribe_request(bytes, UNCUT);
	struct transcript pieces = transcribe_request(bytes, cut);

	/* A mistake in a last line that is not complete may be seen later. */
	if (whole.head_done || pieces.result != H1_MORE)
		must(slice_equal(str_slice(&whole.text), str_slice(&pieces.text)));
	else
		must(whole.result == H1_MORE || whole.result < 0);
	str_free(&whole.text);
	str_free(&pieces.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	slice bytes;

	if (size < 2)
		return 0;
	bytes = slice_of((const char *)data + 2, size - 2);
	check_cut(bytes, (struct cut){data[0], data[1]});
	check_cut(bytes, (struct cut){1, 1});
	check_written(bytes);
	return 0;
}
