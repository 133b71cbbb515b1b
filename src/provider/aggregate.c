#include <errno.h>
#include <stdlib.h>

#include "core/list.h"
#include "core/log.h"
#include "provider/provider.h"

#define AGGREGATOR_MAGIC 0x61676772u
#define PROVIDERS_MAX 32

/** One provider's state; lives until the loop has closed its timer. */
struct source {
	struct list link;
	struct aggregator *aggregator; /* NULL once that is gone */
	const char *name;
	struct dynamic_config *current; /* handed on; NULL before the first */
	struct dynamic_config *pending; /* came too early */
	struct str kept;                /* until there is a current one */
	uv_timer_t timer;               /* active while changes have to wait */
};

struct aggregator {
	uint32_t magic;
	uv_loop_t *loop;
	uint64_t throttle_ms;
	void (*apply)(void *context, struct dynamic_config *config);
	void *context;
	void (*accepted)(void *context, const char *provider, struct dynamic_config *config);
	void *accepted_context;
	struct list sources;
	size_t source_count;
};

int aggregator_create(struct aggregator **aggregator, uv_loop_t *loop, int64_t throttle_ns,
		      void (*apply)(void *context, struct dynamic_config *config), void *context,
		      struct weir_error *e)
{
	struct aggregator *a = calloc(1, sizeof *a);

	*aggregator = a;
	if (a == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	a->magic = AGGREGATOR_MAGIC;
	a->loop = loop;
	a->throttle_ms = throttle_ns > 0 ? ((uint64_t)throttle_ns + 999999) / 1000000 : 0;
	a->apply = apply;
	a->context = context;
	list_init(&a->sources);
	return 0;
}

static void free_source(uv_handle_t *timer)
{
	struct source *s = timer->data;

	dynamic_destroy(&s->current);
	dynamic_destroy(&s->pending);
	str_free(&s->kept);
	free(s);
}

void aggregator_destroy(struct aggregator **aggregator)
{
	struct aggregator *a;
	struct list *link;

	if (*aggregator == NULL)
		return;
	OBJ_TAKE(a, aggregator, AGGREGATOR_MAGIC);
	while ((link = list_pop(&a->sources)) != NULL) {
		struct source *s = container_of(link, struct source, link);

		s->aggregator = NULL;
		uv_close((uv_handle_t *)&s->timer, free_source);
	}
	a->magic = 0;
	free(a);
}

uv_loop_t *aggregator_loop(const struct aggregator *a)
{
	OBJ_CHECK(a, AGGREGATOR_MAGIC);
	return a->loop;
}

/* All providers together, to whoever applies it. */
static void hand_on(struct aggregator *a)
{
	struct dynamic_part parts[PROVIDERS_MAX];
	struct dynamic_config *all;
	size_t count = 0;

	LIST_FOR_EACH (at, &a->sources) {
		struct source *s = container_of(at, struct source, link);

		if (s->current != NULL)
			parts[count++] = (struct dynamic_part){s->current, s->name};
	}
	if (dynamic_gather(parts, count, &all) < 0) {
		log_error("The configurations could not be put together: out of memory; the last "
			  "one keeps serving");
		return;
	}
	a->apply(a->context, all);
	dynamic_destroy(&all);
}

static void on_interval_over(uv_timer_t *timer);

static void accept_change(struct source *s, struct dynamic_config *config)
{
	struct aggregator *a = s->aggregator;

	dynamic_destroy(&s->current);
	s->current = config;
	str_free(&s->kept);
	if (a->accepted != NULL)
		a->accepted(a->accepted_context, s->name, config);
	if (a->throttle_ms > 0)
		must(uv_timer_start(&s->timer, on_interval_over, a->throttle_ms, 0) == 0);
	log_debug_with((LOG_STRING("providerName", s->name)), "Configuration received");
	hand_on(a);
}

static bool is_change(const struct source *s, const struct dynamic_config *config)
{
	return s->current == NULL || !dynamic_hash_equal(&s->current->hash, &config->hash);
}

static void on_interval_over(uv_timer_t *timer)
{
	struct source *s = timer->data;
	struct dynamic_config *config = s->pending;

	s->pending = NULL;
	if (config == NULL)
		return;
	if (is_change(s, config))
		accept_change(s, config);
	else
		dynamic_destroy(&config);
}

static struct source *find_source(struct aggregator *a, const char *name)
{
	struct source *s;

	LIST_FOR_EACH (at, &a->sources) {
		s = container_of(at, struct source, link);
		if (strcmp(s->name, name) == 0)
			return s;
	}
	must(a->source_count < PROVIDERS_MAX);
	s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	a->source_count++;
	s->aggregator = a;
	s->name = name;
	must(uv_timer_init(a->loop, &s->timer) == 0);
	s->timer.data = s;
	uv_unref((uv_handle_t *)&s->timer);
	list_append(&a->sources, &s->link);
	return s;
}

void aggregator_publish(struct aggregator *a, const char *provider, struct dynamic_config *config)
{
	struct source *s;

	OBJ_CHECK(a, AGGREGATOR_MAGIC);
	s = find_source(a, provider);
	if (s == NULL) {
		log_error_with((LOG_STRING("providerName", provider)),
			       "Configuration dropped: out of memory");
		dynamic_destroy(&config);
		return;
	}
	dynamic_destroy(&s->pending);
	if (uv_is_active((uv_handle_t *)&s->timer)) {
		s->pending = config;
	} else if (is_change(s, config)) {
		accept_change(s, config);
	} else {
		log_debug_with((LOG_STRING("providerName", provider)),
			       "Skipping unchanged configuration");
		dynamic_destroy(&config);
	}
}

void aggregator_on_accepted(struct aggregator *a,
			    void (*accepted)(void *context, const char *provider,
					     struct dynamic_config *config),
			    void *context)
{
	OBJ_CHECK(a, AGGREGATOR_MAGIC);
	a->accepted = accepted;
	a->accepted_context = context;
}

void aggregator_offer(struct aggregator *a, const char *provider, slice kept)
{
	struct source *s;

	OBJ_CHECK(a, AGGREGATOR_MAGIC);
	s = find_source(a, provider);
	if (s == NULL)
		return;
	str_free(&s->kept);
	str_add(&s->kept, kept);
	if (s->kept.failed)
		str_free(&s->kept);
}

/* NULL if it cannot be read, which is told. */
static struct dynamic_config *restore(const struct source *s)
{
	struct dynamic_config *config = NULL;
	struct config_report report;
	struct arena arena;
	int r;

	arena_init(&arena, 4096, (size_t)1 << 20);
	config_report_init(&report, &arena);
	r = dynamic_restore(str_slice(&s->kept), "the last good configuration", &report, &config);
	if (r < 0)
		log_warn_with((LOG_STRING("providerName", s->name),
			       LOG_TEXT("error", report.count > 0 ? report.messages[0].text
								  : slice_from(strerror(-r)))),
			      "The last good configuration cannot be used");
	arena_free(&arena);
	return config;
}

bool aggregator_use_kept(struct aggregator *a, const char *provider)
{
	struct source *s;
	struct dynamic_config *config;

	OBJ_CHECK(a, AGGREGATOR_MAGIC);
	s = find_source(a, provider);
	if (s == NULL || s->current != NULL || s->kept.n == 0)
		return false;
	config = restore(s);
	str_free(&s->kept);
	if (config == NULL)
		return false;
	log_warn_with((LOG_STRING("providerName", provider)),
		      "The last good configuration serves on, which the supervisor has kept");
	aggregator_publish(a, provider, config);
	return true;
}
