/*
 * The parts of the TOML 1.0 parser.
 */
#ifndef CONFIG_TOML_H
#define CONFIG_TOML_H

#include "config/tree.h"
#include "core/map.h"

/** One parse. Functions return 0 or a negative errno value with the error set. */
struct toml {
	struct tree *t;
	const char *source;
	struct weir_error *error;
	slice text;
	size_t at;          /* next byte */
	struct map members; /* of all tables: the table's address and the name to the node */
	/* How far lines and columns were counted. */
	size_t counted;
	uint32_t line, column;
};

/** Where the next byte stands. Only forwards. */
struct tree_place toml_place(struct toml *p);

/** "source:line:column: ..." about the next byte. Returns -EINVAL. */
int toml_fail(struct toml *p, const char *format, ...) PRINTF_LIKE(2, 3);

/** Sets that error; returns -ENOMEM. */
int toml_no_memory(struct toml *p);

/** The next byte, or -1 at the end. */
static inline int toml_peek(const struct toml *p)
{
	return p->at < p->text.n ? (unsigned char)p->text.p[p->at] : -1;
}

/** Whether the text goes on with `what`. */
static inline bool toml_ahead(const struct toml *p, slice what)
{
	return slice_starts(slice_from_at(p->text, p->at), what);
}

/** A string in any of the four notations, copied to the arena; `multi_line`: the three-quote ones,
 * too. */
int toml_string(struct toml *p, bool multi_line, slice *value);

/** A number, boolean or date. */
int toml_plain(struct toml *p, struct tree_node *node);

#endif
