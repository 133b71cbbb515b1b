/*
 * Included by the compiler before each source of a library under test: its allocations, and nobody
 * else's, go through functions of the test that can fail.
 */
#ifndef TEST_FAILING_MEMORY_H
#define TEST_FAILING_MEMORY_H

#include <stdlib.h>
#include <string.h>

void *failing_malloc(size_t n);
void *failing_calloc(size_t count, size_t n);
void *failing_realloc(void *p, size_t n);
void *failing_aligned_alloc(size_t alignment, size_t n);
char *failing_strdup(const char *text);

#define malloc failing_malloc
#define calloc failing_calloc
#define realloc failing_realloc
#define aligned_alloc failing_aligned_alloc
#undef strdup
#define strdup failing_strdup

#endif
