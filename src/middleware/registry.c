#include "middleware/registry.h"

#include <errno.h>

#include "middleware/plugin.h"

typedef int create_fn(struct middleware **m, const struct dynamic_middleware *config,
		      const struct middleware_world *world, struct weir_error *e);

static const struct {
	slice type;
	create_fn *create;
} types[] = {
	{{"plugin", 6}, plugin_middleware_create},
};

int middleware_create(struct middleware **m, const struct dynamic_middleware *config,
		      const struct middleware_world *world, struct weir_error *e)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (slice_equal(types[i].type, config->type))
			return types[i].create(m, config, world, e);
	}
	return error_set(e, -ENOTSUP, "middleware type \"%.*s\" is not available yet",
			 SLICE_ARG(config->type));
}

void middleware_destroy(struct middleware **m)
{
	if (*m == NULL)
		return;
	OBJ_CHECK(*m, MIDDLEWARE_MAGIC);
	(*m)->class->destroy(m);
}
