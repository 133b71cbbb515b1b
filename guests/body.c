/*
 * Treats the request body and the response body as the configuration says:
 * {"request": MODE, "response": MODE, "features": "0".."7"} with the modes
 *   none     does not touch it
 *   part     reads 1000 bytes
 *   all      reads to the end
 *   rewrite  reads to the end, adding 1 to every byte, writing each chunk before it reads the next
 *   collect  like rewrite, but one write at the end
 *   write    writes "written" without reading
 *   empty    writes zero bytes
 *   longer   reads to the end, then writes the body twice
 *   stop     (request) reads to the end and answers with the number of bytes
 */
#include "http_wasm.h"

static struct heap heap;

static void increment(char *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = (char)(p[i] + 1);
}

static void rewrite(uint32_t kind)
{
	static char chunk[16384];
	uint64_t eof_n;

	do {
		eof_n = http_read_body(kind, chunk, sizeof chunk);
		increment(chunk, (uint32_t)eof_n);
		http_write_body(kind, chunk, (uint32_t)eof_n);
	} while (eof_n >> 32 == 0);
}

static void read_all(uint32_t kind)
{
	static char chunk[16384];

	while (http_read_body(kind, chunk, sizeof chunk) >> 32 == 0)
		;
}

static void read_part(uint32_t kind)
{
	char part[1000];

	http_read_body(kind, part, sizeof part);
}

static int64_t answer_length(uint32_t kind)
{
	char digits[20];
	struct out out = {digits, 0, sizeof digits};

	out_number(&out, heap_read_body(&heap, kind).n);
	return answer(200, out_slice(&out));
}

static void treat(uint32_t kind, struct text mode)
{
	struct text body;

	if (text_equal(mode, TEXT("part"))) {
		read_part(kind);
	} else if (text_equal(mode, TEXT("all"))) {
		read_all(kind);
	} else if (text_equal(mode, TEXT("rewrite"))) {
		rewrite(kind);
	} else if (text_equal(mode, TEXT("collect"))) {
		body = heap_read_body(&heap, kind);
		increment(heap.p, body.n);
		write_text(kind, body);
	} else if (text_equal(mode, TEXT("write"))) {
		write_text(kind, TEXT("written"));
	} else if (text_equal(mode, TEXT("empty"))) {
		http_write_body(kind, "", 0);
	} else if (text_equal(mode, TEXT("longer"))) {
		body = heap_read_body(&heap, kind);
		write_text(kind, body);
		write_text(kind, body);
	}
}

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(text_number(config_get(TEXT("features"))));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	struct text mode = config_get(TEXT("request"));

	if (text_equal(mode, TEXT("stop")))
		return answer_length(REQUEST_BODY);
	treat(REQUEST_BODY, mode);
	return NEXT;
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)ctx;
	if (is_error == 0)
		treat(RESPONSE_BODY, config_get(TEXT("response")));
}
