#include "proxy/series_labels.h"

#include <errno.h>
#include <stdlib.h>

#include "core/map.h"
#include "core/str.h"
#include "proxy/series_private.h"

#define LISTS 64u
#define OTHER "other"

struct cell {
	struct cell *next;
	uint64_t hash;
	struct series_key key;
	_Atomic uint64_t requests;
	slice values; /* behind this */
};

/* As the series: nothing is ever removed. */
struct series_labelled {
	struct cell *_Atomic lists[LISTS];
	size_t count;
};

slice series_next_value(slice *values)
{
	slice value = slice_first(*values, slice_find(*values, '\0'));

	*values = slice_from_at(*values, MIN(value.n + 1, values->n));
	return value;
}

/* Prometheus takes UTF-8 only. */
static void add_value(struct str *to, slice value)
{
	for (size_t i = 0; i < value.n;) {
		size_t from = i;
		bool valid = slice_rune(value, &i) >= 0;

		if (i > SERIES_VALUE_MAX)
			break;
		if (valid)
			str_add(to, slice_of(value.p + from, i - from));
		else
			str_add_char(to, '?');
	}
}

slice series_read_labels(const struct series_shape *shape, const struct fields *fields,
			 struct arena *arena)
{
	struct str text = {0};
	slice copy;

	for (size_t i = 0; i < shape->header_count; i++) {
		const struct series_header *h = &shape->headers[i];
		const struct field *f = fields_find(fields, h->field);

		if (f != NULL && f->id != FIELD_HOST && f->value.n > 0)
			add_value(&text, h->secret ? SLICE("xxxx") : f->value);
		str_add_char(&text, '\0');
	}
	copy = text.failed ? (slice){NULL, 0} : arena_copy(arena, str_slice(&text));
	str_free(&text);
	return copy;
}

static bool same_key(struct series_key a, struct series_key b)
{
	return a.code == b.code && a.method == b.method && a.protocol == b.protocol;
}

static struct cell *new_cell(struct series_key key, slice values, uint64_t hash)
{
	struct cell *c = calloc(1, sizeof *c + values.n);

	if (c == NULL)
		return NULL;
	c->hash = hash;
	c->key = key;
	memcpy(c + 1, values.p, values.n);
	c->values = slice_of((const char *)(c + 1), values.n);
	return c;
}

static struct cell *find(struct series_labelled *all, struct series_key key, slice values,
			 size_t max)
{
	uint64_t hash = map_hash(values) + key.code;
	struct cell *_Atomic *list = &all->lists[hash % LISTS];
	struct cell *first = atomic_load_explicit(list, memory_order_relaxed), *c;

	for (c = first; c != NULL; c = c->next) {
		if (c->hash == hash && same_key(c->key, key) && slice_equal(c->values, values))
			return c;
	}
	c = all->count < max ? new_cell(key, values, hash) : NULL;
	if (c == NULL)
		return NULL;
	c->next = first;
	all->count++;
	atomic_store_explicit(list, c, memory_order_release);
	return c;
}

static struct series_labelled *labelled_of(struct series *s)
{
	struct series_labelled *all = atomic_load_explicit(&s->labelled, memory_order_relaxed);

	if (all == NULL) {
		all = calloc(1, sizeof *all);
		atomic_store_explicit(&s->labelled, all, memory_order_release);
	}
	return all;
}

void series_add_labelled(struct series *s, const struct series_shape *shape, struct series_key key,
			 slice values)
{
	struct series_labelled *all = labelled_of(s);
	struct cell *c = NULL;

	if (all != NULL && values.p != NULL)
		c = find(all, key, values, shape->labelled_max);
	if (c == NULL) {
		counter_add(&s->other, 1);
		if (all != NULL)
			c = find(all, key, shape->other, shape->labelled_max + SERIES_CELLS_MAX);
	}
	if (c != NULL)
		counter_add(&c->requests, 1);
}

void series_free_labelled(struct series *s)
{
	struct series_labelled *all = atomic_load(&s->labelled);

	for (size_t i = 0; all != NULL && i < LISTS; i++) {
		struct cell *c = atomic_load(&all->lists[i]);

		while (c != NULL) {
			struct cell *next = c->next;

			free(c);
			c = next;
		}
	}
	free(all);
}

void series_free_headers(struct series_shape *shape)
{
	for (size_t i = 0; i < shape->header_count; i++)
		free(shape->headers[i].label);
	free(shape->headers);
	free(shape->other_text);
}

int series_read_headers(struct series_shape *shape, const struct option_pairs *labels)
{
	static const slice secrets[] = {
		{"Authorization", 13}, {"Proxy-Authorization", 19}, {"Cookie", 6}};
	struct str other = {0};

	shape->headers = calloc(labels->count + 1, sizeof *shape->headers);
	if (shape->headers == NULL)
		return -ENOMEM;
	shape->header_count = labels->count;
	for (size_t i = 0; i < labels->count; i++) {
		struct series_header *h = &shape->headers[i];

		*h = (struct series_header){slice_dup(labels->items[i].key), labels->items[i].value,
					    false};
		if (h->label == NULL)
			other.failed = true;
		for (size_t n = 0; n < ARRAY_LEN(secrets); n++)
			h->secret |= slice_equal_nocase(h->field, secrets[n]);
		str_add(&other, SLICE(OTHER));
		str_add_char(&other, '\0');
	}
	if (other.failed) {
		str_free(&other);
		return -ENOMEM;
	}
	shape->other = str_slice(&other);
	shape->other_text = str_take(&other);
	return 0;
}

/* All cells of one object, to bring equal ones together. */
struct gathered {
	const struct cell **cells;
	size_t count, capacity;
	bool failed;
};

static void gather(struct gathered *g, const struct cell *c)
{
	for (; c != NULL && !g->failed; c = c->next) {
		if (g->count == g->capacity) {
			size_t capacity = MAX(2 * g->capacity, (size_t)64);
			const struct cell **more =
				realloc(g->cells, capacity * sizeof(const struct cell *));

			g->failed = more == NULL;
			if (g->failed)
				return;
			g->cells = more;
			g->capacity = capacity;
		}
		g->cells[g->count++] = c;
	}
}

static int compare(const struct cell *a, const struct cell *b)
{
	if (a->key.code != b->key.code)
		return a->key.code < b->key.code ? -1 : 1;
	if (a->key.method != b->key.method)
		return a->key.method < b->key.method ? -1 : 1;
	if (a->key.protocol != b->key.protocol)
		return a->key.protocol < b->key.protocol ? -1 : 1;
	return slice_compare(a->values, b->values);
}

static int by_key(const void *a, const void *b)
{
	return compare(*(const struct cell *const *)a, *(const struct cell *const *)b);
}

static void visit_group(struct gathered *g, const struct series_group *group, size_t workers,
			series_labelled_fn *visit, void *context)
{
	g->count = 0;
	for (size_t w = 0; w < workers; w++) {
		struct series_labelled *all =
			atomic_load_explicit(&group->workers[w].labelled, memory_order_acquire);

		for (size_t i = 0; all != NULL && i < LISTS; i++)
			gather(g, atomic_load_explicit(&all->lists[i], memory_order_acquire));
	}
	if (g->count > 0)
		qsort(g->cells, g->count, sizeof(const struct cell *), by_key);
	for (size_t i = 0, next; i < g->count; i = next) {
		uint64_t n = 0;

		for (next = i; next < g->count && compare(g->cells[next], g->cells[i]) == 0; next++)
			n += counter_get(&g->cells[next]->requests);
		visit(context, group, g->cells[i]->key, g->cells[i]->values, n);
	}
}

int series_visit_labelled(struct series_registry *registry, series_labelled_fn *visit,
			  void *context)
{
	struct gathered g = {.count = 0};
	size_t count = 0, workers;
	struct series_group **all = series_take_all(registry, &count, &workers);

	g.failed = all == NULL;
	for (size_t i = 0; i < count; i++) {
		if (!g.failed)
			visit_group(&g, all[i], workers, visit, context);
		series_release(&all[i]);
	}
	free(all);
	free(g.cells);
	return g.failed ? -ENOMEM : 0;
}
