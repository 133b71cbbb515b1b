/*
 * Assertions, object tags and small helpers that every file may use.
 */
#ifndef CORE_BASE_H
#define CORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/param.h> /* MIN, MAX */

/** Invariants stay checked in production: a broken one ends the process with file and line. */
#define must(cond) ((cond) ? (void)0 : base_broken(#cond, __FILE__, __LINE__, __func__))

/** A branch that cannot be reached unless an invariant is broken. */
#define must_not_reach(why) base_broken(why, __FILE__, __LINE__, __func__)

/**
 * Tagged objects: the first member is `uint32_t magic`. `OBJ_CHECK` on entry from another module or
 * from a `void *`; `OBJ_TAKE` moves an object out of the giver's pointer, which becomes NULL.
 */
#define OBJ_CHECK(o, m) must((o) != NULL && (o)->magic == (m))
#define OBJ_TAKE(to, from, m) \
	do { \
		(to) = *(from); \
		*(from) = NULL; \
		OBJ_CHECK(to, m); \
	} while (0)

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define LIKELY(c) __builtin_expect(!!(c), 1)
#define UNLIKELY(c) __builtin_expect(!!(c), 0)

/** Reports a broken invariant on standard error and aborts. Use `must` and `must_not_reach`. */
_Noreturn void base_broken(const char *what, const char *file, int line, const char *func);

#endif
