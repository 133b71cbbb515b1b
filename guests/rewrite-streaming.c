/*
 * Rewrites bodies while it reads them: each chunk is written back before the next one is read, so
 * reads must go on over the original. Upper-cases ASCII letters and appends the configured "tail"
 * to the response. The response's Content-Length is removed and set anew as published rewriters do.
 */
#include "http_wasm.h"

static char chunk[4096];

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(FEATURE_BUFFER_REQUEST | FEATURE_BUFFER_RESPONSE);
}

static uint32_t rewrite(uint32_t kind)
{
	uint32_t total = 0;
	uint64_t eof_n;

	do {
		uint32_t n;

		eof_n = http_read_body(kind, chunk, sizeof chunk);
		n = (uint32_t)eof_n;
		for (uint32_t i = 0; i < n; i++)
			if (chunk[i] >= 'a' && chunk[i] <= 'z')
				chunk[i] = (char)(chunk[i] - 'a' + 'A');
		if (n > 0)
			http_write_body(kind, chunk, n);
		total += n;
	} while (eof_n >> 32 == 0);
	return total;
}

EXPORT("handle_request") int64_t handle_request(void)
{
	if (config_is(TEXT("request"), TEXT("true")))
		rewrite(REQUEST_BODY);
	return NEXT;
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	char digits[20];
	struct out length = {digits, 0, sizeof digits};
	struct text tail, name = TEXT("Content-Length");

	(void)ctx;
	if (is_error != 0)
		return;
	out_number(&length, rewrite(RESPONSE_BODY) + (tail = config_get(TEXT("tail"))).n);
	if (tail.n > 0)
		write_text(RESPONSE_BODY, tail);
	http_remove_header(RESPONSE_HEADERS, name.p, name.n);
	set_header(RESPONSE_HEADERS, name, out_slice(&length));
}
