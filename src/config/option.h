/*
 * The option table: one row per key says its name, type, default, meaning and status, and where its
 * value goes in a plain C structure. Decoding, defaults, the dump of the effective configuration,
 * help and the reference pages all come from it.
 */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include "config/report.h"
#include "config/tree.h"

/* X(NAME, name in messages and documentation, C type of the member) */
#define OPTION_TYPES(X) \
	X(STRING, "string", slice) \
	X(BOOL, "boolean", bool) \
	X(TRISTATE, "boolean", enum option_tristate) \
	X(INT, "integer", int64_t) \
	X(INT32, "integer", int32_t) \
	X(FLOAT, "number", double) \
	X(DURATION, "duration", int64_t) \
	X(SIZE, "size", int64_t) \
	X(ENUM, "name", int) \
	X(CONTENT, "path or PEM", struct option_content) \
	X(CONTENTS, "list of paths or PEM", struct option_contents) \
	X(LIST, "list of strings", struct option_list) \
	X(INTS, "list of integers", struct option_ints) \
	X(FLOATS, "list of numbers", struct option_floats) \
	X(PAIRS, "map of strings", struct option_pairs) \
	X(INT_PAIRS, "map of integers", struct option_int_pairs) \
	X(OBJECT, "object", struct) \
	X(POINTER, "object", struct *) \
	X(MAP, "map of objects", struct option_map) \
	X(ARRAY, "list of objects", struct option_array) \
	X(FREE, "free-form", const struct tree_node *) \
	X(FREE_MAP, "map of free-form objects", struct option_map)

enum option_type {
#define X(name, text, type) OPTION_##name,
	OPTION_TYPES(X)
#undef X
		OPTION_TYPE_COUNT
};

/**
 * Values in decoded structures. All memory is the arena's, nothing is changed afterwards. Strings
 * are never NULL and end in a terminator. Durations are nanoseconds, sizes bytes. FREE keeps the
 * tree's node, so the tree must live as long; NULL if absent.
 */
enum option_tristate { OPTION_UNSET, OPTION_FALSE, OPTION_TRUE };

/** The value of an INT, DURATION or SIZE with the flag OPTION_OPTIONAL that was not given. */
#define OPTION_NOT_GIVEN INT64_MIN

/** The name of a file, or what would be in it. */
struct option_content {
	slice text;  /* as written */
	slice bytes; /* what it stands for; NULL: nobody has read it (`option_read_contents`) */
};

struct option_contents {
	struct option_content *items;
	size_t count;
};

struct option_list {
	const slice *items;
	size_t count;
};

struct option_ints {
	const int64_t *items;
	size_t count;
};

struct option_floats {
	const double *items;
	size_t count;
};

struct option_pair {
	slice key;
	slice value;
};

struct option_pairs {
	const struct option_pair *items;
	size_t count;
};

struct option_int_pair {
	slice key;
	int64_t value;
};

struct option_int_pairs {
	const struct option_int_pair *items;
	size_t count;
};

/** One named object; `value` points to the row's structure, or for FREE_MAP to the node itself. */
struct option_entry {
	slice name;
	void *value;
	const struct tree_node *node; /* where it was written; NULL if it is implied */
};

/** In the order of the file. */
struct option_map {
	struct option_entry *items;
	size_t count;
};

struct option_array {
	void **items;                         /* each points to one element's structure */
	const struct tree_node *const *nodes; /* where each was written */
	size_t count;
};

/** The value of that exact name, or NULL. */
void *option_map_get(const struct option_map *map, const char *name);

#define OPTION_MAP_FOR_EACH(entry, map) \
	for (struct option_entry *entry = (map)->items, \
				 *entry##_end = entry != NULL ? entry + (map)->count : NULL; \
	     entry != entry##_end; entry++)

enum option_status {
	IMPLEMENTED,
	ACCEPTED, /* no effect and harmless: one warning that names it */
	REFUSED,  /* ignoring it would change what is served, or its security: an error */
	REMOVED,  /* of an earlier version of Traefik: an error with a hint, and not documented */
};

enum option_flags {
	OPTION_ALLOW_EMPTY =
		1,           /* objects: `x: {}`, `x: true`, `--x` enable them without any child */
	OPTION_OPTIONAL = 2, /* integers: OPTION_NOT_GIVEN if absent */
	OPTION_NO_CASE = 4,  /* enumerations: any case */
	OPTION_NOWHERE = 8,  /* checked, but kept nowhere */
	OPTION_PATH = 16,    /* strings: a file or directory (documentation only) */
	OPTION_SECRET = 32,  /* dumped as "xxxx" unless asked otherwise */
	OPTION_QUOTED = 512, /* strings: numbers, which lose their notation, are refused */

	/* What Traefik's API shows (`option_json`), where that is not "all but zero values". */
	OPTION_SHOWN = 64,       /* also when it is zero */
	OPTION_SHOWN_SET = 128,  /* only where it is written, whatever the default */
	OPTION_AS_WRITTEN = 256, /* references: shown without a provider that was not written */
};

/** The names of an enumeration, in the order of its values from 0. */
struct option_names {
	const char *const *items;
	size_t count;
};

struct option {
	const char *name; /* as in YAML; NULL ends a table */
	enum option_type type;
	enum option_status status;
	unsigned flags;
	size_t offset;
	const char
		*initial; /* default in the notation of flags; NULL: empty, zero, false, absent */
	const char *doc;  /* one sentence or more, Markdown */
	const char *hint; /* what to do instead, for rows that are not IMPLEMENTED */
	const struct option *table; /* OBJECT, POINTER, MAP, ARRAY: rows of the structure */
	size_t size;                /* of the structure; 0 if kept nowhere */
	const struct option_names *names;
	int64_t min, max; /* INT, INT32, SIZE, DURATION; both 0: no range */
	/** Looks at the decoded value (a pointer to the member); returns 0, or a negative errno
	 * value with the text set. */
	int (*check)(const void *value, struct weir_error *error);
};

/* Rows. The type of the member is checked at compile time. */
#define OPTION_AT(object, member, type_) \
	(offsetof(object, member) + \
	 0 * sizeof(struct { \
		 _Static_assert( \
			 __builtin_types_compatible_p(__typeof__(((object *)0)->member), type_), \
			 "the member has another type than its option"); \
		 int unused; \
	 }))
#define OPTION_ROW(NAME_, object, member, key, type_, initial_, doc_, ...) \
	{ \
		.name = (key), .type = OPTION_##NAME_, .offset = OPTION_AT(object, member, type_), \
		.initial = (initial_), .doc = (doc_), __VA_ARGS__ \
	}

/* OPT_x("key", struct object, member, "default" or NULL, "documentation", .flags = ..., ...) */
#define OPT_STRING(key, o, m, i, d, ...) OPTION_ROW(STRING, o, m, key, slice, i, d, __VA_ARGS__)
#define OPT_BOOL(key, o, m, i, d, ...) OPTION_ROW(BOOL, o, m, key, bool, i, d, __VA_ARGS__)
#define OPT_TRISTATE(key, o, m, i, d, ...) \
	OPTION_ROW(TRISTATE, o, m, key, enum option_tristate, i, d, __VA_ARGS__)
#define OPT_INT(key, o, m, i, d, ...) OPTION_ROW(INT, o, m, key, int64_t, i, d, __VA_ARGS__)
#define OPT_INT32(key, o, m, i, d, ...) OPTION_ROW(INT32, o, m, key, int32_t, i, d, __VA_ARGS__)
#define OPT_FLOAT(key, o, m, i, d, ...) OPTION_ROW(FLOAT, o, m, key, double, i, d, __VA_ARGS__)
#define OPT_DURATION(key, o, m, i, d, ...) \
	OPTION_ROW(DURATION, o, m, key, int64_t, i, d, __VA_ARGS__)
#define OPT_SIZE(key, o, m, i, d, ...) OPTION_ROW(SIZE, o, m, key, int64_t, i, d, __VA_ARGS__)
#define OPT_CONTENT(key, o, m, i, d, ...) \
	OPTION_ROW(CONTENT, o, m, key, struct option_content, i, d, __VA_ARGS__)
#define OPT_CONTENTS(key, o, m, i, d, ...) \
	OPTION_ROW(CONTENTS, o, m, key, struct option_contents, i, d, __VA_ARGS__)
#define OPT_LIST(key, o, m, i, d, ...) \
	OPTION_ROW(LIST, o, m, key, struct option_list, i, d, __VA_ARGS__)
#define OPT_INTS(key, o, m, i, d, ...) \
	OPTION_ROW(INTS, o, m, key, struct option_ints, i, d, __VA_ARGS__)
#define OPT_FLOATS(key, o, m, i, d, ...) \
	OPTION_ROW(FLOATS, o, m, key, struct option_floats, i, d, __VA_ARGS__)
#define OPT_PAIRS(key, o, m, d, ...) \
	OPTION_ROW(PAIRS, o, m, key, struct option_pairs, NULL, d, __VA_ARGS__)
#define OPT_INT_PAIRS(key, o, m, d, ...) \
	OPTION_ROW(INT_PAIRS, o, m, key, struct option_int_pairs, NULL, d, __VA_ARGS__)
#define OPT_FREE(key, o, m, d, ...) \
	OPTION_ROW(FREE, o, m, key, const struct tree_node *, NULL, d, __VA_ARGS__)
#define OPT_FREE_MAP(key, o, m, d, ...) \
	OPTION_ROW(FREE_MAP, o, m, key, struct option_map, NULL, d, __VA_ARGS__)

/* The member is any enumeration of the size of int; `n` is a `struct option_names`. */
#define OPT_ENUM(key, o, m, n, i, d, ...) \
	{ \
		.name = (key), .type = OPTION_ENUM, \
		.offset = offsetof(o, m) + \
			  0 * sizeof(char[sizeof(((o *)0)->m) == sizeof(int) ? 1 : -1]), \
		.names = &(n), .initial = (i), .doc = (d), __VA_ARGS__ \
	}

/* The structure itself is the member; its defaults always hold. */
#define OPT_OBJECT(key, o, m, rows, d, ...) \
	{ \
		.name = (key), .type = OPTION_OBJECT, .offset = offsetof(o, m), \
		.size = sizeof(((o *)0)->m), .table = (rows), .doc = (d), __VA_ARGS__ \
	}

/* The member is a pointer, NULL unless the key is present; the structure's defaults hold from then
 * on. */
#define OPT_POINTER(key, o, m, rows, d, ...) \
	{ \
		.name = (key), .type = OPTION_POINTER, .offset = offsetof(o, m), \
		.size = sizeof(*((o *)0)->m), .table = (rows), .doc = (d), __VA_ARGS__ \
	}

/* The member is a `struct option_map` / `struct option_array` of structures of type `element`. */
#define OPT_MAP(key, o, m, element, rows, d, ...) \
	{ \
		.name = (key), .type = OPTION_MAP, .offset = OPTION_AT(o, m, struct option_map), \
		.size = sizeof(element), .table = (rows), .doc = (d), __VA_ARGS__ \
	}
#define OPT_ARRAY(key, o, m, element, rows, d, ...) \
	{ \
		.name = (key), .type = OPTION_ARRAY, \
		.offset = OPTION_AT(o, m, struct option_array), .size = sizeof(element), \
		.table = (rows), .doc = (d), __VA_ARGS__ \
	}

/* A key that has no place in a structure: OPT_NOWHERE("key", INT, ACCEPTED, "200",
 * "documentation"). */
#define OPT_NOWHERE(key, TYPE, status_, i, d, ...) \
	{ \
		.name = (key), .type = OPTION_##TYPE, .status = (status_), \
		.flags = OPTION_NOWHERE, .initial = (i), .doc = (d), __VA_ARGS__ \
	}
#define OPT_NOWHERE_TABLE(key, TYPE, status_, rows, flags_, d, ...) \
	{ \
		.name = (key), .type = OPTION_##TYPE, .status = (status_), \
		.flags = OPTION_NOWHERE | (flags_), .table = (rows), .doc = (d), __VA_ARGS__ \
	}

#define OPT_END \
	{ \
		.name = NULL \
	}

struct option_context {
	struct arena *arena;          /* owns the values */
	struct config_report *report; /* errors and warnings go there */
	bool skip_unknown; /* unknown keys of the outermost map are passed over, as Traefik does at
			      the root of a file */
	/**
	 * Told about what a REFUSED row says, where that concerns less than the whole file;
	 * decoding goes on into it. NULL: it is an error.
	 */
	void (*refused)(void *user, const struct option *row, const struct tree_node *node);
	void *user;
};

/** Fills in the defaults of a structure. Returns 0 or -ENOMEM; a default that its own row refuses
 * is a broken invariant. */
int option_defaults(const struct option *table, void *object, struct arena *arena);

/**
 * As `option_decode` without the defaults first: what `node` does not name keeps its value.
 */
int option_apply(const struct option *table, const struct tree_node *node, void *object,
		 const struct option_context *context);

/**
 * Fills in defaults, then what `node` (a map, or NULL for defaults only) says. Goes on after
 * errors, so that the report names all of them; returns 0 or a negative errno value if there was
 * any.
 */
int option_decode(const struct option *table, const struct tree_node *node, void *object,
		  const struct option_context *context);

/** The row of that name in any case, or NULL. */
const struct option *option_find(const struct option *table, slice name);

/** The name in `table` that is nearest to `found`, or NULL. */
const char *option_nearest(const struct option *table, slice found);

/** Appends what was expected in the place of a name that `table` does not have: the one that is
 * near to it, or which there are. */
void option_add_expected(struct str *out, const struct option *table, slice found);

/** "duration", "list of strings" ... for documentation. */
const char *option_type_name(enum option_type type);

struct option_dump {
	bool defaults; /* also values that are at their default */
	bool secrets;
	bool docs; /* what each value is, as a comment behind it */
	unsigned indent;
};

/** Appends the structure as YAML that decodes to the same structure. */
void option_dump(struct str *out, const struct option *table, const void *object,
		 const struct option_dump *how);

/** How `option_json` shows a structure. */
struct option_json {
	bool set_only; /* only what is written, no defaults */
	bool hide;     /* "xxxx" for secrets and for what plugins are told */
};

/**
 * Appends the structure as the members of a JSON object, without the braces, in the names and by
 * the rules of Traefik's API; `node` is where it was written (NULL: nowhere). Rows that are kept
 * nowhere are shown from the node. Returns whether there was any member.
 */
bool option_json(struct str *out, const struct option *table, const void *object,
		 const struct tree_node *node, const struct option_json *how);

/** Appends the table for people: `prefix` stands before each name; one line per option with type,
 * default and text. */
void option_help(struct str *out, const struct option *table, const char *prefix);

/** Appends the table as Markdown for docs/reference, one section per row. */
void option_reference(struct str *out, const struct option *table, const char *prefix);

/**
 * Visits all rows in depth, with the full path ("entryPoints.<name>.http.tls.domains[n].main") and
 * the effective status (the strictest one on the way). Stops when `visit` returns false.
 */
void option_visit(const struct option *table, const char *prefix,
		  bool (*visit)(const char *path, const struct option *row,
				enum option_status status, void *user),
		  void *user);

/** Texts to values, as Go's strconv and time packages read them. Return 0 or -EINVAL. */
int option_parse_bool(slice text, bool *value);
int option_parse_int(slice text, int64_t *value);
int option_parse_float(slice text, double *value);

/** A bare integer is seconds; otherwise Go's notation ("1h30m", "-1.5s", "300ms", "2us"). Returns
 * 0, -EINVAL or -ERANGE. */
int option_parse_duration(slice text, int64_t *ns);

/** Appends Go's notation: "1h30m0s", "1.5s", "300ms", "0s". */
void option_add_duration(struct str *out, int64_t ns);

/** Bytes: an integer, optionally with k, M, G, KiB, MiB, GiB, kB, MB or GB. Returns as
 * `option_parse_duration`. */
int option_parse_size(slice text, int64_t *bytes);

/** Whether the text can be the name of a file: it is short, one line, and not PEM. */
bool option_names_file(slice text);

/**
 * The bytes that a CONTENT option stands for: those that were read already, else those of the file
 * of that name, or the text itself where it cannot be a name. Returns 0 or the error of reading the
 * file. Blocks.
 */
int option_read_content(struct arena *arena, const struct option_content *value, slice *content,
			struct weir_error *error);

/** Calls `visit` for every CONTENT and every element of CONTENTS in a structure that are not empty.
 */
void option_visit_contents(const struct option *table, void *object,
			   void (*visit)(void *user, struct option_content *content), void *user);

#endif
