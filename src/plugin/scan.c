#include "plugin/scan.h"

#include "plugin/wasm_reader.h"

#define OPCODE_NOP 0x01
#define OPCODE_END 0x0b

struct scan {
	struct wasm_reader r;
	uint32_t imported_functions;
	bool has_response;
	uint32_t response_function;
	bool response_empty;
};

static void read_imports(struct scan *s)
{
	struct wasm_reader *r = &s->r;

	for (uint32_t left = wasm_read_u32(r); left > 0 && r->failure == NULL; left--) {
		unsigned kind;

		(void)wasm_read_name(r);
		(void)wasm_read_name(r);
		kind = wasm_read_byte(r);
		if (kind == WASM_EXTERNAL_FUNCTION)
			s->imported_functions++;
		wasm_skip_import_type(r, kind);
	}
}

static void read_exports(struct scan *s)
{
	struct wasm_reader *r = &s->r;

	for (uint32_t left = wasm_read_u32(r); left > 0 && r->failure == NULL; left--) {
		slice name = wasm_read_name(r);
		unsigned kind = wasm_read_byte(r);
		uint32_t index = wasm_read_u32(r);

		if (kind == WASM_EXTERNAL_FUNCTION && slice_equal(name, SLICE("handle_response"))) {
			s->has_response = true;
			s->response_function = index;
		}
	}
}

/* Whether a body does nothing: local variables, nops, end. */
static bool body_is_empty(struct wasm_reader *r, size_t body_end)
{
	unsigned op;

	for (uint32_t groups = wasm_read_u32(r); groups > 0 && r->failure == NULL; groups--) {
		(void)wasm_read_u32(r);
		(void)wasm_read_byte(r);
	}
	do {
		op = wasm_read_byte(r);
	} while (op == OPCODE_NOP && r->at < body_end);
	return op == OPCODE_END && r->at == body_end;
}

static void read_code(struct scan *s)
{
	struct wasm_reader *r = &s->r;
	uint32_t count = wasm_read_u32(r);

	for (uint32_t i = 0; i < count && r->failure == NULL; i++) {
		size_t size = wasm_read_u32(r);
		size_t start = r->at;

		(void)wasm_read_bytes(r, size);
		if (r->failure == NULL && s->has_response &&
		    i + (uint64_t)s->imported_functions == s->response_function) {
			r->at = start;
			s->response_empty = body_is_empty(r, start + size);
			r->at = start + size;
		}
	}
}

int scan_module(struct scan_facts *facts, slice wasm, struct weir_error *error)
{
	struct scan s = {0};
	struct wasm_section section;
	int r = wasm_reader_init(&s.r, wasm, error);

	if (r < 0)
		return r;
	while (wasm_reader_section(&s.r, &section)) {
		if (section.id == WASM_SECTION_IMPORT)
			read_imports(&s);
		else if (section.id == WASM_SECTION_EXPORT)
			read_exports(&s);
		else if (section.id == WASM_SECTION_CODE)
			read_code(&s);
	}
	facts->response_empty = s.response_empty;
	return wasm_reader_result(&s.r, error);
}
