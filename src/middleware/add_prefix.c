#include <errno.h>

#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/rewrite_path.h"

struct add_prefix {
	struct middleware middleware; /* first */
	slice prefix;
};

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct add_prefix *p = container_of(m, struct add_prefix, middleware);
	struct rewrite_path path;
	int r = rewrite_path_get(x, &path);

	(void)state;
	if (r != 0)
		return rewrite_path_fail(x, r);
	path.plain = rewrite_path_join(x, p->prefix, path.plain);
	if (path.raw.p != NULL)
		path.raw = rewrite_path_join(x, p->prefix, path.raw);
	if (path.plain.p == NULL || rewrite_path_set(x, &path) < 0)
		return MW_FAILED;
	return MW_CONTINUE;
}

static const struct middleware_class class = {
	.name = "addPrefix",
	.on_request = on_request,
	.destroy = middleware_free,
};

int add_prefix_create(struct middleware **m, const struct dynamic_middleware *config,
		      const struct middleware_world *world, struct weir_error *e)
{
	struct add_prefix *p;

	(void)world;
	if (config->add_prefix->prefix.n == 0)
		return error_set(e, -EINVAL, "prefix cannot be empty");
	p = middleware_new(sizeof *p, &class, config, e);
	if (p == NULL)
		return -ENOMEM;
	p->prefix = config->add_prefix->prefix;
	*m = &p->middleware;
	return 0;
}
