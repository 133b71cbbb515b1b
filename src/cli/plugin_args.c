#include <errno.h>
#include <stdio.h>

#include "cli/plugin_cli.h"
#include "config/tree.h"
#include "core/error.h"
#include "middleware/plugin_settings.h"

#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)
#define ARENA_MAX_BYTES ((size_t)1024 * 1024 * 1024)
#define LIST_MAX ((size_t)1000)
#define NAMES_MAX ((size_t)100)
#define FILE_MAX_BYTES ((size_t)64 * 1024 * 1024)

/* Doubles at powers of two, so that appending stays cheap; false past the limit. */
static bool append_room(struct plugin_args *a, void **list, size_t size, size_t count)
{
	void *larger;

	if (count >= LIST_MAX)
		return false;
	if (count != 0 && (count & (count - 1)) != 0)
		return true;
	larger = arena_zalloc_array(&a->arena, size, MAX(2 * count, (size_t)1));
	if (larger == NULL)
		return false;
	if (*list != NULL)
		memcpy(larger, *list, size * count);
	*list = larger;
	return true;
}

static int refuse_more(struct weir_error *e)
{
	return error_set(e, -E2BIG, "is given too often, expected at most %zu times", LIST_MAX);
}

/* Options of the configuration, too: those of one plugin first, then those of all. NULL: none. */
static const struct option *find_setting(slice name, const char **path)
{
	const struct option *row = option_find(weir_plugin_options, name);

	*path = row != NULL ? "defaults." : "";
	if (row == NULL)
		row = option_find(weir_plugins_options, name);
	/* Tables are not options, and the modules' directory is not looked at. */
	return row != NULL && row->table == NULL && (row->flags & OPTION_PATH) == 0 ? row : NULL;
}

static int take_setting(struct plugin_args *a, const char *path, slice name, slice value,
			struct weir_error *e)
{
	slice whole = arena_format(&a->arena, "%s%.*s", path, SLICE_ARG(name));

	if (whole.p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	return tree_put(&a->settings, whole, value, (struct tree_place){.source = "option"}, e);
}

static int take_cache(struct plugin_args *a, slice value, struct weir_error *e)
{
	return take_setting(a, "", SLICE("cacheDirectory"), value, e);
}

static int take_config(struct plugin_args *a, slice value, struct weir_error *e)
{
	(void)e;
	a->config = value;
	return 0;
}

static int take_env(struct plugin_args *a, slice value, struct weir_error *e)
{
	if (slice_find(value, '=') == value.n || value.p[0] == '=')
		return error_set(e, -EINVAL, "found \"%.*s\", expected NAME=VALUE",
				 SLICE_ARG(value));
	if (!append_room(a, (void **)&a->envs, sizeof *a->envs, a->env_count))
		return refuse_more(e);
	a->envs[a->env_count++] = value.p;
	return 0;
}

static int take_mount(struct plugin_args *a, slice value, struct weir_error *e)
{
	if (!append_room(a, (void **)&a->mounts, sizeof *a->mounts, a->mount_count))
		return refuse_more(e);
	return plugin_mount_parse(&a->mounts[a->mount_count++], value, &a->arena, e);
}

/* A request for the options that follow. */
static struct plugin_request_args *add_request(struct plugin_args *a, slice line)
{
	struct plugin_request_args *q;

	if (!append_room(a, (void **)&a->requests, sizeof *a->requests, a->request_count))
		return NULL;
	q = &a->requests[a->request_count++];
	*q = (struct plugin_request_args){.line = line};
	return q;
}

static struct plugin_request_args *last_request(struct plugin_args *a)
{
	return a->request_count > 0 ? &a->requests[a->request_count - 1]
				    : add_request(a, SLICE("GET /"));
}

static int take_request(struct plugin_args *a, slice value, struct weir_error *e)
{
	return add_request(a, value) != NULL ? 0 : refuse_more(e);
}

/* What would end the line, or the head, is no part of a field. */
static int add_field(struct str *lines, slice value, struct weir_error *e)
{
	size_t colon = slice_find(value, ':');

	if (!field_is_token(slice_first(value, colon)) || colon == value.n ||
	    !field_is_value(slice_trim(slice_from_at(value, colon + 1))))
		return error_set(e, -EINVAL, "found \"%.*s\", expected \"NAME: VALUE\"",
				 SLICE_ARG(value));
	str_add(lines, value);
	str_add(lines, SLICE("\r\n"));
	return lines->failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}

static int take_header(struct plugin_args *a, slice value, struct weir_error *e)
{
	struct plugin_request_args *q = last_request(a);

	return q != NULL ? add_field(&q->fields, value, e) : refuse_more(e);
}

static int take_body(struct plugin_args *a, slice value, struct weir_error *e)
{
	struct plugin_request_args *q = last_request(a);

	if (q == NULL)
		return refuse_more(e);
	q->has_body = true;
	return plugin_args_content(a, value, &q->body, e);
}

static int take_requests(struct plugin_args *a, slice value, struct weir_error *e)
{
	(void)e;
	a->requests_path = value.p;
	return 0;
}

static int take_response(struct plugin_args *a, slice value, struct weir_error *e)
{
	uint64_t status;

	if (!slice_to_u64(value, &status) || status < 200 || status > 999)
		return error_set(e, -EINVAL, "found \"%.*s\", expected a status from 200 to 999",
				 SLICE_ARG(value));
	a->response_status = value;
	return 0;
}

static int take_response_header(struct plugin_args *a, slice value, struct weir_error *e)
{
	return add_field(&a->response_fields, value, e);
}

static int take_response_body(struct plugin_args *a, slice value, struct weir_error *e)
{
	return plugin_args_content(a, value, &a->response_body, e);
}

static int take_pieces(struct plugin_args *a, slice value, struct weir_error *e)
{
	int64_t bytes;

	if (option_parse_size(value, &bytes) < 0 || bytes < 1)
		return error_set(e, -EINVAL, "found \"%.*s\", expected a size such as 1 or 4KiB",
				 SLICE_ARG(value));
	a->piece_bytes = (size_t)bytes;
	return 0;
}

static int take_for(struct plugin_args *a, slice value, struct weir_error *e)
{
	if (option_parse_duration(value, &a->for_ns) < 0 || a->for_ns < 1)
		return error_set(e, -EINVAL,
				 "found \"%.*s\", expected a duration such as 2s or 300ms",
				 SLICE_ARG(value));
	return 0;
}

static int take_count(struct plugin_args *a, slice value, struct weir_error *e)
{
	if (!slice_to_u64(value, &a->count) || a->count < 1)
		return error_set(e, -EINVAL, "found \"%.*s\", expected a number from 1 on",
				 SLICE_ARG(value));
	return 0;
}

static int take_json(struct plugin_args *a, slice value, struct weir_error *e)
{
	(void)value;
	(void)e;
	a->json = true;
	return 0;
}

static int take_help(struct plugin_args *a, slice value, struct weir_error *e)
{
	(void)value;
	(void)e;
	a->help = true;
	return 0;
}

struct row {
	const char *name;
	const char *value; /* what it takes; NULL: nothing */
	unsigned commands;
	int (*take)(struct plugin_args *a, slice value, struct weir_error *e);
	const char *doc;
};

static const struct row rows[] = {
	{"cache", "DIR", PLUGIN_ALL | PLUGIN_COMPILE, take_cache,
	 "Where compiled modules are kept: as --cacheDirectory, see below."},
	{"config", "TEXT|@FILE", PLUGIN_ALL, take_config,
	 "The plugin's configuration, as below plugin.NAME in a dynamic file: YAML or JSON."},
	{"env", "NAME=VALUE", PLUGIN_ALL, take_env, "A variable for the plugin; may be repeated."},
	{"mount", "HOST[:GUEST][:ro]", PLUGIN_ALL, take_mount,
	 "A directory for the plugin; may be repeated."},
	{"request", "METHOD TARGET", PLUGIN_ALL, take_request,
	 "A request (GET /); may be repeated. --header and --body belong to the last one."},
	{"header", "NAME: VALUE", PLUGIN_ALL, take_header, "A header of the request."},
	{"body", "TEXT|@FILE", PLUGIN_ALL, take_body, "The request's body."},
	{"requests", "FILE", PLUGIN_RUN, take_requests,
	 "Requests from a file: HTTP/1.1 messages one after the other, or JSON."},
	{"pieces", "BYTES", PLUGIN_ALL, take_pieces,
	 "Bodies of requests arrive in pieces of that size; else at once."},
	{"response", "STATUS", PLUGIN_ALL, take_response,
	 "What the upstream, which is not there, answers (200)."},
	{"response-header", "NAME: VALUE", PLUGIN_ALL, take_response_header,
	 "A header of its answer; may be repeated."},
	{"response-body", "TEXT|@FILE", PLUGIN_ALL, take_response_body, "The body of its answer."},
	{"for", "DURATION", PLUGIN_BENCH, take_for, "How long each isolation runs (1s)."},
	{"count", "N", PLUGIN_BENCH, take_count, "How many exchanges each isolation runs instead."},
	{"json", NULL, PLUGIN_ALL | PLUGIN_COMPILE, take_json, "Print JSON, for programs."},
	{"help", NULL, PLUGIN_ALL | PLUGIN_COMPILE, take_help, "Print these options."},
};

int plugin_args_content(struct plugin_args *a, slice text, slice *content, struct weir_error *error)
{
	*content = text;
	if (text.n == 0 || text.p[0] != '@')
		return 0;
	return tree_read_file(&a->arena, text.p + 1, FILE_MAX_BYTES, content, error);
}

static const struct row *find_row(slice name, unsigned command)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if ((rows[i].commands & command) != 0 &&
		    slice_equal_nocase(name, slice_from(rows[i].name)))
			return &rows[i];
	}
	return NULL;
}

static size_t add_settings(const char **names, size_t count, const struct option *table)
{
	const char *path;

	for (; table->name != NULL && count < NAMES_MAX; table++) {
		if (find_setting(slice_from(table->name), &path) == table)
			names[count++] = table->name;
	}
	return count;
}

static int refuse_unknown(slice name, unsigned command, struct weir_error *e)
{
	const char *names[NAMES_MAX], *near;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if ((rows[i].commands & command) != 0)
			names[count++] = rows[i].name;
	}
	count = add_settings(names, count, weir_plugin_options);
	count = add_settings(names, count, weir_plugins_options);
	near = error_nearest(name, names, count);
	(void)error_set(e, -EINVAL, "--%.*s: unknown option", SLICE_ARG(name));
	if (near != NULL)
		error_suffix(e, ", did you mean --%s?", near);
	return -EINVAL;
}

/* What follows the name of an option: behind "=", or the next argument. */
static int value_of(slice *value, slice name, slice option, const struct cli_args *args, size_t *at,
		    struct weir_error *e)
{
	if (name.n + 2 < option.n) {
		*value = slice_from_at(option, name.n + 3);
		return 0;
	}
	if (*at == args->count)
		return error_set(e, -EINVAL, "--%.*s: found nothing, expected a value",
				 SLICE_ARG(name));
	*value = slice_from(args->list[(*at)++]);
	return 0;
}

static int read_option(struct plugin_args *a, unsigned command, const struct cli_args *args,
		       size_t *at, struct weir_error *e)
{
	slice option = slice_from(args->list[(*at)++]), rest = slice_from_at(option, 2);
	slice name = slice_first(rest, slice_find(rest, '=')), value = {NULL, 0};
	const struct row *row = find_row(name, command);
	const char *path;
	int r = 0;

	if (row == NULL && find_setting(name, &path) == NULL)
		return refuse_unknown(name, command, e);
	if (row == NULL || row->value != NULL)
		r = value_of(&value, name, option, args, at, e);
	if (r < 0)
		return r;
	if (row == NULL)
		return take_setting(a, path, name, value, e);
	r = row->take(a, value, e);
	if (r < 0)
		error_prefix(e, "--%s: ", row->name);
	return r;
}

/* The first of what the configuration's own decoder says. */
static int read_settings(struct plugin_args *a, struct weir_error *e)
{
	struct config_report report;
	const struct option_context context = {.arena = &a->arena, .report = &report};
	int r;

	config_report_init(&report, &a->arena);
	r = option_decode(weir_plugins_options, a->settings.root, &a->plugins, &context);
	a->isolation_given = tree_get(&a->settings, SLICE("defaults.isolation")) != NULL;
	if (r == 0 || report.count == 0)
		return r == 0 ? 0 : error_set(e, r, "out of memory");
	return error_set(e, r, "%.*s", SLICE_ARG(report.messages[0].text));
}

static int take_path(struct plugin_args *a, unsigned command, const char *path,
		     struct weir_error *e)
{
	if (path[0] == '-' || (a->path_count > 0 && command != PLUGIN_COMPILE))
		return error_set(e, -EINVAL, "found \"%s\", expected %s and options", path,
				 command == PLUGIN_COMPILE ? "files" : "one file");
	if (!append_room(a, (void **)&a->paths, sizeof *a->paths, a->path_count))
		return refuse_more(e);
	a->paths[a->path_count++] = path;
	a->path = a->paths[0];
	return 0;
}

int plugin_args_read(struct plugin_args *a, unsigned command, const struct cli_args *args,
		     struct weir_error *error)
{
	int r = 0;

	*a = (struct plugin_args){.response_status = SLICE("200"), .config = SLICE("{}")};
	arena_init(&a->arena, ARENA_BLOCK_BYTES, ARENA_MAX_BYTES);
	if (tree_init(&a->settings, &a->arena, NULL) < 0)
		return error_set(error, -ENOMEM, "out of memory");
	for (size_t at = 0; r == 0 && at < args->count;) {
		const char *argument = args->list[at];

		if (argument[0] == '-' && argument[1] == '-' && argument[2] != '\0') {
			r = read_option(a, command, args, &at, error);
			continue;
		}
		r = take_path(a, command, argument, error);
		at++;
	}
	if (r == 0 && a->path == NULL && !a->help)
		r = error_set(error, -EINVAL, "found no file, expected a WebAssembly module");
	if (r == 0 && a->requests_path == NULL && last_request(a) == NULL)
		r = error_set(error, -ENOMEM, "out of memory");
	return r == 0 ? read_settings(a, error) : r;
}

void plugin_args_free(struct plugin_args *a)
{
	for (size_t i = 0; i < a->request_count; i++)
		str_free(&a->requests[i].fields);
	str_free(&a->response_fields);
	arena_free(&a->arena);
}

void plugin_args_help(struct str *out, unsigned command)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char left[64];

		if ((rows[i].commands & command) == 0)
			continue;
		(void)snprintf(left, sizeof left, "--%s%s%s", rows[i].name,
			       rows[i].value != NULL ? " " : "",
			       rows[i].value != NULL ? rows[i].value : "");
		str_format(out, "  %-30s %s\n", left, rows[i].doc);
	}
	str_add(out,
		SLICE("\nOptions of weir.plugins.defaults and of weir.plugins, which mean what "
		      "they mean there;\nwhat concerns several requests at once has no effect "
		      "here:\n"));
	option_help(out, weir_plugin_options, "--");
	for (const struct option *row = weir_plugins_options; row->name != NULL; row++) {
		const char *path;

		if (find_setting(slice_from(row->name), &path) == row)
			option_help(out, (const struct option[]){*row, OPT_END}, "--");
	}
}
