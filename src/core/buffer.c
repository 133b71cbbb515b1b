#include "core/buffer.h"

#include <stdlib.h>

static const size_t capacity_of[BUFFER_CLASSES] = {
	[BUFFER_SMALL] = BUFFER_SMALL_BYTES,
	[BUFFER_MEDIUM] = BUFFER_MEDIUM_BYTES,
	[BUFFER_LARGE] = BUFFER_LARGE_BYTES,
};

size_t buffer_class_bytes(enum buffer_class class)
{
	must(class < BUFFER_CLASSES);
	return capacity_of[class];
}

void buffer_pool_init(struct buffer_pool *pool, size_t limit_bytes)
{
	*pool = (struct buffer_pool){.magic = BUFFER_POOL_MAGIC, .limit_bytes = limit_bytes};
	for (int c = 0; c < BUFFER_CLASSES; c++)
		list_init(&pool->idle[c]);
}

static void set_live(struct buffer_pool *pool, size_t bytes)
{
	pool->live_bytes = bytes;
	atomic_store_explicit(&pool->counters.live_bytes, bytes, memory_order_relaxed);
}

static void destroy(struct buffer *b)
{
	b->magic = 0;
	set_live(b->pool, b->pool->live_bytes - sizeof *b - b->capacity);
	free(b);
}

static void release(struct buffer_pool *pool, enum buffer_class class)
{
	struct list *e = list_pop(&pool->idle[class]);
	struct buffer *b;

	must(e != NULL);
	b = container_of(e, struct buffer, link);
	OBJ_CHECK(b, BUFFER_MAGIC);
	pool->idle_count[class]--;
	destroy(b);
}

void buffer_pool_free(struct buffer_pool *pool)
{
	OBJ_CHECK(pool, BUFFER_POOL_MAGIC);
	for (int c = 0; c < BUFFER_CLASSES; c++) {
		while (pool->idle_count[c] > 0)
			release(pool, (enum buffer_class)c);
	}
	must(pool->live_bytes == 0);
	pool->magic = 0;
}

bool buffer_pool_trim(struct buffer_pool *pool)
{
	bool more = false;

	OBJ_CHECK(pool, BUFFER_POOL_MAGIC);
	for (int c = 0; c < BUFFER_CLASSES; c++) {
		for (size_t n = (pool->idle_low[c] + 1) / 2; n > 0; n--)
			release(pool, (enum buffer_class)c);
		pool->idle_low[c] = pool->idle_count[c];
		more |= pool->idle_count[c] > 0;
	}
	return more;
}

static size_t idle_bytes(const struct buffer_pool *pool)
{
	size_t n = 0;

	for (int c = 0; c < BUFFER_CLASSES; c++)
		n += pool->idle_count[c] * (sizeof(struct buffer) + capacity_of[c]);
	return n;
}

bool buffer_pool_is_short(const struct buffer_pool *pool)
{
	OBJ_CHECK(pool, BUFFER_POOL_MAGIC);
	return pool->live_bytes > pool->limit_bytes / 2 &&
	       pool->live_bytes - idle_bytes(pool) > pool->limit_bytes / 2;
}

/* Idle blocks of other classes must not stand in the way of one that is needed. */
static void make_way(struct buffer_pool *pool, size_t size)
{
	for (int c = BUFFER_CLASSES - 1; c >= 0; c--) {
		while (pool->idle_count[c] > 0 && pool->live_bytes > pool->limit_bytes - size)
			release(pool, (enum buffer_class)c);
		pool->idle_low[c] = MIN(pool->idle_low[c], pool->idle_count[c]);
	}
}

static bool has_room(struct buffer_pool *pool, size_t size)
{
	if (size <= pool->limit_bytes && UNLIKELY(pool->live_bytes > pool->limit_bytes - size))
		make_way(pool, size);
	if (size <= pool->limit_bytes && pool->live_bytes <= pool->limit_bytes - size)
		return true;
	counter_add(&pool->counters.refused, 1);
	return false;
}

static struct buffer *create(struct buffer_pool *pool, enum buffer_class class, size_t capacity)
{
	size_t size = sizeof(struct buffer) + capacity;
	struct buffer *b;

	if (!has_room(pool, size))
		return NULL;
	b = malloc(size);
	if (b == NULL)
		return NULL;
	*b = (struct buffer){
		.magic = BUFFER_MAGIC, .pool = pool, .capacity = capacity, .class = class};
	set_live(pool, pool->live_bytes + size);
	return b;
}

struct buffer *buffer_get_bytes(struct buffer_pool *pool, size_t capacity)
{
	struct buffer *b;

	OBJ_CHECK(pool, BUFFER_POOL_MAGIC);
	b = create(pool, BUFFER_ODD, capacity);
	if (b != NULL)
		b->references = 1;
	return b;
}

struct buffer *buffer_get(struct buffer_pool *pool, enum buffer_class class)
{
	struct list *e;
	struct buffer *b;

	OBJ_CHECK(pool, BUFFER_POOL_MAGIC);
	e = list_pop(&pool->idle[class]);
	if (e != NULL) {
		b = container_of(e, struct buffer, link);
		OBJ_CHECK(b, BUFFER_MAGIC);
		pool->idle_count[class]--;
		pool->idle_low[class] = MIN(pool->idle_low[class], pool->idle_count[class]);
	} else {
		b = create(pool, class, capacity_of[class]);
		if (b == NULL)
			return NULL;
	}
	must(b->references == 0);
	b->references = 1;
	b->filled = 0;
	return b;
}

void buffer_unref(struct buffer **giver)
{
	struct buffer *b;

	if (*giver == NULL)
		return;
	OBJ_TAKE(b, giver, BUFFER_MAGIC);
	must(b->references > 0);
	if (--b->references > 0)
		return;
	if (b->class == BUFFER_ODD) {
		destroy(b);
		return;
	}
	list_push(&b->pool->idle[b->class], &b->link);
	b->pool->idle_count[b->class]++;
}
