/*
 * Exits. Configuration {"phase": "start" | "init" | "request" | "response", "code": N}; the last
 * two only for evil URIs.
 */
#include "../wasi.h"

static void exit_in(struct text phase)
{
	if (!config_is(TEXT("phase"), phase))
		return;
	log_text(LOG_ERROR, TEXT("guest exits because its configuration says so"));
	wasi_proc_exit(text_number(config_get(TEXT("code"))));
}

EXPORT("_start") void start(void)
{
	exit_in(TEXT("start"));
}

EXPORT("_initialize") void initialize(void)
{
	exit_in(TEXT("init"));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	if (!uri_is_evil())
		return NEXT;
	exit_in(TEXT("request"));
	return NEXT_WITH(1);
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)is_error;
	if (ctx == 1)
		exit_in(TEXT("response"));
}
