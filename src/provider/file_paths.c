#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/sha256.h"
#include "provider/file_private.h"

#define DEPTH_MAX 32 /* of directories */
#define FILES_MAX 10000
#define LINKS_MAX 40 /* on the way to one file, as in Linux */

void file_paths_free(struct file_paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free(paths->items[i]);
	free(paths->items);
	*paths = (struct file_paths){0};
}

static int append(struct file_paths *paths, char *path)
{
	if (path == NULL)
		return -ENOMEM;
	if (paths->count == paths->capacity) {
		size_t capacity = MAX(paths->capacity * 2, (size_t)16);
		char **bigger = realloc(paths->items, capacity * sizeof *bigger);

		if (bigger == NULL) {
			free(path);
			return -ENOMEM;
		}
		paths->items = bigger;
		paths->capacity = capacity;
	}
	paths->items[paths->count++] = path;
	return 0;
}

int file_paths_add(struct file_paths *paths, const char *path)
{
	for (size_t i = 0; i < paths->count; i++)
		if (strcmp(paths->items[i], path) == 0)
			return 0;
	return append(paths, strdup(path));
}

static char *join(const char *directory, const char *name)
{
	struct str path = {0};

	str_add(&path, slice_from(directory));
	if (path.n > 0 && path.p[path.n - 1] != '/')
		str_add_char(&path, '/');
	str_add(&path, slice_from(name));
	return str_take(&path);
}

static bool has_extension(const char *name)
{
	enum tree_format format = tree_format_of(slice_from(name));

	return format == TREE_YAML || format == TREE_TOML;
}

static int is_ours(const struct dirent *entry)
{
	return entry->d_name[0] != '.' || (entry->d_name[1] != '.' && entry->d_name[1] != '\0');
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int list_directory(const char *path, unsigned depth, struct file_paths *files,
			  struct weir_error *e);

static int list_entry(const char *directory, const char *name, unsigned depth,
		      struct file_paths *files, struct weir_error *e)
{
	char *path = join(directory, name);
	struct stat st;
	int r = 0;

	if (path == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		r = list_directory(path, depth + 1, files, e);
	} else if (has_extension(name)) {
		if (files->count >= FILES_MAX)
			r = error_set(e, -E2BIG, "%s: found more files, expected at most %d",
				      directory, FILES_MAX);
		else if (append(files, path) < 0)
			return error_set(e, -ENOMEM, "out of memory");
		else
			return 0;
	}
	free(path);
	return r;
}

static int list_directory(const char *path, unsigned depth, struct file_paths *files,
			  struct weir_error *e)
{
	struct dirent **entries;
	int n, r = 0;

	if (depth > DEPTH_MAX)
		return error_set(e, -E2BIG, "%s: nested too deep, expected at most %d levels", path,
				 DEPTH_MAX);
	n = scandir(path, &entries, is_ours, by_bytes);
	if (n < 0) {
		r = -errno;
		return error_set(e, r, "unable to read directory %s: %s", path, strerror(-r));
	}
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = list_entry(path, entries[i]->d_name, depth, files, e);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int file_list(const struct file_provider_config *config, struct file_paths *files,
	      struct weir_error *e)
{
	if (config->directory.n > 0)
		return list_directory(config->directory.p, 0, files, e);
	if (config->filename.n == 0)
		return error_set(
			e, -EINVAL,
			"providers.file: found neither filename nor directory, expected one");
	if (file_paths_add(files, config->filename.p) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	return 0;
}

static void add_state(struct sha256 *h, const char *path, bool *has_empty)
{
	struct stat st;
	int64_t values[8] = {0};

	sha256_add(h, slice_of(path, strlen(path) + 1));
	if (stat(path, &st) < 0) {
		values[0] = errno;
	} else {
		values[1] = (int64_t)st.st_dev;
		values[2] = (int64_t)st.st_ino;
		values[3] = (int64_t)st.st_size;
		values[4] = (int64_t)st.st_mtim.tv_sec;
		values[5] = (int64_t)st.st_mtim.tv_nsec;
		values[6] = (int64_t)st.st_ctim.tv_sec;
		values[7] = (int64_t)st.st_ctim.tv_nsec;
		*has_empty |= st.st_size == 0;
	}
	sha256_add(h, slice_of((const char *)values, sizeof values));
}

void file_state(const struct file_provider_config *config, const struct file_paths *contents,
		struct file_state *state)
{
	struct file_paths files = {0};
	struct weir_error e = {0};
	struct sha256 h;

	*state = (struct file_state){.has_empty = false};
	sha256_begin(&h);
	if (file_list(config, &files, &e) < 0)
		sha256_add(&h, slice_from(e.text));
	for (size_t i = 0; i < files.count; i++)
		add_state(&h, files.items[i], &state->has_empty);
	for (size_t i = 0; i < contents->count; i++)
		add_state(&h, contents->items[i], &state->has_empty);
	sha256_end(&h, state->digest);
	file_paths_free(&files);
}

/* Adds the directory or, if there is none of that name yet, the nearest one above it. */
static int add_existing(struct file_paths *directories, const char *path)
{
	char up[PATH_MAX];
	struct stat st;
	char *slash;

	(void)snprintf(up, sizeof up, "%s", path[0] != '\0' ? path : ".");
	while (stat(up, &st) < 0 || !S_ISDIR(st.st_mode)) {
		slash = strrchr(up, '/');
		if (slash == NULL)
			return file_paths_add(directories, ".");
		if (slash == up)
			return file_paths_add(directories, "/");
		*slash = '\0';
	}
	return file_paths_add(directories, up);
}

/*
 * Walks `path` component by component. `done` is what is resolved of it, `rest` what is not; a link
 * is replaced by where it points to, after its directory was added.
 */
static int add_links(struct file_paths *directories, const char *path)
{
	char done[PATH_MAX] = "", rest[PATH_MAX], next[PATH_MAX], target[PATH_MAX];
	int links = 0, r = 0;

	(void)snprintf(rest, sizeof rest, "%s", path);
	while (rest[0] != '\0' && r == 0) {
		size_t n = strcspn(rest, "/");
		ssize_t length;
		int printed;

		if (n == 0) { /* a slash: the root, or the end of a component */
			if (done[0] == '\0' || done[strlen(done) - 1] != '/')
				strncat(done, "/", sizeof done - strlen(done) - 1);
			memmove(rest, rest + 1, strlen(rest));
			continue;
		}
		printed = snprintf(next, sizeof next, "%s%.*s", done, (int)n, rest);
		length = readlink(next, target, sizeof target - 1);
		if (length < 0) {
			memmove(rest, rest + n, strlen(rest + n) + 1);
			(void)snprintf(done, sizeof done, "%s", next);
			continue;
		}
		target[length] = '\0';
		if (printed >= (int)sizeof next || ++links > LINKS_MAX)
			return 0; /* the load reports it */
		r = add_existing(directories, done);
		if (target[0] == '/')
			done[0] = '\0';
		printed = snprintf(next, sizeof next, "%s%s", target, rest + n);
		if (printed >= (int)sizeof next)
			return 0;
		memcpy(rest, next, sizeof rest);
	}
	if (r == 0) { /* the directory of what it is in the end */
		char *slash = strrchr(done, '/');

		if (slash != NULL)
			slash[slash == done] = '\0';
		r = add_existing(directories, slash != NULL ? done : "");
	}
	return r;
}

static int watch_configuration(const struct file_provider_config *config,
			       struct file_paths *directories)
{
	struct file_paths files = {0};
	size_t prefix = config->directory.n;
	int r = 0;

	if (prefix == 0)
		return add_links(directories, config->filename.p);
	r = add_links(directories, config->directory.p);
	if (r == 0)
		r = add_existing(directories, config->directory.p);
	(void)file_list(config, &files, NULL);
	for (size_t i = 0; i < files.count && r == 0; i++) {
		const char *name = files.items[i] + prefix;

		/* As in Traefik, what lies deeper is read, but not watched. */
		if (strchr(name + (name[0] == '/'), '/') == NULL)
			r = add_links(directories, files.items[i]);
	}
	file_paths_free(&files);
	return r;
}

int file_watch_paths(const struct file_provider_config *config, const struct file_paths *contents,
		     struct file_paths *directories)
{
	int r = watch_configuration(config, directories);

	for (size_t i = 0; i < contents->count && r == 0; i++)
		r = add_links(directories, contents->items[i]);
	return r;
}
