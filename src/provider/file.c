#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "provider/file_private.h"

#define QUIET_MS 50        /* a burst of writes is over when nothing happened for so long, */
#define BURST_MS_MAX 500   /* or when it has lasted so long */
#define DOUBTS_MAX 40u     /* after this many, what can be read is taken as it is */
#define EMPTY_WAIT_MS 2000 /* a file that has become empty must stay so to be believed */
#define POLL_MS 2000       /* where the system has no watches left */
#define RETRY_MS_MAX 60000

/* One reading of the files. Large ones take long: a thread of its own, but for the first. */
struct reading {
	struct file_state before; /* with `checked`: the files' state when it began */
	bool checked;
	struct arena arena;
	struct config_report report;
	struct file_paths contents;
	struct dynamic_config *config;
	int result;
	pthread_t thread;
	bool active;
	bool again; /* something has happened meanwhile */
};

struct file_provider {
	struct provider provider;
	const struct file_provider_config *config;
	struct file_watcher *watcher; /* NULL: not watching */
	uv_timer_t timer;             /* active: something may have changed */
	uv_async_t read;              /* from the thread that reads: it has ended */
	unsigned handles;             /* of the loop, that are not closed */
	struct reading reading;
	uint64_t burst_start_ms;    /* 0: no burst */
	struct file_paths contents; /* files that the last configuration names */
	struct file_state loaded;   /* the state that was last looked at */
	struct dynamic_hash published;
	bool has_published;
	bool has_kept;           /* what the supervisor had kept was used for the first reading */
	uint64_t empty_since_ms; /* with `empty_state`; 0: not empty */
	struct file_state empty_state;
	unsigned doubts;   /* loads in a row that were thrown away */
	uint64_t retry_ms; /* between tries after a load that failed for want of resources; 0: none
			      did */
	bool polls;
	bool renamed; /* the contents have changed since they were last looked at */
};

static void on_timer(uv_timer_t *timer);

static void schedule(struct file_provider *f, uint64_t ms)
{
	must(uv_timer_start(&f->timer, on_timer, ms, 0) == 0);
}

static void on_change(void *context)
{
	struct file_provider *f = context;
	uint64_t now = uv_now(f->timer.loop), quiet = QUIET_MS;

	if (f->burst_start_ms == 0)
		f->burst_start_ms = MAX(now, (uint64_t)1);
	if (now - f->burst_start_ms + quiet > BURST_MS_MAX)
		quiet = now - f->burst_start_ms < BURST_MS_MAX
				? f->burst_start_ms + BURST_MS_MAX - now
				: 0;
	schedule(f, quiet);
}

static bool same_state(const struct file_state *a, const struct file_state *b)
{
	return memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

static void log_report(const struct config_report *report, bool first)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct config_message *m = &report->messages[i];

		if (m->severity == CONFIG_WARNING)
			log_warn_with((LOG_STRING("providerName", "file")), "%.*s",
				      SLICE_ARG(m->text));
		else
			log_error_with(
				(LOG_STRING("providerName", "file"), LOG_TEXT("error", m->text)),
				"Error while building configuration%s",
				first ? " (for the first time)" : "; the last good one stays");
	}
}

/* The first error, for a start that fails. */
static int first_error(const struct config_report *report, struct weir_error *e)
{
	for (size_t i = 0; i < report->count; i++)
		if (report->messages[i].severity == CONFIG_ERROR)
			return error_set(e, -EINVAL, "%.*s", SLICE_ARG(report->messages[i].text));
	return error_set(e, -EINVAL, "providers.file: the configuration cannot be read");
}

/*
 * Whether what was read may be half of what somebody is writing: the files have changed meanwhile,
 * or a configuration has become empty although its files have content (read between truncation and
 * writing).
 */
static bool is_doubtful(const struct file_provider *f, const struct file_state *before,
			const struct dynamic_config *config)
{
	struct file_state after;

	if (f->doubts >= DOUBTS_MAX)
		return false;
	file_state(f->config, &f->contents, &after);
	return !same_state(before, &after) ||
	       (config != NULL && !before->has_empty && dynamic_is_empty(config));
}

/* Failures that have nothing to do with what the files say. */
static bool is_passing(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EIO;
}

/* Files that were named just now have not been watched until now: they are looked at once more. */
static void take_contents(struct file_provider *f, struct file_paths *contents)
{
	bool same = contents->count == f->contents.count;

	for (size_t i = 0; same && i < contents->count; i++)
		same = strcmp(contents->items[i], f->contents.items[i]) == 0;
	file_paths_free(same ? contents : &f->contents);
	if (same)
		return;
	f->contents = *contents;
	*contents = (struct file_paths){0};
	f->renamed = true;
}

/* Without the provider's own state, so that a thread can do it. */
static void *read_files(void *context)
{
	struct file_provider *f = context;
	struct reading *r = &f->reading;

	r->result = file_load(f->config, &r->report, &r->config, &r->contents);
	if (r->active)
		must(uv_async_send(&f->read) == 0);
	return NULL;
}

static void begin_reading(struct file_provider *f, const struct file_state *before)
{
	struct reading *r = &f->reading;

	*r = (struct reading){.checked = before != NULL};
	if (before != NULL)
		r->before = *before;
	arena_init(&r->arena, 4096, (size_t)1 << 20);
	config_report_init(&r->report, &r->arena);
	counter_add(&provider_counters[PROVIDER_FILE].loads, 1);
}

static void discard_reading(struct reading *r)
{
	dynamic_destroy(&r->config);
	file_paths_free(&r->contents);
	arena_free(&r->arena);
}

/*
 * Publishes what was read. What is unchanged is not warned about again. Returns 0, -EAGAIN if the
 * files, which were in a known state before, are still being written, or another negative errno
 * value with `e` filled in.
 */
static int take_reading(struct file_provider *f, struct weir_error *e)
{
	struct reading *r = &f->reading;
	bool same = r->result == 0 && f->has_published &&
		    dynamic_hash_equal(&r->config->hash, &f->published);
	int result = r->result;

	if (r->checked && is_doubtful(f, &r->before, r->config)) {
		discard_reading(r);
		f->doubts++;
		return -EAGAIN;
	}
	f->doubts = 0;
	if (!same)
		log_report(&r->report, !f->has_published && !f->has_kept);
	if (result < 0)
		(void)first_error(&r->report, e);
	if (result < 0 && !f->has_published)
		f->has_kept |= aggregator_use_kept(f->provider.aggregator,
						   provider_name(f->provider.class->id));
	counter_add(&provider_counters[PROVIDER_FILE].failures, result < 0);
	counter_add(&provider_counters[PROVIDER_FILE].unchanged, same);
	if (result == 0) {
		struct dynamic_config *config = r->config;

		r->config = NULL;
		take_contents(f, &r->contents);
		f->published = config->hash;
		f->has_published = true;
		aggregator_publish(f->provider.aggregator, provider_name(f->provider.class->id),
				   config);
	}
	discard_reading(r);
	return result;
}

/* Before the files are looked at, so that no later change goes unseen. */
static void renew_watches(struct file_provider *f)
{
	struct file_paths directories = {0};
	struct weir_error e = {0};
	int r;

	if (f->watcher == NULL)
		return;
	r = file_watch_paths(f->config, &f->contents, &directories);
	if (r < 0)
		(void)error_set(&e, r, "out of memory");
	else
		r = file_watcher_set(f->watcher, &directories, &e);
	file_paths_free(&directories);
	if (r < 0 && !f->polls)
		log_warn_with((LOG_STRING("providerName", "file"), LOG_CAUSE(&e)),
			      "Changes are looked for every %d s instead of at once",
			      POLL_MS / 1000);
	f->polls = r < 0;
}

/* What could not be read is looked at again, ever less often, as if it had changed. */
static void retry(struct file_provider *f)
{
	f->loaded = (struct file_state){.has_empty = false};
	f->retry_ms = MIN(MAX(f->retry_ms * 2, POLL_MS / 2), RETRY_MS_MAX);
	schedule(f, f->retry_ms);
}

/* Whether an empty file has been so long enough: somebody may just be writing it. */
static bool has_lasted(struct file_provider *f, const struct file_state *state)
{
	uint64_t now = uv_now(f->timer.loop);

	if (f->empty_since_ms == 0 || !same_state(state, &f->empty_state)) {
		f->empty_since_ms = MAX(now, (uint64_t)1);
		f->empty_state = *state;
	}
	return now - f->empty_since_ms >= EMPTY_WAIT_MS;
}

static void look_again_if_renamed(struct file_provider *f)
{
	if (!f->renamed || f->watcher == NULL)
		return;
	f->renamed = false;
	f->loaded = (struct file_state){.has_empty = false};
	schedule(f, QUIET_MS);
}

/* The files have been looked at. */
static void rest(struct file_provider *f)
{
	look_again_if_renamed(f);
	f->empty_since_ms = 0;
	if (f->polls && !uv_is_active((uv_handle_t *)&f->timer))
		schedule(f, POLL_MS);
}

static void on_read(struct file_provider *f)
{
	struct reading *r = &f->reading;
	int result = take_reading(f, NULL);

	if (result == -EAGAIN) {
		schedule(f, QUIET_MS);
	} else if (r->checked && is_passing(result)) {
		retry(f);
	} else {
		if (r->checked)
			f->loaded = r->before;
		f->retry_ms = 0;
		rest(f);
	}
	if (r->again)
		schedule(f, 0);
}

static void on_thread_ended(uv_async_t *async)
{
	struct file_provider *f = async->data;

	if (!f->reading.active)
		return;
	must(pthread_join(f->reading.thread, NULL) == 0);
	f->reading.active = false;
	on_read(f);
}

static void read_elsewhere(struct file_provider *f, const struct file_state *before)
{
	begin_reading(f, before);
	f->reading.active = true;
	if (pthread_create(&f->reading.thread, NULL, read_files, f) == 0)
		return;
	f->reading.active = false;
	(void)read_files(f);
	on_read(f);
}

/* Looks whether something changed, and reads it then. */
static void look(struct file_provider *f)
{
	struct file_state state;

	if (f->reading.active) {
		f->reading.again = true;
		return;
	}
	renew_watches(f);
	file_state(f->config, &f->contents, &state);
	if (same_state(&state, &f->loaded)) {
		rest(f);
		return;
	}
	if (state.has_empty && !has_lasted(f, &state)) {
		schedule(f, EMPTY_WAIT_MS);
		return;
	}
	read_elsewhere(f, &state);
}

static void on_timer(uv_timer_t *timer)
{
	struct file_provider *f = timer->data;

	f->burst_start_ms = 0;
	look(f);
}

static void reload(struct provider *p)
{
	struct file_provider *f = container_of(p, struct file_provider, provider);

	if (f->reading.active) {
		/* What is being read may be older. */
		f->reading.again = true;
		f->renamed = true;
		return;
	}
	renew_watches(f);
	file_state(f->config, &f->contents, &f->loaded);
	read_elsewhere(f, NULL);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct file_provider *f = handle->data;

	if (--f->handles > 0)
		return;
	file_paths_free(&f->contents);
	free(f);
}

static void destroy(struct provider *p)
{
	struct file_provider *f = container_of(p, struct file_provider, provider);

	if (f->reading.active) {
		must(pthread_join(f->reading.thread, NULL) == 0);
		f->reading.active = false;
		discard_reading(&f->reading);
	}
	file_watcher_destroy(&f->watcher);
	p->magic = 0;
	uv_close((uv_handle_t *)&f->timer, on_handle_closed);
	uv_close((uv_handle_t *)&f->read, on_handle_closed);
}

static const struct provider_class file_class = {PROVIDER_FILE, reload, destroy};

static int start(struct file_provider *f, struct weir_error *e)
{
	int r = 0;

	if (f->config->watch) {
		r = file_watcher_create(&f->watcher, f->timer.loop, on_change, f);
		if (r < 0)
			return error_set(e, r, "out of memory");
		renew_watches(f);
	}
	file_state(f->config, &f->contents, &f->loaded);
	begin_reading(f, NULL);
	(void)read_files(f);
	r = take_reading(f, e);
	f->renamed = false; /* what follows looks at them in any case */
	if (f->config->watch) {
		if (is_passing(r))
			retry(f);
		else
			on_change(f); /* what changed in between */
		r = 0;
	}
	return r < 0 && !f->has_kept ? -EINVAL : 0;
}

int file_provider_create(struct provider **p, struct aggregator *a,
			 const struct file_provider_config *config, struct weir_error *e)
{
	struct file_provider *f;
	int r;

	*p = NULL;
	if (config->directory.n == 0 && config->filename.n == 0)
		return error_set(
			e, -EINVAL,
			"providers.file: found neither filename nor directory, expected one");
	f = calloc(1, sizeof *f);
	if (f == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	f->provider = (struct provider){PROVIDER_MAGIC, &file_class, a};
	f->config = config;
	must(uv_timer_init(aggregator_loop(a), &f->timer) == 0);
	f->timer.data = f;
	uv_unref((uv_handle_t *)&f->timer);
	must(uv_async_init(aggregator_loop(a), &f->read, on_thread_ended) == 0);
	f->read.data = f;
	uv_unref((uv_handle_t *)&f->read);
	f->handles = 2;
	r = start(f, e);
	*p = &f->provider;
	if (r < 0)
		provider_destroy(p);
	return r;
}
