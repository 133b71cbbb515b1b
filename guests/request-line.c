/*
 * Shows and changes the request line. The request's X-Set-Uri and X-Set-Method are applied if
 * present (X-Set-Uri: "<empty>" sets an empty one); with X-Show the guest answers "METHOD URI
 * VERSION PEER".
 */
#include "http_wasm.h"

static struct text getter(uint32_t (*get)(void *, uint32_t), char *buf, uint32_t limit)
{
	uint32_t n = get(buf, limit);

	return (struct text){buf, n <= limit ? n : 0};
}

static int64_t show(void)
{
	static char buf[16384], part[8192];
	struct out out = {buf, 0, sizeof buf};

	out_text(&out, getter(http_get_method, part, sizeof part));
	out_text(&out, TEXT(" "));
	out_text(&out, getter(http_get_uri, part, sizeof part));
	out_text(&out, TEXT(" "));
	out_text(&out, getter(http_get_protocol_version, part, sizeof part));
	out_text(&out, TEXT(" "));
	out_text(&out, getter(http_get_source_addr, part, sizeof part));
	return answer(200, out_slice(&out));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	struct text value = header_text(REQUEST_HEADERS, TEXT("X-Set-Uri"));

	if (text_equal(value, TEXT("<empty>")))
		http_set_uri("", 0);
	else if (value.n > 0)
		http_set_uri(value.p, value.n);
	value = header_text(REQUEST_HEADERS, TEXT("X-Set-Method"));
	if (text_equal(value, TEXT("<empty>")))
		http_set_method("", 0);
	else if (value.n > 0)
		http_set_method(value.p, value.n);
	if (header_text(REQUEST_HEADERS, TEXT("X-Show")).n > 0)
		return show();
	return NEXT;
}

NO_RESPONSE_PHASE
