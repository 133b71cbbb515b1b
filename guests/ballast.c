/*
 * Heavy: fills memory while it initialises and changes some of it in each request. Configuration:
 * "mib" (filled memory, 20), "dirty" (pages of 4 KiB changed per request, 0), "spread" (pages from
 * one of them to the next, 1).
 */
#include "http_wasm.h"

#define PAGE 4096u
#define MIB (1024u * 1024u)

static uint8_t *ballast;
static uint32_t ballast_pages, dirty_pages, spread_pages;
static uint32_t responses;

static uint32_t option(struct text name, uint32_t otherwise)
{
	struct text value = config_get(name);

	return value.n > 0 ? text_number(value) : otherwise;
}

EXPORT("_start") void start(void)
{
	uint32_t mib = option(TEXT("mib"), 20);

	ballast = memory_new(mib * MIB);
	ballast_pages = mib * (MIB / PAGE);
	dirty_pages = option(TEXT("dirty"), 0);
	spread_pages = option(TEXT("spread"), 1);
	for (uint32_t i = 0; i < ballast_pages; i++)
		ballast[i * PAGE] = (uint8_t)(i % 251 + 1);
	log_text(LOG_INFO, TEXT("ballast guest initialised"));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	for (uint32_t i = 0; i < dirty_pages; i++)
		ballast[i * spread_pages % ballast_pages * PAGE + 8]++;
	set_header(RESPONSE_HEADERS, TEXT("x-ballast"), TEXT("here"));
	return NEXT;
}

/* Not empty: the instance is kept while the upstream works. */
EXPORT("handle_response") void handle_response(uint32_t context, uint32_t is_error)
{
	(void)context;
	(void)is_error;
	responses++;
}
