/*
 * Says something at every log level and on stdout and stderr, in every phase; answers which levels
 * are enabled, from debug to none, as digits.
 */
#include "wasi.h"

static void speak(struct text phase)
{
	char buf[128];

	for (int32_t level = LOG_DEBUG; level <= LOG_NONE; level++) {
		struct out out = {buf, 0, sizeof buf};

		out_text(&out, TEXT("guest says level "));
		out_number(&out, (uint64_t)(level + 1));
		out_text(&out, TEXT(" in "));
		out_text(&out, phase);
		log_text(level, out_slice(&out));
	}
	wasi_print(1, TEXT("guest stdout in "));
	wasi_print(1, phase);
	wasi_print(1, TEXT("\n"));
	wasi_print(2, TEXT("guest stderr in "));
	wasi_print(2, phase);
	wasi_print(2, TEXT("\n"));
}

EXPORT("_initialize") void initialize(void)
{
	speak(TEXT("init"));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	char enabled[5];

	speak(TEXT("request"));
	/* Lines of a guest must not be able to forge lines of the log. */
	log_text(LOG_ERROR, TEXT("first\nFORGED second\r\x1b[31mred\x01"));
	for (int32_t level = LOG_DEBUG; level <= LOG_NONE; level++)
		enabled[level + 1] = http_log_enabled(level) ? '1' : '0';
	set_header(RESPONSE_HEADERS, TEXT("X-Enabled"), (struct text){enabled, sizeof enabled});
	return NEXT;
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)ctx;
	(void)is_error;
	speak(TEXT("response"));
}
