#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "provider/file_private.h"
#include "provider/template.h"

/* From files to one configuration. */

static int out_of_memory(struct config_report *report)
{
	(void)config_error(report, (struct tree_place){.source = "providers.file"},
			   "out of memory");
	return -ENOMEM;
}

/* The text of the file, rendered. */
static int read_rendered(struct arena *arena, const char *path, bool log_rendered, slice *text,
			 bool *was_template, struct weir_error *e)
{
	const struct template_input input = {.file = path};
	struct str rendered = {0};
	slice source;
	int r = tree_read_file(arena, path, tree_default_limits.file_bytes, &source, e);

	if (r < 0)
		return r;
	*text = source;
	*was_template = slice_search(source, SLICE("{{")) < source.n;
	if (!*was_template)
		return 0;
	r = template_render(source, &input, &rendered, e);
	if (r == 0 && log_rendered) {
		log_debug_with((LOG_STRING("providerName", "file")), "Template content: %.*s",
			       SLICE_ARG(source));
		log_debug_with((LOG_STRING("providerName", "file")), "Rendering results: %.*s",
			       SLICE_ARG(str_slice(&rendered)));
	}
	*text = arena_copy(arena, str_slice(&rendered));
	if (r == 0 && text->p == NULL)
		r = error_set(e, -ENOMEM, "%s: out of memory", path);
	str_free(&rendered);
	return r;
}

/* What a configuration names, for the watch. */
struct naming {
	struct file_paths *paths;
	bool failed;
};

static void note_file(void *context, const char *path)
{
	struct naming *n = context;

	n->failed |= file_paths_add(n->paths, path) < 0;
}

static int load_file(const struct file_provider_config *options, const char *path,
		     struct config_report *report, struct dynamic_config **config)
{
	struct weir_error e = {0};
	struct arena arena;
	size_t errors = report->errors;
	bool was_template = false;
	slice text;
	int r;

	arena_init(&arena, 4096, (size_t)64 << 20);
	r = read_rendered(&arena, path, options->debug_log_generated_template, &text, &was_template,
			  &e);
	if (r < 0)
		(void)config_error_from(report, &e);
	else
		r = dynamic_parse(text, tree_format_of(slice_from(path)), path, NULL, report,
				  config);
	arena_free(&arena);
	if (r < 0 && report->errors == errors)
		r = out_of_memory(report);
	if (r < 0 && was_template && e.code == 0)
		config_warn(report, NULL, (struct tree_place){.source = path},
			    "lines and columns are those of the text that the template made; "
			    "debugLogGeneratedTemplate shows it");
	return r;
}

static int merge(struct dynamic_config **configs, size_t count, struct config_report *report,
		 struct dynamic_config **config)
{
	struct dynamic_part *parts = calloc(count + 1, sizeof *parts);
	int r = -ENOMEM;

	if (parts != NULL) {
		for (size_t i = 0; i < count; i++)
			parts[i].config = configs[i];
		r = dynamic_merge(parts, count, report, config);
	}
	free(parts);
	return r < 0 ? out_of_memory(report) : 0;
}

int file_load(const struct file_provider_config *options, struct config_report *report,
	      struct dynamic_config **config, struct file_paths *contents)
{
	struct naming naming = {.paths = contents};
	struct dynamic_config **configs = NULL;
	struct file_paths files = {0};
	struct weir_error e = {0};
	size_t count = 0;
	int r = file_list(options, &files, &e);

	*config = NULL;
	if (r < 0)
		(void)config_error_from(report, &e);
	if (r == 0) {
		configs = calloc(files.count + 1, sizeof(struct dynamic_config *));
		r = configs != NULL ? 0 : out_of_memory(report);
	}
	for (; r == 0 && count < files.count; count++) {
		r = load_file(options, files.items[count], report, &configs[count]);
		if (r == 0 &&
		    (dynamic_read_files(configs[count], note_file, &naming) < 0 || naming.failed)) {
			dynamic_destroy(&configs[count]);
			r = out_of_memory(report);
		}
	}
	if (r == 0 && options->directory.n == 0)
		*config = dynamic_ref(configs[0]);
	else if (r == 0)
		r = merge(configs, count, report, config);
	for (size_t i = 0; configs != NULL && i < count; i++)
		dynamic_destroy(&configs[i]);
	free(configs);
	file_paths_free(&files);
	return r;
}

int file_provider_load(const struct file_provider_config *options, struct config_report *report,
		       struct dynamic_config **config)
{
	struct file_paths contents = {0};
	int r = file_load(options, report, config, &contents);

	file_paths_free(&contents);
	return r;
}
