#include <errno.h>
#include <stdlib.h>

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

/* One use, held so that it can be looked at without the lock. */
struct held {
	size_t source;
	struct weir_plugin *plugin;
};

size_t plugin_totals_count(const struct plugin_registry *r)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	return r->source_count;
}

/* A use's key begins with its plugin's name and the hash of the binary. */
static void note_content(struct plugin_totals *t, const struct plugin_use *u)
{
	if (t->content[0] != '\0' && u->wanted < t->newest)
		return;
	t->newest = u->wanted;
	memcpy(t->content, u->key + u->alias.n + 1, SHA256_HEX - 1);
}

static struct held *hold_all(struct plugin_registry *r, struct plugin_totals *totals, size_t *count)
{
	struct held *all;

	*count = 0;
	(void)pthread_mutex_lock(&r->lock);
	all = calloc(r->live + 1, sizeof *all);
	for (size_t i = 0; i < r->source_count; i++)
		totals[i] = (struct plugin_totals){.alias = r->sources[i].alias,
						   .passed = counter_get(&r->sources[i].passed),
						   .stats = r->sources[i].gone};
	if (all != NULL) {
		LIST_FOR_EACH (at, &r->all) {
			struct plugin_use *u = container_of(at, struct plugin_use, link);

			note_content(&totals[u->source], u);
			all[(*count)++] = (struct held){u->source, weir_plugin_ref(u->plugin)};
		}
	}
	(void)pthread_mutex_unlock(&r->lock);
	return all;
}

int plugin_totals_read(struct plugin_registry *r, struct plugin_totals *totals)
{
	struct held *all;
	size_t count;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	all = hold_all(r, totals, &count);
	for (size_t i = 0; i < count; i++) {
		struct plugin_totals *to = &totals[all[i].source];
		struct weir_plugin_stats stats;

		weir_plugin_stats(all[i].plugin, &stats);
		add_stats(&to->stats, &stats);
		to->configurations++;
		to->image_bytes += weir_plugin_facts(all[i].plugin)->image_bytes;
		weir_plugin_unref(&all[i].plugin);
	}
	free(all);
	return all != NULL ? 0 : -ENOMEM;
}
