#include "plugin/wasm_code.h"

/* What follows an opcode. */
enum immediate {
	NOTHING,
	NUMBER,
	NUMBERS, /* two */
	BLOCK,
	BR_TABLE,
	TYPES,
	ACCESS, /* alignment, memory, offset */
	INT,    /* signed */
	FOUR,
	EIGHT,
	SIXTEEN,
	LANE,
	ACCESS_LANE,
	BULK,   /* a prefix */
	VECTOR, /* a prefix */
	UNKNOWN,
};

struct opcodes {
	unsigned first, last;
	enum immediate immediate;
};

static const struct opcodes plain[] = {
	{0x00, 0x01, NOTHING}, {0x02, 0x04, BLOCK},    {0x05, 0x05, NOTHING}, {0x0b, 0x0b, NOTHING},
	{0x0c, 0x0d, NUMBER},  {0x0e, 0x0e, BR_TABLE}, {0x0f, 0x0f, NOTHING}, {0x10, 0x10, NUMBER},
	{0x11, 0x11, NUMBERS}, {0x12, 0x12, NUMBER},   {0x13, 0x13, NUMBERS}, {0x14, 0x15, NUMBER},
	{0x1a, 0x1b, NOTHING}, {0x1c, 0x1c, TYPES},    {0x20, 0x26, NUMBER},  {0x28, 0x3e, ACCESS},
	{0x3f, 0x40, NUMBER},  {0x41, 0x42, INT},      {0x43, 0x43, FOUR},    {0x44, 0x44, EIGHT},
	{0x45, 0xc4, NOTHING}, {0xd0, 0xd0, INT},      {0xd1, 0xd1, NOTHING}, {0xd2, 0xd2, NUMBER},
	{0xd3, 0xd4, NOTHING}, {0xd5, 0xd6, NUMBER},   {0xfc, 0xfc, BULK},    {0xfd, 0xfd, VECTOR},
};

static const struct opcodes bulk[] = {
	{0, 7, NOTHING},  {8, 8, NUMBERS},   {9, 9, NUMBER},   {10, 10, NUMBERS},
	{11, 11, NUMBER}, {12, 12, NUMBERS}, {13, 13, NUMBER}, {14, 14, NUMBERS},
	{15, 17, NUMBER}, {19, 22, NOTHING},
};

static const struct opcodes vector[] = {
	{0, 11, ACCESS},   {12, 13, SIXTEEN},     {14, 20, NOTHING}, {21, 34, LANE},
	{35, 83, NOTHING}, {84, 91, ACCESS_LANE}, {92, 93, ACCESS},  {94, 0x113, NOTHING},
};

#define OPCODE_TABLE_SET 0x26
#define BULK_MEMORY_INIT 8
#define BULK_DATA_DROP 9
#define BULK_TABLE_INIT 12
#define BULK_ELEM_DROP 13
#define BULK_TABLE_COPY 14
#define BULK_TABLE_GROW 15
#define BULK_TABLE_FILL 17

/* The alignment's bit that says that the index of a memory follows. */
#define ACCESS_HAS_MEMORY 0x40u

static enum immediate find(const struct opcodes *table, size_t count, unsigned opcode)
{
	for (size_t i = 0; i < count; i++) {
		if (opcode >= table[i].first && opcode <= table[i].last)
			return table[i].immediate;
	}
	return UNKNOWN;
}

static void skip_block_type(struct wasm_reader *r)
{
	unsigned byte = r->at < r->end ? (unsigned char)r->all.p[r->at] : 0;

	if (byte == WASM_TYPE_REF_NULL || byte == WASM_TYPE_REF)
		(void)wasm_skip_type(r);
	else
		(void)wasm_read_signed(r, 33);
}

static void skip_access(struct wasm_reader *r)
{
	if (wasm_read_u32(r) & ACCESS_HAS_MEMORY)
		(void)wasm_read_u32(r);
	(void)wasm_read_leb(r, 64);
}

static void skip_numbers(struct wasm_reader *r)
{
	for (uint32_t left = wasm_read_u32(r); left > 0 && r->failure == NULL; left--)
		(void)wasm_read_u32(r);
}

static void skip_types(struct wasm_reader *r)
{
	for (uint32_t left = wasm_read_u32(r); left > 0 && r->failure == NULL; left--)
		(void)wasm_skip_type(r);
}

/* False if what follows is not known. */
static bool skip_immediate(struct wasm_reader *r, enum immediate what)
{
	switch (what) {
	case NOTHING:
		break;
	case NUMBERS:
		(void)wasm_read_u32(r);
		(void)wasm_read_u32(r);
		break;
	case NUMBER:
		(void)wasm_read_u32(r);
		break;
	case BLOCK:
		skip_block_type(r);
		break;
	case BR_TABLE:
		skip_numbers(r);
		(void)wasm_read_u32(r);
		break;
	case TYPES:
		skip_types(r);
		break;
	case ACCESS_LANE:
		skip_access(r);
		(void)wasm_read_byte(r);
		break;
	case ACCESS:
		skip_access(r);
		break;
	case INT:
		(void)wasm_read_signed(r, 64);
		break;
	case FOUR:
		(void)wasm_read_bytes(r, 4);
		break;
	case EIGHT:
		(void)wasm_read_bytes(r, 8);
		break;
	case SIXTEEN:
		(void)wasm_read_bytes(r, 16);
		break;
	case LANE:
		(void)wasm_read_byte(r);
		break;
	default:
		return false;
	}
	return true;
}

static uint32_t judge_bulk(unsigned opcode)
{
	switch (opcode) {
	case BULK_MEMORY_INIT:
		return WASM_CODE_NAMES_DATA;
	case BULK_DATA_DROP:
		return WASM_CODE_NAMES_DATA | WASM_CODE_DROPS;
	case BULK_ELEM_DROP:
		return WASM_CODE_DROPS;
	case BULK_TABLE_INIT:
	case BULK_TABLE_COPY:
	case BULK_TABLE_GROW:
	case BULK_TABLE_FILL:
		return WASM_CODE_CHANGES_TABLES;
	default:
		return 0;
	}
}

static uint32_t scan_instruction(struct wasm_reader *r)
{
	unsigned opcode = wasm_read_byte(r);
	uint32_t found = opcode == OPCODE_TABLE_SET ? WASM_CODE_CHANGES_TABLES : 0;
	enum immediate what = find(plain, ARRAY_LEN(plain), opcode);

	if (what == BULK) {
		opcode = wasm_read_u32(r);
		found = judge_bulk(opcode);
		what = find(bulk, ARRAY_LEN(bulk), opcode);
	} else if (what == VECTOR) {
		what = find(vector, ARRAY_LEN(vector), wasm_read_u32(r));
	}
	return skip_immediate(r, what) ? found : found | WASM_CODE_UNKNOWN;
}

/* Up to the reader's end. */
static uint32_t scan_body(struct wasm_reader *r)
{
	uint32_t found = 0;

	for (uint32_t groups = wasm_read_u32(r); groups > 0 && r->failure == NULL; groups--) {
		(void)wasm_read_u32(r);
		(void)wasm_skip_type(r);
	}
	while (r->at < r->end && !(found & WASM_CODE_UNKNOWN))
		found |= scan_instruction(r);
	return found;
}

uint32_t wasm_code_scan(struct wasm_reader *r)
{
	uint32_t found = 0;

	for (uint32_t left = wasm_read_u32(r); left > 0 && r->failure == NULL; left--) {
		size_t size = wasm_read_u32(r), start = r->at, end = r->end;

		(void)wasm_read_bytes(r, size);
		if (r->failure != NULL)
			break;
		r->at = start;
		r->end = start + size;
		found |= scan_body(r);
		r->at = start + size;
		r->end = end;
	}
	return found;
}

#define CONSTANTS_MAX 16

/* The operands of a constant expression. */
struct operands {
	struct wasm_constant values[CONSTANTS_MAX];
	size_t n;
};

static void push(struct operands *o, struct wasm_constant c)
{
	/* Deeper ones are not worth a stack: their value is not known. */
	if (o->n < CONSTANTS_MAX)
		o->values[o->n] = c;
	o->n++;
}

static struct wasm_constant pop(struct operands *o)
{
	if (o->n == 0 || o->n-- > CONSTANTS_MAX)
		return (struct wasm_constant){0};
	return o->values[o->n];
}

static void combine(struct operands *o, unsigned opcode, unsigned first)
{
	struct wasm_constant b = pop(o), a = pop(o), c = {.known = a.known && b.known};

	c.bits = opcode == first       ? a.bits + b.bits
		 : opcode == first + 1 ? a.bits - b.bits
				       : a.bits * b.bits;
	push(o, c);
}

static struct wasm_constant global_value(struct wasm_reader *r, const struct wasm_constant *globals,
					 size_t count)
{
	uint32_t index = wasm_read_u32(r);

	return index < count ? globals[index] : (struct wasm_constant){0};
}

#define CONST_END 0x0b
#define CONST_GLOBAL 0x23
#define CONST_I32 0x41
#define CONST_I64 0x42
#define CONST_F32 0x43
#define CONST_F64 0x44
#define CONST_I32_ADD 0x6a
#define CONST_I32_MUL 0x6c
#define CONST_I64_ADD 0x7c
#define CONST_I64_MUL 0x7e
#define CONST_NULL 0xd0
#define CONST_FUNCTION 0xd2
#define CONST_VECTOR 0xfd

static void read_operation(struct wasm_reader *r, struct operands *o, unsigned opcode,
			   const struct wasm_constant *globals, size_t global_count)
{
	struct wasm_constant c = {0};

	switch (opcode) {
	case CONST_I32:
	case CONST_I64:
		c.known = true;
		c.bits = (uint64_t)wasm_read_signed(r, opcode == CONST_I32 ? 32 : 64);
		break;
	case CONST_GLOBAL:
		c = global_value(r, globals, global_count);
		break;
	case CONST_F32:
		(void)wasm_read_bytes(r, 4);
		break;
	case CONST_F64:
		(void)wasm_read_bytes(r, 8);
		break;
	case CONST_NULL:
		(void)wasm_read_signed(r, 33);
		break;
	case CONST_FUNCTION:
		(void)wasm_read_u32(r);
		break;
	case CONST_VECTOR:
		(void)wasm_read_u32(r);
		(void)wasm_read_bytes(r, 16);
		break;
	default:
		wasm_reader_fail(r, "a constant expression has an instruction of no known kind");
	}
	push(o, c);
}

struct wasm_constant wasm_constant_read(struct wasm_reader *r, const struct wasm_constant *globals,
					size_t global_count)
{
	struct operands o = {.n = 0};

	while (r->failure == NULL) {
		unsigned opcode = wasm_read_byte(r);

		if (opcode == CONST_END && r->failure == NULL)
			return pop(&o);
		if (opcode >= CONST_I32_ADD && opcode <= CONST_I32_MUL)
			combine(&o, opcode, CONST_I32_ADD);
		else if (opcode >= CONST_I64_ADD && opcode <= CONST_I64_MUL)
			combine(&o, opcode, CONST_I64_ADD);
		else
			read_operation(r, &o, opcode, globals, global_count);
	}
	return (struct wasm_constant){0};
}
