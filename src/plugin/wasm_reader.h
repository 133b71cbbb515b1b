/*
 * Reads the binary format of WebAssembly: numbers, sizes, types. Bounded: looks at each byte once,
 * trusts none. After a failure everything reads as zero and empty.
 */
#ifndef PLUGIN_WASM_READER_H
#define PLUGIN_WASM_READER_H

#include "core/error.h"

/* X(NAME, id in the binary format) */
#define WASM_SECTIONS(X) \
	X(CUSTOM, 0) \
	X(TYPE, 1) \
	X(IMPORT, 2) \
	X(FUNCTION, 3) \
	X(TABLE, 4) \
	X(MEMORY, 5) \
	X(GLOBAL, 6) \
	X(EXPORT, 7) \
	X(START, 8) \
	X(ELEMENT, 9) \
	X(CODE, 10) \
	X(DATA, 11) \
	X(DATA_COUNT, 12)

enum wasm_section_id {
#define X(name, id) WASM_SECTION_##name = (id),
	WASM_SECTIONS(X)
#undef X
};

enum wasm_external {
	WASM_EXTERNAL_FUNCTION,
	WASM_EXTERNAL_TABLE,
	WASM_EXTERNAL_MEMORY,
	WASM_EXTERNAL_GLOBAL,
	WASM_EXTERNAL_TAG
};

/* Value types. Heap types follow the last two. */
#define WASM_TYPE_I32 0x7f
#define WASM_TYPE_I64 0x7e
#define WASM_TYPE_F32 0x7d
#define WASM_TYPE_F64 0x7c
#define WASM_TYPE_V128 0x7b
#define WASM_TYPE_REF_NULL 0x63
#define WASM_TYPE_REF 0x64

struct wasm_reader {
	slice all;
	size_t at;
	size_t end;          /* of the section being read */
	const char *failure; /* the first */
	size_t failed_at;
};

/** One section; the reader stands at its content and ends with it. */
struct wasm_section {
	unsigned id;
	size_t start; /* its id's offset */
	size_t body;  /* its content's */
	size_t end;
};

/** At the first section. Returns 0, or -EINVAL if this is no core module. */
int wasm_reader_init(struct wasm_reader *r, slice wasm, struct weir_error *error);

/** The next section; false at the end, and after a failure. */
bool wasm_reader_section(struct wasm_reader *r, struct wasm_section *section);

/** Records the first failure, where the reader stands, and ends the section. */
void wasm_reader_fail(struct wasm_reader *r, const char *what);

/** 0, or -EINVAL with the offset. */
int wasm_reader_result(const struct wasm_reader *r, struct weir_error *error);

/** One byte; 0 after a failure or at the end of the section. */
unsigned wasm_read_byte(struct wasm_reader *r);

/** LEB128 without sign, of at most `bits` bits. */
uint64_t wasm_read_leb(struct wasm_reader *r, unsigned bits);
uint32_t wasm_read_u32(struct wasm_reader *r);

/** LEB128 with sign, of at most `bits` bits. */
int64_t wasm_read_signed(struct wasm_reader *r, unsigned bits);

/** `n` bytes of the module; empty after a failure. */
slice wasm_read_bytes(struct wasm_reader *r, size_t n);

/** A length and so many bytes. */
slice wasm_read_name(struct wasm_reader *r);

/** A value or reference type; returns its first byte. */
unsigned wasm_skip_type(struct wasm_reader *r);

/** The type of an import of that kind. */
void wasm_skip_import_type(struct wasm_reader *r, unsigned kind);

#endif
