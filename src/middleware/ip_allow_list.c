#include <errno.h>

#include "middleware/classes.h"
#include "middleware/ip_strategy.h"
#include "middleware/make.h"

struct ip_allow_list {
	struct middleware middleware; /* first */
	struct address_set *allowed;
	struct ip_strategy strategy;
	int status; /* for the others */
};

static bool is_allowed(const struct ip_allow_list *l, const struct exchange *x)
{
	bool by_peer = l->strategy.depth == 0 && l->strategy.excluded == NULL;
	struct address a;

	if (by_peer && address_is_none(&x->peer_address))
		return false;
	return ip_strategy_address(&l->strategy, x, &a) && address_set_has(l->allowed, &a);
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct ip_allow_list *l = container_of(m, struct ip_allow_list, middleware);

	(void)state;
	if (is_allowed(l, x))
		return MW_CONTINUE;
	middleware_answer_status(x, l->status);
	return MW_ANSWERED;
}

static void destroy(struct middleware **m)
{
	struct ip_allow_list *l = container_of(*m, struct ip_allow_list, middleware);

	address_set_free(&l->allowed);
	ip_strategy_free(&l->strategy);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "ipAllowList",
	.on_request = on_request,
	.destroy = destroy,
};

static int fill(struct ip_allow_list *l, const struct dynamic_ip_list *options,
		struct weir_error *e)
{
	int64_t status = options->reject_status_code != 0 ? options->reject_status_code : 403;
	int r;

	if (options->source_range.count == 0)
		return error_set(e, -EINVAL, "sourceRange is empty, IPAllowLister not created");
	if (status < 200 || status > 599 || *status_text((int)status) == '\0')
		return error_set(e, -EINVAL,
				 "rejectStatusCode: invalid HTTP status code %lld, expected one "
				 "between 200 and 599",
				 (long long)status);
	l->status = (int)status;
	r = address_set_new(options->source_range.items, options->source_range.count, &l->allowed,
			    e);
	if (r < 0)
		error_prefix(e, "sourceRange: ");
	return r < 0 ? r : ip_strategy_init(&l->strategy, options->ip_strategy, e);
}

static int create(struct middleware **m, const struct dynamic_middleware *config,
		  const struct dynamic_ip_list *options, struct weir_error *e)
{
	struct ip_allow_list *l = middleware_new(sizeof *l, &class, config, e);
	int r;

	if (l == NULL)
		return -ENOMEM;
	*m = &l->middleware;
	r = fill(l, options, e);
	if (r < 0)
		destroy(m);
	return r;
}

int ip_allow_list_create(struct middleware **m, const struct dynamic_middleware *config,
			 const struct middleware_world *world, struct weir_error *e)
{
	(void)world;
	return create(m, config, config->ip_allow_list, e);
}

int ip_white_list_create(struct middleware **m, const struct dynamic_middleware *config,
			 const struct middleware_world *world, struct weir_error *e)
{
	(void)world;
	return create(m, config, config->ip_white_list, e);
}
