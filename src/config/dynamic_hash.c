#include <errno.h>
#include <stdlib.h>

#include "config/dynamic_private.h"
#include "config/value.h"
#include "core/sha256.h"

/* Values in the order of the table, maps in the order of their keys: the notation leaves no trace.
 */

struct hasher {
	struct sha256 sha;
	struct str text; /* of the value at hand */
	bool failed;
};

/* With its length, so that neighbours cannot run into each other. */
static void add(struct hasher *h, slice s)
{
	uint64_t length = s.n;

	sha256_add(&h->sha, slice_of((const char *)&length, sizeof length));
	sha256_add(&h->sha, s);
}

static void add_text(struct hasher *h)
{
	h->failed |= h->text.failed;
	add(h, str_slice(&h->text));
	str_clear(&h->text);
}

static void add_count(struct hasher *h, uint64_t count)
{
	sha256_add(&h->sha, slice_of((const char *)&count, sizeof count));
}

static int by_key(const void *a, const void *b)
{
	return slice_compare(((const struct option_pair *)a)->key,
			     ((const struct option_pair *)b)->key);
}

static int by_int_key(const void *a, const void *b)
{
	return slice_compare(((const struct option_int_pair *)a)->key,
			     ((const struct option_int_pair *)b)->key);
}

static int by_entry(const void *a, const void *b)
{
	return slice_compare(((const struct option_entry *)a)->name,
			     ((const struct option_entry *)b)->name);
}

/* A sorted copy, freed by the caller; NULL marks the failure. */
static void *sorted(struct hasher *h, const void *items, size_t count, size_t size,
		    int (*compare)(const void *, const void *))
{
	void *copy = calloc(count + 1, size);

	if (copy == NULL) {
		h->failed = true;
		return NULL;
	}
	if (count > 0) {
		memcpy(copy, items, count * size);
		qsort(copy, count, size, compare);
	}
	add_count(h, count);
	return copy;
}

static void add_pairs(struct hasher *h, const struct option_pairs *pairs)
{
	struct option_pair *copy = sorted(h, pairs->items, pairs->count, sizeof *copy, by_key);

	for (size_t i = 0; copy != NULL && i < pairs->count; i++) {
		add(h, copy[i].key);
		add(h, copy[i].value);
	}
	free(copy);
}

static void add_int_pairs(struct hasher *h, const struct option_int_pairs *pairs)
{
	struct option_int_pair *copy =
		sorted(h, pairs->items, pairs->count, sizeof *copy, by_int_key);

	for (size_t i = 0; copy != NULL && i < pairs->count; i++) {
		add(h, copy[i].key);
		str_format(&h->text, "%lld", (long long)copy[i].value);
		add_text(h);
	}
	free(copy);
}

static void add_free_map(struct hasher *h, const struct option_map *map)
{
	struct option_entry *copy = sorted(h, map->items, map->count, sizeof *copy, by_entry);

	for (size_t i = 0; copy != NULL && i < map->count; i++) {
		add(h, copy[i].name);
		tree_add_json(&h->text, copy[i].node, false);
		add_text(h);
	}
	free(copy);
}

/* What a file says counts, and whether it could be read. */
static void add_content(struct hasher *h, const struct option_content *content)
{
	add(h, content->text);
	add_count(h, content->bytes.p != NULL);
	add(h, content->bytes);
}

static void add_contents(struct hasher *h, const struct option_contents *list)
{
	add_count(h, list->count);
	for (size_t i = 0; i < list->count; i++)
		add_content(h, &list->items[i]);
}

static void add_rows(struct hasher *h, const struct option *table, const char *object);

static void add_array(struct hasher *h, const struct option *row, const struct option_array *array)
{
	add_count(h, array->count);
	for (size_t i = 0; i < array->count; i++)
		add_rows(h, row->table, array->items[i]);
}

static void add_pointer(struct hasher *h, const struct option *row, const void *at)
{
	const void *object;

	memcpy(&object, at, sizeof object);
	add_count(h, object != NULL);
	if (object != NULL)
		add_rows(h, row->table, object);
}

static void add_row(struct hasher *h, const struct option *row, const char *at)
{
	const void *value = at;

	switch (row->type) {
	case OPTION_OBJECT:
		add_rows(h, row->table, at);
		return;
	case OPTION_POINTER:
		add_pointer(h, row, value);
		return;
	case OPTION_ARRAY:
		add_array(h, row, value);
		return;
	case OPTION_CONTENT:
		add_content(h, value);
		return;
	case OPTION_CONTENTS:
		add_contents(h, value);
		return;
	case OPTION_PAIRS:
		add_pairs(h, value);
		return;
	case OPTION_INT_PAIRS:
		add_int_pairs(h, value);
		return;
	case OPTION_FREE_MAP:
		add_free_map(h, value);
		return;
	default:
		must(value_is_plain(row->type));
		value_add_yaml(&h->text, row, value);
		add_text(h);
	}
}

static void add_rows(struct hasher *h, const struct option *table, const char *object)
{
	for (; table->name != NULL; table++) {
		if (table->flags & OPTION_NOWHERE)
			continue;
		add(h, slice_from(table->name));
		add_row(h, table, object + table->offset);
	}
}

int dynamic_hash_objects(struct dynamic_config *config)
{
	struct hasher one = {0};

	for (enum dynamic_kind kind = 0; kind < DYNAMIC_KIND_COUNT; kind++) {
		for (size_t i = 0; i < dynamic_count(config, kind); i++) {
			struct dynamic_object *o = dynamic_at(config, kind, i);

			sha256_begin(&one.sha);
			add(&one, o->name);
			add_rows(&one, dynamic_kind_options(kind), (const char *)o);
			sha256_end(&one.sha, o->hash.bytes);
		}
	}
	str_free(&one.text);
	return one.failed ? -ENOMEM : 0;
}

int dynamic_hash_whole(struct dynamic_config *config)
{
	struct hasher all = {0};

	sha256_begin(&all.sha);
	for (enum dynamic_kind kind = 0; kind < DYNAMIC_KIND_COUNT; kind++) {
		add_count(&all, dynamic_count(config, kind));
		for (size_t i = 0; i < dynamic_count(config, kind); i++) {
			const struct dynamic_object *o = dynamic_at(config, kind, i);

			add(&all, o->name);
			add(&all, slice_of((const char *)o->hash.bytes, sizeof o->hash.bytes));
		}
	}
	add_count(&all, config->certificates.count);
	for (size_t i = 0; i < config->certificates.count; i++)
		add_rows(&all, dynamic_certificate_options, config->certificates.items[i]);
	sha256_end(&all.sha, config->hash.bytes);
	str_free(&all.text);
	return all.failed ? -ENOMEM : 0;
}

bool dynamic_hash_equal(const struct dynamic_hash *a, const struct dynamic_hash *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
