/*
 * URLs for Location, and content that is recognised: what is written is clean, and stays as it is
 * when it is read again.
 */
#include <stdlib.h>

#include "core/base.h"
#include "http/fields.h"
#include "http/location.h"
#include "http/sniff.h"
#include "net/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	slice text = slice_of((const char *)data, size), location, again;
	struct arena arena;
	struct url base;

	must(sniff_content_type(text).n > 0);
	arena_init(&arena, 4096, 1 << 24);
	if (location_normalize(text, &arena, &location) == 0) {
		must(field_is_value(location));
		must(location_normalize(location, &arena, &again) == 0);
		must(slice_equal(location, again));
	}
	must(url_parse(SLICE("http://a/b/c?d"), &base, NULL) == 0);
	if (location_resolve(text, &base, &arena, &location) == 0) {
		must(field_is_value(location));
		must(location_resolve(location, &base, &arena, &again) == 0);
		must(slice_equal(location, again));
	}
	arena_free(&arena);
	return 0;
}
