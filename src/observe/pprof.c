#include "observe/pprof.h"

#include <stdint.h>
#include <stdio.h>

#include "core/base.h"

/* Numbers of fields in profile.proto. */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6,
	PROFILE_TIME = 9,
	PROFILE_DURATION = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12
};
enum { TYPE_TYPE = 1, TYPE_UNIT = 2 };
enum { SAMPLE_LOCATION = 1, SAMPLE_VALUE = 2, SAMPLE_LABEL = 3 };
enum { LABEL_KEY = 1, LABEL_TEXT = 2 };
enum { MAPPING_ID = 1, MAPPING_LIMIT = 3, MAPPING_FILE = 5, MAPPING_HAS_FUNCTIONS = 7 };
enum { LOCATION_ID = 1, LOCATION_MAPPING = 2, LOCATION_ADDRESS = 3, LOCATION_LINE = 4 };
enum { LINE_FUNCTION = 1 };
enum { FUNCTION_ID = 1, FUNCTION_NAME = 2, FUNCTION_SYSTEM_NAME = 3, FUNCTION_FILE = 4 };

enum wire { WIRE_VARINT = 0, WIRE_BYTES = 2 };

static void put_varint(struct str *out, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		str_add_char(out, (char)(n | 0x80));
	str_add_char(out, (char)n);
}

static void put_number(struct str *out, unsigned field, uint64_t n)
{
	put_varint(out, field << 3 | WIRE_VARINT);
	put_varint(out, n);
}

static void put_bytes(struct str *out, unsigned field, slice bytes)
{
	put_varint(out, field << 3 | WIRE_BYTES);
	put_varint(out, bytes.n);
	str_add(out, bytes);
}

static void end_inner(struct pprof *p, unsigned field)
{
	put_bytes(&p->part, field, str_slice(&p->inner));
	p->failed |= p->inner.failed;
	str_clear(&p->inner);
}

static void put_packed(struct pprof *p, unsigned field, const uint64_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_varint(&p->inner, numbers[i]);
	end_inner(p, field);
}

static void end_part(struct pprof *p, unsigned field)
{
	put_bytes(&p->message, field, str_slice(&p->part));
	p->failed |= p->part.failed;
	str_clear(&p->part);
}

/* The number under the key, else the next one, which is the caller's to describe. */
static uint64_t number_of(struct pprof *p, char kind, slice key, uint64_t *count, bool *is_new)
{
	slice full = arena_format(&p->arena, "%c%.*s", kind, SLICE_ARG(key));
	uint64_t *known = full.p != NULL ? map_get(&p->known, full) : NULL;

	*is_new = false;
	if (known != NULL)
		return *known;
	known = ARENA_NEW(&p->arena, uint64_t);
	if (full.p == NULL || known == NULL || map_put(&p->known, full, known) < 0) {
		p->failed = true;
		return 0;
	}
	*is_new = true;
	*known = ++*count;
	return *known;
}

/* The first one, number 0, is empty. */
static uint64_t text_number(struct pprof *p, slice text)
{
	uint64_t number;
	bool is_new;

	if (text.n == 0)
		return 0;
	number = number_of(p, 't', text, &p->texts, &is_new);
	if (is_new)
		put_bytes(&p->message, PROFILE_STRING, text);
	return number;
}

static void put_type(struct pprof *p, unsigned field, const char *type, const char *unit)
{
	uint64_t type_number = text_number(p, slice_from(type));
	uint64_t unit_number = text_number(p, slice_from(unit));

	put_number(&p->part, TYPE_TYPE, type_number);
	put_number(&p->part, TYPE_UNIT, unit_number);
	end_part(p, field);
}

/* Whoever reads it looks for no symbols itself: they are all here. */
static void put_mapping(struct pprof *p)
{
	uint64_t file = text_number(p, SLICE("weir"));

	put_number(&p->part, MAPPING_ID, 1);
	put_number(&p->part, MAPPING_LIMIT, UINT64_MAX);
	put_number(&p->part, MAPPING_FILE, file);
	put_number(&p->part, MAPPING_HAS_FUNCTIONS, 1);
	end_part(p, PROFILE_MAPPING);
}

void pprof_init(struct pprof *p, size_t bytes_max)
{
	*p = (struct pprof){.message = {.limit = bytes_max},
			    .part = {.limit = bytes_max},
			    .inner = {.limit = bytes_max}};
	arena_init(&p->arena, 16384, bytes_max);
	put_bytes(&p->message, PROFILE_STRING, SLICE(""));
	put_mapping(p);
}

void pprof_free(struct pprof *p)
{
	str_free(&p->message);
	str_free(&p->part);
	str_free(&p->inner);
	map_free(&p->known);
	arena_free(&p->arena);
}

void pprof_value(struct pprof *p, const char *type, const char *unit)
{
	put_type(p, PROFILE_SAMPLE_TYPE, type, unit);
}

void pprof_period(struct pprof *p, const char *type, const char *unit, uint64_t period)
{
	put_type(p, PROFILE_PERIOD_TYPE, type, unit);
	put_number(&p->message, PROFILE_PERIOD, period);
}

void pprof_times(struct pprof *p, uint64_t begun_ns, uint64_t duration_ns)
{
	put_number(&p->message, PROFILE_TIME, begun_ns);
	put_number(&p->message, PROFILE_DURATION, duration_ns);
}

static uint64_t function_number(struct pprof *p, slice function, slice file)
{
	uint64_t name = text_number(p, function), file_name = text_number(p, file), number;
	char key[48];
	bool is_new;
	int n = snprintf(key, sizeof key, "%llx %llx", (unsigned long long)name,
			 (unsigned long long)file_name);

	number = number_of(p, 'f', slice_of(key, (size_t)n), &p->functions, &is_new);
	if (!is_new)
		return number;
	put_number(&p->part, FUNCTION_ID, number);
	put_number(&p->part, FUNCTION_NAME, name);
	put_number(&p->part, FUNCTION_SYSTEM_NAME, name);
	put_number(&p->part, FUNCTION_FILE, file_name);
	end_part(p, PROFILE_FUNCTION);
	return number;
}

uint64_t pprof_location(struct pprof *p, slice function, slice file, uint64_t address)
{
	uint64_t in = function_number(p, function, file), number;
	char key[48];
	bool is_new;
	int n = snprintf(key, sizeof key, "%llx %llx", (unsigned long long)in,
			 (unsigned long long)address);

	number = number_of(p, 'l', slice_of(key, (size_t)n), &p->locations, &is_new);
	if (!is_new)
		return number;
	put_number(&p->inner, LINE_FUNCTION, in);
	put_number(&p->part, LOCATION_ID, number);
	put_number(&p->part, LOCATION_MAPPING, 1);
	put_number(&p->part, LOCATION_ADDRESS, address);
	end_inner(p, LOCATION_LINE);
	end_part(p, PROFILE_LOCATION);
	return number;
}

static void put_label(struct pprof *p, const struct pprof_label *label)
{
	uint64_t key = text_number(p, slice_from(label->key)), text = text_number(p, label->text);

	put_number(&p->inner, LABEL_KEY, key);
	put_number(&p->inner, LABEL_TEXT, text);
	end_inner(p, SAMPLE_LABEL);
}

void pprof_add(struct pprof *p, const struct pprof_sample *s)
{
	put_packed(p, SAMPLE_LOCATION, s->locations, s->depth);
	put_packed(p, SAMPLE_VALUE, s->values, s->value_count);
	for (size_t i = 0; i < s->label_count; i++) {
		if (s->labels[i].text.n > 0)
			put_label(p, &s->labels[i]);
	}
	end_part(p, PROFILE_SAMPLE);
}

bool pprof_message(const struct pprof *p, slice *message)
{
	*message = str_slice(&p->message);
	return !p->failed && !p->message.failed;
}
