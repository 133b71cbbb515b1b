#include "provider/rest.h"

#include <errno.h>

#include "core/log.h"

#define NAME "rest"
#define SOURCE "PUT /api/providers/rest"

/* YAML would be taken, too; Traefik reads JSON only. */
static bool looks_like_json(slice text)
{
	size_t i = 0;

	while (i < text.n && strchr(" \t\r\n", text.p[i]) != NULL && text.p[i] != '\0')
		i++;
	return i < text.n &&
	       (text.p[i] == '{' || slice_starts(slice_from_at(text, i), SLICE("null")));
}

static void tell(const struct config_report *report, struct str *answer)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct config_message *m = &report->messages[i];

		if (m->severity == CONFIG_WARNING) {
			log_warn_with((LOG_STRING("providerName", NAME)), "%.*s",
				      SLICE_ARG(m->text));
			continue;
		}
		log_error_with((LOG_STRING("providerName", NAME), LOG_TEXT("error", m->text)),
			       "Error parsing configuration");
		str_add(answer, m->text);
		str_add_char(answer, '\n');
	}
}

static int decode(struct dynamic_config *c, slice json, size_t bytes_max, struct tree *tree,
		  struct config_report *report)
{
	struct tree_limits limits = tree_default_limits;
	struct weir_error error = {0};
	int r;

	limits.file_bytes = bytes_max;
	if (!looks_like_json(json))
		return config_error(report, (struct tree_place){SOURCE, 0, 0},
				    "found something else, expected an object in JSON");
	r = tree_init(tree, &c->arena, &limits);
	if (r == 0)
		r = tree_parse(tree, json, TREE_JSON, SOURCE, &error);
	if (r < 0 && error.code != 0)
		(void)config_error_from(report, &error);
	return r == 0 ? dynamic_decode(c, tree->root, report) : r;
}

int rest_provider_read(slice json, size_t bytes_max, struct str *answer,
		       struct dynamic_config **config)
{
	static const struct option_json how = {.set_only = true};
	struct dynamic_config *c = dynamic_new(0);
	struct config_report report;
	struct tree tree;
	struct arena arena;
	int r;

	*config = NULL;
	if (c == NULL)
		return -ENOMEM;
	arena_init(&arena, 4096, (size_t)1 << 20);
	config_report_init(&report, &arena);
	r = decode(c, json, bytes_max, &tree, &report);
	tell(&report, answer);
	arena_free(&arena);
	if (r == 0) {
		str_add_char(answer, '{');
		(void)option_json(answer, dynamic_options, NULL, tree.root, &how);
		str_add_char(answer, '}');
		r = answer->failed ? -ENOMEM : 0;
	}
	if (r == 0)
		*config = c;
	else
		dynamic_destroy(&c);
	return r == 0 || r == -ENOMEM ? r : -EINVAL;
}

void rest_provider_publish(struct aggregator *a, struct dynamic_config **config)
{
	struct dynamic_config *c = *config;

	*config = NULL;
	if (dynamic_is_empty(c))
		dynamic_destroy(&c);
	else
		aggregator_publish(a, NAME, c);
}
