#include "plugin/survey.h"

#include <errno.h>

#include "plugin/wasm_code.h"

#define WASM_PAGE_BYTES 65536u
#define TYPE_FUNCTION 0x60u
#define LIMITS_BOUNDED 1u
#define GLOBAL_MUTABLE 1u
#define DATA_PASSIVE 1u
#define DATA_OTHER_MEMORY 2u

struct signature {
	const char *params;
	const char *results;
};

struct work {
	struct wasm_reader r;
	struct survey *out;
	struct arena *arena;
	struct signature *types;
	size_t type_count;
	uint32_t *functions; /* type indices, imported ones first */
	size_t function_count;
	bool memory_short;
};

/* A count of elements of at least one byte each, or 0 after a failure. */
static uint32_t read_count(struct work *w)
{
	uint32_t n = wasm_read_u32(&w->r);

	if (n > w->r.end - w->r.at)
		wasm_reader_fail(&w->r, "a count points past the end");
	return w->r.failure == NULL ? n : 0;
}

static void *room(struct work *w, size_t size, size_t count)
{
	void *p = arena_zalloc_array(w->arena, size, count + 1);

	w->memory_short = w->memory_short || p == NULL;
	return p;
}

static bool can_go_on(const struct work *w)
{
	return w->r.failure == NULL && !w->memory_short;
}

static char letter_of(unsigned type)
{
	switch (type) {
	case WASM_TYPE_I32:
		return 'i';
	case WASM_TYPE_I64:
		return 'I';
	case WASM_TYPE_F32:
		return 'f';
	case WASM_TYPE_F64:
		return 'F';
	case WASM_TYPE_V128:
		return 'v';
	default:
		return 'r';
	}
}

static const char *read_types(struct work *w)
{
	uint32_t n = read_count(w);
	char *letters = room(w, 1, n);

	for (uint32_t i = 0; i < n && can_go_on(w); i++)
		letters[i] = letter_of(wasm_skip_type(&w->r));
	return letters;
}

static void survey_types(struct work *w)
{
	uint32_t n = read_count(w);

	w->types = room(w, sizeof *w->types, n);
	w->type_count = 0;
	for (uint32_t i = 0; i < n && can_go_on(w); i++) {
		if (wasm_read_byte(&w->r) != TYPE_FUNCTION)
			wasm_reader_fail(&w->r, "a type is not a function's");
		w->types[i].params = read_types(w);
		w->types[i].results = read_types(w);
		w->type_count++;
	}
}

static bool add_functions(struct work *w, size_t more)
{
	uint32_t *larger = room(w, sizeof *larger, w->function_count + more);

	if (larger != NULL && w->functions != NULL)
		memcpy(larger, w->functions, w->function_count * sizeof *larger);
	if (larger != NULL)
		w->functions = larger;
	return larger != NULL;
}

static void survey_import(struct work *w, struct survey_entry *e)
{
	struct wasm_reader *r = &w->r;
	size_t type_at;

	e->module = wasm_read_name(r);
	e->name = wasm_read_name(r);
	e->kind = wasm_read_byte(r);
	type_at = r->at;
	wasm_skip_import_type(r, e->kind);
	if (e->kind != WASM_EXTERNAL_FUNCTION || r->failure != NULL)
		return;
	r->at = type_at;
	e->index = wasm_read_u32(r);
	w->functions[w->function_count++] = e->index;
}

static void survey_imports(struct work *w)
{
	struct survey_list *list = &w->out->imports;
	uint32_t n = read_count(w);

	list->entries = room(w, sizeof *list->entries, n);
	list->count = 0;
	if (!add_functions(w, n))
		return;
	for (uint32_t i = 0; i < n && can_go_on(w); i++)
		survey_import(w, &list->entries[list->count++]);
}

static void survey_functions(struct work *w)
{
	uint32_t n = read_count(w);

	if (!add_functions(w, n))
		return;
	for (uint32_t i = 0; i < n && can_go_on(w); i++)
		w->functions[w->function_count++] = wasm_read_u32(&w->r);
	w->out->functions = n;
}

static void survey_memory(struct work *w)
{
	struct survey *out = w->out;
	unsigned flags;

	if (read_count(w) == 0)
		return;
	flags = wasm_read_byte(&w->r);
	out->has_memory = true;
	out->memory_min_bytes = wasm_read_leb(&w->r, 32) * WASM_PAGE_BYTES;
	out->memory_bounded = (flags & LIMITS_BOUNDED) != 0;
	if (out->memory_bounded)
		out->memory_max_bytes = wasm_read_leb(&w->r, 32) * WASM_PAGE_BYTES;
}

static void survey_globals(struct work *w)
{
	for (uint32_t n = read_count(w); n > 0 && can_go_on(w); n--) {
		(void)wasm_skip_type(&w->r);
		if ((wasm_read_byte(&w->r) & GLOBAL_MUTABLE) != 0)
			w->out->mutable_globals++;
		(void)wasm_constant_read(&w->r, NULL, 0);
	}
}

static void survey_exports(struct work *w)
{
	struct survey_list *list = &w->out->exports;
	uint32_t n = read_count(w);

	list->entries = room(w, sizeof *list->entries, n);
	list->count = 0;
	for (uint32_t i = 0; i < n && can_go_on(w); i++) {
		struct survey_entry *e = &list->entries[list->count++];

		e->name = wasm_read_name(&w->r);
		e->kind = wasm_read_byte(&w->r);
		e->index = wasm_read_u32(&w->r);
	}
}

static void survey_data(struct work *w)
{
	struct survey *out = w->out;

	for (uint32_t n = read_count(w); n > 0 && can_go_on(w); n--) {
		uint32_t flags = wasm_read_u32(&w->r);
		uint64_t bytes;

		if (flags == DATA_OTHER_MEMORY)
			(void)wasm_read_u32(&w->r);
		if (flags != DATA_PASSIVE)
			(void)wasm_constant_read(&w->r, NULL, 0);
		bytes = wasm_read_name(&w->r).n;
		out->data_segments++;
		out->data_bytes += bytes;
		if (flags == DATA_PASSIVE) {
			out->passive_segments++;
			out->passive_bytes += bytes;
		}
	}
}

static void survey_section(struct work *w, unsigned id)
{
	static void (*const by_id[])(struct work *) = {
		[WASM_SECTION_TYPE] = survey_types,         [WASM_SECTION_IMPORT] = survey_imports,
		[WASM_SECTION_FUNCTION] = survey_functions, [WASM_SECTION_MEMORY] = survey_memory,
		[WASM_SECTION_GLOBAL] = survey_globals,     [WASM_SECTION_EXPORT] = survey_exports,
		[WASM_SECTION_DATA] = survey_data,
	};

	if (id < ARRAY_LEN(by_id) && by_id[id] != NULL)
		by_id[id](w);
	else if (id == WASM_SECTION_TABLE)
		w->out->tables = read_count(w);
	else if (id == WASM_SECTION_START)
		w->out->starts_by_section = true;
	else if (id == WASM_SECTION_CODE)
		w->out->code = wasm_code_scan(&w->r);
}

/* An index that points nowhere is the engine's to refuse: such a function has no type here. */
static void name_type(struct work *w, struct survey_entry *e, size_t type)
{
	if (type < w->type_count) {
		e->params = w->types[type].params;
		e->results = w->types[type].results;
	}
}

static void name_types(struct work *w)
{
	struct survey *out = w->out;

	for (size_t i = 0; i < out->imports.count; i++) {
		struct survey_entry *e = &out->imports.entries[i];

		if (e->kind == WASM_EXTERNAL_FUNCTION)
			name_type(w, e, e->index);
	}
	for (size_t i = 0; i < out->exports.count; i++) {
		struct survey_entry *e = &out->exports.entries[i];

		if (e->kind == WASM_EXTERNAL_FUNCTION && e->index < w->function_count)
			name_type(w, e, w->functions[e->index]);
	}
}

int survey_module(struct survey *survey, slice wasm, struct arena *arena, struct weir_error *error)
{
	struct work w = {.out = survey, .arena = arena};
	struct wasm_section section;
	int r = wasm_reader_init(&w.r, wasm, error);

	*survey = (struct survey){0};
	if (r < 0)
		return r;
	while (!w.memory_short && wasm_reader_section(&w.r, &section))
		survey_section(&w, section.id);
	if (w.memory_short)
		return error_set(error, -ENOMEM, "not enough memory to look at the module");
	r = wasm_reader_result(&w.r, error);
	if (r == 0)
		name_types(&w);
	return r;
}

const char *survey_kind_text(unsigned kind)
{
	static const char *const texts[] = {
		[WASM_EXTERNAL_FUNCTION] = "func", [WASM_EXTERNAL_TABLE] = "table",
		[WASM_EXTERNAL_MEMORY] = "memory", [WASM_EXTERNAL_GLOBAL] = "global",
		[WASM_EXTERNAL_TAG] = "tag",
	};

	return kind < ARRAY_LEN(texts) ? texts[kind] : "unknown";
}
