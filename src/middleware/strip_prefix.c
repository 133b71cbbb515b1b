#include <errno.h>

#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/rewrite_path.h"

struct strip_prefix {
	struct middleware middleware; /* first */
	const struct dynamic_strip_prefix *options;
};

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct strip_prefix *s = container_of(m, struct strip_prefix, middleware);
	struct rewrite_path path;
	int r = rewrite_path_get(x, &path);

	(void)state;
	if (r != 0)
		return rewrite_path_fail(x, r);
	for (size_t i = 0; i < s->options->prefixes.count; i++) {
		slice prefix = middleware_trim(s->options->prefixes.items[i]);

		if (slice_starts(path.plain, prefix))
			return rewrite_path_strip(x, &path, prefix, s->options->force_slash);
	}
	return MW_CONTINUE;
}

static const struct middleware_class class = {
	.name = "stripPrefix",
	.on_request = on_request,
	.destroy = middleware_free,
};

int strip_prefix_create(struct middleware **m, const struct dynamic_middleware *config,
			const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_strip_prefix *options = config->strip_prefix;
	struct strip_prefix *s;
	int r = 0;

	(void)world;
	for (size_t i = 0; r == 0 && i < options->prefixes.count; i++)
		r = middleware_check_value(middleware_trim(options->prefixes.items[i]), "prefixes",
					   e);
	if (r < 0)
		return r;
	s = middleware_new(sizeof *s, &class, config, e);
	if (s == NULL)
		return -ENOMEM;
	s->options = options;
	*m = &s->middleware;
	return 0;
}
