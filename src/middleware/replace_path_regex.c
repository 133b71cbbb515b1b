#include <errno.h>

#include "core/regex.h"
#include "http/path.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/rewrite_path.h"

struct replace_path_regex {
	struct middleware middleware; /* first */
	struct regex *regex;
	slice replacement;
};

static int replace(const struct replace_path_regex *p, struct exchange *x, slice *replaced)
{
	struct str out = {.limit = x->pool->limits.arena_bytes_max};

	(void)regex_replace(p->regex, x->request.path, p->replacement, &out);
	*replaced = out.failed ? (slice){NULL, 0} : arena_copy(&x->arena, str_slice(&out));
	str_free(&out);
	return replaced->p != NULL ? 0 : -ENOMEM;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct replace_path_regex *p = container_of(m, struct replace_path_regex, middleware);
	struct request *q = &x->request;
	slice replaced;

	(void)state;
	if (!regex_matches(p->regex, q->path))
		return MW_CONTINUE;
	if (fields_add(&q->fields, REPLACED_PATH, q->path) < 0 || replace(p, x, &replaced) < 0 ||
	    path_escaped(replaced, &x->arena, &q->path) != 0)
		return MW_FAILED;
	return path_is_sanitized(q->path) ? MW_CONTINUE : rewrite_path_fail(x, 400);
}

static void destroy(struct middleware **m)
{
	struct replace_path_regex *p = container_of(*m, struct replace_path_regex, middleware);

	regex_free(&p->regex);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "replacePathRegex",
	.on_request = on_request,
	.destroy = destroy,
};

int replace_path_regex_create(struct middleware **m, const struct dynamic_middleware *config,
			      const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_replace_path_regex *options = config->replace_path_regex;
	struct replace_path_regex *p = middleware_new(sizeof *p, &class, config, e);
	int r;

	(void)world;
	if (p == NULL)
		return -ENOMEM;
	p->replacement = middleware_trim(options->replacement);
	*m = &p->middleware;
	r = regex_compile(middleware_trim(options->regex), NULL, &p->regex, e);
	if (r < 0) {
		error_prefix(
			e, "error compiling regular expression %.*s: ", SLICE_ARG(options->regex));
		destroy(m);
	}
	return r;
}
