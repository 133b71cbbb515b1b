/*
 * What the tests of the configuration share: an arena, a tree and a report that end together.
 */
#ifndef TESTS_CONFIG_CASE_H
#define TESTS_CONFIG_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/option.h"

struct config_case {
	struct arena arena;
	struct tree tree;
	struct config_report report;
	struct weir_error error;
	struct str out;
};

static inline void case_begin(struct config_case *c)
{
	*c = (struct config_case){.error.code = 0};
	arena_init(&c->arena, (size_t)64 * 1024, (size_t)256 << 20);
	config_report_init(&c->report, &c->arena);
	assert_int_equal(tree_init(&c->tree, &c->arena, NULL), 0);
}

static inline void case_end(struct config_case *c)
{
	str_free(&c->out);
	arena_free(&c->arena);
}

/** The messages so far as text. */
static inline const char *case_report(struct config_case *c)
{
	str_clear(&c->out);
	config_report_add(&c->out, &c->report);
	return c->out.n > 0 ? c->out.p : "";
}

/** The JSON of a text, or the error. */
static inline const char *case_json(struct config_case *c, const char *text,
				    enum tree_format format, bool as_traefik)
{
	str_clear(&c->out);
	if (tree_parse(&c->tree, slice_from(text), format, "f", &c->error) < 0)
		return c->error.text;
	tree_add_json(&c->out, c->tree.root, as_traefik);
	return c->out.p;
}

#endif
