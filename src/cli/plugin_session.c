#include <errno.h>
#include <stdio.h>

#include "cli/plugin_cli.h"
#include "config/dynamic.h"
#include "core/clock.h"
#include "core/error.h"
#include "middleware/plugin_settings.h"

#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)
#define LINES_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define MODULE_MAX_BYTES ((size_t)64 * 1024 * 1024)

/* Lines that no memory is left for are dropped: the library bounds them per exchange. */
static void on_line(void *context, const struct weir_log_line *line)
{
	struct plugin_session *s = context;
	slice text;

	if (s->quiet || (line->source == WEIR_LOG_HOST && line->level == WEIR_LOG_DEBUG))
		return;
	if (s->line_count == s->line_capacity) {
		size_t capacity = MAX(2 * s->line_capacity, (size_t)32);
		struct plugin_line *larger = ARENA_ARRAY(&s->arena, struct plugin_line, capacity);

		if (larger == NULL)
			return;
		if (s->lines != NULL)
			memcpy(larger, s->lines, s->line_count * sizeof *larger);
		s->lines = larger;
		s->line_capacity = capacity;
	}
	text = arena_copy(&s->arena, line->text);
	if (text.p != NULL)
		s->lines[s->line_count++] = (struct plugin_line){line->source, line->level, text};
}

void plugin_session_forget_lines(struct plugin_session *s)
{
	arena_reset(&s->arena);
	s->lines = NULL;
	s->line_count = s->line_capacity = 0;
}

/* As the proxy makes the plugin's JSON of what stands in a dynamic file. */
static int read_config(struct plugin_session *s, struct weir_error *error)
{
	struct plugin_args *a = s->args;
	struct tree tree;
	int r = tree_init(&tree, &a->arena, NULL);

	if (r < 0)
		return error_set(error, r, "out of memory");
	if (a->config.n > 0 && a->config.p[0] == '@')
		r = tree_load(&tree, a->config.p + 1, error);
	else
		r = tree_parse(&tree, a->config, TREE_YAML, "text", error);
	if (r < 0) {
		error_prefix(error, "--config: ");
		return r;
	}
	dynamic_plugin_json(tree.root, a->plugins.defaults.stringify_config, &s->config);
	return s->config.failed ? error_set(error, -ENOMEM, "out of memory") : 0;
}

int plugin_session_open(struct plugin_session *s, struct plugin_args *a, struct weir_error *error)
{
	struct weir_host_options options = plugin_host_options(&a->plugins);
	int r;

	options.measure = true;
	options.log = on_line;
	options.log_context = s;
	*s = (struct plugin_session){.args = a};
	arena_init(&s->arena, ARENA_BLOCK_BYTES, LINES_MAX_BYTES);
	r = tree_read_file(&a->arena, a->path, MODULE_MAX_BYTES, &s->wasm, error);
	if (r == 0)
		r = read_config(s, error);
	return r == 0 ? weir_host_create(&s->host, &options, error) : r;
}

int plugin_session_compile(struct plugin_session *s, struct weir_error *error)
{
	uint64_t from_ns = clock_mono_ns();
	int r;

	if (s->module != NULL)
		return 0;
	r = weir_module_load(&s->module, s->host, s->wasm, error);
	s->compile_ns = clock_mono_ns() - from_ns;
	return r;
}

int plugin_session_start(struct plugin_session *s, enum weir_isolation isolation,
			 enum weir_init init, struct weir_error *error)
{
	static const struct weir_pool_events events = {0};
	const struct plugin_args *a = s->args;
	const struct weir_plugin_options options = {
		.name = a->path,
		.wasm = s->wasm,
		.config = str_slice(&s->config),
		.envs = a->envs,
		.env_count = a->env_count,
		.mounts = a->mounts,
		.mount_count = a->mount_count,
		.limits = plugin_limits(&a->plugins.defaults),
		.isolation = isolation,
		.init = init,
	};
	uint64_t from_ns;
	int r = plugin_session_compile(s, error);

	if (r < 0)
		return r;
	plugin_session_stop(s);
	from_ns = clock_mono_ns();
	r = weir_plugin_create(&s->plugin, s->host, &options, error);
	s->init_ns = clock_mono_ns() - from_ns;
	if (r < 0)
		return r;
	r = weir_pool_create(&s->pool, s->plugin, &events);
	return r < 0 ? error_set(error, r, "out of memory") : 0;
}

void plugin_session_stop(struct plugin_session *s)
{
	weir_pool_destroy(&s->pool);
	weir_plugin_unref(&s->plugin);
}

void plugin_session_close(struct plugin_session *s)
{
	plugin_session_stop(s);
	weir_module_release(&s->module);
	weir_host_destroy(&s->host);
	str_free(&s->config);
	arena_free(&s->arena);
}

int plugin_complain(const struct plugin_args *a, const struct weir_error *error)
{
	/* Errors of the system and of plugins name the file, those of binaries do not. */
	bool named = a->path == NULL || strstr(error->text, a->path) != NULL;

	(void)fprintf(stderr, "weir: %s%s%s\n", named ? "" : a->path, named ? "" : ": ",
		      error->text);
	return 1;
}

static const char *level_text(enum weir_log_level level)
{
	switch (level) {
	case WEIR_LOG_DEBUG:
		return "debug";
	case WEIR_LOG_INFO:
		return "info";
	case WEIR_LOG_WARN:
		return "warn";
	case WEIR_LOG_ERROR:
		break;
	}
	return "error";
}

static const char *source_text(enum weir_log_source source)
{
	static const char *const texts[] = {
		[WEIR_LOG_GUEST] = "log",
		[WEIR_LOG_STDOUT] = "stdout",
		[WEIR_LOG_STDERR] = "stderr",
		[WEIR_LOG_HOST] = "weir",
	};

	must((size_t)source < ARRAY_LEN(texts));
	return texts[source];
}

json_t *plugin_lines_json(const struct plugin_session *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->line_count; i++) {
		json_t *line = json_object();

		json_put(line, "source", json_string(source_text(s->lines[i].source)));
		json_put(line, "level", json_string(level_text(s->lines[i].level)));
		json_put(line, "text", json_slice(s->lines[i].text));
		json_append(list, line);
	}
	return list;
}

void plugin_lines_print(const struct plugin_session *s, const char *label)
{
	for (size_t i = 0; i < s->line_count; i++) {
		(void)printf("%s%-6s %-5s ", label, source_text(s->lines[i].source),
			     level_text(s->lines[i].level));
		plugin_print_quoted(s->lines[i].text, SIZE_MAX);
		(void)putchar('\n');
	}
}

static void print_byte(char c)
{
	if (c == '\n')
		(void)fputs("\\n", stdout);
	else if (c == '\r')
		(void)fputs("\\r", stdout);
	else if (c == '\t')
		(void)fputs("\\t", stdout);
	else if (c == '"' || c == '\\')
		(void)printf("\\%c", c);
	else
		(void)printf("\\x%02x", (unsigned char)c);
}

void plugin_print_quoted(slice bytes, size_t most)
{
	slice shown = slice_first(bytes, most);

	(void)putchar('"');
	for (size_t i = 0; i < shown.n;) {
		size_t from = i;
		int32_t rune = slice_rune(shown, &i);

		if (rune < ' ' || rune == '"' || rune == '\\' || (rune >= 0x7f && rune < 0xa0))
			for (; from < i; from++)
				print_byte(shown.p[from]);
		else
			(void)fwrite(shown.p + from, 1, i - from, stdout);
	}
	(void)printf("\"%s", shown.n < bytes.n ? "..." : "");
}
