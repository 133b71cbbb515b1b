#include <errno.h>

#include "core/regex.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/redirect.h"

struct redirect_regex {
	struct middleware middleware; /* first */
	struct regex *regex;
	slice replacement;
	bool permanent;
};

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct redirect_regex *p = container_of(m, struct redirect_regex, middleware);
	slice url = arena_format(&x->arena, "%s://%.*s%.*s", x->tls ? "https" : "http",
				 SLICE_ARG(x->request.authority), SLICE_ARG(exchange_target(x)));
	struct str out = {.limit = x->pool->limits.arena_bytes_max};
	enum middleware_verdict verdict = MW_CONTINUE;

	(void)state;
	if (url.p == NULL)
		return MW_FAILED;
	if (!regex_matches(p->regex, url))
		return MW_CONTINUE;
	(void)regex_replace(p->regex, url, p->replacement, &out);
	if (out.failed)
		verdict = MW_FAILED;
	else if (!slice_equal(str_slice(&out), url))
		verdict = redirect_answer(x, str_slice(&out), p->permanent);
	str_free(&out);
	return verdict;
}

static void destroy(struct middleware **m)
{
	struct redirect_regex *p = container_of(*m, struct redirect_regex, middleware);

	regex_free(&p->regex);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "redirectRegex",
	.on_request = on_request,
	.destroy = destroy,
};

int redirect_regex_create(struct middleware **m, const struct dynamic_middleware *config,
			  const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_redirect_regex *options = config->redirect_regex;
	struct redirect_regex *p = middleware_new(sizeof *p, &class, config, e);
	int r;

	(void)world;
	if (p == NULL)
		return -ENOMEM;
	p->replacement = options->replacement;
	p->permanent = options->permanent;
	*m = &p->middleware;
	r = regex_compile(options->regex, NULL, &p->regex, e);
	if (r < 0)
		destroy(m);
	return r;
}
