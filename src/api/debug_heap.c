#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "middleware/plugin_registry.h"
#include "observe/memory.h"
#include "observe/pprof.h"
#include "proxy/census.h"

/* Who has the memory, as a profile: one sample for each owner and kind. */

struct heap {
	struct pprof profile;
	const struct plugin_use_look *uses;
	size_t use_count;
	uint64_t allocated_bytes; /* of what is in the profile by then: the allocator's */
};

/** What an owner has. */
struct holding {
	slice what;
	slice owner;
	slice plugin;  /* else empty */
	slice content; /* of the plugin */
	uint64_t count;
	uint64_t bytes;
};

static void add(struct heap *h, const struct holding *of)
{
	const uint64_t values[] = {of->count, of->bytes};
	const struct pprof_label labels[] = {{"plugin", of->plugin}, {"content", of->content}};
	const uint64_t locations[] = {pprof_location(&h->profile, of->what, of->content, 0),
				      pprof_location(&h->profile, of->owner, SLICE(""), 0)};
	const struct pprof_sample sample = {locations, ARRAY_LEN(locations),
					    values,    ARRAY_LEN(values),
					    labels,    ARRAY_LEN(labels)};

	if (of->bytes > 0)
		pprof_add(&h->profile, &sample);
}

static void add_allocated(struct heap *h, slice what, slice owner, uint64_t count, uint64_t bytes)
{
	add(h, &(struct holding){.what = what, .owner = owner, .count = count, .bytes = bytes});
	h->allocated_bytes += bytes;
}

static void add_use(struct heap *h, struct arena *a, const struct plugin_use_look *u)
{
	struct holding of = {.owner = arena_format(a, "plugin %.*s", SLICE_ARG(u->alias)),
			     .plugin = u->alias,
			     .content = slice_from(u->content)};
	struct weir_plugin_stats stats;

	weir_plugin_stats(u->plugin, &stats);
	of.what = SLICE("instances' own memory");
	of.count = stats.live;
	of.bytes = stats.private_bytes;
	add(h, &of);
	of.what = SLICE("image of the memory as initialised");
	of.count = 1;
	of.bytes = weir_plugin_facts(u->plugin)->image_bytes;
	add(h, &of);
}

/* Compiled once for all plugins with the same content: it goes to the first of them. */
static void add_code(void *context, const char *hash, slice image)
{
	struct heap *h = context;
	struct holding of = {.what = SLICE("compiled code"),
			     .owner = SLICE("plugins"),
			     .content = slice_from(hash),
			     .count = 1,
			     .bytes = image.n};
	char owner[128];

	for (size_t i = 0; i < h->use_count; i++) {
		if (strcmp(h->uses[i].content, hash) != 0)
			continue;
		of.plugin = h->uses[i].alias;
		(void)snprintf(owner, sizeof owner, "plugin %.*s", SLICE_ARG(of.plugin));
		of.owner = slice_from(owner);
		break;
	}
	add(h, &of);
}

static void add_plugins(struct api_call *c, struct heap *h)
{
	struct plugin_registry *registry = proxy_plugins(c->api->proxy);
	struct plugin_use_look *uses = plugin_uses_hold(registry, &h->use_count);

	c->out->failed |= uses == NULL;
	h->uses = uses;
	for (size_t i = 0; i < h->use_count; i++)
		add_use(h, &c->arena, &uses[i]);
	weir_host_visit_code(plugin_registry_host(registry), add_code, h);
	plugin_uses_release(&uses, h->use_count);
}

static void add_generations(struct heap *h, struct arena *a, const struct census *c)
{
	for (size_t i = 0; i < c->generation_count; i++) {
		const struct census_generation *g = &c->generations[i];
		slice what =
			arena_format(a, "configuration %llu (%s)", (unsigned long long)g->number,
				     g->current ? "current" : "draining");

		add_allocated(h, what, SLICE("configurations"), 1,
			      g->arena_bytes + g->config_bytes);
	}
}

static void add_workers(struct heap *h, const struct census *c)
{
	uint64_t requests = 0, arenas = 0, buffers = 0;

	for (size_t i = 0; i < c->worker_count; i++) {
		requests += c->workers[i].requests;
		arenas += c->workers[i].arena_bytes;
		buffers += c->workers[i].buffer_bytes;
	}
	add_allocated(h, SLICE("requests in progress"), SLICE("connections"), requests, arenas);
	add_allocated(h, SLICE("buffers"), SLICE("connections"), c->worker_count, buffers);
}

/* Whatever else the program has allocated, and what the allocator has beyond that. */
static void add_rest(struct heap *h)
{
	struct memory_numbers m;
	uint64_t known = h->allocated_bytes;

	memory_read(&m);
	if (m.allocated_bytes > known)
		add_allocated(h, SLICE("everything else"), SLICE("allocator"), 1,
			      m.allocated_bytes - known);
	if (m.allocator_resident_bytes > m.allocated_bytes)
		add_allocated(h, SLICE("kept for later"), SLICE("allocator"), 1,
			      m.allocator_resident_bytes - m.allocated_bytes);
}

void api_answer_profile(struct api_call *c, const struct pprof *p, const char *name)
{
	slice message;

	c->answer->status = 200;
	c->answer->content_type = "application/octet-stream";
	c->answer->no_sniffing = true;
	c->answer->field = "Content-Disposition";
	(void)snprintf(c->answer->field_value, sizeof c->answer->field_value,
		       "attachment; filename=\"%s\"", name);
	if (pprof_message(p, &message))
		api_add_compressed(c->out, message);
	else
		c->out->failed = true;
}

void api_show_heap(struct api_call *c)
{
	struct heap h = {.use_count = 0};
	struct census census;

	if (proxy_census(&census, c->api->proxy, &c->arena) < 0) {
		c->out->failed = true;
		return;
	}
	pprof_init(&h.profile, c->out->limit);
	pprof_value(&h.profile, "inuse_objects", "count");
	pprof_value(&h.profile, "inuse_space", "bytes");
	add_plugins(c, &h);
	add_generations(&h, &c->arena, &census);
	add_workers(&h, &census);
	add_rest(&h);
	api_answer_profile(c, &h.profile, "heap");
	pprof_free(&h.profile);
}
