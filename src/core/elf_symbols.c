#include "core/elf_symbols.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base.h"

/** The file and its section headers. */
struct file {
	slice bytes;
	Elf64_Ehdr head;
};

/* `count` bytes at the offset; false: they are not in the file. */
static bool copy_from(slice file, uint64_t offset, void *to, size_t count)
{
	if (offset > file.n || count > file.n - offset)
		return false;
	memcpy(to, file.p + offset, count);
	return true;
}

static bool read_section(const struct file *f, uint64_t index, Elf64_Shdr *s)
{
	return index < f->head.e_shnum && f->head.e_shentsize == sizeof *s &&
	       copy_from(f->bytes, f->head.e_shoff + index * sizeof *s, s, sizeof *s);
}

/* A terminated text of a table. */
static bool read_name(const struct file *f, const Elf64_Shdr *texts, uint32_t at, slice *name)
{
	slice table;

	if (texts->sh_offset > f->bytes.n || texts->sh_size > f->bytes.n - texts->sh_offset ||
	    at >= texts->sh_size)
		return false;
	table = slice_of(f->bytes.p + texts->sh_offset + at, texts->sh_size - at);
	*name = slice_first(table, slice_find(table, '\0'));
	return name->n > 0;
}

static bool read_symbol(const struct file *f, const Elf64_Shdr *texts, const Elf64_Sym *from,
			struct elf_symbol *to)
{
	Elf64_Shdr section;

	if (ELF64_ST_TYPE(from->st_info) != STT_FUNC || from->st_size == 0 ||
	    from->st_shndx == SHN_UNDEF || !read_name(f, texts, from->st_name, &to->name))
		return false;
	to->start = from->st_value;
	to->bytes = from->st_size;
	if (f->head.e_type != ET_REL)
		return true;
	if (!read_section(f, from->st_shndx, &section))
		return false;
	to->start += section.sh_offset;
	return true;
}

static int by_start(const void *a, const void *b)
{
	const struct elf_symbol *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int read_table(struct elf_symbols *s, const struct file *f, const Elf64_Shdr *table,
		      const Elf64_Shdr *texts)
{
	uint64_t count = table->sh_size / sizeof(Elf64_Sym);
	Elf64_Sym symbol;

	if (table->sh_offset > f->bytes.n || table->sh_size > f->bytes.n - table->sh_offset)
		return -EINVAL;
	s->list = calloc(count + 1, sizeof *s->list);
	if (s->list == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		if (copy_from(f->bytes, table->sh_offset + i * sizeof symbol, &symbol,
			      sizeof symbol))
			s->count += read_symbol(f, texts, &symbol, &s->list[s->count]);
	}
	qsort(s->list, s->count, sizeof *s->list, by_start);
	return 0;
}

int elf_symbols_read(struct elf_symbols *s, slice bytes)
{
	struct file f = {.bytes = bytes};
	Elf64_Shdr table, texts;

	*s = (struct elf_symbols){NULL, 0};
	if (!copy_from(bytes, 0, &f.head, sizeof f.head) ||
	    memcmp(f.head.e_ident, ELFMAG, SELFMAG) != 0 || f.head.e_ident[EI_CLASS] != ELFCLASS64)
		return -EINVAL;
	for (uint64_t i = 0; read_section(&f, i, &table); i++) {
		if (table.sh_type == SHT_SYMTAB && read_section(&f, table.sh_link, &texts))
			return read_table(s, &f, &table, &texts);
	}
	return -EINVAL;
}

void elf_symbols_free(struct elf_symbols *s)
{
	free(s->list);
	*s = (struct elf_symbols){NULL, 0};
}

const struct elf_symbol *elf_symbols_find(const struct elf_symbols *s, uint64_t address)
{
	size_t from = 0, to = s->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (s->list[middle].start <= address)
			from = middle + 1;
		else
			to = middle;
	}
	if (from == 0 || address - s->list[from - 1].start >= s->list[from - 1].bytes)
		return NULL;
	return &s->list[from - 1];
}
