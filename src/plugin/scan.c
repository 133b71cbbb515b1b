#include "plugin/scan.h"

#include <errno.h>
#include <stdio.h>

/* X(NAME, id in the binary format) */
#define SECTIONS(X) \
	X(IMPORT, 2) \
	X(EXPORT, 7) \
	X(CODE, 10)

enum {
#define X(name, id) SECTION_##name = (id),
	SECTIONS(X)
#undef X
};

enum external { EXTERNAL_FUNCTION, EXTERNAL_TABLE, EXTERNAL_MEMORY, EXTERNAL_GLOBAL, EXTERNAL_TAG };

/* Reference types other than the old shorthands: a heap type follows. */
#define TYPE_REF_NULL 0x63
#define TYPE_REF 0x64

#define OPCODE_NOP 0x01
#define OPCODE_END 0x0b

struct reader {
	slice all;
	size_t at;
	size_t end; /* of the section being read */
	const char *failure;
	size_t failed_at;
};

struct scan {
	struct reader r;
	uint32_t imported_functions;
	bool has_response;
	uint32_t response_function;
	bool response_empty;
};

static void fail(struct reader *r, const char *what)
{
	if (r->failure != NULL)
		return;
	r->failure = what;
	r->failed_at = r->at;
	r->at = r->end;
}

static unsigned read_byte(struct reader *r)
{
	if (r->at >= r->end) {
		fail(r, "the data ends");
		return 0;
	}
	return (unsigned char)r->all.p[r->at++];
}

/* LEB128 without sign, of at most `bits` bits. */
static uint64_t read_leb(struct reader *r, unsigned bits)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < bits; shift += 7) {
		unsigned byte = read_byte(r);

		if (shift + 7 > bits && (byte & 0x7f) >> (bits - shift) != 0)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	fail(r, "a number is too long");
	return 0;
}

static uint32_t read_u32(struct reader *r)
{
	return (uint32_t)read_leb(r, 32);
}

static slice read_bytes(struct reader *r, size_t n)
{
	slice s;

	if (n > r->end - r->at) {
		fail(r, "a size points past the end");
		return SLICE("");
	}
	s = slice_of(r->all.p + r->at, n);
	r->at += n;
	return s;
}

/* A value or reference type. The longest heap type has five bytes. */
static void skip_type(struct reader *r)
{
	unsigned byte = read_byte(r);

	if (byte != TYPE_REF_NULL && byte != TYPE_REF)
		return;
	for (unsigned n = 0; n < 5; n++) {
		if (read_byte(r) < 0x80)
			return;
	}
	fail(r, "a number is too long");
}

static void skip_limits(struct reader *r)
{
	unsigned flags = read_byte(r);

	(void)read_leb(r, 64);
	if (flags & 1)
		(void)read_leb(r, 64);
}

static void skip_import_type(struct reader *r, unsigned kind)
{
	switch (kind) {
	case EXTERNAL_FUNCTION:
		(void)read_u32(r);
		break;
	case EXTERNAL_TABLE:
		skip_type(r);
		skip_limits(r);
		break;
	case EXTERNAL_MEMORY:
		skip_limits(r);
		break;
	case EXTERNAL_GLOBAL:
		skip_type(r);
		(void)read_byte(r);
		break;
	case EXTERNAL_TAG:
		(void)read_byte(r);
		(void)read_u32(r);
		break;
	default:
		fail(r, "an import is of no known kind");
	}
}

static void read_imports(struct scan *s)
{
	struct reader *r = &s->r;

	for (uint32_t left = read_u32(r); left > 0 && r->failure == NULL; left--) {
		unsigned kind;

		(void)read_bytes(r, read_u32(r));
		(void)read_bytes(r, read_u32(r));
		kind = read_byte(r);
		if (kind == EXTERNAL_FUNCTION)
			s->imported_functions++;
		skip_import_type(r, kind);
	}
}

static void read_exports(struct scan *s)
{
	struct reader *r = &s->r;

	for (uint32_t left = read_u32(r); left > 0 && r->failure == NULL; left--) {
		slice name = read_bytes(r, read_u32(r));
		unsigned kind = read_byte(r);
		uint32_t index = read_u32(r);

		if (kind == EXTERNAL_FUNCTION && slice_equal(name, SLICE("handle_response"))) {
			s->has_response = true;
			s->response_function = index;
		}
	}
}

/* Whether a body does nothing: local variables, nops, end. */
static bool body_is_empty(struct reader *r, size_t body_end)
{
	unsigned op;

	for (uint32_t groups = read_u32(r); groups > 0 && r->failure == NULL; groups--) {
		(void)read_u32(r);
		(void)read_byte(r);
	}
	do {
		op = read_byte(r);
	} while (op == OPCODE_NOP && r->at < body_end);
	return op == OPCODE_END && r->at == body_end;
}

static void read_code(struct scan *s)
{
	struct reader *r = &s->r;
	uint32_t count = read_u32(r);

	for (uint32_t i = 0; i < count && r->failure == NULL; i++) {
		size_t size = read_u32(r);
		size_t start = r->at;

		(void)read_bytes(r, size);
		if (r->failure == NULL && s->has_response &&
		    i + (uint64_t)s->imported_functions == s->response_function) {
			r->at = start;
			s->response_empty = body_is_empty(r, start + size);
			r->at = start + size;
		}
	}
}

static void read_section(struct scan *s)
{
	struct reader *r = &s->r;
	unsigned id = read_byte(r);
	size_t size = read_u32(r);
	size_t start = r->at;

	(void)read_bytes(r, size);
	if (r->failure != NULL)
		return;
	r->at = start;
	r->end = start + size;
	if (id == SECTION_IMPORT)
		read_imports(s);
	else if (id == SECTION_EXPORT)
		read_exports(s);
	else if (id == SECTION_CODE)
		read_code(s);
	r->at = start + size;
	r->end = r->all.n;
}

/* The first eight bytes: magic, version, and layer (components have another one). */
static int check_header(slice wasm, struct weir_error *error)
{
	char found[8 * 3 + 1] = " nothing";

	if (slice_starts(wasm, SLICE("\0asm\1\0\0\0")))
		return 0;
	if (slice_starts(wasm, SLICE("\0asm\x0d\0\1\0")))
		return error_set(error, -EINVAL,
				 "is a WebAssembly component, expected a core module "
				 "(http-wasm guests are core modules)");
	for (size_t i = 0; i < wasm.n && i < 8; i++)
		(void)snprintf(found + 3 * i, 4, " %02x", (unsigned char)wasm.p[i]);
	return error_set(error, -EINVAL,
			 "is not a WebAssembly module: begins with%s, expected "
			 "00 61 73 6d 01 00 00 00",
			 found);
}

int scan_module(struct scan_facts *facts, slice wasm, struct weir_error *error)
{
	struct scan s = {.r = {.all = wasm, .at = 8, .end = wasm.n}};
	int r = check_header(wasm, error);

	if (r < 0)
		return r;
	while (s.r.at < s.r.end && s.r.failure == NULL)
		read_section(&s);
	if (s.r.failure != NULL)
		return error_set(error, -EINVAL,
				 "is a damaged WebAssembly module: at byte %zu of %zu %s",
				 s.r.failed_at, wasm.n, s.r.failure);
	facts->response_empty = s.response_empty;
	return 0;
}
