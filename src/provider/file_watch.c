#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/list.h"
#include "core/log.h"
#include "provider/file_private.h"

#define WATCHER_MAGIC 0x77617463u

/** One watched directory; freed by the loop once its handle is closed. */
struct watch {
	struct list link;
	struct file_watcher *watcher;
	uv_fs_event_t handle;
	char *path;
	dev_t device; /* of the directory that the handle is on */
	ino_t inode;
	bool wanted;
};

struct file_watcher {
	uint32_t magic;
	uv_loop_t *loop;
	void (*changed)(void *context);
	void *context;
	struct list watches;
};

int file_watcher_create(struct file_watcher **w, uv_loop_t *loop, void (*changed)(void *context),
			void *context)
{
	*w = calloc(1, sizeof **w);
	if (*w == NULL)
		return -ENOMEM;
	**w = (struct file_watcher){WATCHER_MAGIC, loop, changed, context, {NULL, NULL}};
	list_init(&(*w)->watches);
	return 0;
}

static void free_watch(uv_handle_t *handle)
{
	struct watch *watch = handle->data;

	free(watch->path);
	free(watch);
}

static void drop(struct watch *watch)
{
	list_remove(&watch->link);
	watch->watcher = NULL;
	uv_close((uv_handle_t *)&watch->handle, free_watch);
}

void file_watcher_destroy(struct file_watcher **w)
{
	struct file_watcher *taken;

	if (*w == NULL)
		return;
	OBJ_TAKE(taken, w, WATCHER_MAGIC);
	while (!list_empty(&taken->watches))
		drop(container_of(taken->watches.next, struct watch, link));
	taken->magic = 0;
	free(taken);
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
	struct watch *watch = handle->data;

	(void)name;
	(void)events;
	(void)status;
	if (watch->watcher != NULL)
		watch->watcher->changed(watch->watcher->context);
}

static int add(struct file_watcher *w, const char *path, const struct stat *st,
	       struct weir_error *e)
{
	struct watch *watch = calloc(1, sizeof *watch);
	int r;

	if (watch == NULL || (watch->path = strdup(path)) == NULL) {
		free(watch);
		return error_set(e, -ENOMEM, "out of memory");
	}
	watch->watcher = w;
	watch->device = st->st_dev;
	watch->inode = st->st_ino;
	watch->wanted = true;
	must(uv_fs_event_init(w->loop, &watch->handle) == 0);
	watch->handle.data = watch;
	uv_unref((uv_handle_t *)&watch->handle);
	list_append(&w->watches, &watch->link);
	r = uv_fs_event_start(&watch->handle, on_event, path, 0);
	if (r < 0) {
		drop(watch);
		return error_set(e, r, "%s cannot be watched: %s", path, uv_strerror(r));
	}
	return 0;
}

static struct watch *find(struct file_watcher *w, const char *path, const struct stat *st)
{
	LIST_FOR_EACH (at, &w->watches) {
		struct watch *watch = container_of(at, struct watch, link);

		if (strcmp(watch->path, path) == 0 && watch->device == st->st_dev &&
		    watch->inode == st->st_ino)
			return watch;
	}
	return NULL;
}

/* A directory that is gone: the change that removed it will be looked at. */
static int want(struct file_watcher *w, const char *path, struct weir_error *e)
{
	struct watch *watch;
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;
	watch = find(w, path, &st);
	if (watch == NULL)
		return add(w, path, &st, e);
	watch->wanted = true;
	return 0;
}

int file_watcher_set(struct file_watcher *w, const struct file_paths *directories,
		     struct weir_error *e)
{
	int result = 0;

	OBJ_CHECK(w, WATCHER_MAGIC);
	LIST_FOR_EACH (at, &w->watches)
		container_of(at, struct watch, link)->wanted = false;
	for (size_t i = 0; i < directories->count; i++) {
		int r = want(w, directories->items[i], e);

		result = r < 0 ? r : result;
	}
	for (struct list *at = w->watches.next, *next; at != &w->watches; at = next) {
		next = at->next;
		if (!container_of(at, struct watch, link)->wanted)
			drop(container_of(at, struct watch, link));
	}
	return result;
}
