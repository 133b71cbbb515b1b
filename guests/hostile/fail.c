/*
 * Spoils all that it can reach, and then fails in the way and phase that the request's header
 * X-Fail says: "request-trap", "response-loop" and so on. Reads both bodies before, as far as
 * X-Read says: "none", "part" or "all". Without X-Fail it does nothing.
 * Configuration {"features": N}.
 */
#include "../wasi.h"

enum way { NONE, TRAP, EXIT, LOOP, ABI, MEMORY };

static volatile uint32_t turns;
static char buffer[65536];

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(text_number(config_get(TEXT("features"))));
}

static enum way way_of(struct text name)
{
	static const struct {
		const char *name;
		enum way way;
	} ways[] = {
		{"trap", TRAP}, {"exit", EXIT}, {"loop", LOOP}, {"abi", ABI}, {"memory", MEMORY},
	};

	for (uint32_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (text_equal(name, text_of(ways[i].name)))
			return ways[i].way;
	return NONE;
}

static void read_some(uint32_t kind, uint32_t how)
{
	if (how == 'p')
		http_read_body(kind, buffer, 10);
	else if (how == 'a')
		while (http_read_body(kind, buffer, sizeof buffer) >> 32 == 0)
			;
}

static void fail(enum way way, uint32_t body)
{
	switch (way) {
	case NONE:
		break;
	case TRAP:
		__builtin_trap();
	case EXIT:
		wasi_proc_exit(3);
	case LOOP:
		for (;;)
			turns++;
	case ABI:
		http_remove_header(RESPONSE_HEADERS, (const void *)(uintptr_t)0xfffffff0u, 100);
		break;
	case MEMORY:
		for (;;)
			http_write_body(body, buffer, sizeof buffer);
	}
}

static void spoil_request(void)
{
	http_set_method("SPOIL", 5);
	http_set_uri("/spoiled?spoiled=1", 18);
	set_header(REQUEST_HEADERS, TEXT("X-Spoiled"), TEXT("spoiled"));
	set_header(REQUEST_HEADERS, TEXT("X-Kept"), TEXT("spoiled"));
	http_add_header(REQUEST_HEADERS, "X-Kept", 6, "spoiled", 7);
	http_remove_header(REQUEST_HEADERS, "X-Also-Kept", 11);
	set_header(REQUEST_HEADERS, TEXT("Host"), TEXT("spoiled.example"));
	write_text(REQUEST_BODY, TEXT("spoiled"));
}

static void spoil_response(void)
{
	http_set_status_code(299);
	set_header(RESPONSE_HEADERS, TEXT("X-Spoiled"), TEXT("spoiled"));
	set_header(RESPONSE_HEADERS, TEXT("X-Kept"), TEXT("spoiled"));
	set_header(RESPONSE_HEADERS, TEXT("Content-Encoding"), TEXT("spoiled"));
	write_text(RESPONSE_BODY, TEXT("spoiled"));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	struct text how = header_text(REQUEST_HEADERS, TEXT("X-Read"));
	uint32_t read = how.n > 0 ? (unsigned char)how.p[0] : 'n';
	struct text what = header_text(REQUEST_HEADERS, TEXT("X-Fail"));

	if (text_starts(what, TEXT("request-"))) {
		enum way way = way_of(text_from(what, 8));

		read_some(REQUEST_BODY, read);
		spoil_request();
		spoil_response();
		fail(way, REQUEST_BODY);
	}
	if (text_starts(what, TEXT("response-"))) {
		enum way way = way_of(text_from(what, 9));

		spoil_response();
		return NEXT_WITH((uint32_t)way << 8 | read);
	}
	return NEXT;
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)is_error;
	if (ctx == 0)
		return;
	read_some(RESPONSE_BODY, ctx & 0xff);
	spoil_response();
	http_remove_header(RESPONSE_HEADERS, "X-Also-Kept", 11);
	fail((enum way)(ctx >> 8), RESPONSE_BODY);
}
