#include "provider/plugin_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "middleware/plugin_manifest.h"
#include "provider/file_private.h"

#define QUIET_MS 500u      /* nothing has happened for so long: whoever writes has finished, */
#define PATIENCE_MS 10000u /* or it has gone on for so long that what there is must do */

struct plugin_files {
	const struct static_config *config;
	struct file_watcher *watcher;
	uv_timer_t timer;
	uint64_t since_ms; /* of the first event that has not been told; 0: none */
	void (*changed)(void *context);
	void *context;
};

/* That of the manifest, and where that says so that of the module. */
static int add_directories(struct file_paths *paths, const char *directory, struct arena *arena)
{
	struct plugin_manifest manifest = {{NULL, 0}};
	int r = file_paths_add(paths, directory);
	slice module;

	if (r < 0 || plugin_manifest_read(&manifest, arena, directory, NULL) < 0)
		return r;
	module = manifest.wasm_path;
	while (module.n > 0 && module.p[module.n - 1] != '/')
		module.n--;
	if (module.n == 0)
		return 0;
	module = arena_format(arena, "%s/%.*s", directory, SLICE_ARG(module));
	return module.p != NULL ? file_paths_add(paths, module.p) : -ENOMEM;
}

static int collect(const struct plugin_files *f, struct file_paths *paths)
{
	struct arena arena;
	int r = 0;

	arena_init(&arena, 4096, SIZE_MAX);
	OPTION_MAP_FOR_EACH (entry, &f->config->experimental.local_plugins) {
		const struct local_plugin_config *c = entry->value;
		slice directory = arena_format(&arena, "%.*s/src/%.*s",
					       SLICE_ARG(f->config->weir.plugins.directory),
					       SLICE_ARG(c->module_name));

		r = directory.p != NULL ? add_directories(paths, directory.p, &arena) : -ENOMEM;
		if (r < 0)
			break;
	}
	arena_free(&arena);
	return r;
}

static int renew_watches(struct plugin_files *f)
{
	struct file_paths paths = {0};
	struct weir_error e = {0};
	int r = collect(f, &paths);

	if (r == 0 && file_watcher_set(f->watcher, &paths, &e) < 0)
		log_warn_with((LOG_CAUSE(&e)), "Not all plugin files can be watched: SIGHUP has "
					       "changed ones read again");
	file_paths_free(&paths);
	return r;
}

static void on_quiet(uv_timer_t *timer)
{
	struct plugin_files *f = timer->data;

	f->since_ms = 0;
	(void)renew_watches(f);
	f->changed(f->context);
}

static void on_event(void *context)
{
	struct plugin_files *f = context;
	uint64_t now = MAX(uv_now(f->timer.loop), (uint64_t)1);

	if (f->since_ms == 0)
		f->since_ms = now;
	if (now - f->since_ms < PATIENCE_MS)
		must(uv_timer_start(&f->timer, on_quiet, QUIET_MS, 0) == 0);
}

int plugin_files_create(struct plugin_files **files, uv_loop_t *loop,
			const struct static_config *config, void (*changed)(void *context),
			void *context, struct weir_error *e)
{
	struct plugin_files *f = calloc(1, sizeof *f);
	int r;

	*files = f;
	if (f == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	f->config = config;
	f->changed = changed;
	f->context = context;
	must(uv_timer_init(loop, &f->timer) == 0);
	f->timer.data = f;
	uv_unref((uv_handle_t *)&f->timer);
	r = file_watcher_create(&f->watcher, loop, on_event, f);
	if (r == 0)
		r = renew_watches(f);
	if (r == 0)
		return 0;
	plugin_files_destroy(files);
	return error_set(e, r, "out of memory");
}

static void free_files(uv_handle_t *timer)
{
	free(timer->data);
}

void plugin_files_destroy(struct plugin_files **files)
{
	struct plugin_files *f = *files;

	*files = NULL;
	if (f == NULL)
		return;
	file_watcher_destroy(&f->watcher);
	uv_close((uv_handle_t *)&f->timer, free_files);
}
