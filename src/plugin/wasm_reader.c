#include "plugin/wasm_reader.h"

#include <errno.h>
#include <stdio.h>

void wasm_reader_fail(struct wasm_reader *r, const char *what)
{
	if (r->failure != NULL)
		return;
	r->failure = what;
	r->failed_at = r->at;
	r->at = r->end;
}

unsigned wasm_read_byte(struct wasm_reader *r)
{
	if (r->at >= r->end) {
		wasm_reader_fail(r, "the data ends");
		return 0;
	}
	return (unsigned char)r->all.p[r->at++];
}

uint64_t wasm_read_leb(struct wasm_reader *r, unsigned bits)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < bits; shift += 7) {
		unsigned byte = wasm_read_byte(r);

		if (shift + 7 > bits && (byte & 0x7f) >> (bits - shift) != 0)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	wasm_reader_fail(r, "a number is too long");
	return 0;
}

uint32_t wasm_read_u32(struct wasm_reader *r)
{
	return (uint32_t)wasm_read_leb(r, 32);
}

/* What the last byte may hold beyond the number's bits: copies of its sign. */
static bool sign_extends(unsigned byte, unsigned used)
{
	unsigned rest = (byte & 0x7f) >> (used - 1);

	return rest == 0 || rest == 0x7fu >> (used - 1);
}

int64_t wasm_read_signed(struct wasm_reader *r, unsigned bits)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < bits; shift += 7) {
		unsigned byte = wasm_read_byte(r);

		if (shift + 7 > bits && !sign_extends(byte, bits - shift))
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte >= 0x80)
			continue;
		if (shift + 7 < 64 && (byte & 0x40) != 0)
			value |= UINT64_MAX << (shift + 7);
		return (int64_t)value;
	}
	wasm_reader_fail(r, "a number is too long");
	return 0;
}

slice wasm_read_bytes(struct wasm_reader *r, size_t n)
{
	slice s;

	if (n > r->end - r->at) {
		wasm_reader_fail(r, "a size points past the end");
		return SLICE("");
	}
	s = slice_of(r->all.p + r->at, n);
	r->at += n;
	return s;
}

slice wasm_read_name(struct wasm_reader *r)
{
	size_t n = wasm_read_u32(r);

	return wasm_read_bytes(r, n);
}

/* The longest heap type has five bytes. */
unsigned wasm_skip_type(struct wasm_reader *r)
{
	unsigned byte = wasm_read_byte(r);

	if (byte != WASM_TYPE_REF_NULL && byte != WASM_TYPE_REF)
		return byte;
	for (unsigned n = 0; n < 5; n++) {
		if (wasm_read_byte(r) < 0x80)
			return byte;
	}
	wasm_reader_fail(r, "a number is too long");
	return byte;
}

static void skip_limits(struct wasm_reader *r)
{
	unsigned flags = wasm_read_byte(r);

	(void)wasm_read_leb(r, 64);
	if (flags & 1)
		(void)wasm_read_leb(r, 64);
}

void wasm_skip_import_type(struct wasm_reader *r, unsigned kind)
{
	switch (kind) {
	case WASM_EXTERNAL_FUNCTION:
		(void)wasm_read_u32(r);
		break;
	case WASM_EXTERNAL_TABLE:
		(void)wasm_skip_type(r);
		skip_limits(r);
		break;
	case WASM_EXTERNAL_MEMORY:
		skip_limits(r);
		break;
	case WASM_EXTERNAL_GLOBAL:
		(void)wasm_skip_type(r);
		(void)wasm_read_byte(r);
		break;
	case WASM_EXTERNAL_TAG:
		(void)wasm_read_byte(r);
		(void)wasm_read_u32(r);
		break;
	default:
		wasm_reader_fail(r, "an import is of no known kind");
	}
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

int wasm_reader_init(struct wasm_reader *r, slice wasm, struct weir_error *error)
{
	*r = (struct wasm_reader){.all = wasm, .at = 8, .end = 8};
	return check_header(wasm, error);
}

bool wasm_reader_section(struct wasm_reader *r, struct wasm_section *section)
{
	size_t size;

	if (r->failure != NULL)
		return false;
	r->at = r->end;
	r->end = r->all.n;
	if (r->at == r->end)
		return false;
	section->start = r->at;
	section->id = wasm_read_byte(r);
	size = wasm_read_u32(r);
	section->body = r->at;
	(void)wasm_read_bytes(r, size);
	if (r->failure != NULL)
		return false;
	section->end = r->at;
	r->at = section->body;
	r->end = section->end;
	return true;
}

int wasm_reader_result(const struct wasm_reader *r, struct weir_error *error)
{
	if (r->failure == NULL)
		return 0;
	return error_set(error, -EINVAL, "is a damaged WebAssembly module: at byte %zu of %zu %s",
			 r->failed_at, r->all.n, r->failure);
}
