/*
 * A response head is understood in the same way however it is cut, its slices lie in the input, and
 * what the proxy writes for it is understood in the same way again.
 */
#include "../unit/h1_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(slice bytes, enum method method)
{
	const struct h1_limits wide = {1 << 20, 100, 1 << 20};
	size_t scanned = 0, head_bytes = 0, again_bytes = 0;
	struct response r, again;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	if (h1_parse_response(&r, &arena, bytes, method, &transcript_limits, &scanned,
			      &head_bytes) == H1_DONE &&
	    r.version == HTTP_1_1) {
		size_t n = h1_response_bytes(&r);
		char *out = malloc(n);

		must(out != NULL);
		must(h1_write_response(out, &r) == out + n);
		scanned = 0;
		must(h1_parse_response(&again, &arena, slice_of(out, n), method, &wide, &scanned,
				       &again_bytes) == H1_DONE);
		must(again_bytes == n && r.status == again.status);
		must(r.framing == again.framing && r.content_length == again.content_length);
		must(r.keep_alive == again.keep_alive && r.fields.count == again.fields.count);
		free(out);
	}
	arena_free(&arena);
}

static void check_cut(slice bytes, enum method method, struct cut cut)
{
	struct transcript whole = transcribe_response(bytes, method, UNCUT);
	struct transcript pieces = transcribe_response(bytes, method, cut);

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
	static const enum method methods[] = {METHOD_GET, METHOD_HEAD, METHOD_CONNECT,
					      METHOD_OTHER};
	enum method method;
	slice bytes;

	if (size < 3)
		return 0;
	method = methods[data[2] % ARRAY_LEN(methods)];
	bytes = slice_of((const char *)data + 3, size - 3);
	check_cut(bytes, method, (struct cut){data[0], data[1]});
	check_cut(bytes, method, (struct cut){1, 1});
	check_written(bytes, method);
	return 0;
}
