#include <errno.h>

#include "http/path.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/rewrite_path.h"

struct replace_path {
	struct middleware middleware; /* first */
	slice path;
};

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct replace_path *p = container_of(m, struct replace_path, middleware);
	struct request *q = &x->request;

	(void)state;
	if (fields_add(&q->fields, REPLACED_PATH, q->path) < 0 ||
	    path_escaped(p->path, &x->arena, &q->path) != 0)
		return MW_FAILED;
	return MW_CONTINUE;
}

static const struct middleware_class class = {
	.name = "replacePath",
	.on_request = on_request,
	.destroy = middleware_free,
};

static int check(slice path, struct weir_error *e)
{
	struct arena arena;
	slice plain;
	int r;

	arena_init(&arena, 256, path.n + 4096);
	r = path_unescape(path, &arena, &plain);
	arena_free(&arena);
	if (r == 400)
		return error_set(
			e, -EINVAL,
			"path: \"%.*s\" has a %% without two hexadecimal digits, expected %%25",
			SLICE_ARG(path));
	return r < 0 ? error_set(e, r, "out of memory") : 0;
}

int replace_path_create(struct middleware **m, const struct dynamic_middleware *config,
			const struct middleware_world *world, struct weir_error *e)
{
	slice path = config->replace_path->path;
	struct replace_path *p;
	int r = check(path, e);

	(void)world;
	if (r < 0)
		return r;
	p = middleware_new(sizeof *p, &class, config, e);
	if (p == NULL)
		return -ENOMEM;
	p->path = path;
	*m = &p->middleware;
	return 0;
}
