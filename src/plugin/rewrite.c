#include "plugin/rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/wasm_code.h"

#define DATA_PASSIVE 1u
#define DATA_OTHER_MEMORY 2u

#define GLOBAL_MUTABLE 1u

#define TABLE_WITH_VALUE 0x40u
#define TABLE_HAS_MAXIMUM 1u

/* The shortest binary forms: what a count may promise at most. */
#define GLOBAL_MIN_BYTES 3
#define DATA_MIN_BYTES 2

struct work {
	struct wasm_reader r;
	struct rewrite *out;
	struct wasm_constant *globals; /* all, by index */
	size_t global_count;
	uint32_t *exported; /* indices of those that get an export */
	uint32_t start;
	bool has_exports;
	bool has_passive;
	uint32_t code; /* what `wasm_code_scan` found */
	bool memory_short;
	struct weir_error *error;
	int refused;
};

static void hinder(struct work *w, enum rewrite_obstacle obstacle)
{
	w->out->obstacles |= 1u << obstacle;
}

/* Room for `n` more elements, of which each takes at least `min_bytes` of the section. */
static void *grow(struct work *w, void *array, size_t have, size_t n, size_t size, size_t min_bytes)
{
	void *larger;

	if (n > (w->r.end - w->r.at) / min_bytes) {
		wasm_reader_fail(&w->r, "a count points past the end");
		return NULL;
	}
	larger = realloc(array, (have + n + 1) * size);
	w->memory_short = w->memory_short || larger == NULL;
	return larger;
}

static bool grow_globals(struct work *w, size_t n, size_t min_bytes)
{
	void *larger = grow(w, w->globals, w->global_count, n, sizeof *w->globals, min_bytes);

	if (larger == NULL)
		return false;
	w->globals = larger;
	return true;
}

static void look_at_imports(struct work *w)
{
	struct wasm_reader *r = &w->r;

	for (uint32_t left = wasm_read_u32(r); left > 0 && r->failure == NULL; left--) {
		unsigned kind;

		(void)wasm_read_name(r);
		(void)wasm_read_name(r);
		kind = wasm_read_byte(r);
		if (kind != WASM_EXTERNAL_FUNCTION)
			hinder(w, REWRITE_IMPORTS);
		if (kind == WASM_EXTERNAL_GLOBAL) {
			if (!grow_globals(w, 1, 1))
				return;
			w->globals[w->global_count++] = (struct wasm_constant){0};
		}
		wasm_skip_import_type(r, kind);
	}
}

static void note_mutable(struct work *w, unsigned type, uint32_t index)
{
	struct rewrite *out = w->out;

	if (type < WASM_TYPE_V128 || type > WASM_TYPE_I32)
		hinder(w, REWRITE_REFERENCES);
	else if (out->global_count == REWRITE_GLOBALS_MAX)
		hinder(w, REWRITE_GLOBALS);
	else
		w->exported[out->global_count++] = index;
}

static void look_at_globals(struct work *w)
{
	struct wasm_reader *r = &w->r;
	uint32_t n = wasm_read_u32(r);

	if (r->failure != NULL || !grow_globals(w, n, GLOBAL_MIN_BYTES))
		return;
	if (w->exported == NULL)
		w->exported = calloc(REWRITE_GLOBALS_MAX, sizeof *w->exported);
	w->memory_short = w->memory_short || w->exported == NULL;
	for (uint32_t i = 0; i < n && r->failure == NULL && !w->memory_short; i++) {
		unsigned type = wasm_skip_type(r);
		bool changes = (wasm_read_byte(r) & GLOBAL_MUTABLE) != 0;
		struct wasm_constant value = wasm_constant_read(r, w->globals, w->global_count);

		if (changes) {
			note_mutable(w, type, (uint32_t)w->global_count);
			value.known = false;
		}
		w->globals[w->global_count++] = value;
	}
}

static void look_at_exports(struct work *w)
{
	struct wasm_reader *r = &w->r;

	w->has_exports = true;
	for (uint32_t left = wasm_read_u32(r); left > 0 && r->failure == NULL; left--) {
		slice name = wasm_read_name(r);

		(void)wasm_read_byte(r);
		(void)wasm_read_u32(r);
		if (slice_starts(name, SLICE(REWRITE_RESERVED)) && w->refused == 0)
			w->refused = error_set(w->error, -EINVAL,
					       "exports \"%.*s\", expected no name that begins "
					       "with \"" REWRITE_RESERVED "\"",
					       (int)MIN(name.n, (size_t)120), name.p);
	}
}

static void look_at_data(struct work *w)
{
	struct wasm_reader *r = &w->r;
	struct rewrite *out = w->out;
	uint32_t n = wasm_read_u32(r);
	void *larger;

	if (r->failure != NULL)
		return;
	larger = grow(w, out->segments, out->segment_count, n, sizeof *out->segments,
		      DATA_MIN_BYTES);
	if (larger == NULL)
		return;
	out->segments = larger;
	for (uint32_t i = 0; i < n && r->failure == NULL; i++) {
		uint32_t flags = wasm_read_u32(r);
		struct wasm_constant offset = {0};

		w->has_passive = w->has_passive || flags == DATA_PASSIVE;
		if (flags == DATA_OTHER_MEMORY)
			(void)wasm_read_u32(r);
		if (flags != DATA_PASSIVE)
			offset = wasm_constant_read(r, w->globals, w->global_count);
		out->segments[out->segment_count] = (struct rewrite_segment){
			.offset = (uint32_t)offset.bits,
			.bytes = wasm_read_name(r),
		};
		if (flags == DATA_PASSIVE)
			continue;
		out->segment_count++;
		if (!offset.known)
			hinder(w, REWRITE_OFFSETS);
	}
}

/* To how many elements each table can grow, as far as the module says. */
static void look_at_tables(struct work *w)
{
	struct wasm_reader *r = &w->r;
	uint32_t n = wasm_read_u32(r);

	for (uint32_t i = 0; i < n && r->failure == NULL; i++) {
		bool has_value = wasm_skip_type(r) == TABLE_WITH_VALUE;
		uint64_t most = UINT32_MAX;
		unsigned flags;

		if (has_value) {
			(void)wasm_read_byte(r);
			(void)wasm_skip_type(r);
		}
		flags = wasm_read_byte(r);
		(void)wasm_read_leb(r, 64);
		if ((flags & TABLE_HAS_MAXIMUM) != 0)
			most = wasm_read_leb(r, 64);
		w->out->table_elements_max = MAX(w->out->table_elements_max, most);
		w->out->table_count++;
		if (has_value)
			(void)wasm_constant_read(r, w->globals, w->global_count);
	}
}

static void look_at_start(struct work *w)
{
	w->start = wasm_read_u32(&w->r);
	w->out->has_start = w->r.failure == NULL;
}

static void look(struct work *w)
{
	struct wasm_section s;

	while (!w->memory_short && wasm_reader_section(&w->r, &s)) {
		if (s.id == WASM_SECTION_IMPORT)
			look_at_imports(w);
		else if (s.id == WASM_SECTION_TABLE)
			look_at_tables(w);
		else if (s.id == WASM_SECTION_GLOBAL)
			look_at_globals(w);
		else if (s.id == WASM_SECTION_EXPORT)
			look_at_exports(w);
		else if (s.id == WASM_SECTION_START)
			look_at_start(w);
		else if (s.id == WASM_SECTION_CODE)
			w->code |= wasm_code_scan(&w->r);
		else if (s.id == WASM_SECTION_DATA)
			look_at_data(w);
	}
	if (w->code & WASM_CODE_CHANGES_TABLES)
		hinder(w, REWRITE_TABLES);
	if (w->code & WASM_CODE_DROPS)
		hinder(w, REWRITE_DROPS);
	if (w->code & WASM_CODE_UNKNOWN)
		hinder(w, REWRITE_UNKNOWN);
}

static void add_leb(struct str *out, uint32_t value)
{
	do {
		unsigned byte = value & 0x7f;

		value >>= 7;
		str_add_char(out, (char)(value != 0 ? byte | 0x80 : byte));
	} while (value != 0);
}

static void add_section(struct str *out, unsigned id, const struct str *content)
{
	str_add_char(out, (char)id);
	add_leb(out, (uint32_t)content->n);
	str_add(out, str_slice(content));
	out->failed = out->failed || content->failed;
}

static void add_export(struct str *out, const char *name, unsigned kind, uint32_t index)
{
	add_leb(out, (uint32_t)strlen(name));
	str_add(out, slice_from(name));
	str_add_char(out, (char)kind);
	add_leb(out, index);
}

static void write_exports(struct work *w, const struct wasm_section *s)
{
	struct rewrite *out = w->out;
	struct str content = {0};
	uint32_t count = wasm_read_u32(&w->r);
	char name[32];

	add_leb(&content, count + out->global_count + (out->has_start ? 1 : 0));
	str_add(&content, slice_of(w->r.all.p + w->r.at, s->end - w->r.at));
	for (uint32_t i = 0; i < out->global_count; i++) {
		(void)snprintf(name, sizeof name, REWRITE_GLOBAL_FORMAT, i);
		add_export(&content, name, WASM_EXTERNAL_GLOBAL, w->exported[i]);
	}
	if (out->has_start)
		add_export(&content, REWRITE_START, WASM_EXTERNAL_FUNCTION, w->start);
	add_section(&out->wasm, s->id, &content);
	str_free(&content);
}

/* Indices stay: active segments become empty ones at 0. */
static void write_data(struct work *w, const struct wasm_section *s)
{
	struct wasm_reader *r = &w->r;
	struct str content = {0};
	uint32_t count = wasm_read_u32(r);

	add_leb(&content, count);
	for (uint32_t i = 0; i < count && r->failure == NULL; i++) {
		size_t from = r->at;
		uint32_t flags = wasm_read_u32(r);

		if (flags == DATA_OTHER_MEMORY)
			(void)wasm_read_u32(r);
		if (flags != DATA_PASSIVE)
			(void)wasm_constant_read(r, w->globals, w->global_count);
		(void)wasm_read_name(r);
		if (flags == DATA_PASSIVE)
			str_add(&content, slice_of(r->all.p + from, r->at - from));
		else
			str_add(&content, SLICE("\0\x41\0\x0b\0"));
	}
	add_section(&w->out->wasm, s->id, &content);
	str_free(&content);
}

static void write_section(struct work *w, const struct wasm_section *s)
{
	struct rewrite *out = w->out;
	bool keep_data = (out->obstacles & 1u << REWRITE_OFFSETS) != 0;
	bool indices =
		w->has_passive || (w->code & (WASM_CODE_NAMES_DATA | WASM_CODE_UNKNOWN)) != 0;

	if (s->id == WASM_SECTION_CODE)
		out->code_moved = (int64_t)out->wasm.n - (int64_t)s->start;
	if (s->id == WASM_SECTION_EXPORT)
		write_exports(w, s);
	else if (s->id == WASM_SECTION_DATA && !keep_data && indices)
		write_data(w, s);
	else if (s->id == WASM_SECTION_START && out->has_start)
		;
	else if ((s->id == WASM_SECTION_DATA || s->id == WASM_SECTION_DATA_COUNT) && !keep_data &&
		 !indices)
		;
	else
		str_add(&out->wasm, slice_of(w->r.all.p + s->start, s->end - s->start));
}

/* Without exports nothing of the module can be used, and there is nowhere to add any. */
static void forgo(struct work *w)
{
	if (w->has_exports)
		return;
	w->out->has_start = false;
	w->out->global_count = 0;
}

static void write_all(struct work *w)
{
	struct wasm_section s;

	if ((w->out->obstacles & 1u << REWRITE_OFFSETS) != 0)
		w->out->segment_count = 0;
	str_add(&w->out->wasm, slice_first(w->r.all, 8));
	while (wasm_reader_section(&w->r, &s))
		write_section(w, &s);
}

static int finish(struct work *w)
{
	int r = w->refused;

	if (r == 0)
		r = wasm_reader_result(&w->r, w->error);
	if (r == 0 && (w->memory_short || w->out->wasm.failed))
		r = error_set(w->error, -ENOMEM, "not enough memory");
	free(w->globals);
	free(w->exported);
	if (r < 0)
		rewrite_free(w->out);
	return r;
}

int rewrite_module(struct rewrite *rewrite, slice wasm, struct weir_error *error)
{
	struct work w = {.out = rewrite, .error = error};
	int r = wasm_reader_init(&w.r, wasm, error);

	*rewrite = (struct rewrite){0};
	if (r < 0)
		return r;
	look(&w);
	rewrite->all_globals = w.global_count;
	if (w.r.failure == NULL && !w.memory_short && w.refused == 0) {
		forgo(&w);
		(void)wasm_reader_init(&w.r, wasm, error);
		write_all(&w);
	}
	return finish(&w);
}

void rewrite_free(struct rewrite *rewrite)
{
	str_free(&rewrite->wasm);
	free(rewrite->segments);
	*rewrite = (struct rewrite){0};
}

const char *rewrite_obstacle_text(uint32_t obstacles)
{
	static const char *const texts[] = {
#define X(name, text) [REWRITE_##name] = text,
		REWRITE_OBSTACLES(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (obstacles & 1u << i)
			return texts[i];
	}
	return NULL;
}
