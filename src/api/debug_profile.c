#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api_private.h"
#include "core/elf_symbols.h"
#include "core/sampler.h"
#include "http/exchange.h"
#include "middleware/plugin_registry.h"
#include "observe/pprof.h"
#include "proxy/rule_query.h"

/* Where CPU time goes. The desk's thread starts and stops the sampling, which takes system calls
 * for each thread, and finds the names; in between a timer of the exchange's loop runs. */

#define WAIT_MAGIC 0x70726f66u

#define SECONDS_DEFAULT 30
#define PERIOD_NS 10000000u

/** While samples are taken. Its exchange's loop's, but while it is on an errand. */
struct wait {
	uint32_t magic; /* first, as a desk's job has it */
	struct api *api;
	struct exchange *x; /* NULL: it has ended meanwhile */
	struct loop *loop;
	uint64_t duration_ms;
	int result; /* of the start */
	struct timer timer;
	struct desk_errand errand;
	struct message started;
};

static void stop_sampling(void)
{
	sampler_stop();
	sampler_release();
}

static void free_wait(struct wait *w)
{
	w->magic = 0;
	free(w);
}

/* On the desk's thread. */
static void give_up(struct desk_errand *e)
{
	stop_sampling();
	free_wait(container_of(e, struct wait, errand));
}

/* Nobody wants the samples any more. Where the desk has no room either, this thread must do. */
static void drop(struct wait *w)
{
	w->errand.run = give_up;
	if (!desk_send(w->api->desk, &w->errand))
		give_up(&w->errand);
}

static void on_time(struct timer *t)
{
	struct wait *w = container_of(t, struct wait, timer);

	OBJ_CHECK(w, WAIT_MAGIC);
	if (desk_ask(w->api->desk, w->x))
		free_wait(w);
	else
		drop(w);
}

bool api_cancel_profile(struct exchange *x)
{
	struct wait *w = x->service_state;

	if (w == NULL || w->magic != WAIT_MAGIC)
		return false;
	w->x = NULL;
	/* Else it comes back from the desk. */
	if (timer_armed(&w->timer)) {
		loop_disarm(w->loop, &w->timer);
		drop(w);
	}
	return true;
}

void api_drop_profile(void)
{
	stop_sampling();
}

/* As Go: what is no number, or none above 0, is the default. */
static int64_t wanted_seconds(slice query)
{
	slice rest = rule_query_begin(query);
	struct rule_query_pair pair;
	int64_t seconds = 0;

	while (rule_query_next(&rest, &pair)) {
		if (!rule_query_equal(pair.key, SLICE("seconds")))
			continue;
		if (option_parse_int(pair.value, &seconds) == -ERANGE)
			return INT64_MAX;
		break;
	}
	return seconds > 0 ? seconds : SECONDS_DEFAULT;
}

static void refuse(struct api *api, struct exchange *x, int status, const char *text)
{
	struct api_counters *c = proxy_api_counters(api->proxy);

	(void)atomic_fetch_add_explicit(&c->profiles_refused, 1, memory_order_relaxed);
	exchange_reply(x, status, slice_from(text), true);
}

/* On the exchange's loop. */
static void on_started(struct message *m)
{
	struct wait *w = container_of(m, struct wait, started);
	struct exchange *x = w->x;
	struct api *api = w->api;
	int r = w->result;

	OBJ_CHECK(w, WAIT_MAGIC);
	if (r == 0 && x != NULL) {
		loop_arm(w->loop, &w->timer, w->duration_ms, on_time);
	} else if (r == 0) {
		drop(w);
	} else {
		free_wait(w);
		if (x != NULL)
			refuse(api, x, r == -EBUSY ? 409 : 500,
			       r == -EBUSY ? "Could not enable CPU profiling: cpu profiling "
					     "already in use\n"
					   : "Could not enable CPU profiling\n");
	}
}

/* On the desk's thread. */
static void start_sampling(struct desk_errand *e)
{
	struct wait *w = container_of(e, struct wait, errand);
	const struct weir_limits_config *limits = &w->api->config->weir.limits;

	w->result = sampler_start(PERIOD_NS, (size_t)limits->profile_samples);
	/* The worker lives as long as the proxy. */
	must(loop_post(w->loop, &w->started));
}

void api_begin_profile(struct api *api, struct exchange *x)
{
	const struct weir_limits_config *limits = &api->config->weir.limits;
	const int64_t seconds = wanted_seconds(x->request.query);
	struct wait *w;

	if (seconds > limits->profile_ns / 1000000000) {
		refuse(api, x, 400,
		       "profile duration exceeds weir.limits.profileDuration: ask for fewer "
		       "seconds\n");
		return;
	}
	w = calloc(1, sizeof *w);
	if (w == NULL) {
		exchange_fail(x, 503);
		return;
	}
	*w = (struct wait){.magic = WAIT_MAGIC,
			   .api = api,
			   .x = x,
			   .loop = x->loop,
			   .duration_ms = (uint64_t)seconds * 1000,
			   .errand.run = start_sampling,
			   .started.run = on_started};
	x->service_state = w;
	if (!desk_send(api->desk, &w->errand)) {
		free_wait(w);
		exchange_fail(x, 503);
	}
}

/** An address that was seen. */
struct place {
	uintptr_t address;
	slice function; /* `p` is NULL: unknown */
	slice file;
	slice plugin; /* its code; else `p` is NULL */
};

/** While names are found. */
struct naming {
	struct arena *arena;
	struct place *places; /* by address */
	size_t count;
	const struct plugin_use_look *uses;
	size_t use_count;
};

static int by_address(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

/* The first place from that address on. */
static size_t first_place(const struct naming *n, uintptr_t address)
{
	size_t from = 0, to = n->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (n->places[middle].address < address)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool collect_places(struct naming *n, const struct sampler_result *r)
{
	size_t all = 0, kept = 0;

	for (size_t i = 0; i < r->count; i++)
		all += r->samples[i].depth;
	n->places = calloc(all + 1, sizeof *n->places);
	if (n->places == NULL)
		return false;
	for (size_t i = 0; i < r->count; i++) {
		for (uint32_t k = 0; k < r->samples[i].depth; k++)
			n->places[n->count++].address = r->samples[i].at[k];
	}
	qsort(n->places, n->count, sizeof *n->places, by_address);
	for (size_t i = 0; i < n->count; i++) {
		if (i == 0 || n->places[i].address != n->places[kept - 1].address)
			n->places[kept++] = n->places[i];
	}
	n->count = kept;
	return true;
}

/* "wasm[0]::function[12]::name", where the name may be missing. */
static slice guest_name(slice symbol)
{
	static const slice head = {"wasm[0]::function", 17};
	slice rest;
	size_t colon;

	if (!slice_starts(symbol, head))
		return symbol;
	rest = slice_from_at(symbol, head.n);
	colon = slice_search(rest, SLICE("]::"));
	return colon < rest.n ? slice_from_at(rest, colon + 3) : slice_from_at(symbol, 9);
}

static slice plugin_of(const struct naming *n, const char *hash)
{
	for (size_t i = 0; i < n->use_count; i++) {
		if (strcmp(n->uses[i].content, hash) == 0)
			return n->uses[i].alias;
	}
	return SLICE("(unused)");
}

/* The image is there within the call only. */
static void name_guest(void *context, const char *hash, slice image)
{
	struct naming *n = context;
	const uintptr_t start = (uintptr_t)image.p;
	size_t at = first_place(n, start), end = first_place(n, start + image.n);
	struct elf_symbols symbols = {NULL, 0};
	slice file;

	if (at < end)
		(void)elf_symbols_read(&symbols, image);
	file = at < end ? arena_format(n->arena, "plugin.wasm %.12s", hash) : SLICE("");
	for (; at < end; at++) {
		struct place *p = &n->places[at];
		const struct elf_symbol *s = elf_symbols_find(&symbols, p->address - start);

		p->plugin = plugin_of(n, hash);
		p->file = file;
		p->function = s != NULL ? arena_copy(n->arena, guest_name(s->name))
					: SLICE("(the engine's code)");
	}
	elf_symbols_free(&symbols);
}

static slice map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat s;
	void *memory = MAP_FAILED;

	if (fd >= 0 && fstat(fd, &s) == 0 && s.st_size > 0)
		memory = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	return memory == MAP_FAILED ? (slice){NULL, 0} : slice_of(memory, (size_t)s.st_size);
}

/* The first object is the program itself. */
static int take_first(struct dl_phdr_info *info, size_t size, void *context)
{
	(void)size;
	*(uintptr_t *)context = info->dlpi_addr;
	return 1;
}

/* A library, which has the names that it exports. */
static void name_by_loader(struct naming *n, struct place *p)
{
	Dl_info info;

	if (dladdr((void *)p->address, &info) == 0)
		return;
	p->file = arena_copy(n->arena, slice_from(info.dli_fname));
	if (info.dli_sname != NULL)
		p->function = arena_copy(n->arena, slice_from(info.dli_sname));
}

static void name_host(struct naming *n)
{
	slice program = map_file("/proc/self/exe");
	struct elf_symbols symbols = {NULL, 0};
	uintptr_t bias = 0;

	(void)dl_iterate_phdr(take_first, &bias);
	(void)elf_symbols_read(&symbols, program);
	for (size_t i = 0; i < n->count; i++) {
		struct place *p = &n->places[i];
		const struct elf_symbol *s;

		if (p->plugin.p != NULL)
			continue;
		s = elf_symbols_find(&symbols, p->address - bias);
		if (s != NULL) {
			p->function = arena_copy(n->arena, s->name);
			p->file = SLICE("weir");
		} else {
			name_by_loader(n, p);
		}
	}
	elf_symbols_free(&symbols);
	if (program.p != NULL)
		(void)munmap((void *)(uintptr_t)program.p, program.n);
}

static uint64_t location_of(struct pprof *p, const struct place *place)
{
	char name[32];

	if (place->function.p != NULL)
		return pprof_location(p, place->function, place->file, place->address);
	(void)snprintf(name, sizeof name, "0x%llx", (unsigned long long)place->address);
	return pprof_location(p, slice_from(name), place->file, place->address);
}

/** A sample as it is shown. */
struct shown {
	uint64_t locations[SAMPLER_FRAMES_MAX + 1];
	size_t depth;
	slice plugin;
};

/* The innermost place, and the plugin's code that it was called from: the host's frames in between
 * cannot be told from what else is on the stack, its code has no frame pointers. */
static void show(struct shown *to, struct pprof *p, const struct naming *n, const struct sample *s)
{
	char owner[128];

	to->depth = 0;
	to->plugin = (slice){NULL, 0};
	for (uint32_t i = 0; i < s->depth; i++) {
		const struct place *place = &n->places[first_place(n, s->at[i])];

		if (place->plugin.p != NULL)
			to->plugin = place->plugin;
		else if (to->plugin.p != NULL)
			break;
		if (i == 0 || place->plugin.p != NULL)
			to->locations[to->depth++] = location_of(p, place);
	}
	if (to->plugin.p == NULL)
		return;
	(void)snprintf(owner, sizeof owner, "plugin %.*s", SLICE_ARG(to->plugin));
	to->locations[to->depth++] = pprof_location(p, slice_from(owner), SLICE(""), 0);
}

static void add_sample(struct pprof *p, const struct naming *n, const struct sample *s,
		       uint64_t period_ns)
{
	const char *thread = sampler_thread_name(s->thread);
	const uint64_t values[] = {s->weight, s->weight * period_ns};
	struct shown shown;

	show(&shown, p, n, s);
	const struct pprof_label labels[] = {
		{"thread", thread != NULL ? slice_from(thread) : SLICE("")},
		{"plugin", shown.plugin}};
	const struct pprof_sample sample = {shown.locations,   shown.depth, values,
					    ARRAY_LEN(values), labels,      ARRAY_LEN(labels)};

	pprof_add(p, &sample);
}

static bool find_names(struct naming *n, struct api *api, const struct sampler_result *r)
{
	struct plugin_registry *registry = proxy_plugins(api->proxy);
	struct plugin_use_look *uses;
	bool known;

	if (!collect_places(n, r))
		return false;
	uses = plugin_uses_hold(registry, &n->use_count);
	known = uses != NULL;
	n->uses = uses;
	weir_host_visit_code(plugin_registry_host(registry), name_guest, n);
	name_host(n);
	plugin_uses_release(&uses, n->use_count);
	return known;
}

static void count(struct api *api, const struct sampler_result *r)
{
	struct api_counters *c = proxy_api_counters(api->proxy);

	counter_add(&c->profiles, 1);
	counter_add(&c->profile_samples, r->count);
	counter_add(&c->profile_samples_dropped, r->dropped);
}

void api_show_profile(struct api_call *c)
{
	struct naming n = {.arena = &c->arena};
	struct sampler_result r;
	struct pprof p;

	sampler_stop();
	r = sampler_result();
	pprof_init(&p, c->out->limit);
	pprof_value(&p, "samples", "count");
	pprof_value(&p, "cpu", "nanoseconds");
	pprof_period(&p, "cpu", "nanoseconds", r.period_ns);
	pprof_times(&p, r.begun_wall_ns, r.duration_ns);
	c->out->failed |= !find_names(&n, c->api, &r);
	for (size_t i = 0; i < r.count && !c->out->failed; i++)
		add_sample(&p, &n, &r.samples[i], r.period_ns);
	count(c->api, &r);
	sampler_release();
	api_answer_profile(c, &p, "profile");
	free(n.places);
	pprof_free(&p);
}
