#include <errno.h>

#include "core/regex.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/rewrite_path.h"

struct strip_prefix_regex {
	struct middleware middleware; /* first */
	struct arena arena;
	size_t count;
	struct regex **list;
};

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct strip_prefix_regex *s = container_of(m, struct strip_prefix_regex, middleware);
	struct rewrite_path path;
	int r = rewrite_path_get(x, &path);

	(void)state;
	if (r != 0)
		return rewrite_path_fail(x, r);
	for (size_t i = 0; i < s->count; i++) {
		slice found;

		if (!regex_find(s->list[i], path.plain, &found, 1) || found.n == 0)
			continue;
		/* A match further on counts if the path begins with the same text. */
		if (slice_starts(path.plain, found))
			return rewrite_path_strip(x, &path, found, false);
	}
	return MW_CONTINUE;
}

static void destroy(struct middleware **m)
{
	struct strip_prefix_regex *s = container_of(*m, struct strip_prefix_regex, middleware);

	for (size_t i = 0; i < s->count; i++)
		regex_free(&s->list[i]);
	arena_free(&s->arena);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "stripPrefixRegex",
	.on_request = on_request,
	.destroy = destroy,
};

static int compile(struct strip_prefix_regex *s, const struct option_list *list,
		   struct weir_error *e)
{
	int r = 0;

	s->list = ARENA_ARRAY(&s->arena, struct regex *, list->count);
	if (s->list == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	while (r == 0 && s->count < list->count) {
		r = regex_compile(middleware_trim(list->items[s->count]), NULL, &s->list[s->count],
				  e);
		s->count += r == 0;
	}
	return r;
}

int strip_prefix_regex_create(struct middleware **m, const struct dynamic_middleware *config,
			      const struct middleware_world *world, struct weir_error *e)
{
	struct strip_prefix_regex *s = middleware_new(sizeof *s, &class, config, e);
	int r;

	(void)world;
	if (s == NULL)
		return -ENOMEM;
	*m = &s->middleware;
	arena_init(&s->arena, 256, SIZE_MAX);
	r = compile(s, &config->strip_prefix_regex->regex, e);
	if (r < 0)
		destroy(m);
	return r;
}
