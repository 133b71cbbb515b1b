/*
 * Lets a request pass whose Authorization equals "Bearer " and the configured "token"; answers 401
 * otherwise.
 */
#include "http_wasm.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	struct text prefix = TEXT("Bearer "),
		    given = header_text(REQUEST_HEADERS, TEXT("Authorization"));

	if (text_starts(given, prefix) &&
	    text_equal(text_from(given, prefix.n), config_get(TEXT("token"))))
		return NEXT;
	set_header(RESPONSE_HEADERS, TEXT("WWW-Authenticate"), TEXT("Bearer realm=\"test\""));
	http_set_status_code(401);
	return STOP;
}

NO_RESPONSE_PHASE
