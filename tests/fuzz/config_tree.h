/*
 * What a parser of configuration must hold for any bytes: it says yes or no within its limits, and
 * a tree that was written as YAML reads back as the same tree.
 */
#ifndef TESTS_FUZZ_CONFIG_TREE_H
#define TESTS_FUZZ_CONFIG_TREE_H

#include "config/tree.h"
#include "core/base.h"

/* A fuzzer's input is small: what grows out of it must be, too. */
static const struct tree_limits fuzz_limits = {.file_bytes = 1 << 20, .nodes = 20000, .depth = 64};

static inline void must_read_back(const struct tree *t, bool as_traefik)
{
	struct str json = {0}, yaml = {0}, again = {0};
	struct weir_error error = {0};
	struct arena arena;
	struct tree copy;

	arena_init(&arena, 4096, (size_t)256 << 20);
	tree_add_json(&json, t->root, as_traefik);
	tree_add_yaml(&yaml, t->root, 0);
	must(!json.failed && !yaml.failed);
	must(tree_init(&copy, &arena, NULL) == 0);
	must(tree_parse(&copy, str_slice(&yaml), TREE_YAML, "again", &error) == 0);
	tree_add_json(&again, copy.root, as_traefik);
	must(slice_equal(str_slice(&json), str_slice(&again)));
	str_free(&json);
	str_free(&yaml);
	str_free(&again);
	arena_free(&arena);
}

static inline void fuzz_tree(const uint8_t *data, size_t size, enum tree_format format)
{
	struct weir_error error = {0};
	struct arena arena;
	struct tree t;
	int r;

	arena_init(&arena, 4096, (size_t)256 << 20);
	must(tree_init(&t, &arena, &fuzz_limits) == 0);
	r = tree_parse(&t, slice_of((const char *)data, size), format, "f", &error);
	must(r == 0 || (r < 0 && error.code < 0 && error.text[0] != '\0'));
	if (r == 0) {
		must_read_back(&t, false);
		must_read_back(&t, true);
	}
	arena_free(&arena);
}

#endif
