/*
 * A chunked body gives the same bytes, trailers, rest and result however it is cut.
 */
#include "../unit/h1_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_cut(slice bytes, struct cut cut)
{
	struct transcript whole = transcribe_chunked_body(bytes, UNCUT);
	struct transcript pieces = transcribe_chunked_body(bytes, cut);

	must(slice_equal(str_slice(&whole.text), str_slice(&pieces.text)));
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
	return 0;
}
