#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/sha256.h"
#include "provider/http_private.h"

/* As Traefik: the first try after a failure comes soon, further ones ever later. */
#define RETRY_FIRST_MS 500u
#define RETRY_MS_MAX 60000u

struct http_provider {
	struct provider provider;
	const struct http_provider_config *config;
	struct loop *loop;
	struct http_fetcher *fetcher;
	struct timer timer;           /* until the next poll, or the next try */
	uint64_t retry_ms;            /* 0: the last poll went well */
	char digest[SHA256_HEX];      /* of the last content that was taken; empty: none */
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

/* YAML, of which JSON is a part; no template. */
static int take(struct http_provider *h, slice body, struct weir_error *e)
{
	struct dynamic_config *config;
	struct config_report report;
	struct arena arena;
	int r;

	arena_init(&arena, 4096, (size_t)1 << 20);
	config_report_init(&report, &arena);
	r = dynamic_parse(body, TREE_YAML, http_fetcher_name(h->fetcher), NULL, &report, &config);
	read_report(&report, e);
	arena_free(&arena);
	if (r == 0 && dynamic_read_files(config, NULL, NULL) < 0) {
		dynamic_destroy(&config);
		r = -ENOMEM;
	}
	if (r < 0) {
		if (e->code == 0)
			(void)error_set(e, r, "out of memory");
		return r;
	}
	aggregator_publish(h->provider.aggregator, provider_name(h->provider.class->id), config);
	return 0;
}

static int take_if_new(struct http_provider *h, slice body, struct weir_error *e)
{
	char digest[SHA256_HEX];
	int r;

	sha256_hex(body, digest);
	if (strcmp(digest, h->digest) == 0) {
		counter_add(&provider_counters[PROVIDER_HTTP].unchanged, 1);
		return 0;
	}
	r = take(h, body, e);
	if (r == 0)
		memcpy(h->digest, digest, sizeof digest);
	return r;
}

static void on_fetched(void *context, int code, slice body, const struct weir_error *why)
{
	struct http_provider *h = context;
	struct weir_error e = {0};
	void (*tried)(void *) = h->tried;

	counter_add(&provider_counters[PROVIDER_HTTP].loads, 1);
	if (code == 0) {
		code = take_if_new(h, body, &e);
		why = &e;
	}
	if (code < 0)
		retry_later(h, why);
	else
		poll_later(h);
	h->tried = NULL;
	if (tried != NULL)
		tried(h->context);
}

static void reload(struct provider *p)
{
	struct http_provider *h = container_of(p, struct http_provider, provider);

	h->digest[0] = '\0';
	http_fetcher_start(h->fetcher);
}

static void destroy(struct provider *p)
{
	struct http_provider *h = container_of(p, struct http_provider, provider);

	loop_disarm(h->loop, &h->timer);
	http_fetcher_destroy(&h->fetcher);
	p->magic = 0;
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
