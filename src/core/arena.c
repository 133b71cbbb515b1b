#include "core/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base.h"

#define ALIGNMENT _Alignof(max_align_t)

/* Under AddressSanitizer every allocation is a block of its own, so that overruns are seen. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_DEBUG 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_DEBUG 1
#endif
#endif
#ifndef ARENA_DEBUG
#define ARENA_DEBUG 0
#endif

struct arena_block {
	struct arena_block *older;
	size_t size_bytes; /* header included */
	max_align_t data[];
};

void arena_init(struct arena *a, size_t block_bytes, size_t limit_bytes)
{
	must(block_bytes > sizeof(struct arena_block));
	*a = (struct arena){.limit_bytes = limit_bytes, .block_bytes = block_bytes};
}

static void free_down_to(struct arena *a, struct arena_block *keep)
{
	while (a->blocks != keep) {
		struct arena_block *b = a->blocks;

		a->blocks = b->older;
		a->used_bytes -= b->size_bytes;
		free(b);
	}
}

void arena_free(struct arena *a)
{
	free_down_to(a, NULL);
	must(a->used_bytes == 0);
	a->next = a->end = NULL;
	a->full = false;
}

void arena_reset(struct arena *a)
{
	struct arena_block *oldest = a->blocks;

	while (oldest != NULL && oldest->older != NULL)
		oldest = oldest->older;
	if (oldest == NULL || ARENA_DEBUG || oldest->size_bytes != a->block_bytes) {
		arena_free(a);
		return;
	}
	free_down_to(a, oldest);
	a->full = false;
	a->next = (char *)oldest->data;
	a->end = (char *)oldest + oldest->size_bytes;
}

/* A new block of `size` bytes in all, listed but not yet the one that allocations come from. */
static struct arena_block *add_block(struct arena *a, size_t size)
{
	struct arena_block *b;

	if (size > a->limit_bytes || a->used_bytes > a->limit_bytes - size) {
		a->full = true;
		return NULL;
	}
	b = malloc(size);
	if (b == NULL)
		return NULL;
	b->size_bytes = size;
	b->older = a->blocks;
	a->blocks = b;
	a->used_bytes += size;
	return b;
}

static void *alloc_slow(struct arena *a, size_t n)
{
	size_t room = a->block_bytes - sizeof(struct arena_block);
	struct arena_block *b;

	if (n > SIZE_MAX - sizeof *b)
		return NULL;
	if (ARENA_DEBUG || n > room / 4) {
		/* Large ones get their own block, and the current one stays in use. */
		b = add_block(a, sizeof *b + n);
		return b != NULL ? b->data : NULL;
	}
	b = add_block(a, a->block_bytes);
	if (b == NULL)
		return NULL;
	a->next = (char *)b->data + n;
	a->end = (char *)b + b->size_bytes;
	return b->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
	size_t rounded;

	if (n > SIZE_MAX - ALIGNMENT)
		return NULL;
	rounded = n == 0 ? ALIGNMENT : (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (rounded <= (size_t)(a->end - a->next)) {
		void *p = a->next;

		a->next += rounded;
		return p;
	}
	return alloc_slow(a, ARENA_DEBUG ? MAX(n, 1) : rounded);
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	return p != NULL ? memset(p, 0, n) : NULL;
}

void *arena_zalloc_array(struct arena *a, size_t size, size_t count)
{
	size_t n;

	return __builtin_mul_overflow(size, count, &n) ? NULL : arena_zalloc(a, n);
}

slice arena_copy(struct arena *a, slice s)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

	if (p == NULL)
		return (slice){NULL, 0};
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (slice){p, s.n};
}

slice arena_format(struct arena *a, const char *format, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
	if (p == NULL)
		return (slice){NULL, 0};
	va_start(args, format);
	(void)vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	return (slice){p, (size_t)n};
}
