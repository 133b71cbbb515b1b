#include "config/source.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "config/static_private.h"

#define CONFIG_FILE SLICE("configFile")
#define WEIR SLICE("weir")

/** One call of `static_load`. */
struct loader {
	struct static_config *config;
	struct config_report *report;
	const char *const *environment;
	struct tree tree;  /* what is decoded in the end */
	struct tree flags; /* Traefik's */
	struct tree own;   /* weir's options from flags */
};

static slice variable(const char *const *environment, slice name)
{
	for (; environment != NULL && *environment != NULL; environment++) {
		slice e = slice_from(*environment);

		if (slice_starts(e, name) && e.n > name.n && e.p[name.n] == '=')
			return slice_from_at(e, name.n + 1);
	}
	return SLICE("");
}

static bool in_name(char c)
{
	return c == '_' || ascii_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* $NAME and ${NAME}, as Go's os.ExpandEnv: a variable that is not set is empty. */
static void add_expanded(struct str *out, slice path, const char *const *environment)
{
	while (path.n > 0) {
		size_t dollar = slice_find(path, '$'), end = 1;
		slice name;

		str_add(out, slice_first(path, dollar));
		path = slice_from_at(path, dollar);
		if (path.n == 0)
			return;
		if (path.n > 1 && path.p[1] == '{') {
			end = slice_find(path, '}');
			name = slice_first(slice_from_at(path, 2), end - 2);
			end++;
		} else {
			while (end < path.n && in_name(path.p[end]))
				end++;
			name = slice_first(slice_from_at(path, 1), end - 1);
		}
		str_add(out, variable(environment, name));
		path = slice_from_at(path, end);
	}
}

static int try_file(struct loader *l, slice pattern, bool must_exist, slice *found)
{
	struct str path = {0};
	struct stat st;
	int r = 0;

	add_expanded(&path, pattern, l->environment);
	if (path.failed || path.p == NULL) {
		str_free(&path);
		return -ENOMEM;
	}
	if (stat(path.p, &st) == 0) {
		*found = arena_copy(&l->config->arena, str_slice(&path));
	} else if (must_exist || (errno != ENOENT && errno != ENOTDIR)) {
		r = -errno;
		(void)config_error(l->report, (struct tree_place){path.p, 0, 0}, "%s",
				   strerror(errno));
	}
	str_free(&path);
	return r;
}

/* The file that --configFile names, or the first of the default ones that exists. */
static int find_file(struct loader *l, slice *found)
{
	static const char *const paths[] = {"/etc/traefik/traefik", "$XDG_CONFIG_HOME/traefik",
					    "$HOME/.config/traefik", "./traefik"};
	static const char *const extensions[] = {".toml", ".yaml", ".yml"};
	const struct tree_node *given = tree_child(l->flags.root, CONFIG_FILE);

	*found = SLICE("");
	if (given != NULL && slice_trim(given->text).n > 0)
		return try_file(l, given->text, true, found);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		for (size_t j = 0; j < ARRAY_LEN(extensions) && found->n == 0; j++) {
			slice path =
				arena_format(&l->config->arena, "%s%s", paths[i], extensions[j]);
			int r = path.p != NULL ? try_file(l, path, false, found) : -ENOMEM;

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* A root key of Traefik's dynamic configuration: one file may hold both. */
static bool is_dynamic(slice key)
{
	return slice_equal_nocase(key, SLICE("http")) || slice_equal_nocase(key, SLICE("tcp")) ||
	       slice_equal_nocase(key, SLICE("udp")) || slice_equal_nocase(key, SLICE("tls"));
}

static int check_root(struct loader *l, const char *file)
{
	const struct tree_node *root = l->tree.root;
	struct tree_place place = {file, 0, 0};
	size_t known = 0;

	if (root->count == 0)
		return config_error(l->report, place,
				    "found no configuration, expected options such as entryPoints");
	TREE_FOR_EACH (child, root) {
		const char *near = option_nearest(static_options, child->key);

		if (option_find(static_options, child->key) != NULL)
			known += child->kind != TREE_NULL;
		else if (near != NULL && !is_dynamic(child->key))
			config_warn(l->report, NULL, child->key_place,
				    "%.*s: unknown root key is ignored, as in Traefik; did you "
				    "mean \"%s\"?",
				    SLICE_ARG(child->key), near);
	}
	if (known == 0)
		return config_error(l->report, place,
				    "found no root key of the static configuration, expected one "
				    "such as entryPoints");
	return 0;
}

static int load_file(struct loader *l, slice file)
{
	struct weir_error error;

	l->config->file = l->config->source = file;
	if (tree_load(&l->tree, file.p, &error) < 0)
		return config_error_from(l->report, &error);
	return check_root(l, file.p);
}

/* One of Traefik's options among the flags, or NULL. */
static const struct tree_node *given_flag(const struct loader *l)
{
	TREE_FOR_EACH (child, l->flags.root)
		if (!slice_equal_nocase(child->key, CONFIG_FILE))
			return child;
	return NULL;
}

static void unknown_roots(struct loader *l)
{
	TREE_FOR_EACH (child, l->tree.root) {
		struct str text = {0};

		if (option_find(static_options, child->key) != NULL ||
		    slice_equal_nocase(child->key, CONFIG_FILE))
			continue;
		option_add_expected(&text, static_options, child->key);
		(void)config_error(l->report, child->key_place, "%.*s: unknown option%s",
				   SLICE_ARG(child->key), text.p != NULL ? text.p : "");
		str_free(&text);
	}
}

static int load_traefik(struct loader *l)
{
	const struct tree_node *flag = given_flag(l);
	slice file;
	int r = find_file(l, &file);

	if (r < 0)
		return r;
	if (file.n > 0) {
		if (flag != NULL)
			config_warn(l->report, NULL, flag->place,
				    "flags are ignored, as in Traefik, because there is a "
				    "configuration file (%s)",
				    file.p);
		return load_file(l, file);
	}
	if (flag != NULL) {
		l->config->source = SLICE("flags");
		l->tree.root = l->flags.root;
		unknown_roots(l);
		return 0;
	}
	r = source_parse_environment(&l->tree, l->environment, "TRAEFIK_", static_options,
				     l->report);
	l->config->source = l->tree.root->count > 0 ? SLICE("environment") : SLICE("defaults");
	unknown_roots(l);
	return r;
}

/* weir's options from the environment, then from flags, over those of the file. */
static int load_own(struct loader *l)
{
	struct weir_error error;
	struct tree_node *to = tree_child(l->tree.root, WEIR);
	struct tree environment;
	int r = tree_init(&environment, &l->config->arena, NULL);

	if (r == 0)
		r = source_parse_environment(&environment, l->environment, "WEIR_", weir_options,
					     l->report);
	if (r == -ENOMEM || (environment.root->count == 0 && l->own.root->count == 0))
		return r;
	if (to == NULL || to->kind != TREE_MAP) {
		to = to != NULL ? to
				: tree_add(&l->tree, l->tree.root, WEIR,
					   (struct tree_place){"flags", 0, 0}, &error);
		if (to == NULL)
			return config_error_from(l->report, &error);
		to->kind = TREE_MAP;
	}
	if (tree_overlay(&l->tree, to, environment.root, &error) < 0 ||
	    tree_overlay(&l->tree, to, l->own.root, &error) < 0)
		return config_error_from(l->report, &error);
	return 0;
}

/* Moves --weir.x from Traefik's flags to weir's. */
static void split_flags(struct loader *l)
{
	struct tree_node *root = l->flags.root, *own = tree_child(root, WEIR), **at = &root->first;

	if (own == NULL)
		return;
	root->last = NULL;
	for (struct tree_node *n = root->first; n != NULL; n = n->next) {
		if (n == own)
			continue;
		*at = n;
		at = &n->next;
		root->last = n;
	}
	*at = NULL;
	root->count--;
	own->next = NULL;
	l->own.root = own;
}

static int load(struct loader *l, size_t arg_count, const char *const *args)
{
	struct arena *arena = &l->config->arena;

	if (tree_init(&l->tree, arena, NULL) < 0 || tree_init(&l->flags, arena, NULL) < 0 ||
	    tree_init(&l->own, arena, NULL) < 0)
		return -ENOMEM;
	if (source_parse_flags(&l->flags, arg_count, args, static_options, l->report) < 0)
		return -EINVAL;
	split_flags(l);
	if (load_traefik(l) < 0 || load_own(l) < 0)
		return -EINVAL;
	return static_decode(l->config, &l->tree, l->report);
}

int static_load(struct static_config **config, size_t arg_count, const char *const *args,
		const char *const *environment, struct config_report *report)
{
	struct loader l = {.report = report, .environment = environment};
	int r;

	*config = NULL;
	l.config = static_config_new();
	if (l.config == NULL)
		return -ENOMEM;
	r = load(&l, arg_count, args);
	if (r == 0)
		*config = l.config;
	else
		static_config_free(&l.config);
	return r;
}

int static_load_text(struct static_config **config, slice text, enum tree_format format,
		     const char *source, struct config_report *report)
{
	struct loader l = {.report = report};
	struct weir_error error;
	int r;

	*config = NULL;
	l.config = static_config_new();
	if (l.config == NULL)
		return -ENOMEM;
	r = tree_init(&l.tree, &l.config->arena, NULL);
	if (r == 0 && tree_parse(&l.tree, text, format, source, &error) < 0)
		r = config_error_from(report, &error);
	if (r == 0)
		r = check_root(&l, source);
	if (r == 0)
		r = static_decode(l.config, &l.tree, report);
	if (r == 0)
		*config = l.config;
	else
		static_config_free(&l.config);
	return r;
}

void source_add_help(struct str *out)
{
	str_add(out,
		SLICE("    --configFile  (string)\n        File with the static configuration.\n"));
	option_help(out, static_options, "--");
}
