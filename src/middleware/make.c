#include "middleware/make.h"

#include <errno.h>
#include <stdlib.h>

#include "http/exchange.h"

void *middleware_new(size_t size, const struct middleware_class *class,
		     const struct dynamic_middleware *config, struct weir_error *e)
{
	struct middleware *m = calloc(1, size);

	if (m == NULL) {
		(void)error_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	*m = (struct middleware){MIDDLEWARE_MAGIC, class, config->object.name};
	return m;
}

void middleware_free(struct middleware **m)
{
	struct middleware *taken;

	OBJ_TAKE(taken, m, MIDDLEWARE_MAGIC);
	taken->magic = 0;
	free(taken);
}

void middleware_answer_error(struct exchange *x, int status)
{
	slice text = arena_format(&x->arena, "%s\n", status_text(status));

	exchange_answer(x, status, text, true);
}

void middleware_answer_status(struct exchange *x, int status)
{
	exchange_answer(x, status, slice_from(status_text(status)), false);
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

slice middleware_trim(slice s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = slice_from_at(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

int middleware_check_value(slice value, const char *option, struct weir_error *e)
{
	if (field_is_value(value))
		return 0;
	return error_set(e, -EINVAL, "%s: \"%.*s\" holds a character that no header field may have",
			 option, SLICE_ARG(value));
}
