#include "middleware/accept_encoding.h"

#include <math.h>

#include "config/option.h"

static const slice names[CODING_COUNT] = {
#define X(name, text) [CODING_##name] = SLICE(text),
	CODINGS(X)
#undef X
};

slice coding_name(enum coding c)
{
	return names[c];
}

enum coding coding_of(slice name)
{
	for (size_t i = CODING_NONE + 1; i < CODING_COUNT; i++) {
		if (slice_equal(name, names[i]))
			return (enum coding)i;
	}
	return CODING_NONE;
}

/* "*" comes before all codings of its weight, "identity" after them. */
#define RANK_ANY (-1)
#define RANK_IDENTITY ((int)CODING_COUNT)
#define RANK_UNKNOWN 100

static int rank_of(const struct coding_offer *o, slice name)
{
	enum coding c = coding_of(name);

	if (slice_equal(name, SLICE("*")))
		return RANK_ANY;
	if (slice_equal(name, SLICE("identity")))
		return RANK_IDENTITY;
	for (size_t i = 0; c != CODING_NONE && i < o->count; i++) {
		if (o->list[i] == c)
			return (int)i;
	}
	return RANK_UNKNOWN;
}

#define ITEM_BYTES 64

/* Spaces do not count anywhere. Returns false for what is longer than any name and weight. */
static bool without_spaces(slice item, char room[ITEM_BYTES], slice *plain)
{
	size_t n = 0;

	for (size_t i = 0; i < item.n; i++) {
		if (item.p[i] == ' ')
			continue;
		if (n == ITEM_BYTES)
			return false;
		room[n++] = item.p[i];
	}
	*plain = slice_of(room, n);
	return true;
}

/* Only a weight that comes first among the parameters counts. */
static double weight_of(slice parameters)
{
	double w = 0;

	if (!slice_starts(parameters, SLICE("q=")))
		return 1;
	if (option_parse_float(slice_from_at(parameters, 2), &w) < 0)
		return 0;
	return isnan(w) ? -INFINITY : w;
}

struct choice {
	int rank;
	double weight;
	bool any;
};

static void consider(struct choice *best, const struct coding_offer *o, slice item)
{
	char room[ITEM_BYTES];
	slice plain, name;
	double weight;
	int rank;

	if (!without_spaces(item, room, &plain))
		return;
	name = slice_first(plain, slice_find(plain, ';'));
	rank = rank_of(o, name);
	weight = weight_of(slice_from_at(plain, name.n + 1));
	if (rank == RANK_UNKNOWN || !(weight > 0 || weight < 0))
		return;
	if (!best->any || weight > best->weight || (!(weight < best->weight) && rank < best->rank))
		*best = (struct choice){rank, weight, true};
}

enum coding accept_encoding_choose(const struct coding_offer *o, const struct fields *request)
{
	const struct field *line = fields_find_id(request, FIELD_ACCEPT_ENCODING);
	struct choice best = {0};

	if (line == NULL)
		return o->initial;
	for (; line != NULL; line = fields_find_next(request, line)) {
		slice rest = line->value, item;

		while (slice_next(&rest, ',', &item))
			consider(&best, o, item);
	}
	if (!best.any || best.rank == RANK_IDENTITY)
		return CODING_NONE;
	if (best.rank == RANK_ANY)
		return o->initial != CODING_NONE ? o->initial : o->list[0];
	return o->list[best.rank];
}

bool accept_encoding_has_gzip(const struct fields *request)
{
	slice rest = fields_value_id(request, FIELD_ACCEPT_ENCODING), item;

	while (slice_next(&rest, ',', &item)) {
		slice parameters = item, part = item;
		double weight = 1;

		(void)slice_next(&parameters, ';', &part);
		if (!slice_equal_nocase(slice_trim(part), SLICE("gzip")))
			continue;
		while (slice_next(&parameters, ';', &part)) {
			part = slice_trim(part);
			if (slice_starts(part, SLICE("q=")) &&
			    option_parse_float(slice_from_at(part, 2), &weight) < 0)
				weight = 0;
		}
		return weight > 0;
	}
	return false;
}
