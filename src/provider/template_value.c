#include <math.h>
#include <stdlib.h>

#include "provider/template_private.h"

/* The values of a run: Go's types as far as templates see them. */

const char *template_type_name(enum template_type type)
{
	static const char *const names[] = {
#define X(name, text) text,
		TEMPLATE_TYPES(X)
#undef X
	};

	return names[type];
}

const char *template_kind_name(const struct template_value *v)
{
	if (v->type == TYPE_NIL)
		return "invalid";
	if (template_is_list(v))
		return "slice";
	return template_is_map(v) ? "map" : template_type_name(v->type);
}

bool template_is_list(const struct template_value *v)
{
	return v->type == TYPE_ANYS || v->type == TYPE_STRINGS || v->type == TYPE_INTS;
}

bool template_is_map(const struct template_value *v)
{
	return v->type == TYPE_MAP || v->type == TYPE_STRING_MAP;
}

bool template_is_integer(const struct template_value *v)
{
	return v->type == TYPE_INT || v->type == TYPE_INT64 || v->type == TYPE_UINT8;
}

bool template_truth(const struct template_value *v)
{
	if (v->type == TYPE_BOOL)
		return v->boolean;
	if (template_is_integer(v))
		return v->integer != 0;
	if (v->type == TYPE_FLOAT)
		return v->real < 0 || v->real > 0 || isnan(v->real);
	if (v->type == TYPE_STRING)
		return v->text.n > 0;
	if (template_is_list(v))
		return v->list.count > 0;
	return v->type != TYPE_NIL && v->map->count > 0;
}

#define NESTING_MAX 100 /* a map can be made to contain itself */

static bool equal_values(struct template_run *t, const struct template_value *a,
			 const struct template_value *b, unsigned depth);

static bool equal_lists(struct template_run *t, const struct template_list *a,
			const struct template_list *b, unsigned depth)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count && a->items != b->items; i++)
		if (!equal_values(t, &a->items[i], &b->items[i], depth))
			return false;
	return true;
}

static bool equal_maps(struct template_run *t, const struct template_pairs *a,
		       const struct template_pairs *b, unsigned depth)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count && a != b; i++)
		if (!slice_equal(a->at[i].key, b->at[i].key) ||
		    !equal_values(t, a->at[i].value, b->at[i].value, depth))
			return false;
	return true;
}

static bool equal_values(struct template_run *t, const struct template_value *a,
			 const struct template_value *b, unsigned depth)
{
	if (a->type != b->type || depth > NESTING_MAX || !template_step(t, 0, 1))
		return false;
	if (a->type == TYPE_BOOL)
		return a->boolean == b->boolean;
	if (template_is_integer(a))
		return a->integer == b->integer;
	if (a->type == TYPE_FLOAT)
		return !(a->real < b->real) && !(a->real > b->real);
	if (a->type == TYPE_STRING)
		return slice_equal(a->text, b->text);
	if (template_is_list(a))
		return equal_lists(t, &a->list, &b->list, depth + 1);
	return a->type == TYPE_NIL || equal_maps(t, a->map, b->map, depth + 1);
}

bool template_deep_equal(struct template_run *t, const struct template_value *a,
			 const struct template_value *b)
{
	return equal_values(t, a, b, 0);
}

/* Where `key` is or would be. */
static size_t map_position(const struct template_pairs *map, slice key)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slice_compare(map->at[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct template_value *template_map_get(const struct template_value *map, slice key)
{
	size_t at = map_position(map->map, key);

	if (at < map->map->count && slice_equal(map->map->at[at].key, key))
		return map->map->at[at].value;
	return NULL;
}

static bool map_reserve(struct arena *a, struct template_pairs *map)
{
	size_t capacity = MAX(map->capacity * 2, (size_t)8);
	struct template_pair *bigger;

	if (map->count < map->capacity)
		return true;
	bigger = ARENA_ARRAY(a, struct template_pair, capacity);
	if (bigger == NULL)
		return false;
	if (map->count > 0)
		memcpy(bigger, map->at, map->count * sizeof *bigger);
	map->at = bigger;
	map->capacity = capacity;
	return true;
}

bool template_map_set(struct arena *a, struct template_value *map, slice key,
		      struct template_value value)
{
	struct template_pairs *m = map->map;
	size_t at = map_position(m, key);
	struct template_value *copy = ARENA_NEW(a, struct template_value);

	if (copy == NULL)
		return false;
	*copy = value;
	if (at == m->count || !slice_equal(m->at[at].key, key)) {
		if (!map_reserve(a, m))
			return false;
		memmove(&m->at[at + 1], &m->at[at], (m->count - at) * sizeof *m->at);
		m->count++;
		m->at[at].key = key;
	}
	m->at[at].value = copy;
	return true;
}

void template_map_remove(struct template_value *map, slice key)
{
	struct template_pairs *m = map->map;
	size_t at = map_position(m, key);

	if (at == m->count || !slice_equal(m->at[at].key, key))
		return;
	m->count--;
	memmove(&m->at[at], &m->at[at + 1], (m->count - at) * sizeof *m->at);
}

struct template_value *template_text(struct arena *a, slice text)
{
	struct template_value *v = ARENA_NEW(a, struct template_value);

	if (v != NULL)
		*v = value_text(text);
	return v;
}

struct template_value *template_map(struct arena *a)
{
	struct template_value *v = ARENA_NEW(a, struct template_value);

	if (v == NULL)
		return NULL;
	v->type = TYPE_MAP;
	v->map = ARENA_NEW(a, struct template_pairs);
	return v->map != NULL ? v : NULL;
}

bool template_map_put(struct arena *a, struct template_value *map, slice key,
		      const struct template_value *value)
{
	return template_map_set(a, map, key, *value);
}

bool template_to_text(struct template_run *t, size_t offset, const struct template_value *v,
		      slice *text)
{
	struct str out;

	if (v->type == TYPE_STRING) {
		*text = v->text;
		return true;
	}
	out = template_scratch(t);
	template_print(&out, v);
	return template_keep(t, offset, &out, text);
}

struct str template_scratch(struct template_run *t)
{
	size_t used = MIN(t->arena.used_bytes, t->limits.memory_bytes_max);

	return (struct str){.limit = t->limits.memory_bytes_max - used + 1};
}

bool template_keep(struct template_run *t, size_t offset, struct str *s, slice *text)
{
	slice copy = {0};

	if (!s->failed)
		copy = arena_copy(&t->arena, str_slice(s));
	str_free(s);
	*text = copy;
	return copy.p != NULL || template_fail_memory(t, offset);
}

bool template_return_text(struct template_call *c, struct str *s)
{
	c->result.type = TYPE_STRING;
	return template_keep(c->run, c->offset, s, &c->result.text);
}

bool template_return_list(struct template_call *c, enum template_type type, size_t count,
			  struct template_value **items)
{
	*items = ARENA_ARRAY(&c->run->arena, struct template_value, MAX(count, (size_t)1));
	if (*items == NULL)
		return template_fail_memory(c->run, c->offset);
	c->result = (struct template_value){.type = type, .list = {count, *items}};
	return true;
}

/* "1.0" counts as an integer, "1.5" does not. */
static slice without_zero_decimal(slice s)
{
	size_t dot = slice_find(s, '.');

	for (size_t i = dot + 1; i < s.n; i++)
		if (s.p[i] != '0')
			return s;
	return dot + 1 < s.n ? slice_first(s, dot) : s;
}

static int64_t text_to_int(slice s)
{
	bool overflow = false;
	int64_t value = 0;

	if (!template_parse_integer(without_zero_decimal(s), &value, &overflow) || overflow)
		return 0;
	return value;
}

int64_t template_to_int(const struct template_value *v)
{
	if (template_is_integer(v))
		return v->integer;
	if (v->type == TYPE_BOOL)
		return v->boolean;
	if (v->type == TYPE_FLOAT && v->real >= -9.2e18 && v->real <= 9.2e18)
		return (int64_t)v->real;
	if (v->type == TYPE_FLOAT)
		return INT64_MIN; /* as amd64 does */
	return v->type == TYPE_STRING ? text_to_int(v->text) : 0;
}

double template_to_float(const struct template_value *v)
{
	char text[80], *end;
	double value;

	if (v->type == TYPE_FLOAT)
		return v->real;
	if (v->type != TYPE_STRING)
		return (double)template_to_int(v);
	if (v->text.n == 0 || v->text.n >= sizeof text ||
	    strchr(" \t\r\n\v\f", v->text.p[0]) != NULL)
		return 0;
	memcpy(text, v->text.p, v->text.n);
	text[v->text.n] = '\0';
	if (strpbrk(text, "xX") != NULL && strpbrk(text, "pP") == NULL)
		return 0; /* C takes hexadecimal numbers without an exponent */
	value = strtod(text, &end);
	return *end == '\0' ? value : 0;
}
