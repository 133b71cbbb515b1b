#include "http/fields.h"

#include <errno.h>

#include "core/base.h"
#include "http/chars.h"

/*
 * Room that a section takes first: as many lines as usual requests have after the proxy's
 * additions.
 */
#define FIRST_CAPACITY 24

/* Longest known name, and slots of the table below, a power of two. */
#define NAME_MAX_BYTES 32
#define SLOT_BITS 7

static const slice names[FIELD_ID_COUNT] = {{"", 0},
#define X(id, name) {name, sizeof(name) - 1},
					    FIELD_NAMES(X)
#undef X
};

/*
 * Bytes of a name as integers, which overlap where the length asks for it. Named members: the
 * compiler keeps them in registers, which it does not do with an array.
 */
struct words {
	uint64_t first;
	uint64_t last;
	uint64_t second; /* these two only for names of more than 16 bytes */
	uint64_t third;
};

/* A known name, ready to be compared in any case: (word | fold) == lower. */
struct key {
	struct words lower;
	struct words fold;
	uint8_t bytes; /* length of the name */
	uint8_t next;  /* id of the next name in the same slot, or FIELD_OTHER */
};

static struct key keys[FIELD_ID_COUNT];
static uint8_t slots[1 << SLOT_BITS];

static uint64_t load64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static uint64_t load32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static uint64_t load16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* Together with the length, the words stand for all bytes of a name of 2 to 32 bytes. */
static inline struct words load_words(const char *p, size_t n)
{
	if (n > 16)
		return (struct words){load64(p), load64(p + n - 8), load64(p + 8),
				      load64(p + n - 16)};
	if (n >= 8)
		return (struct words){load64(p), load64(p + n - 8), 0, 0};
	if (n >= 4)
		return (struct words){load32(p) | load32(p + n - 4) << 32, 0, 0, 0};
	return (struct words){load16(p) | load16(p + n - 2) << 16, 0, 0, 0};
}

/*
 * The factor was searched for so that every name has a slot of its own; names that share one cost a
 * comparison more.
 */
static inline size_t slot_of(const struct words *words, size_t n)
{
	const uint64_t lower = UINT64_C(0x2020202020202020), factor = UINT64_C(0x4a09893ba7613ded);
	uint64_t first = words->first | lower;
	uint64_t last = words->last | lower;

	return (first + (last << 1 | last >> 63) + n) * factor >> (64 - SLOT_BITS);
}

/* Runs before main, so that no thread can see an unfinished table. */
__attribute__((constructor)) static void build_table(void)
{
	for (size_t id = 1; id < FIELD_ID_COUNT; id++) {
		size_t n = names[id].n;
		char lower[NAME_MAX_BYTES], fold[NAME_MAX_BYTES];
		size_t slot;

		must(n >= 2 && n <= NAME_MAX_BYTES);
		for (size_t i = 0; i < n; i++) {
			lower[i] = ascii_lower(names[id].p[i]);
			fold[i] = lower[i] >= 'a' && lower[i] <= 'z' ? 0x20 : 0;
		}
		keys[id].lower = load_words(lower, n);
		keys[id].fold = load_words(fold, n);
		slot = slot_of(&keys[id].lower, n);
		keys[id].bytes = (uint8_t)n;
		keys[id].next = slots[slot];
		slots[slot] = (uint8_t)id;
	}
}

static inline bool key_matches(const struct key *k, const struct words *w, size_t n)
{
	uint64_t differ = ((w->first | k->fold.first) ^ k->lower.first) |
			  ((w->last | k->fold.last) ^ k->lower.last);

	if (n > 16)
		differ |= ((w->second | k->fold.second) ^ k->lower.second) |
			  ((w->third | k->fold.third) ^ k->lower.third);
	return differ == 0;
}

enum field_id field_id_of(slice name)
{
	struct words words;

	if (name.n < 2 || name.n > NAME_MAX_BYTES)
		return FIELD_OTHER;
	words = load_words(name.p, name.n);
	for (size_t id = slots[slot_of(&words, name.n)]; id != FIELD_OTHER; id = keys[id].next) {
		if (keys[id].bytes == name.n && key_matches(&keys[id], &words, name.n))
			return (enum field_id)id;
	}
	return FIELD_OTHER;
}

slice field_name(enum field_id id)
{
	must(id < FIELD_ID_COUNT);
	return names[id];
}

void fields_init(struct fields *f, struct arena *arena)
{
	*f = (struct fields){.arena = arena};
}

int fields_grow(struct fields *f)
{
	size_t capacity = f->capacity > 0 ? f->capacity * 2 : FIRST_CAPACITY;
	struct field *list;

	if (f->count < f->capacity)
		return 0;
	list = arena_alloc(f->arena, capacity * sizeof *list);
	if (list == NULL)
		return -ENOMEM;
	if (f->count > 0)
		memcpy(list, f->list, f->count * sizeof *list);
	f->list = list;
	f->capacity = capacity;
	return 0;
}

int fields_add_field(struct fields *f, const struct field *line)
{
	struct field copy = *line; /* may lie in the array that is about to move */

	if (UNLIKELY(f->count == f->capacity) && fields_grow(f) != 0)
		return -ENOMEM;
	f->list[f->count++] = copy;
	f->present |= FIELD_BIT(copy.id);
	return 0;
}

int fields_copy(struct fields *to, const struct fields *from)
{
	int r = 0;

	fields_init(to, from->arena);
	for (size_t i = 0; r == 0 && i < from->count; i++)
		r = fields_add_field(to, &from->list[i]);
	return r;
}

int fields_add(struct fields *f, slice name, slice value)
{
	return fields_add_field(f, &(struct field){name, value, field_id_of(name)});
}

int fields_add_id(struct fields *f, enum field_id id, slice value)
{
	must(id != FIELD_OTHER);
	return fields_add_field(f, &(struct field){field_name(id), value, id});
}

static bool same_name(const struct field *line, enum field_id id, slice name)
{
	return line->id == id && (id != FIELD_OTHER || slice_equal_nocase(line->name, name));
}

static const struct field *find_from(const struct fields *f, size_t at, enum field_id id,
				     slice name)
{
	for (; at < f->count; at++) {
		if (same_name(&f->list[at], id, name))
			return &f->list[at];
	}
	return NULL;
}

/* Drops the lines of that name at `at` and after it. */
static size_t remove_from(struct fields *f, size_t at, enum field_id id, slice name)
{
	uint64_t present = 0;
	size_t kept = at, removed;

	for (size_t i = 0; i < at; i++)
		present |= FIELD_BIT(f->list[i].id);
	for (; at < f->count; at++) {
		if (same_name(&f->list[at], id, name))
			continue;
		present |= FIELD_BIT(f->list[at].id);
		f->list[kept++] = f->list[at];
	}
	removed = f->count - kept;
	f->count = kept;
	f->present = present;
	return removed;
}

static int set_line(struct fields *f, const struct field *line)
{
	struct field copy = *line;
	const struct field *first = NULL;
	size_t at;

	if (fields_have(f, copy.id))
		first = find_from(f, 0, copy.id, copy.name);
	if (first == NULL)
		return fields_add_field(f, &copy);
	at = (size_t)(first - f->list);
	f->list[at] = copy;
	(void)remove_from(f, at + 1, copy.id, copy.name);
	return 0;
}

int fields_set(struct fields *f, slice name, slice value)
{
	return set_line(f, &(struct field){name, value, field_id_of(name)});
}

int fields_set_id(struct fields *f, enum field_id id, slice value)
{
	must(id != FIELD_OTHER);
	return set_line(f, &(struct field){field_name(id), value, id});
}

int fields_own(struct fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		struct field *line = &f->list[i];
		slice name = arena_copy(f->arena, line->name);
		slice value = arena_copy(f->arena, line->value);

		if (name.p == NULL || value.p == NULL)
			return -ENOMEM;
		line->name = name;
		line->value = value;
	}
	return 0;
}

size_t fields_remove(struct fields *f, slice name)
{
	enum field_id id = field_id_of(name);

	return fields_have(f, id) ? remove_from(f, 0, id, name) : 0;
}

size_t fields_remove_id(struct fields *f, enum field_id id)
{
	must(id != FIELD_OTHER);
	return fields_have(f, id) ? remove_from(f, 0, id, (slice){NULL, 0}) : 0;
}

const struct field *fields_find(const struct fields *f, slice name)
{
	enum field_id id = field_id_of(name);

	return fields_have(f, id) ? find_from(f, 0, id, name) : NULL;
}

const struct field *fields_find_id(const struct fields *f, enum field_id id)
{
	must(id != FIELD_OTHER);
	return fields_have(f, id) ? find_from(f, 0, id, (slice){NULL, 0}) : NULL;
}

const struct field *fields_find_next(const struct fields *f, const struct field *at)
{
	must(at >= f->list && at < f->list + f->count);
	return find_from(f, (size_t)(at - f->list) + 1, at->id, at->name);
}

slice fields_value_id(const struct fields *f, enum field_id id)
{
	const struct field *line = fields_find_id(f, id);

	return line != NULL ? line->value : (slice){NULL, 0};
}

bool fields_has_token(const struct fields *f, enum field_id id, slice token)
{
	const struct field *line = fields_find_id(f, id);

	for (; line != NULL; line = fields_find_next(f, line)) {
		slice rest = line->value, part;

		while (slice_next(&rest, ',', &part)) {
			if (slice_equal_nocase(slice_trim(part), token))
				return true;
		}
	}
	return false;
}

static bool all_in_class(slice s, unsigned class)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!char_is(s.p[i], class))
			return false;
	}
	return true;
}

bool field_is_token(slice s)
{
	return s.n > 0 && all_in_class(s, CHAR_TOKEN);
}

bool field_is_value(slice value)
{
	return all_in_class(value, CHAR_VALUE);
}

bool field_is_host(slice value)
{
	return all_in_class(value, CHAR_HOST);
}

slice field_canonical(struct arena *arena, slice name)
{
	slice copy = arena_copy(arena, name);
	bool first = true;

	for (size_t i = 0; copy.p != NULL && i < copy.n && field_is_token(name); i++) {
		((char *)(uintptr_t)copy.p)[i] =
			first ? ascii_upper(copy.p[i]) : ascii_lower(copy.p[i]);
		first = copy.p[i] == '-';
	}
	return copy;
}

/* Of which a message has one at most. */
static bool is_singleton(enum field_id id)
{
	return id == FIELD_CONTENT_TYPE || id == FIELD_CONTENT_LENGTH || id == FIELD_DATE ||
	       id == FIELD_SERVER || id == FIELD_LOCATION || id == FIELD_ETAG ||
	       id == FIELD_LAST_MODIFIED;
}

int fields_put_before(struct fields *fields, struct fields *early, struct arena *arena)
{
	struct fields merged;
	int r = 0;

	if (early->count == 0)
		return 0;
	fields_init(&merged, arena);
	for (size_t i = 0; r == 0 && i < early->count; i++) {
		const struct field *f = &early->list[i];

		if (!is_singleton(f->id) || fields_find_id(fields, f->id) == NULL)
			r = fields_add(&merged, f->name, f->value);
	}
	for (size_t i = 0; r == 0 && i < fields->count; i++)
		r = fields_add(&merged, fields->list[i].name, fields->list[i].value);
	if (r == 0) {
		*fields = merged;
		fields_init(early, arena);
	}
	return r;
}
