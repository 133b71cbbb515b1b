#include "middleware/registry.h"

#include <errno.h>

#include "middleware/classes.h"

static const struct {
	slice type;
	middleware_create_fn *create;
} types[] = {
#define X(type, prefix) {{type, sizeof(type) - 1}, prefix##_create},
	MIDDLEWARE_CLASSES(X)
#undef X
};

int middleware_create(struct middleware **m, const struct dynamic_middleware *config,
		      const struct middleware_world *world, struct weir_error *e)
{
	*m = NULL;
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
