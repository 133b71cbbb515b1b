#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "middleware/plugin_registry_private.h"

static void add_histogram(struct weir_histogram *to, const struct weir_histogram *from)
{
	for (size_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
		to->counts[i] += from->counts[i];
	to->sum_ns += from->sum_ns;
}

static void add_stats(struct weir_plugin_stats *to, const struct weir_plugin_stats *from)
{
#define X(name, kind, help) to->name += from->name;
	PLUGIN_COUNTERS(X)
#undef X
#define X(name, help) add_histogram(&to->name, &from->name);
	PLUGIN_HISTOGRAMS(X)
#undef X
	for (size_t i = 0; i < WEIR_CAUSE_COUNT; i++)
		to->failures[i] += from->failures[i];
}

/* What instance may be left goes with the plugin. */
void plugin_totals_keep(const struct plugin_use *u)
{
	struct weir_plugin_stats stats;

	weir_plugin_stats(u->plugin, &stats);
	stats.destroyed = stats.created;
#define X(name, kind, help) stats.name = (kind) == GAUGE ? 0 : stats.name;
	PLUGIN_COUNTERS(X)
#undef X
	add_stats(&u->registry->sources[u->source].gone, &stats);
}

size_t plugin_totals_count(const struct plugin_registry *r)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	return r->source_count;
}

/* A use's key begins with its plugin's name and the hash of the binary. */
static const char *content_of(const struct plugin_use *u)
{
	return u->key + u->alias.n + 1;
}

static void note_content(struct plugin_totals *t, const struct plugin_use *u)
{
	if (t->content[0] != '\0' && u->wanted < t->newest)
		return;
	t->newest = u->wanted;
	memcpy(t->content, content_of(u), SHA256_HEX - 1);
}

static void look_at(struct plugin_use_look *look, const struct plugin_use *u)
{
	*look = (struct plugin_use_look){.alias = u->alias,
					 .age_ns = clock_mono_ns() - u->made_ns,
					 .references = u->references,
					 .source = u->source,
					 .plugin = weir_plugin_ref(u->plugin)};
	memcpy(look->content, content_of(u), SHA256_HEX - 1);
}

/* Held so that plugins can be looked at without the lock, under which this is called. */
static struct plugin_use_look *hold_all(struct plugin_registry *r, size_t *count)
{
	struct plugin_use_look *all = calloc(r->live + 1, sizeof *all);

	*count = 0;
	if (all == NULL)
		return NULL;
	LIST_FOR_EACH (at, &r->all)
		look_at(&all[(*count)++], container_of(at, struct plugin_use, link));
	return all;
}

struct plugin_use_look *plugin_uses_hold(struct plugin_registry *r, size_t *count)
{
	struct plugin_use_look *all;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	(void)pthread_mutex_lock(&r->lock);
	all = hold_all(r, count);
	(void)pthread_mutex_unlock(&r->lock);
	return all;
}

void plugin_uses_release(struct plugin_use_look **uses, size_t count)
{
	for (size_t i = 0; *uses != NULL && i < count; i++)
		weir_plugin_unref(&(*uses)[i].plugin);
	free(*uses);
	*uses = NULL;
}

static struct plugin_use_look *begin_totals(struct plugin_registry *r, struct plugin_totals *totals,
					    size_t *count)
{
	struct plugin_use_look *all;

	(void)pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->source_count; i++)
		totals[i] = (struct plugin_totals){.alias = r->sources[i].alias,
						   .passed = counter_get(&r->sources[i].passed),
						   .stats = r->sources[i].gone};
	LIST_FOR_EACH (at, &r->all) {
		const struct plugin_use *u = container_of(at, struct plugin_use, link);

		note_content(&totals[u->source], u);
	}
	all = hold_all(r, count);
	(void)pthread_mutex_unlock(&r->lock);
	return all;
}

int plugin_totals_read(struct plugin_registry *r, struct plugin_totals *totals)
{
	struct plugin_use_look *all;
	size_t count;
	bool failed;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	all = begin_totals(r, totals, &count);
	failed = all == NULL;
	for (size_t i = 0; i < count; i++) {
		struct plugin_totals *to = &totals[all[i].source];
		struct weir_plugin_stats stats;

		weir_plugin_stats(all[i].plugin, &stats);
		add_stats(&to->stats, &stats);
		to->configurations++;
		to->image_bytes += weir_plugin_facts(all[i].plugin)->image_bytes;
	}
	plugin_uses_release(&all, count);
	return failed ? -ENOMEM : 0;
}
