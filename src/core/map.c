#include "core/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/base.h"

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
	/* Entropy is missing only very early at boot; a fixed key then costs resistance, not
	 * correctness. */
	if (getrandom(hash_key, sizeof hash_key, GRND_NONBLOCK) != (ssize_t)sizeof hash_key)
		hash_key[0] = 0x7765697221212121u;
}

static uint64_t rotate(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

/* SipHash-1-3 (Aumasson, Bernstein). */
uint64_t map_hash(slice key)
{
	uint64_t v[4], word, tail = (uint64_t)key.n << 56;
	size_t whole = key.n & ~(size_t)7;

	(void)pthread_once(&hash_once, draw_key);
	v[0] = hash_key[0] ^ 0x736f6d6570736575u;
	v[1] = hash_key[1] ^ 0x646f72616e646f6du;
	v[2] = hash_key[0] ^ 0x6c7967656e657261u;
	v[3] = hash_key[1] ^ 0x7465646279746573u;
	for (size_t i = 0; i < whole; i += 8) {
		memcpy(&word, key.p + i, sizeof word);
		sip_word(v, word);
	}
	for (size_t i = whole; i < key.n; i++)
		tail |= (uint64_t)(unsigned char)key.p[i] << 8 * (i - whole);
	sip_word(v, tail);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_free(struct map *m)
{
	free(m->entries);
	free(m->index);
	*m = (struct map){0};
}

static size_t places(const struct map *m)
{
	return m->capacity * 2;
}

/* The index place that holds `key`, or the empty one where the search ends. */
static size_t find_place(const struct map *m, slice key, uint64_t hash)
{
	size_t mask = places(m) - 1;

	for (size_t at = hash & mask;; at = (at + 1) & mask) {
		const struct map_entry *e;

		if (m->index[at] == 0)
			return at;
		e = &m->entries[m->index[at] - 1];
		if (e->value != NULL && e->hash == hash && slice_equal(e->key, key))
			return at;
	}
}

void *map_get(const struct map *m, slice key)
{
	size_t at;

	if (m->count == 0)
		return NULL;
	at = find_place(m, key, map_hash(key));
	return m->index[at] != 0 ? m->entries[m->index[at] - 1].value : NULL;
}

/* Moves the live entries to arrays of `capacity`, a power of two. */
static int resize(struct map *m, size_t capacity)
{
	struct map bigger = {.capacity = capacity};

	bigger.entries = calloc(capacity, sizeof *bigger.entries);
	bigger.index = calloc(capacity * 2, sizeof *bigger.index);
	if (bigger.entries == NULL || bigger.index == NULL) {
		map_free(&bigger);
		return -ENOMEM;
	}
	for (size_t i = 0; i < m->used; i++) {
		const struct map_entry *e = &m->entries[i];

		if (e->value == NULL)
			continue;
		bigger.entries[bigger.used++] = *e;
		bigger.index[find_place(&bigger, e->key, e->hash)] = (uint32_t)bigger.used;
	}
	bigger.count = bigger.used;
	map_free(m);
	*m = bigger;
	return 0;
}

int map_put(struct map *m, slice key, void *value)
{
	uint64_t hash = map_hash(key);
	struct map_entry *e;
	size_t at;

	must(value != NULL);
	if (m->used == m->capacity) {
		int r = resize(m,
			       m->count * 2 >= m->capacity ? MAX(m->capacity * 2, 8) : m->capacity);

		if (r < 0)
			return r;
	}
	at = find_place(m, key, hash);
	if (m->index[at] != 0) {
		e = &m->entries[m->index[at] - 1];
		*e = (struct map_entry){key, value, hash};
		return 0;
	}
	m->entries[m->used++] = (struct map_entry){key, value, hash};
	m->index[at] = (uint32_t)m->used;
	m->count++;
	return 0;
}

void *map_remove(struct map *m, slice key)
{
	struct map_entry *e;
	void *value;
	size_t at;

	if (m->count == 0)
		return NULL;
	at = find_place(m, key, map_hash(key));
	if (m->index[at] == 0)
		return NULL;
	/* The place stays taken, so that later entries of the same chain are still found. The key
	 * may die, so it goes. */
	e = &m->entries[m->index[at] - 1];
	value = e->value;
	*e = (struct map_entry){{NULL, 0}, NULL, 0};
	m->count--;
	return value;
}

struct map_entry *map_next(const struct map *m, const struct map_entry *after)
{
	size_t i = after == NULL ? 0 : (size_t)(after - m->entries) + 1;

	for (; i < m->used; i++) {
		if (m->entries[i].value != NULL)
			return &m->entries[i];
	}
	return NULL;
}
