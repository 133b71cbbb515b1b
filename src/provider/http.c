#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/sha256.h"
#include "provider/http_private.h"

/* As Traefik: the first try after a failure comes soon, further ones ever later. */
#define RETRY_FIRST_MS 500u
#define RETRY_MS_MAX 60000u

/* One reading of an answer. */
struct reading {
	char *body;
	size_t n;
	char known[SHA256_HEX]; /* of the content that is in effect */
	char digest[SHA256_HEX];
	bool same;
	struct arena arena;
	struct config_report report;
	struct dynamic_config *config;
	int result;
	pthread_t thread;
	bool active;
	struct message done;
};

struct http_provider {
	struct provider provider;
	const struct http_provider_config *config;
	struct loop *loop;
	struct http_fetcher *fetcher;
	struct timer timer;      /* until the next poll, or the next try */
	uint64_t retry_ms;       /* 0: the last poll went well */
	char digest[SHA256_HEX]; /* of the last content that was taken; empty: none */
	struct reading reading;
	bool again;                   /* a reload came while an answer was read */
	bool gone;                    /* freed by the message that is on its way */
	void (*tried)(void *context); /* NULL: told */
	void *context;
};

static void on_timer(struct timer *t)
{
	http_fetcher_start(container_of(t, struct http_provider, timer)->fetcher);
}

static void poll_later(struct http_provider *h)
{
	h->retry_ms = 0;
	loop_arm(h->loop, &h->timer, clock_ns_to_ms(h->config->poll_interval_ns), on_timer);
}

static void retry_later(struct http_provider *h, const struct weir_error *e)
{
	h->retry_ms = MIN(MAX(h->retry_ms + h->retry_ms / 2, RETRY_FIRST_MS), RETRY_MS_MAX);
	counter_add(&provider_counters[PROVIDER_HTTP].failures, 1);
	log_error_with((LOG_STRING("providerName", "http"), LOG_CAUSE(e)),
		       "Provider error, retrying in %llu ms", (unsigned long long)h->retry_ms);
	loop_arm(h->loop, &h->timer, h->retry_ms, on_timer);
}

/* Warnings as they come; the first error into `e`. */
static void read_report(const struct config_report *report, struct weir_error *e)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct config_message *m = &report->messages[i];

		if (m->severity == CONFIG_WARNING)
			log_warn_with((LOG_STRING("providerName", "http")), "%.*s",
				      SLICE_ARG(m->text));
		else if (e->code == 0)
			(void)error_set(e, -EINVAL, "%.*s", SLICE_ARG(m->text));
	}
}

/* Without the provider's own state, so that a thread can do it. YAML, of which JSON is a part; no
 * template. */
static void *read_answer(void *context)
{
	struct http_provider *h = context;
	struct reading *r = &h->reading;
	slice body = slice_of(r->body, r->n);

	sha256_hex(body, r->digest);
	r->same = strcmp(r->digest, r->known) == 0;
	if (!r->same)
		r->result = dynamic_parse(body, TREE_YAML, http_fetcher_name(h->fetcher), NULL,
					  &r->report, &r->config);
	if (r->config != NULL && dynamic_read_files(r->config, NULL, NULL) < 0)
		r->result = -ENOMEM;
	if (r->active)
		must(loop_post(h->loop, &r->done));
	return NULL;
}

static int take(struct http_provider *h, struct weir_error *e)
{
	struct reading *r = &h->reading;
	struct dynamic_config *config = r->config;

	if (r->same) {
		counter_add(&provider_counters[PROVIDER_HTTP].unchanged, 1);
		return 0;
	}
	read_report(&r->report, e);
	if (r->result < 0)
		return e->code == 0 ? error_set(e, r->result, "out of memory") : r->result;
	r->config = NULL;
	/* Not what was forgotten meanwhile. */
	if (!h->again)
		memcpy(h->digest, r->digest, sizeof h->digest);
	aggregator_publish(h->provider.aggregator, provider_name(h->provider.class->id), config);
	return 0;
}

static void end_reading(struct reading *r)
{
	dynamic_destroy(&r->config);
	arena_free(&r->arena);
	free(r->body);
	r->body = NULL;
	r->active = false;
}

/* The attempt is over, with what it has brought. */
static void rest(struct http_provider *h, int code, const struct weir_error *why)
{
	void (*tried)(void *) = h->tried;

	if (code < 0) {
		retry_later(h, why);
		(void)aggregator_use_kept(h->provider.aggregator,
					  provider_name(h->provider.class->id));
	} else {
		poll_later(h);
	}
	if (h->again)
		http_fetcher_start(h->fetcher);
	h->again = false;
	h->tried = NULL;
	if (tried != NULL)
		tried(h->context);
}

static void on_read(struct http_provider *h)
{
	struct weir_error e = {0};
	int r = take(h, &e);

	end_reading(&h->reading);
	rest(h, r, &e);
}

static void on_thread_ended(struct message *m)
{
	struct http_provider *h = container_of(m, struct http_provider, reading.done);

	if (h->gone) {
		free(h);
		return;
	}
	must(pthread_join(h->reading.thread, NULL) == 0);
	on_read(h);
}

/* In a thread of its own: 10,000 routers take 50 ms. */
static void read_elsewhere(struct http_provider *h, char *body, size_t n)
{
	struct reading *r = &h->reading;

	*r = (struct reading){
		.body = body, .n = n, .active = true, .done = {.run = on_thread_ended}};
	memcpy(r->known, h->digest, sizeof r->known);
	arena_init(&r->arena, 4096, (size_t)1 << 20);
	config_report_init(&r->report, &r->arena);
	if (pthread_create(&r->thread, NULL, read_answer, h) == 0)
		return;
	r->active = false;
	(void)read_answer(h);
	on_read(h);
}

static void on_fetched(void *context, int code, char *body, size_t n, const struct weir_error *why)
{
	struct http_provider *h = context;

	counter_add(&provider_counters[PROVIDER_HTTP].loads, 1);
	loop_disarm(h->loop, &h->timer);
	if (code < 0)
		rest(h, code, why);
	else
		read_elsewhere(h, body, n);
}

static void reload(struct provider *p)
{
	struct http_provider *h = container_of(p, struct http_provider, provider);

	h->digest[0] = '\0';
	http_fetcher_renew(h->fetcher);
	if (h->reading.active)
		h->again = true;
	else
		http_fetcher_start(h->fetcher);
}

static void destroy(struct provider *p)
{
	struct http_provider *h = container_of(p, struct http_provider, provider);

	loop_disarm(h->loop, &h->timer);
	p->magic = 0;
	h->gone = h->reading.active;
	if (h->gone) {
		must(pthread_join(h->reading.thread, NULL) == 0);
		end_reading(&h->reading);
	}
	http_fetcher_destroy(&h->fetcher);
	if (!h->gone) /* else the thread's message is still on its way */
		free(h);
}

static const struct provider_class http_class = {PROVIDER_HTTP, reload, destroy};

int http_provider_create(struct provider **p, struct aggregator *a, struct loop *loop,
			 const struct http_provider_config *config, void (*tried)(void *context),
			 void *context, struct weir_error *e)
{
	struct http_provider *h = calloc(1, sizeof *h);
	int r;

	*p = NULL;
	if (h == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	h->provider = (struct provider){PROVIDER_MAGIC, &http_class, a};
	h->config = config;
	h->loop = loop;
	h->tried = tried;
	h->context = context;
	r = http_fetcher_create(&h->fetcher, loop, config, on_fetched, h, e);
	if (r < 0) {
		free(h);
		return r;
	}
	*p = &h->provider;
	/* Not within this call, so that the caller can wait for `tried`. */
	loop_arm(loop, &h->timer, 1, on_timer);
	return 0;
}
