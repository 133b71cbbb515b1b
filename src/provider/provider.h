/*
 * Where dynamic configuration comes from, and how it becomes one. Everything here runs on the
 * control thread: on the loop that the aggregator was created with.
 */
#ifndef PROVIDER_PROVIDER_H
#define PROVIDER_PROVIDER_H

#include <uv.h>

#include "config/dynamic.h"
#include "config/static.h"
#include "core/counter.h"
#include "core/error.h"
#include "net/loop.h"

/* X(NAME, name): the providers that there are; `name` is what follows the "@". */
#define PROVIDERS(X) X(FILE, "file") X(HTTP, "http")

enum provider_id {
#define X(name, text) PROVIDER_##name,
	PROVIDERS(X)
#undef X
		PROVIDER_COUNT
};

/* X(NAME, kind, help): counters of one provider, written by the control thread. */
#define PROVIDER_COUNTERS(X) \
	X(loads, COUNTER, "Times that the configuration was read or asked for") \
	X(failures, COUNTER, "Times that this failed; the last good configuration stays") \
	X(unchanged, COUNTER, "Times that it was the one that is in effect already")

struct provider_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	PROVIDER_COUNTERS(X)
#undef X
};

/** Of the process, by `enum provider_id`. */
extern struct provider_counters provider_counters[PROVIDER_COUNT];

/** The name of a provider. */
const char *provider_name(enum provider_id id);

/** Keeps the newest configuration of each provider and hands all of them on, merged. */
struct aggregator;

/**
 * `throttle_ns` is the option providers.providersThrottleDuration: of each provider the first
 * change is handed on at once, then at most one in that time, the last one wins. `apply` gets all
 * configurations, gathered (`dynamic_merge_gathered` makes names "x@provider" and is not for the
 * control thread: it takes as long as there are routers), and takes a reference if it wants to
 * keep it; it may change it as long as it is the only one to do so. Returns 0 or
 * -ENOMEM.
 */
int aggregator_create(struct aggregator **aggregator, uv_loop_t *loop, int64_t throttle_ns,
		      void (*apply)(void *context, struct dynamic_config *config), void *context,
		      struct weir_error *e);

/** Nothing is handed on any more; memory is freed once the loop has closed the handles. NULL is
 * allowed. */
void aggregator_destroy(struct aggregator **aggregator);

/** The loop that everything runs on, for providers. */
uv_loop_t *aggregator_loop(const struct aggregator *a);

/**
 * A provider's whole configuration; the reference is taken over. One with the same values as the
 * last is dropped. `provider` outlives the aggregator.
 */
void aggregator_publish(struct aggregator *a, const char *provider, struct dynamic_config *config);

/** From now on `accepted` is told of each provider's configuration when it takes effect; it takes a
 * reference if it wants to keep it. */
void aggregator_on_accepted(struct aggregator *a,
			    void (*accepted)(void *context, const char *provider,
					     struct dynamic_config *config),
			    void *context);

/** What `dynamic_keep` made of the provider's last good configuration in a server that died, for
 * `aggregator_use_kept`. It is copied; without memory it is forgotten. */
void aggregator_offer(struct aggregator *a, const char *provider, slice kept);

/** The provider's first attempt has failed: publishes what was offered for it, if it was and
 * nothing else has been published. Returns whether it did; it is logged. */
bool aggregator_use_kept(struct aggregator *a, const char *provider);

#define PROVIDER_MAGIC 0x70726f76u

struct provider;

struct provider_class {
	enum provider_id id;
	void (*reload)(struct provider *p);
	void (*destroy)(struct provider *p); /* frees it, later if handles must close first */
};

/** The first member of every provider. */
struct provider {
	uint32_t magic;
	const struct provider_class *class;
	struct aggregator *aggregator; /* outlives it */
};

/** Reads everything again now (SIGHUP), whether or not something seems to have changed. */
void provider_reload(struct provider *p);

/** Stops it; its configuration stays with the aggregator. NULL is allowed. */
void provider_destroy(struct provider **p);

/**
 * The provider `file`: loads once before it returns, then watches if told to. A load that fails is
 * logged and the last good configuration stays; the first one is an error only without `watch`.
 * `config` outlives the provider. Returns 0 or a negative errno value.
 */
int file_provider_create(struct provider **p, struct aggregator *a,
			 const struct file_provider_config *config, struct weir_error *e);

/**
 * What the provider `file` would publish now: for `weir check`. Errors and warnings go to `report`.
 * Blocks. Returns 0 or a negative errno value with `*config` NULL.
 */
int file_provider_load(const struct file_provider_config *options, struct config_report *report,
		       struct dynamic_config **config);

/**
 * The provider `http`: asks its endpoint at once, then in intervals; after a failure soon, then
 * ever later. What fails is logged, and the last good configuration stays. `tried` is called once,
 * after the first attempt and what it has published. `config` and `loop`, the aggregator's, outlive
 * the provider. Returns 0 or a negative errno value.
 */
int http_provider_create(struct provider **p, struct aggregator *a, struct loop *loop,
			 const struct http_provider_config *config, void (*tried)(void *context),
			 void *context, struct weir_error *e);

#endif
