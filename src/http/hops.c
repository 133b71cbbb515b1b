#include "http/hops.h"

#include <errno.h>

#include "core/base.h"
#include "core/map.h"

/* Fields that describe one connection only (RFC 9110 section 7.6.1, and Go's list). Trailer travels
 * with its trailers. */
#define HOP_BY_HOP \
	(FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_PROXY_CONNECTION) | \
	 FIELD_BIT(FIELD_KEEP_ALIVE) | FIELD_BIT(FIELD_PROXY_AUTHENTICATE) | \
	 FIELD_BIT(FIELD_PROXY_AUTHORIZATION) | FIELD_BIT(FIELD_TE) | \
	 FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_UPGRADE))

/* What Connection cannot name away: how the message is framed and routed. */
#define UNTOUCHABLE \
	(FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONTENT_LENGTH) | \
	 FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_TRAILER) | \
	 FIELD_BIT(FIELD_CONNECTION))

static bool has_bit(uint64_t set, enum field_id id)
{
	return (set & FIELD_BIT(id)) != 0 && id != FIELD_OTHER;
}

void hops_filter(struct fields *fields, bool (*keep)(const void *context, const struct field *f),
		 const void *context)
{
	uint64_t present = 0;
	size_t kept = 0;

	for (size_t i = 0; i < fields->count; i++) {
		if (!keep(context, &fields->list[i]))
			continue;
		present |= FIELD_BIT(fields->list[i].id);
		fields->list[kept++] = fields->list[i];
	}
	fields->count = kept;
	fields->present = present;
}

#define NAMES_WITHOUT_TABLE 8

/* Lower-case copies make one hash for all spellings. */
static bool lowered(struct arena *arena, slice name, slice *lower)
{
	char *to = arena_alloc(arena, name.n);

	if (to == NULL)
		return false;
	for (size_t i = 0; i < name.n; i++)
		to[i] = ascii_lower(name.p[i]);
	*lower = slice_of(to, name.n);
	return true;
}

static int build_table(struct hops *h, struct arena *arena)
{
	size_t places = NAMES_WITHOUT_TABLE * 4;

	while (places < h->count * 2)
		places *= 2;
	h->table = ARENA_ARRAY(arena, slice, places);
	if (h->table == NULL)
		return -ENOMEM;
	h->mask = places - 1;
	for (size_t i = 0; i < h->count; i++) {
		size_t at = map_hash(h->others[i]) & h->mask;

		while (h->table[at].p != NULL && !slice_equal(h->table[at], h->others[i]))
			at = (at + 1) & h->mask;
		h->table[at] = h->others[i];
	}
	return 0;
}

static bool is_named(const struct hops *h, const struct field *f)
{
	char lower[256];
	size_t at;

	if (f->id != FIELD_OTHER)
		return has_bit(h->known, f->id);
	for (size_t i = 0; h->table == NULL && i < h->count; i++) {
		if (slice_equal_nocase(h->others[i], f->name))
			return true;
	}
	if (h->table == NULL || f->name.n > sizeof lower)
		return false;
	for (size_t i = 0; i < f->name.n; i++)
		lower[i] = ascii_lower(f->name.p[i]);
	at = map_hash(slice_of(lower, f->name.n)) & h->mask;
	for (; h->table[at].p != NULL; at = (at + 1) & h->mask) {
		if (slice_equal(h->table[at], slice_of(lower, f->name.n)))
			return true;
	}
	return false;
}

static bool is_not_named(const void *context, const struct field *f)
{
	return !is_named(context, f);
}

static bool is_not_hop_by_hop(const void *context, const struct field *f)
{
	return !has_bit(HOP_BY_HOP, f->id) && !is_named(context, f);
}

static size_t count_tokens(const struct fields *fields)
{
	const struct field *line = fields_find_id(fields, FIELD_CONNECTION);
	size_t count = 0;

	for (; line != NULL; line = fields_find_next(fields, line)) {
		count++;
		for (size_t i = 0; i < line->value.n; i++)
			count += line->value.p[i] == ',';
	}
	return count;
}

int hops_collect(struct hops *h, const struct fields *fields, hops_spare *spare, void *context)
{
	const struct field *line = fields_find_id(fields, FIELD_CONNECTION);

	*h = (struct hops){0};
	if (line == NULL)
		return 0;
	h->others = arena_alloc(fields->arena, count_tokens(fields) * sizeof *h->others);
	if (h->others == NULL)
		return -ENOMEM;
	for (; line != NULL; line = fields_find_next(fields, line)) {
		slice rest = line->value, part;

		while (slice_next(&rest, ',', &part)) {
			slice name = slice_trim(part);
			enum field_id id = field_id_of(name);

			if (name.n == 0 || has_bit(UNTOUCHABLE, id) ||
			    (spare != NULL && spare(context, id, name)))
				continue;
			if (id != FIELD_OTHER)
				h->known |= FIELD_BIT(id);
			else if (lowered(fields->arena, name, &h->others[h->count]))
				h->count++;
			else
				return -ENOMEM;
		}
	}
	return h->count > NAMES_WITHOUT_TABLE ? build_table(h, fields->arena) : 0;
}

void hops_remove_named(const struct hops *h, struct fields *fields)
{
	if (h->known != 0 || h->count > 0)
		hops_filter(fields, is_not_named, h);
}

void hops_remove_all(const struct hops *h, struct fields *fields)
{
	if ((fields->present & HOP_BY_HOP) != 0 || h->count > 0)
		hops_filter(fields, is_not_hop_by_hop, h);
}
