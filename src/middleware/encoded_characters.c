#include <errno.h>

#include "http/exchange.h"
#include "http/path.h"
#include "middleware/classes.h"
#include "middleware/make.h"

struct encoded_characters {
	struct middleware middleware; /* first */
	unsigned denied;              /* enum path_encoded */
};

/* As the option of the same name of entry points answers. */
static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct encoded_characters *c = container_of(m, struct encoded_characters, middleware);

	(void)state;
	if (!path_is_denied(x->request.path, c->denied))
		return MW_CONTINUE;
	exchange_answer(x, 400, (slice){NULL, 0}, false);
	return MW_ANSWERED;
}

static const struct middleware_class class = {
	.name = "encodedCharacters",
	.on_request = on_request,
	.destroy = middleware_free,
};

static unsigned denied_characters(const struct dynamic_encoded_characters *c)
{
	return (c->slash ? 0 : PATH_ENCODED_SLASH) | (c->back_slash ? 0 : PATH_ENCODED_BACKSLASH) |
	       (c->null_character ? 0 : PATH_ENCODED_NULL) |
	       (c->semicolon ? 0 : PATH_ENCODED_SEMICOLON) |
	       (c->percent ? 0 : PATH_ENCODED_PERCENT) |
	       (c->question_mark ? 0 : PATH_ENCODED_QUESTION_MARK) |
	       (c->hash ? 0 : PATH_ENCODED_HASH);
}

int encoded_characters_create(struct middleware **m, const struct dynamic_middleware *config,
			      const struct middleware_world *world, struct weir_error *e)
{
	struct encoded_characters *c = middleware_new(sizeof *c, &class, config, e);

	(void)world;
	if (c == NULL)
		return -ENOMEM;
	c->denied = denied_characters(config->encoded_characters);
	*m = &c->middleware;
	return 0;
}
