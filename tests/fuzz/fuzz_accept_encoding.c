/*
 * Accept-Encoding and media types: what is chosen is offered; a type stays as it is when it is
 * read again.
 */
#include <stdlib.h>

#include "core/base.h"
#include "middleware/accept_encoding.h"
#include "middleware/media_type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void choose(struct arena *arena, slice text)
{
	static const struct coding_offer offer = {{CODING_ZSTD, CODING_GZIP}, 2, CODING_GZIP};
	struct fields f;
	enum coding c;

	fields_init(&f, arena);
	must(fields_add_id(&f, FIELD_ACCEPT_ENCODING, text) == 0);
	c = accept_encoding_choose(&offer, &f);
	must(c == CODING_NONE || c == CODING_ZSTD || c == CODING_GZIP);
	(void)accept_encoding_has_gzip(&f);
}

static void read_type(struct arena *arena, slice text)
{
	struct media_type t, again;

	if (media_type_parse(arena, text, &t, NULL) < 0)
		return;
	must(t.count <= MEDIA_PARAMETERS);
	must(media_type_parse(arena, t.name, &again, NULL) == 0);
	must(slice_equal(t.name, again.name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	slice text = slice_of((const char *)data, size);
	struct arena arena;

	arena_init(&arena, 4096, 1 << 24);
	choose(&arena, text);
	read_type(&arena, text);
	arena_free(&arena);
	return 0;
}
