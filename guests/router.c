/*
 * Strips the prefix /host from the URI and continues; anything else is answered here.
 */
#include "http_wasm.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	struct text uri = uri_text(), prefix = TEXT("/host");

	if (!text_starts(uri, prefix))
		return answer(200, TEXT("hello world"));
	uri = text_from(uri, prefix.n);
	http_set_uri(uri.p, uri.n);
	return NEXT;
}

NO_RESPONSE_PHASE
