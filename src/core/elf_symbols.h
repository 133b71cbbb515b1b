/*
 * Functions of an ELF file (64 bits, of this machine), so that addresses of code get names.
 */
#ifndef CORE_ELF_SYMBOLS_H
#define CORE_ELF_SYMBOLS_H

#include <stdint.h>

#include "core/slice.h"

struct elf_symbol {
	uint64_t start; /* of an object file: offset in the file; else address as linked */
	uint64_t bytes;
	slice name; /* in the file */
};

/** Lifetime: `elf_symbols_read`, then `elf_symbols_free`. Borrows the file's bytes. */
struct elf_symbols {
	struct elf_symbol *list; /* by address */
	size_t count;
};

/** The functions of the symbol table of a file that has these bytes; damaged parts are left out.
 * Returns 0, -EINVAL if it is no such file or has no table, or -ENOMEM. */
int elf_symbols_read(struct elf_symbols *s, slice bytes);

/** Frees the list. */
void elf_symbols_free(struct elf_symbols *s);

/** The function that holds the address, or NULL. */
const struct elf_symbol *elf_symbols_find(const struct elf_symbols *s, uint64_t address);

#endif
