#include "plugin/wasi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base.h"
#include "plugin/budget.h"
#include "plugin/wasi_beneath.h"
#include "plugin/wasi_state.h"

static enum wasi_outcome
run(struct wasi *w, uint32_t (*function)(struct wasi *, struct guest_memory, const uint64_t *),
    struct guest_memory m, const uint64_t *a, uint32_t *result)
{
	uint32_t error;

	OBJ_CHECK(w, WASI_MAGIC);
	if (w->exited || w->asleep)
		return WASI_FAULT;
	error = function(w, m, a);
	if (w->exited)
		return WASI_EXIT;
	if (w->asleep)
		return WASI_SLEEP;
	*result = error;
	return WASI_DONE;
}

#define X(name, params, has_result) \
	static enum wasi_outcome call_##name(struct wasi *w, struct guest_memory m, \
					     const uint64_t *a, uint32_t *result) \
	{ \
		return run(w, wasi_fn_##name, m, a, result); \
	}
WASI_FUNCTIONS(X)
#undef X

static const struct wasi_function functions[] = {
#define X(name, params, has_result) {#name, params, has_result, call_##name},
	WASI_FUNCTIONS(X)
#undef X
};

const struct wasi_function *wasi_functions(size_t *count)
{
	*count = ARRAY_LEN(functions);
	return functions;
}

bool wasi_is_socket_extension(slice function_name, size_t param_count)
{
	static const char *const names[] = {
		"sock_open",         "sock_bind",        "sock_connect",     "sock_listen",
		"sock_send_to",      "sock_recv_from",   "sock_getsockopt",  "sock_setsockopt",
		"sock_getlocaladdr", "sock_getpeeraddr", "sock_getaddrinfo",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_equal(function_name, slice_from(names[i])))
			return true;
	return slice_equal(function_name, SLICE("sock_accept")) && param_count == 2;
}

static void settings_release(struct wasi_settings *s)
{
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < s->preopen_count; i++)
		free(s->preopens[i]);
	free(s->preopens);
	free(s->envs);
	free(s);
}

static int settings_add_envs(struct wasi_settings *s, const struct wasi_options *o,
			     struct weir_error *error)
{
	char *to;

	for (size_t i = 0; i < o->env_count; i++) {
		const char *env = o->envs[i];

		if (env == NULL || strchr(env, '=') == NULL || env[0] == '=')
			return error_set(error, -EINVAL, "envs: found \"%s\", expected NAME=value",
					 env != NULL ? env : "");
		s->env_bytes += strlen(env) + 1;
	}
	if (s->env_bytes > INT32_MAX)
		return error_set(error, -E2BIG, "envs: %zu bytes, expected less than 2 GiB",
				 s->env_bytes);
	s->envs = to = malloc(s->env_bytes + 1);
	if (to == NULL)
		return error_set(error, -ENOMEM, "envs: out of memory");
	s->env_count = o->env_count;
	for (size_t i = 0; i < o->env_count; i++)
		to = stpcpy(to, o->envs[i]) + 1;
	return 0;
}

/* Whether nothing is left of the path without "./", "/" and a last ".": another spelling of "/". */
static bool means_root(const char *path)
{
	while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	return path[0] == '\0' || (path[0] == '.' && path[1] == '\0');
}

static int settings_add_preopens(struct wasi_settings *s, const struct wasi_options *o,
				 struct weir_error *error)
{
	s->preopens = calloc(o->mount_count + 1, sizeof *s->preopens);
	if (s->preopens == NULL)
		return error_set(error, -ENOMEM, "mounts: out of memory");
	for (size_t i = 0; i < o->mount_count; i++) {
		const char *name = o->mounts[i].guest_path;

		if (name == NULL || means_root(name))
			name = "/";
		s->preopens[i] = strdup(name);
		if (s->preopens[i] == NULL)
			return error_set(error, -ENOMEM, "mounts: out of memory");
		s->preopen_count++;
	}
	return 0;
}

static void set_limits(struct wasi_options *to, const struct wasi_options *from)
{
	to->output = from->output;
	to->files = from->files;
	to->line_max_bytes = from->line_max_bytes != 0 ? from->line_max_bytes : 4096;
	to->sleep_max_ns = from->sleep_max_ns != 0 ? from->sleep_max_ns : 30000000000u;
	to->files_max = from->files_max != 0 ? from->files_max : 64;
	to->transfer_max_bytes = from->transfer_max_bytes != 0 ? from->transfer_max_bytes : 1 << 20;
	to->random_max_bytes = from->random_max_bytes != 0 ? from->random_max_bytes : 16 << 20;
	to->subscriptions_max = from->subscriptions_max != 0 ? from->subscriptions_max : 1024;
	to->files_max = MIN(to->files_max, (size_t)INT32_MAX);
	to->transfer_max_bytes = MIN(to->transfer_max_bytes, (size_t)INT32_MAX);
}

static int settings_new(struct wasi_settings **out, const struct wasi_options *o,
			struct weir_error *error)
{
	struct wasi_settings *s = calloc(1, sizeof *s);
	int r;

	if (s == NULL)
		return error_set(error, -ENOMEM, "out of memory");
	atomic_init(&s->refs, 1);
	set_limits(&s->options, o);
	s->walk_paths = o->walk_paths;
	r = settings_add_envs(s, o, error);
	if (r == 0)
		r = settings_add_preopens(s, o, error);
	if (r < 0) {
		settings_release(s);
		return r;
	}
	*out = s;
	return 0;
}

static void set_stdio(struct wasi *w)
{
	const uint64_t always = WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_FILESTAT_GET |
				WASI_RIGHT_POLL_FD_READWRITE;

	for (uint8_t i = 0; i < 3; i++)
		w->table[i] = (struct descriptor){
			.kind = i == 0 ? DESCRIPTOR_INPUT : DESCRIPTOR_OUTPUT,
			.stream = i,
			.list_fd = -1,
			.rights = always | (i == 0 ? WASI_RIGHT_FD_READ : WASI_RIGHT_FD_WRITE),
		};
}

static int refuse_mount(const struct wasi *w, const struct wasi_mount *mount,
			struct weir_error *error)
{
	const struct budget *files = w->settings->options.files;

	while (files->above != NULL)
		files = files->above;
	return error_set(error, -ENFILE,
			 "mounts: %s: no descriptor is left for it: all plugins together may hold "
			 "%llu (openFiles)",
			 mount->host_path, (unsigned long long)files->limit);
}

static int open_mount(struct wasi *w, size_t nth, const struct wasi_mount *mount,
		      struct weir_error *error)
{
	struct descriptor *d = &w->table[3 + nth];
	struct wasi_file *file;
	int fd;

	if (mount->host_path == NULL || mount->host_path[0] == '\0')
		return error_set(error, -EINVAL,
				 "mounts: found an empty path, expected a directory");
	if (!wasi_place_take(w))
		return refuse_mount(w, mount, error);
	fd = open(mount->host_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		int code = errno;

		wasi_place_give(w);
		return error_set(error, -code, "mounts: %s: %s, expected a directory that exists",
				 mount->host_path, strerrordesc_np(code));
	}
	if (!w->settings->walk_paths)
		w->settings->walk_paths = !beneath_supported(fd);
	file = wasi_file_new(w, fd, mount->read_only);
	if (file == NULL)
		return error_set(error, -ENOMEM, "mounts: out of memory");
	wasi_descriptor_set(d, DESCRIPTOR_DIRECTORY, file);
	d->preopen = w->settings->preopens[nth];
	return 0;
}

/* A guest with no open descriptors; takes over `settings` in any case. */
static struct wasi *wasi_new(struct wasi_settings *settings, size_t table_size)
{
	struct wasi *w = calloc(1, sizeof *w);

	if (w != NULL)
		w->table = calloc(table_size, sizeof *w->table);
	if (w == NULL || w->table == NULL) {
		free(w);
		settings_release(settings);
		return NULL;
	}
	w->magic = WASI_MAGIC;
	w->settings = settings;
	w->table_size = table_size;
	return w;
}

int wasi_create(struct wasi **out, const struct wasi_options *options, struct weir_error *error)
{
	struct wasi_settings *settings = NULL;
	struct wasi *w;
	int r;

	*out = NULL;
	if (options->mount_count > INT16_MAX)
		return error_set(error, -EINVAL, "mounts: found %zu, expected at most %d",
				 options->mount_count, INT16_MAX);
	r = settings_new(&settings, options, error);
	if (r < 0)
		return r;
	w = wasi_new(settings, 3 + options->mount_count);
	if (w == NULL)
		return error_set(error, -ENOMEM, "out of memory");
	w->output_ctx = options->ctx;
	set_stdio(w);
	for (size_t i = 0; i < options->mount_count; i++) {
		r = open_mount(w, i, &options->mounts[i], error);
		if (r < 0) {
			wasi_destroy(&w);
			return r;
		}
	}
	*out = w;
	return 0;
}

int wasi_clone(struct wasi **out, const struct wasi *from, struct weir_error *error)
{
	struct wasi *w;

	OBJ_CHECK(from, WASI_MAGIC);
	*out = NULL;
	if (from->exited || from->asleep)
		return error_set(error, -EINVAL, "the guest %s and cannot be cloned",
				 from->exited ? "has exited" : "sleeps");
	atomic_fetch_add_explicit(&from->settings->refs, 1, memory_order_relaxed);
	w = wasi_new(from->settings, from->table_size);
	if (w == NULL)
		return error_set(error, -ENOMEM, "out of memory");
	w->output_ctx = from->output_ctx;
	w->opened = from->opened;
	w->drew_entropy = from->drew_entropy;
	for (size_t i = 0; i < from->table_size; i++) {
		w->table[i] = from->table[i];
		w->table[i].list_fd = -1;
		if (w->table[i].file != NULL)
			atomic_fetch_add_explicit(&w->table[i].file->refs, 1, memory_order_relaxed);
	}
	*out = w;
	return 0;
}

static bool descriptor_same(const struct descriptor *a, const struct descriptor *b)
{
	if (a->kind == DESCRIPTOR_FREE && b->kind == DESCRIPTOR_FREE)
		return true;
	return a->kind == b->kind && a->stream == b->stream && a->opened == b->opened &&
	       a->flags == b->flags && a->list_fd == b->list_fd && a->preopen == b->preopen &&
	       a->file == b->file && a->offset == b->offset && a->rights == b->rights &&
	       a->inheriting == b->inheriting;
}

bool wasi_same(const struct wasi *a, const struct wasi *b)
{
	OBJ_CHECK(a, WASI_MAGIC);
	OBJ_CHECK(b, WASI_MAGIC);
	if (a->table_size != b->table_size)
		return false;
	for (size_t i = 0; i < a->table_size; i++) {
		if (!descriptor_same(&a->table[i], &b->table[i]))
			return false;
	}
	return true;
}

void wasi_destroy(struct wasi **pointer)
{
	struct wasi *w;

	if (*pointer == NULL)
		return;
	OBJ_TAKE(w, pointer, WASI_MAGIC);
	wasi_flush(w);
	for (size_t i = 0; i < w->table_size; i++)
		wasi_descriptor_close(w, &w->table[i]);
	must(w->opened == 0);
	for (size_t i = 0; i < ARRAY_LEN(w->lines); i++)
		free(w->lines[i].bytes);
	settings_release(w->settings);
	free(w->table);
	w->magic = 0;
	free(w);
}

void wasi_set_output_ctx(struct wasi *w, void *ctx)
{
	OBJ_CHECK(w, WASI_MAGIC);
	w->output_ctx = ctx;
}

uint32_t wasi_exit_code(const struct wasi *w)
{
	OBJ_CHECK(w, WASI_MAGIC);
	must(w->exited);
	return w->exit_code;
}

uint64_t wasi_wake_at_ns(const struct wasi *w)
{
	OBJ_CHECK(w, WASI_MAGIC);
	must(w->asleep);
	return w->wake_at_ns;
}

bool wasi_drew_entropy(const struct wasi *w)
{
	OBJ_CHECK(w, WASI_MAGIC);
	return w->drew_entropy;
}

size_t wasi_open_files(const struct wasi *w)
{
	OBJ_CHECK(w, WASI_MAGIC);
	return w->opened;
}
