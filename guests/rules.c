/*
 * As heavy as a firewall with a full set of rules: fills tables while it initialises; each request
 * walks through some of them along its URI, and leaves notes behind. Configuration: "memory" (MiB
 * in all, 75), "data" (MiB of tables, 27), "work" (steps of the walk, 100000: about 1 ms), "dirty"
 * (KiB of notes, 2048).
 */
#include "http_wasm.h"

#define KIB 1024u
#define MIB (KIB * KIB)

/* What one request's walk goes through, in words: 4 MiB. */
#define WALK_WORDS_MAX MIB

static uint32_t *tables, *notes;
static uint32_t walk_mask, notes_words, steps;

static uint32_t option(struct text config, struct text name, uint32_t otherwise)
{
	struct text value = json_get(config, name);

	return value.n > 0 ? text_number(value) : otherwise;
}

static void fill_tables(uint32_t bytes)
{
	uint64_t *at = (uint64_t *)tables;
	uint64_t seed = 0x9e3779b97f4a7c15u;

	for (uint32_t i = 0; i < bytes / sizeof *at; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		at[i] = seed;
	}
}

/* The largest power of two that fits. */
static uint32_t walk_words(uint32_t bytes)
{
	uint32_t words = 1;

	while (words < WALK_WORDS_MAX && words * 2 * sizeof *tables <= bytes)
		words *= 2;
	return words;
}

EXPORT("_initialize") void initialize(void)
{
	struct text config = config_text();
	uint32_t data = option(config, TEXT("data"), 27) * MIB;
	uint32_t dirty = option(config, TEXT("dirty"), 2 * KIB) * KIB;
	uint32_t whole = option(config, TEXT("memory"), 75) * MIB;
	uint32_t now = (uint32_t)__builtin_wasm_memory_size(0) * PAGE_SIZE;

	if (whole < now + data + dirty || data == 0)
		__builtin_trap();
	tables = memory_new(whole - now);
	if (tables == NULL)
		__builtin_trap();
	notes = tables + data / sizeof *tables;
	notes_words = dirty / sizeof *notes;
	walk_mask = walk_words(data) - 1;
	steps = option(config, TEXT("work"), 100000);
	fill_tables(data);
	log_text(LOG_INFO, TEXT("rules guest initialised"));
}

static uint32_t walk(struct text uri)
{
	uint32_t state = 1;

	for (uint32_t i = 0, at = 0; i < steps; i++) {
		state = tables[state & walk_mask] + (uint8_t)uri.p[at];
		at = at + 1 < uri.n ? at + 1 : 0;
	}
	return state;
}

EXPORT("handle_request") int64_t handle_request(void)
{
	uint32_t found = walk(uri_text());

	for (uint32_t i = 0; i < notes_words; i++)
		notes[i] = found + i;
	set_header(RESPONSE_HEADERS, TEXT("x-rules"), TEXT("passed"));
	return NEXT_WITH(1);
}

/* Looks at responses, too: the instance is kept while the upstream works. */
EXPORT("handle_response") void handle_response(uint32_t context, uint32_t is_error)
{
	if (is_error == 0 && header_text(RESPONSE_HEADERS, TEXT("x-leak")).n > 0)
		http_set_status_code(502);
	(void)context;
}
