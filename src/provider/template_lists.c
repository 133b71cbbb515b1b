#include <stdlib.h>

#include "provider/template_private.h"

/* sprig's functions on lists. Results are new lists: Go's append never changes its argument there.
 */

/* Go's message differs from function to function; all say what was found. */
static bool list_argument(struct template_call *c, size_t index, const struct template_list **list)
{
	static const struct template_list none;

	*list = &none;
	if (!template_is_list(&c->args[index]))
		return template_call_fail(c, "expected a list, found %s",
					  template_type_name(c->args[index].type));
	*list = &c->args[index].list;
	return true;
}

static bool return_anys(struct template_call *c, size_t count, struct template_value **items)
{
	return template_return_list(c, TYPE_ANYS, count, items);
}

/* `count` values from `from` of a list, as []interface {}. */
static bool return_part(struct template_call *c, const struct template_list *list, size_t from,
			size_t count)
{
	struct template_value *items;

	if (!return_anys(c, count, &items))
		return false;
	if (count > 0)
		memcpy(items, list->items + from, count * sizeof *items);
	return true;
}

static bool call_list(struct template_call *c)
{
	const struct template_list all = {c->count, c->args};

	return return_part(c, &all, 0, c->count);
}

static bool call_first(struct template_call *c)
{
	const struct template_list *list;

	if (!list_argument(c, 0, &list))
		return false;
	c->result = list->count > 0 ? list->items[0] : value_nil();
	return true;
}

static bool call_last(struct template_call *c)
{
	const struct template_list *list;

	if (!list_argument(c, 0, &list))
		return false;
	c->result = list->count > 0 ? list->items[list->count - 1] : value_nil();
	return true;
}

static bool call_rest(struct template_call *c)
{
	const struct template_list *list;

	return list_argument(c, 0, &list) &&
	       return_part(c, list, list->count > 0, list->count - (list->count > 0));
}

static bool call_initial(struct template_call *c)
{
	const struct template_list *list;

	return list_argument(c, 0, &list) &&
	       return_part(c, list, 0, list->count - (list->count > 0));
}

static bool call_append(struct template_call *c)
{
	const struct template_list *list;
	struct template_value *items;

	if (!list_argument(c, 0, &list) || !return_anys(c, list->count + 1, &items))
		return false;
	if (list->count > 0)
		memcpy(items, list->items, list->count * sizeof *items);
	items[list->count] = c->args[1];
	return true;
}

static bool call_prepend(struct template_call *c)
{
	const struct template_list *list;
	struct template_value *items;

	if (!list_argument(c, 0, &list) || !return_anys(c, list->count + 1, &items))
		return false;
	items[0] = c->args[1];
	if (list->count > 0)
		memcpy(items + 1, list->items, list->count * sizeof *items);
	return true;
}

static bool call_concat(struct template_call *c)
{
	const struct template_list *list;
	struct template_value *items;
	size_t count = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (!list_argument(c, i, &list))
			return false;
		count += list->count;
	}
	if (!return_anys(c, count, &items))
		return false;
	for (size_t i = 0; i < c->count; i++) {
		list = &c->args[i].list;
		if (list->count > 0)
			memcpy(items, list->items, list->count * sizeof *items);
		items += list->count;
	}
	return true;
}

static bool call_reverse(struct template_call *c)
{
	const struct template_list *list;
	struct template_value *items;

	if (!list_argument(c, 0, &list) || !return_anys(c, list->count, &items))
		return false;
	for (size_t i = 0; i < list->count; i++)
		items[i] = list->items[list->count - 1 - i];
	return true;
}

static bool contains(struct template_call *c, const struct template_value *items, size_t count,
		     const struct template_value *v)
{
	for (size_t i = 0; i < count; i++)
		if (template_deep_equal(c->run, &items[i], v))
			return true;
	return false;
}

static bool call_uniq(struct template_call *c)
{
	const struct template_list *list;
	struct template_value *items;
	size_t n = 0;

	if (!list_argument(c, 0, &list) || !return_anys(c, list->count, &items))
		return false;
	for (size_t i = 0; i < list->count && c->run->code == 0; i++)
		if (!contains(c, items, n, &list->items[i]))
			items[n++] = list->items[i];
	c->result.list.count = n;
	return true;
}

static bool call_without(struct template_call *c)
{
	const struct template_list *list;
	struct template_value *items;
	size_t n = 0;

	if (!list_argument(c, 0, &list) || !return_anys(c, list->count, &items))
		return false;
	for (size_t i = 0; i < list->count && c->run->code == 0; i++)
		if (!contains(c, c->args + 1, c->count - 1, &list->items[i]))
			items[n++] = list->items[i];
	c->result.list.count = n;
	return true;
}

static bool call_compact(struct template_call *c)
{
	const struct template_list *list;
	struct template_value *items;
	size_t n = 0;

	if (!list_argument(c, 0, &list) || !return_anys(c, list->count, &items))
		return false;
	for (size_t i = 0; i < list->count; i++)
		if (template_truth(&list->items[i]))
			items[n++] = list->items[i];
	c->result.list.count = n;
	return true;
}

static bool call_has(struct template_call *c)
{
	const struct template_list *list;

	c->result = value_bool(false);
	if (c->args[1].type == TYPE_NIL)
		return true;
	if (!list_argument(c, 1, &list))
		return false;
	c->result = value_bool(contains(c, list->items, list->count, &c->args[0]));
	return true;
}

static bool call_slice(struct template_call *c)
{
	const struct template_list *list;
	int64_t from = 0, to;

	if (!list_argument(c, 0, &list))
		return false;
	if (list->count == 0) {
		c->result = value_nil();
		return true;
	}
	to = (int64_t)list->count;
	if (c->count > 1)
		from = template_to_int(&c->args[1]);
	if (c->count > 2)
		to = template_to_int(&c->args[2]);
	if (from < 0 || to < from || to > (int64_t)list->count)
		return template_call_fail(c, "bounds %lld to %lld are outside of a list of %zu",
					  (long long)from, (long long)to, list->count);
	if (!return_part(c, list, (size_t)from, (size_t)(to - from)))
		return false;
	c->result.type = c->args[0].type;
	return true;
}

static bool call_chunk(struct template_call *c)
{
	const struct template_list *list;
	struct template_value *items;
	size_t size, count;

	if (!list_argument(c, 1, &list))
		return false;
	if (c->args[0].integer <= 0)
		return template_call_fail(c, "chunks of %lld, expected at least 1",
					  (long long)c->args[0].integer);
	size = (size_t)c->args[0].integer;
	count = list->count / size + (list->count % size != 0);
	if (!return_anys(c, count, &items))
		return false;
	for (size_t i = 0; i < count; i++)
		items[i] = (struct template_value){
			.type = TYPE_ANYS,
			.list = {MIN(size, list->count - i * size), list->items + i * size},
		};
	return true;
}

/* sprig's strslice: what is no list is one string; nothing is no string. */
static bool text_list(struct template_call *c, const struct template_value *v, size_t *count,
		      slice **texts)
{
	const struct template_value *items = template_is_list(v) ? v->list.items : v;
	size_t n = template_is_list(v) ? v->list.count : v->type != TYPE_NIL;

	*count = 0;
	*texts = ARENA_ARRAY(&c->run->arena, slice, MAX(n, (size_t)1));
	if (*texts == NULL)
		return template_fail_memory(c->run, c->offset);
	for (size_t i = 0; i < n; i++) {
		if (items[i].type == TYPE_NIL)
			continue;
		if (!template_to_text(c->run, c->offset, &items[i], &(*texts)[*count]))
			return false;
		(*count)++;
	}
	return true;
}

static bool call_join(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice *texts;
	size_t count;

	if (!text_list(c, &c->args[1], &count, &texts))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			str_add(&out, c->args[0].text);
		str_add(&out, texts[i]);
	}
	return template_return_text(c, &out);
}

static bool return_texts(struct template_call *c, const slice *texts, size_t count)
{
	struct template_value *items;

	if (!template_return_list(c, TYPE_STRINGS, count, &items))
		return false;
	for (size_t i = 0; i < count; i++)
		items[i] = value_text(texts[i]);
	return true;
}

static bool call_to_strings(struct template_call *c)
{
	slice *texts;
	size_t count;

	return text_list(c, &c->args[0], &count, &texts) && return_texts(c, texts, count);
}

static int compare_texts(const void *a, const void *b)
{
	return slice_compare(*(const slice *)a, *(const slice *)b);
}

static bool call_sort_alpha(struct template_call *c)
{
	slice *texts;
	size_t count;

	if (!text_list(c, &c->args[0], &count, &texts))
		return false;
	qsort(texts, count, sizeof *texts, compare_texts);
	return return_texts(c, texts, count);
}

/* strings.SplitN: an empty separator splits into runes; `limit` < 0: no limit. */
static bool split(struct template_call *c, slice s, slice separator, int64_t limit, slice **parts,
		  size_t *count)
{
	size_t n = 0, capacity = 8;
	uint32_t rune;

	*count = 0;
	*parts = ARENA_ARRAY(&c->run->arena, slice, capacity);
	if (limit == 0 || (separator.n == 0 && s.n == 0))
		return *parts != NULL || template_fail_memory(c->run, c->offset);
	for (bool more = true; more && *parts != NULL;) {
		size_t at = separator.n > 0 ? slice_search(s, separator) : template_rune(s, &rune);

		if (n == capacity) {
			slice *bigger = ARENA_ARRAY(&c->run->arena, slice, capacity * 2);

			if (bigger != NULL)
				memcpy(bigger, *parts, n * sizeof *bigger);
			*parts = bigger;
			capacity *= 2;
			if (bigger == NULL)
				break;
		}
		if ((limit > 0 && n + 1 == (size_t)limit) || at >= s.n) {
			at = s.n;
			more = false;
		}
		(*parts)[n++] = slice_first(s, at);
		s = slice_from_at(s, at + separator.n);
	}
	*count = n;
	return *parts != NULL || template_fail_memory(c->run, c->offset);
}

static bool return_split(struct template_call *c, slice s, slice separator)
{
	slice *parts;
	size_t count;

	return split(c, s, separator, -1, &parts, &count) && return_texts(c, parts, count);
}

static bool call_split_list(struct template_call *c)
{
	return return_split(c, c->args[1].text, c->args[0].text);
}

/* Traefik's own: strings.Split, with the string first. */
static bool call_split(struct template_call *c)
{
	return return_split(c, c->args[0].text, c->args[1].text);
}

static bool call_splitn(struct template_call *c)
{
	struct arena *a = &c->run->arena;
	struct template_value *map;
	slice *parts;
	size_t count;

	if (!split(c, c->args[2].text, c->args[0].text, c->args[1].integer, &parts, &count))
		return false;
	map = template_map(a);
	for (size_t i = 0; i < count && map != NULL; i++) {
		slice key = arena_format(a, "_%zu", i);

		if (key.p == NULL || !template_map_set(a, map, key, value_text(parts[i])))
			map = NULL;
	}
	if (map == NULL)
		return template_fail_memory(c->run, c->offset);
	map->type = TYPE_STRING_MAP;
	c->result = *map;
	return true;
}

const struct template_function template_list_functions[] = {
	{"list", "a*", call_list},
	{"tuple", "a*", call_list},
	{"first", "a", call_first},
	{"mustFirst", "a", call_first},
	{"last", "a", call_last},
	{"mustLast", "a", call_last},
	{"rest", "a", call_rest},
	{"mustRest", "a", call_rest},
	{"initial", "a", call_initial},
	{"mustInitial", "a", call_initial},
	{"append", "aa", call_append},
	{"mustAppend", "aa", call_append},
	{"push", "aa", call_append},
	{"mustPush", "aa", call_append},
	{"prepend", "aa", call_prepend},
	{"mustPrepend", "aa", call_prepend},
	{"concat", "a*", call_concat},
	{"reverse", "a", call_reverse},
	{"mustReverse", "a", call_reverse},
	{"uniq", "a", call_uniq},
	{"mustUniq", "a", call_uniq},
	{"without", "aa*", call_without},
	{"mustWithout", "aa*", call_without},
	{"compact", "a", call_compact},
	{"mustCompact", "a", call_compact},
	{"has", "aa", call_has},
	{"mustHas", "aa", call_has},
	{"slice", "aa*", call_slice},
	{"mustSlice", "aa*", call_slice},
	{"chunk", "ia", call_chunk},
	{"mustChunk", "ia", call_chunk},
	{"join", "sa", call_join},
	{"toStrings", "a", call_to_strings},
	{"sortAlpha", "a", call_sort_alpha},
	{"splitList", "ss", call_split_list},
	{"split", "ss", call_split},
	{"splitn", "sis", call_splitn},
	{NULL, NULL, NULL},
};
