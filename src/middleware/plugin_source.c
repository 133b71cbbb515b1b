#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/tree.h"
#include "core/log.h"
#include "middleware/plugin_manifest.h"
#include "middleware/plugin_registry_private.h"
#include "middleware/plugin_settings.h"

/* From the files of a declared plugin to its content. */

/* "NAME=value" of the proxy's own variables that the configuration names; an unset one is empty, as
 * in Traefik. */
static int fill_envs(struct plugin_registry *r, struct plugin_source *s,
		     const struct option_list *names)
{
	s->envs = ARENA_ARRAY(&r->arena, const char *, names->count + 1);
	if (s->envs == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < names->count; i++) {
		const char *value = getenv(names->items[i].p);
		slice pair = arena_format(&r->arena, "%.*s=%s", SLICE_ARG(names->items[i]),
					  value != NULL ? value : "");

		if (pair.p == NULL)
			return -ENOMEM;
		s->envs[s->env_count++] = pair.p;
	}
	return 0;
}

static int fill_mounts(struct plugin_registry *r, struct plugin_source *s,
		       const struct option_list *texts, struct weir_error *e)
{
	s->mounts = ARENA_ARRAY(&r->arena, struct weir_mount, texts->count + 1);
	if (s->mounts == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < texts->count; i++) {
		int result = plugin_mount_parse(&s->mounts[s->mount_count++], texts->items[i],
						&r->arena, e);

		if (result < 0) {
			error_prefix(e, "settings.mounts: ");
			return result;
		}
	}
	return 0;
}

/* A relative path without detours, as Traefik wants it. */
static int check_module_name(slice name, struct weir_error *e)
{
	slice rest = name, part;
	bool good = name.n > 0 && name.p[name.n - 1] != '/';

	while (good && slice_next(&rest, '/', &part))
		good = part.n > 0 && !slice_equal(part, SLICE(".")) &&
		       !slice_equal(part, SLICE(".."));
	return good ? 0
		    : error_set(e, -EINVAL,
				"moduleName: found \"%.*s\", expected a path such as "
				"github.com/owner/plugin",
				SLICE_ARG(name));
}

static slice directory_of(const struct plugin_registry *r, const struct plugin_source *s,
			  struct arena *arena)
{
	return arena_format(arena, "%.*s/src/%.*s", SLICE_ARG(r->config->weir.plugins.directory),
			    SLICE_ARG(s->config->module_name));
}

static struct file_stamp stamp_of(const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) < 0)
		return (struct file_stamp){.size = 0};
	return (struct file_stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_stamp(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

static void free_content(struct plugin_content **content)
{
	struct plugin_content *c = *content;

	*content = NULL;
	if (c == NULL)
		return;
	arena_free(&c->arena);
	free(c);
}

/* Stamps are taken before the files are read, so that no later change goes unseen. */
static int fill_content(struct plugin_content *c, struct plugin_registry *r,
			struct plugin_source *s, struct weir_error *e)
{
	struct plugin_manifest manifest = {{NULL, 0}};
	slice directory = directory_of(r, s, &c->arena), path;
	int result;

	path = arena_format(&c->arena, "%.*s/.traefik.yml", SLICE_ARG(directory));
	if (directory.p == NULL || path.p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	s->manifest_stamp = stamp_of(path.p);
	result = plugin_manifest_read(&manifest, &c->arena, directory.p, e);
	if (result < 0)
		return result;
	c->wasm_path =
		arena_format(&c->arena, "%s/%.*s", directory.p, SLICE_ARG(manifest.wasm_path));
	if (c->wasm_path.p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	s->wasm_stamp = stamp_of(c->wasm_path.p);
	result = tree_read_file(&c->arena, c->wasm_path.p,
				(size_t)r->config->weir.plugins.binary_bytes, &c->wasm, e);
	if (result == 0)
		sha256_hex(c->wasm, c->hash);
	return result;
}

static int read_content(struct plugin_content **content, struct plugin_registry *r,
			struct plugin_source *s, struct weir_error *e)
{
	struct plugin_content *c = calloc(1, sizeof *c);
	int result;

	*content = c;
	if (c == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	arena_init(&c->arena, 4096, SIZE_MAX);
	result = fill_content(c, r, s, e);
	if (result < 0)
		free_content(content);
	return result;
}

static void set_reason(struct plugin_source *s, const struct weir_error *e)
{
	free(s->reason);
	s->reason = e != NULL ? strdup(e->text) : NULL;
}

static int take_settings(struct plugin_registry *r, struct plugin_source *s, struct weir_error *e)
{
	int result = check_module_name(s->config->module_name, e);

	if (result == 0 && fill_envs(r, s, &s->config->envs) < 0)
		result = error_set(e, -ENOMEM, "out of memory");
	return result == 0 ? fill_mounts(r, s, &s->config->mounts, e) : result;
}

static int load_source(struct plugin_registry *r, struct plugin_source *s, struct weir_error *e)
{
	int result = take_settings(r, s, e);

	s->unusable = result < 0;
	if (result == 0)
		result = read_content(&s->content, r, s, e);
	if (result < 0 || !r->config->experimental.abort_on_plugin_failure)
		return result;
	result = weir_module_load(&s->module, r->host, s->content->wasm, e);
	if (result < 0)
		error_prefix(e, "%s: ", s->content->wasm_path.p);
	return result;
}

int plugin_sources_load(struct plugin_registry *r, struct weir_error *e)
{
	const struct option_map *declared = &r->config->experimental.local_plugins;
	int first = 0;

	r->sources = ARENA_ARRAY(&r->arena, struct plugin_source, declared->count + 1);
	if (r->sources == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	OPTION_MAP_FOR_EACH (entry, declared) {
		struct plugin_source *s = &r->sources[r->source_count++];
		struct weir_error reason = {0};

		s->alias = entry->name;
		s->config = entry->value;
		s->limits = static_plugin_limits(r->config, entry->name.p);
		if (load_source(r, s, &reason) == 0)
			continue;
		set_reason(s, &reason);
		log_error_with((LOG_TEXT("plugin", s->alias), LOG_CAUSE(&reason)),
			       "Plugin cannot be loaded");
		if (first == 0) {
			first = reason.code;
			(void)error_set(e, first, "plugin %.*s: %s", SLICE_ARG(s->alias),
					reason.text);
		}
	}
	return r->config->experimental.abort_on_plugin_failure ? first : 0;
}

static bool has_changed(struct plugin_registry *r, const struct plugin_source *s)
{
	struct arena arena;
	struct file_stamp manifest, wasm;
	slice directory, path;

	arena_init(&arena, 1024, SIZE_MAX);
	directory = directory_of(r, s, &arena);
	path = arena_format(&arena, "%.*s/.traefik.yml", SLICE_ARG(directory));
	manifest = stamp_of(path.p);
	wasm = stamp_of(s->content != NULL ? s->content->wasm_path.p : NULL);
	arena_free(&arena);
	return !same_stamp(&manifest, &s->manifest_stamp) || !same_stamp(&wasm, &s->wasm_stamp) ||
	       s->content == NULL;
}

static void take_content(struct plugin_source *s, struct plugin_content *fresh)
{
	bool same;

	must(fresh != NULL);
	same = s->content != NULL && strcmp(s->content->hash, fresh->hash) == 0;
	free_content(&s->content);
	s->content = fresh;
	set_reason(s, NULL);
	if (!same)
		log_info_with((LOG_TEXT("plugin", s->alias), LOG_STRING("sha256", fresh->hash)),
			      "Plugin has a new file");
}

static void refresh(struct plugin_registry *r, struct plugin_source *s)
{
	struct plugin_content *fresh;
	struct weir_error e = {0};

	if (read_content(&fresh, r, s, &e) == 0)
		take_content(s, fresh);
	else if (s->content == NULL)
		set_reason(s, &e);
	else
		log_error_with((LOG_TEXT("plugin", s->alias), LOG_CAUSE(&e)),
			       "Plugin goes on as it was: its files cannot be read");
}

void plugin_sources_refresh(struct plugin_registry *r)
{
	for (size_t i = 0; i < r->source_count; i++) {
		struct plugin_source *s = &r->sources[i];

		if (!s->unusable && has_changed(r, s))
			refresh(r, s);
	}
}

void plugin_sources_free(struct plugin_registry *r)
{
	for (size_t i = 0; i < r->source_count; i++) {
		weir_module_release(&r->sources[i].module);
		free_content(&r->sources[i].content);
		free(r->sources[i].reason);
	}
}
