#include "provider/template_private.h"

/* sprig's functions on dictionaries. Keys come out sorted, where Go's order is random. */

/* The pairs of a map argument; a nil one is empty. */
static const struct template_pairs *pairs_of(const struct template_value *v)
{
	static const struct template_pairs empty;

	return v->type == TYPE_MAP ? v->map : &empty;
}

static const struct template_value *lookup(const struct template_value *map, slice key)
{
	return map->type == TYPE_MAP ? template_map_get(map, key) : NULL;
}

static bool put(struct template_call *c, struct template_value *map, slice key,
		const struct template_value *value)
{
	if (!template_step(c->run, c->offset, map->map->count / 16) ||
	    !template_map_set(&c->run->arena, map, key, *value))
		return template_fail_memory(c->run, c->offset);
	return true;
}

static bool return_new_map(struct template_call *c)
{
	struct template_value *map = template_map(&c->run->arena);

	if (map == NULL)
		return template_fail_memory(c->run, c->offset);
	c->result = *map;
	return true;
}

static bool call_dict(struct template_call *c)
{
	static const struct template_value empty = {.type = TYPE_STRING};
	slice key;

	if (!return_new_map(c))
		return false;
	for (size_t i = 0; i < c->count; i += 2)
		if (!template_to_text(c->run, c->offset, &c->args[i], &key) ||
		    !put(c, &c->result, key, i + 1 < c->count ? &c->args[i + 1] : &empty))
			return false;
	return true;
}

static bool call_get(struct template_call *c)
{
	const struct template_value *found = lookup(&c->args[0], c->args[1].text);

	c->result = found != NULL ? *found : value_text(SLICE(""));
	return true;
}

static bool call_set(struct template_call *c)
{
	if (c->args[0].type == TYPE_NIL)
		return template_call_fail(c, "expected a map, found nil");
	if (!put(c, &c->args[0], c->args[1].text, &c->args[2]))
		return false;
	c->result = c->args[0];
	return true;
}

static bool call_unset(struct template_call *c)
{
	if (c->args[0].type == TYPE_MAP)
		template_map_remove(&c->args[0], c->args[1].text);
	c->result = c->args[0];
	return true;
}

static bool call_has_key(struct template_call *c)
{
	c->result = value_bool(lookup(&c->args[0], c->args[1].text) != NULL);
	return true;
}

static bool call_keys(struct template_call *c)
{
	struct template_value *items;
	size_t count = 0;

	for (size_t i = 0; i < c->count; i++)
		count += pairs_of(&c->args[i])->count;
	if (!template_return_list(c, TYPE_STRINGS, count, &items))
		return false;
	for (size_t i = 0; i < c->count; i++)
		for (size_t j = 0; j < pairs_of(&c->args[i])->count; j++)
			*items++ = value_text(pairs_of(&c->args[i])->at[j].key);
	return true;
}

static bool call_values(struct template_call *c)
{
	const struct template_pairs *pairs = pairs_of(&c->args[0]);
	struct template_value *items;

	if (!template_return_list(c, TYPE_ANYS, pairs->count, &items))
		return false;
	for (size_t i = 0; i < pairs->count; i++)
		items[i] = *pairs->at[i].value;
	return true;
}

static bool call_pluck(struct template_call *c)
{
	struct template_value *items;
	size_t n = 0;

	if (!template_return_list(c, TYPE_ANYS, c->count, &items))
		return false;
	for (size_t i = 1; i < c->count; i++) {
		const struct template_value *found = lookup(&c->args[i], c->args[0].text);

		if (found != NULL)
			items[n++] = *found;
	}
	c->result.list.count = n;
	return true;
}

static bool is_named(const struct template_call *c, slice key)
{
	for (size_t i = 1; i < c->count; i++)
		if (slice_equal(c->args[i].text, key))
			return true;
	return false;
}

static bool copy_named(struct template_call *c, bool named)
{
	const struct template_pairs *pairs = pairs_of(&c->args[0]);

	if (!return_new_map(c))
		return false;
	for (size_t i = 0; i < pairs->count; i++)
		if (is_named(c, pairs->at[i].key) == named &&
		    !put(c, &c->result, pairs->at[i].key, pairs->at[i].value))
			return false;
	return true;
}

static bool call_pick(struct template_call *c)
{
	return copy_named(c, true);
}

static bool call_omit(struct template_call *c)
{
	return copy_named(c, false);
}

#define NESTING_MAX 100 /* a map can be made to contain itself */

static bool merge(struct template_call *c, struct template_value *to,
		  const struct template_pairs *from, bool overwrite, unsigned depth)
{
	if (depth > NESTING_MAX)
		return template_call_fail(c, "maps are nested too deep, expected at most %d levels",
					  NESTING_MAX);
	for (size_t i = 0; i < from->count; i++) {
		const struct template_value *value = from->at[i].value;
		const struct template_value *old = template_map_get(to, from->at[i].key);

		if (!template_step(c->run, c->offset, 1))
			return false;
		if (old != NULL && old->type == TYPE_MAP && value->type == TYPE_MAP) {
			struct template_value inner = *old;

			if (inner.map != value->map &&
			    !merge(c, &inner, value->map, overwrite, depth + 1))
				return false;
			continue;
		}
		if (old != NULL && template_truth(old) && !(overwrite && value->type != TYPE_NIL))
			continue;
		if (!put(c, to, from->at[i].key, value))
			return false;
	}
	return true;
}

static bool merge_all(struct template_call *c, bool overwrite)
{
	if (c->args[0].type == TYPE_NIL)
		return template_call_fail(c, "expected a map, found nil");
	for (size_t i = 1; i < c->count; i++)
		if (!merge(c, &c->args[0], pairs_of(&c->args[i]), overwrite, 0))
			return false;
	c->result = c->args[0];
	return true;
}

static bool call_merge(struct template_call *c)
{
	return merge_all(c, false);
}

static bool call_merge_overwrite(struct template_call *c)
{
	return merge_all(c, true);
}

static bool call_dig(struct template_call *c)
{
	const struct template_value *at = &c->args[c->count - 1];

	for (size_t i = 0; i + 2 < c->count; i++) {
		if (c->args[i].type != TYPE_STRING)
			return template_call_fail(c, "expected a string as key, found %s",
						  template_type_name(c->args[i].type));
		if (at->type != TYPE_MAP)
			return template_call_fail(c, "expected a map, found %s",
						  template_type_name(at->type));
		at = template_map_get(at, c->args[i].text);
		if (at == NULL) {
			c->result = c->args[c->count - 2];
			return true;
		}
	}
	c->result = *at;
	return true;
}

static bool copy_value(struct template_call *c, const struct template_value *from,
		       struct template_value *to, unsigned depth)
{
	*to = *from;
	if (depth > NESTING_MAX)
		return template_call_fail(
			c, "values are nested too deep, expected at most %d levels", NESTING_MAX);
	if (!template_step(c->run, c->offset, 1))
		return false;
	if (template_is_list(from)) {
		to->list.items =
			ARENA_ARRAY(&c->run->arena, struct template_value, from->list.count + 1);
		if (to->list.items == NULL)
			return template_fail_memory(c->run, c->offset);
		for (size_t i = 0; i < from->list.count; i++)
			if (!copy_value(c, &from->list.items[i], &to->list.items[i], depth + 1))
				return false;
	}
	if (!template_is_map(from))
		return true;
	to->map = ARENA_NEW(&c->run->arena, struct template_pairs);
	if (to->map == NULL)
		return template_fail_memory(c->run, c->offset);
	for (size_t i = 0; i < from->map->count; i++) {
		struct template_value inner;

		if (!copy_value(c, from->map->at[i].value, &inner, depth + 1) ||
		    !put(c, to, from->map->at[i].key, &inner))
			return false;
	}
	return true;
}

static bool call_deep_copy(struct template_call *c)
{
	return copy_value(c, &c->args[0], &c->result, 0);
}

const struct template_function template_map_functions[] = {
	{"dict", "a*", call_dict},
	{"get", "ms", call_get},
	{"set", "msa", call_set},
	{"unset", "ms", call_unset},
	{"hasKey", "ms", call_has_key},
	{"keys", "m*", call_keys},
	{"values", "m", call_values},
	{"pluck", "sm*", call_pluck},
	{"pick", "ms*", call_pick},
	{"omit", "ms*", call_omit},
	{"merge", "mm*", call_merge},
	{"mustMerge", "mm*", call_merge},
	{"mergeOverwrite", "mm*", call_merge_overwrite},
	{"mustMergeOverwrite", "mm*", call_merge_overwrite},
	{"dig", "aaaa*", call_dig},
	{"deepCopy", "a", call_deep_copy},
	{"mustDeepCopy", "a", call_deep_copy},
	{NULL, NULL, NULL},
};
