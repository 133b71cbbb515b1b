/*
 * Headers of the PROXY protocol: a header is whole, within its limit, and the same when more
 * follows.
 */
#include "core/base.h"
#include "net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	slice bytes = slice_of((const char *)data, size);
	struct proxy_header h, again;

	if (proxy_header_parse(bytes, &h) != PROXY_HEADER_DONE)
		return 0;
	must(h.bytes > 0 && h.bytes <= size && h.bytes <= PROXY_HEADER_BYTES_MAX);
	must(proxy_header_parse(slice_first(bytes, h.bytes), &again) == PROXY_HEADER_DONE);
	must(again.bytes == h.bytes && again.named == h.named);
	must(proxy_header_parse(slice_first(bytes, h.bytes - 1), &again) == PROXY_HEADER_MORE);
	return 0;
}
