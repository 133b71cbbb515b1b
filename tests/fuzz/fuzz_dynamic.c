#include <stdlib.h>

#include "config/dynamic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was decoded once must survive a merge, linking, a dump, and decoding that again. */
static void round_trip(struct dynamic_config *config, struct config_report *report)
{
	struct dynamic_part parts[] = {{config, NULL}, {config, "fuzz"}};
	struct dynamic_config *merged, *again;
	struct str dump = {.limit = 1 << 20};
	struct str json = {.limit = 1 << 20};

	if (dynamic_merge(parts, 2, report, &merged) < 0 || dynamic_link(merged, NULL, 0) < 0)
		abort();
	dynamic_destroy(&merged);
	for (size_t i = 0; i < config->middleware_count; i++)
		if (config->middlewares[i]->plugin_config != NULL)
			dynamic_plugin_json(config->middlewares[i]->plugin_config, true, &json);
	dynamic_dump(&dump, config, &(struct option_dump){.defaults = true, .secrets = true});
	if (!dump.failed && !dynamic_is_empty(config)) {
		if (dynamic_parse(str_slice(&dump), TREE_YAML, "dump", NULL, report, &again) < 0)
			abort();
		if (!dynamic_hash_equal(&config->hash, &again->hash))
			abort();
		dynamic_destroy(&again);
	}
	str_free(&dump);
	str_free(&json);
}

/* The first byte chooses the format. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tree_limits limits = {
		.file_bytes = 1 << 16, .nodes = 4096, .depth = 32};
	struct dynamic_config *config;
	struct config_report report;
	struct arena arena;
	slice text = slice_of((const char *)data, size);

	if (size == 0)
		return 0;
	arena_init(&arena, 4096, 1 << 20);
	config_report_init(&report, &arena);
	if (dynamic_parse(slice_from_at(text, 1), data[0] == 't' ? TREE_TOML : TREE_YAML, "fuzz",
			  &limits, &report, &config) == 0)
		round_trip(config, &report);
	else if (report.errors == 0)
		abort();
	dynamic_destroy(&config);
	arena_free(&arena);
	return 0;
}
