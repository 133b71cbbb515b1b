#include <errno.h>

#include "config/dynamic_private.h"

/*
 * "weir-kept 1 BYTES\n", so many bytes of YAML, then for each file that an option stands for
 * "NAME-BYTES BYTES\n", its name and what was in it.
 */
static const char magic[] = "weir-kept 1 ";

/* Where the objects of each kind are, in the order of the sections. */
static const struct {
	const char *section; /* NULL: that of the row before */
	const char *key;
} places[DYNAMIC_KIND_COUNT] = {
	[DYNAMIC_ROUTER] = {"http", "routers"},
	[DYNAMIC_SERVICE] = {NULL, "services"},
	[DYNAMIC_MIDDLEWARE] = {NULL, "middlewares"},
	[DYNAMIC_TRANSPORT] = {NULL, "serversTransports"},
	[DYNAMIC_TLS_OPTIONS] = {"tls", "options"},
	[DYNAMIC_TLS_STORE] = {NULL, "stores"},
};

static void add_key(struct str *out, const char *key, unsigned indent)
{
	tree_add_yaml_key(out, slice_from(key), indent);
}

/* As it was written; what is implied is implied again. */
static void add_object(struct str *out, const struct dynamic_object *object)
{
	const struct tree_node *node = object->node;

	if (node == NULL)
		return;
	tree_add_yaml_key(out, object->name, 2);
	if (node->kind == TREE_MAP && node->first != NULL) {
		str_add_char(out, '\n');
		tree_add_yaml(out, node, 3);
	} else {
		str_add(out, node->kind == TREE_MAP ? SLICE(" {}\n") : SLICE(" null\n"));
	}
}

static void add_kind(struct str *out, const struct dynamic_config *config, enum dynamic_kind kind)
{
	size_t count = dynamic_count(config, kind);

	if (count == 0)
		return;
	add_key(out, places[kind].key, 1);
	str_add_char(out, '\n');
	for (size_t i = 0; i < count; i++)
		add_object(out, dynamic_at(config, kind, i));
}

static void add_text(struct str *out, const char *key, slice text)
{
	if (text.n == 0)
		return;
	add_key(out, key, 4);
	str_add_char(out, ' ');
	tree_add_yaml_string(out, text);
	str_add_char(out, '\n');
}

static void add_certificates(struct str *out, const struct dynamic_config *config)
{
	if (config->certificates.count > 0)
		str_add(out, SLICE("  certificates:\n"));
	for (size_t i = 0; i < config->certificates.count; i++) {
		const struct dynamic_certificate *c = config->certificates.items[i];

		str_add(out, SLICE("    -\n"));
		add_text(out, "certFile", c->pair.cert_file.text);
		add_text(out, "keyFile", c->pair.key_file.text);
		add_key(out, "stores", 4);
		str_add(out, c->stores.count == 0 ? SLICE(" []\n") : SLICE("\n"));
		for (size_t n = 0; n < c->stores.count; n++) {
			str_add(out, SLICE("          - "));
			tree_add_yaml_string(out, c->stores.items[n]);
			str_add_char(out, '\n');
		}
	}
}

static void add_content(void *user, struct option_content *content)
{
	struct str *out = user;

	if (content->bytes.p == NULL || !option_names_file(content->text))
		return;
	str_format(out, "%zu %zu\n", content->text.n, content->bytes.n);
	str_add(out, content->text);
	str_add(out, content->bytes);
}

int dynamic_keep(struct dynamic_config *config, struct str *out)
{
	struct str yaml = {.limit = out->limit};

	for (enum dynamic_kind kind = 0; kind < DYNAMIC_KIND_COUNT; kind++) {
		if (places[kind].section != NULL) {
			add_key(&yaml, places[kind].section, 0);
			str_add_char(&yaml, '\n');
		}
		add_kind(&yaml, config, kind);
	}
	add_certificates(&yaml, config);
	str_format(out, "%s%zu\n", magic, yaml.n);
	str_add(out, str_slice(&yaml));
	out->failed |= yaml.failed;
	str_free(&yaml);
	dynamic_visit_contents(config, add_content, out);
	return out->failed ? -EFBIG : 0;
}

/* --- back again */

struct restoring {
	struct arena *arena;
	slice contents;
	bool failed;
};

/* A decimal number and the byte behind it. */
static bool next_number(slice *text, char end, size_t *number)
{
	size_t at = slice_find(*text, end);
	uint64_t value;

	if (at == text->n || !slice_to_u64(slice_first(*text, at), &value) || value > SIZE_MAX / 4)
		return false;
	*number = (size_t)value;
	*text = slice_from_at(*text, at + 1);
	return true;
}

static bool next_content(slice *rest, slice *name, slice *bytes)
{
	size_t name_bytes, content_bytes;

	if (!next_number(rest, ' ', &name_bytes) || !next_number(rest, '\n', &content_bytes) ||
	    name_bytes + content_bytes > rest->n)
		return false;
	*name = slice_first(*rest, name_bytes);
	*bytes = slice_first(slice_from_at(*rest, name_bytes), content_bytes);
	*rest = slice_from_at(*rest, name_bytes + content_bytes);
	return true;
}

/* What was in the file; the file itself if it had not been read, and texts that are no names. */
static void restore_content(void *user, struct option_content *content)
{
	struct restoring *all = user;
	slice rest = all->contents, name, bytes;

	while (next_content(&rest, &name, &bytes)) {
		if (!slice_equal(name, content->text))
			continue;
		content->bytes = bytes.n > 0 ? arena_copy(all->arena, bytes) : SLICE("");
		all->failed |= content->bytes.p == NULL;
		return;
	}
	if (option_read_content(all->arena, content, &bytes, NULL) == 0)
		content->bytes = bytes.p != NULL ? bytes : SLICE("");
}

int dynamic_restore(slice text, const char *source, struct config_report *report,
		    struct dynamic_config **config)
{
	struct tree_limits limits = tree_default_limits;
	slice rest = text;
	size_t yaml_bytes;
	struct restoring all;
	int r;

	*config = NULL;
	if (!slice_starts(rest, slice_from(magic)))
		return -EINVAL;
	rest = slice_from_at(rest, sizeof magic - 1);
	if (!next_number(&rest, '\n', &yaml_bytes) || yaml_bytes > rest.n)
		return -EINVAL;
	/* Of many files, each of which had as many as one may have. */
	limits.nodes = UINT32_MAX;
	r = dynamic_parse(slice_first(rest, yaml_bytes), TREE_YAML, source, &limits, report,
			  config);
	if (r < 0)
		return r;
	all = (struct restoring){.arena = &(*config)->arena,
				 .contents = slice_from_at(rest, yaml_bytes)};
	dynamic_visit_contents(*config, restore_content, &all);
	if (!all.failed && dynamic_hash_objects(*config) == 0 && dynamic_hash_whole(*config) == 0)
		return 0;
	dynamic_destroy(config);
	return -ENOMEM;
}
