#include "proxy/router.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base.h"
#include "core/map.h"
#include "proxy/rule_match.h"

#define MAGIC 0x726f7574u /* "rout" */

/* A router that names more hosts times paths than this is found by host alone. */
#define PLACES_PER_ROUTER_MAX 4096

struct slot {
	const struct rule *rule;
	void *target;
	int64_t priority;
	size_t given; /* position in the entries given */
};

/*
 * Node of a radix tree over path prefixes. Children stand side by side, ordered by the first byte
 * of their label. `list` holds the routers that require exactly the prefix that leads here, best
 * first.
 */
struct node {
	slice label;
	uint32_t child;
	uint32_t child_count;
	uint32_t list;
	uint32_t list_count;
};

/*
 * Routers are numbered in their order of priority. Each stands in the tree of every host that its
 * rule can match: a tree per exact host, one per wildcard, and the general one for rules that name
 * no host.
 */
struct router_set {
	uint32_t magic;
	struct slot *slots;
	size_t count;
	struct map hosts;     /* host without final dots -> root node */
	struct map wildcards; /* what follows "*." -> root node */
	struct node *nodes;   /* the first one is the root of the general tree */
	uint32_t node_count;
	uint32_t node_capacity;
	uint32_t *lists;
	uint32_t list_count;
	struct arena arena; /* keys of the maps */
};

/* One router in one tree. */
struct place {
	uint32_t tree; /* root node */
	uint32_t slot;
	slice prefix;
};

struct builder {
	struct router_set *set;
	struct place *places;
	size_t count;
	size_t capacity;
};

static int compare_slots(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return x->given < y->given ? -1 : x->given > y->given;
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order;

	if (x->tree != y->tree)
		return x->tree < y->tree ? -1 : 1;
	order = slice_compare(x->prefix, y->prefix);
	if (order != 0)
		return order;
	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static bool add_nodes(struct router_set *set, uint32_t count, uint32_t *first)
{
	if (set->node_count + count > set->node_capacity) {
		uint32_t capacity = MAX(set->node_capacity * 2, set->node_count + count);
		struct node *nodes = reallocarray(set->nodes, capacity, sizeof *nodes);

		if (nodes == NULL)
			return false;
		set->nodes = nodes;
		set->node_capacity = capacity;
	}
	*first = set->node_count;
	memset(set->nodes + set->node_count, 0, count * sizeof *set->nodes);
	set->node_count += count;
	return true;
}

static slice without_dots(slice host)
{
	while (slice_ends(host, SLICE(".")))
		host.n--;
	return host;
}

/* The root for a host as a rule names it; made if it is new. */
static bool find_tree(struct router_set *set, slice host, uint32_t *root)
{
	bool wildcard = slice_starts(host, SLICE("*."));
	struct map *map = wildcard ? &set->wildcards : &set->hosts;
	slice key = arena_copy(&set->arena, without_dots(wildcard ? slice_from_at(host, 2) : host));
	void *found;

	if (key.p == NULL)
		return false;
	for (size_t i = 0; i < key.n; i++)
		((char *)(uintptr_t)key.p)[i] = ascii_lower(key.p[i]);
	found = map_get(map, key);
	if (found != NULL) {
		*root = (uint32_t)(uintptr_t)found;
		return true;
	}
	/* The general tree has node 0, so that no root is NULL. */
	return add_nodes(set, 1, root) && map_put(map, key, (void *)(uintptr_t)*root) == 0;
}

static bool add_place(struct builder *b, uint32_t tree, size_t slot, slice prefix)
{
	if (b->count == b->capacity) {
		size_t capacity = MAX(b->capacity * 2, 64);
		struct place *places = reallocarray(b->places, capacity, sizeof *places);

		if (places == NULL)
			return false;
		b->places = places;
		b->capacity = capacity;
	}
	b->places[b->count++] = (struct place){tree, (uint32_t)slot, prefix};
	return true;
}

static bool place_in_tree(struct builder *b, uint32_t tree, size_t slot, const slice *prefixes,
			  size_t count)
{
	if (count == 0)
		return add_place(b, tree, slot, (slice){NULL, 0});
	for (size_t i = 0; i < count; i++) {
		if (!add_place(b, tree, slot, prefixes[i]))
			return false;
	}
	return true;
}

static bool place_router(struct builder *b, size_t slot)
{
	const struct rule *rule = b->set->slots[slot].rule;
	size_t max = rule->leaf_count, host_count, prefix_count;
	slice *hosts = calloc(2 * max, sizeof *hosts), *prefixes;
	bool ok = true;

	if (hosts == NULL)
		return false;
	prefixes = hosts + max;
	host_count = rule_required_hosts(rule, hosts, max);
	prefix_count = rule_required_prefixes(rule, prefixes, max);
	if (host_count * prefix_count > PLACES_PER_ROUTER_MAX)
		prefix_count = 0;
	if (host_count == 0)
		ok = place_in_tree(b, 0, slot, prefixes, prefix_count);
	for (size_t i = 0; ok && i < host_count; i++) {
		uint32_t tree;

		ok = find_tree(b->set, hosts[i], &tree) &&
		     place_in_tree(b, tree, slot, prefixes, prefix_count);
	}
	free(hosts);
	return ok;
}

static size_t common(slice a, slice b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

/* How many of the places at the front have the same byte at `depth` as the first one. */
static size_t same_byte(const struct place *places, size_t count, size_t depth)
{
	size_t n = 1;

	while (n < count && places[n].prefix.p[depth] == places[0].prefix.p[depth])
		n++;
	return n;
}

/* Fills in a node from sorted places whose prefixes agree up to `depth`, where the node stands. */
static bool grow(struct router_set *set, uint32_t node, const struct place *places, size_t count,
		 size_t depth)
{
	size_t own = 0;
	uint32_t children = 0, first;

	set->nodes[node].list = set->list_count;
	for (; own < count && places[own].prefix.n == depth; own++) {
		if (own == 0 || places[own].slot != places[own - 1].slot)
			set->lists[set->list_count++] = places[own].slot;
	}
	set->nodes[node].list_count = set->list_count - set->nodes[node].list;
	for (size_t i = own; i < count; i += same_byte(places + i, count - i, depth))
		children++;
	if (!add_nodes(set, children, &first))
		return false;
	set->nodes[node].child = first;
	set->nodes[node].child_count = children;
	for (size_t i = own, n; i < count; i += n, first++) {
		size_t to;

		n = same_byte(places + i, count - i, depth);
		to = common(places[i].prefix, places[i + n - 1].prefix);
		set->nodes[first].label = slice_of(places[i].prefix.p + depth, to - depth);
		if (!grow(set, first, places + i, n, to))
			return false;
	}
	return true;
}

static bool grow_trees(struct builder *b)
{
	struct router_set *set = b->set;

	qsort(b->places, b->count, sizeof *b->places, compare_places);
	set->lists = calloc(b->count, sizeof *set->lists);
	if (set->lists == NULL)
		return false;
	for (size_t i = 0, n; i < b->count; i += n) {
		for (n = 1; i + n < b->count && b->places[i + n].tree == b->places[i].tree;)
			n++;
		if (!grow(set, b->places[i].tree, b->places + i, n, 0))
			return false;
	}
	return true;
}

static bool build(struct router_set *set, const struct router_entry *entries)
{
	struct builder b = {.set = set};
	uint32_t general;
	bool ok;

	for (size_t i = 0; i < set->count; i++) {
		const struct router_entry *e = &entries[i];

		must(e->target != NULL && e->rule != NULL);
		set->slots[i] =
			(struct slot){e->rule, e->target,
				      e->priority != 0 ? e->priority : rule_priority(e->rule), i};
	}
	qsort(set->slots, set->count, sizeof *set->slots, compare_slots);
	ok = add_nodes(set, 1, &general);
	for (size_t i = 0; ok && i < set->count; i++)
		ok = place_router(&b, i);
	ok = ok && (b.count == 0 || grow_trees(&b));
	free(b.places);
	return ok;
}

int router_set_new(const struct router_entry *entries, size_t count, struct router_set **set,
		   struct weir_error *e)
{
	struct router_set *made = calloc(1, sizeof *made);

	*set = NULL;
	if (made == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	made->magic = MAGIC;
	made->count = count;
	arena_init(&made->arena, 4096, SIZE_MAX);
	made->slots = calloc(count + 1, sizeof *made->slots);
	if (made->slots == NULL || count > UINT32_MAX / 2 || !build(made, entries)) {
		router_set_free(&made);
		return error_set(e, -ENOMEM, "out of memory");
	}
	*set = made;
	return 0;
}

void router_set_free(struct router_set **set)
{
	struct router_set *s;

	if (*set == NULL)
		return;
	OBJ_TAKE(s, set, MAGIC);
	free(s->slots);
	free(s->nodes);
	free(s->lists);
	map_free(&s->hosts);
	map_free(&s->wildcards);
	arena_free(&s->arena);
	s->magic = 0;
	free(s);
}

size_t router_count(const struct router_set *set)
{
	OBJ_CHECK(set, MAGIC);
	return set->count;
}

static const struct node *find_child(const struct router_set *set, const struct node *node,
				     slice rest)
{
	const struct node *children = set->nodes + node->child;
	uint32_t low = 0, high = node->child_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		unsigned char first = (unsigned char)children[middle].label.p[0];

		if (first == (unsigned char)rest.p[0])
			return slice_starts(rest, children[middle].label) ? &children[middle]
									  : NULL;
		if (first < (unsigned char)rest.p[0])
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Lowers `*best` to the first matching router of a tree that stands before it. */
static void search(const struct router_set *set, uint32_t root, struct rule_input *in, size_t *best)
{
	const struct node *node = &set->nodes[root];
	slice rest = in->path;

	while (node != NULL) {
		for (uint32_t i = 0; i < node->list_count; i++) {
			size_t slot = set->lists[node->list + i];

			if (slot >= *best)
				break;
			if (rule_matches(set->slots[slot].rule, in)) {
				*best = slot;
				break;
			}
		}
		if (rest.n == 0 || node->child_count == 0)
			return;
		node = find_child(set, node, rest);
		if (node != NULL)
			rest = slice_from_at(rest, node->label.n);
	}
}

void *router_find(const struct router_set *set, struct rule_input *in)
{
	slice host = without_dots(in->host);
	size_t best;
	void *root;

	OBJ_CHECK(set, MAGIC);
	best = set->count;
	root = map_get(&set->hosts, host);
	if (root != NULL)
		search(set, (uint32_t)(uintptr_t)root, in, &best);
	if (set->wildcards.count > 0) {
		root = map_get(&set->wildcards, slice_from_at(host, slice_find(host, '.') + 1));
		if (root != NULL)
			search(set, (uint32_t)(uintptr_t)root, in, &best);
	}
	search(set, 0, in, &best);
	return in->failed || best == set->count ? NULL : set->slots[best].target;
}

void *router_find_linear(const struct router_set *set, struct rule_input *in)
{
	OBJ_CHECK(set, MAGIC);
	for (size_t i = 0; i < set->count; i++) {
		if (rule_matches(set->slots[i].rule, in))
			return in->failed ? NULL : set->slots[i].target;
	}
	return NULL;
}
