/*
 * A pretended guest for the tests of WASI: linear memory with nothing but guard pages as far as 32
 * bits reach, and calls by name.
 */
#ifndef UNIT_WASI_GUEST_H
#define UNIT_WASI_GUEST_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/str.h"
#include "plugin/wasi.h"
#include "plugin/wasi_types.h"

#define GUEST_BYTES 0x20000u
#define GUARD_BYTES ((size_t)0x100000000u)

/* Where things lie in the guest's memory. */
enum { AT_RESULT = 0x100, AT_IOVEC = 0x200, AT_PATH = 0x1000, AT_PATH2 = 0x4000, AT_DATA = 0x8000 };

struct guest {
	struct wasi *w;
	struct guest_memory m;
	struct str lines; /* "fd:line\n" ... */
	enum wasi_outcome outcome;
	char dir[64];
};

static inline void guest_line(void *ctx, int fd, slice line)
{
	struct guest *g = ctx;

	str_format(&g->lines, "%d:%.*s\n", fd, SLICE_ARG(line));
}

static inline void guest_map(struct guest *g)
{
	uint8_t *all = mmap(NULL, 2 * GUARD_BYTES + GUEST_BYTES, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(all, MAP_FAILED);
	g->m = (struct guest_memory){all + GUARD_BYTES, GUEST_BYTES};
	assert_int_equal(mprotect(g->m.base, GUEST_BYTES, PROT_READ | PROT_WRITE), 0);
}

static inline void guest_unmap(struct guest *g)
{
	wasi_destroy(&g->w);
	str_free(&g->lines);
	munmap(g->m.base - GUARD_BYTES, 2 * GUARD_BYTES + GUEST_BYTES);
}

static inline const struct wasi_function *guest_function(const char *name)
{
	size_t count;
	const struct wasi_function *all = wasi_functions(&count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	fail_msg("no function %s", name);
	return NULL;
}

static inline uint32_t guest_call(struct guest *g, const char *name, const uint64_t *args)
{
	uint32_t result = 0xdead;

	g->outcome = guest_function(name)->call(g->w, g->m, args, &result);
	return result;
}

/* CALL(g, fd_close, 3) is the errno. */
#define CALL(g, name, ...) guest_call(g, #name, (const uint64_t[]){__VA_ARGS__})

static inline uint32_t put_text(struct guest *g, uint32_t at, const char *text)
{
	memcpy(g->m.base + at, text, strlen(text) + 1);
	return (uint32_t)strlen(text);
}

/* Address and length of a path, as two arguments. */
#define PATH(g, text) AT_PATH, put_text(g, AT_PATH, text)
#define PATH2(g, text) AT_PATH2, put_text(g, AT_PATH2, text)

static inline uint32_t get_u32(const struct guest *g, uint32_t at)
{
	uint32_t v;

	memcpy(&v, g->m.base + at, sizeof v);
	return v;
}

static inline uint64_t get_u64(const struct guest *g, uint32_t at)
{
	uint64_t v;

	memcpy(&v, g->m.base + at, sizeof v);
	return v;
}

static inline void put_iovec(struct guest *g, uint32_t nth, uint32_t buf, uint32_t n)
{
	struct wasi_iovec v = {buf, n};

	memcpy(g->m.base + AT_IOVEC + nth * sizeof v, &v, sizeof v);
}

/* Writes text through one buffer; the errno. */
static inline uint32_t guest_write(struct guest *g, uint32_t fd, const char *text)
{
	put_iovec(g, 0, AT_DATA, put_text(g, AT_DATA, text));
	return CALL(g, fd_write, fd, AT_IOVEC, 1, AT_RESULT);
}

/* Reads through one buffer into a terminated text; NULL with an errno. */
static inline const char *guest_read(struct guest *g, uint32_t fd, uint32_t n)
{
	put_iovec(g, 0, AT_DATA, n);
	if (CALL(g, fd_read, fd, AT_IOVEC, 1, AT_RESULT) != 0)
		return NULL;
	g->m.base[AT_DATA + get_u32(g, AT_RESULT)] = '\0';
	return (const char *)g->m.base + AT_DATA;
}

#define RIGHTS_READ WASI_RIGHT_FD_READ
#define RIGHTS_WRITE WASI_RIGHT_FD_WRITE

/* path_open with following; the errno, and the descriptor in `*fd`. */
static inline uint32_t guest_open(struct guest *g, uint32_t dir, const char *path, uint32_t oflags,
				  uint64_t rights, uint32_t *fd)
{
	uint32_t error = CALL(g, path_open, dir, WASI_LOOKUP_SYMLINK_FOLLOW, PATH(g, path), oflags,
			      rights, rights, 0, AT_RESULT);

	*fd = error == 0 ? get_u32(g, AT_RESULT) : UINT32_MAX;
	return error;
}

#endif
