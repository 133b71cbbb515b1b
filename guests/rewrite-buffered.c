/*
 * Collects both bodies and replaces every "from" by "to" (configuration), leaving Content-Length to
 * the host.
 */
#include "http_wasm.h"

#define RESULT_LIMIT (4u << 20)

static struct heap original, result;

EXPORT("_initialize") void initialize(void)
{
	uint32_t want = FEATURE_BUFFER_REQUEST | FEATURE_BUFFER_RESPONSE;

	if ((http_enable_features(want) & want) != want)
		__builtin_trap();
	/* Only `original` may grow, because it has to stay the last thing in linear memory. */
	result = (struct heap){.p = memory_new(RESULT_LIMIT), .limit = RESULT_LIMIT};
	if (result.p == NULL)
		__builtin_trap();
}

static void append(struct text s)
{
	char *p;

	if (result.limit - result.n < s.n)
		__builtin_trap();
	p = result.p + result.n;
	for (uint32_t i = 0; i < s.n; i++)
		p[i] = s.p[i];
	result.n += s.n;
}

static void rewrite(uint32_t kind)
{
	static char config[4096];
	struct text json = {config, http_get_config(config, sizeof config)};
	struct text from = json_get(json, TEXT("from")), to = json_get(json, TEXT("to"));
	struct text body = heap_read_body(&original, kind);
	int32_t at;

	if (text_find(body, from) < 0)
		return;
	result.n = 0;
	while ((at = text_find(body, from)) >= 0) {
		append((struct text){body.p, (uint32_t)at});
		append(to);
		body = text_from(body, (uint32_t)at + from.n);
	}
	append(body);
	http_write_body(kind, result.p, result.n);
}

EXPORT("handle_request") int64_t handle_request(void)
{
	rewrite(REQUEST_BODY);
	return NEXT;
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)ctx;
	if (is_error == 0)
		rewrite(RESPONSE_BODY);
}
