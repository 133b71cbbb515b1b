#include "middleware/source.h"

#include <errno.h>

static int check(const struct dynamic_source_criterion *o, struct weir_error *e)
{
	if (o->ip_strategy != NULL && o->request_header_name.n > 0)
		return error_set(e, -EINVAL,
				 "iPStrategy and RequestHeaderName are mutually exclusive");
	if (o->ip_strategy != NULL && o->request_host)
		return error_set(e, -EINVAL, "iPStrategy and RequestHost are mutually exclusive");
	if (o->request_header_name.n > 0 && o->request_host)
		return error_set(e, -EINVAL,
				 "requestHost and RequestHeaderName are mutually exclusive");
	return 0;
}

int source_init(struct source *s, const struct dynamic_source_criterion *o, enum source_kind usual,
		struct weir_error *e)
{
	int r = o != NULL ? check(o, e) : 0;

	*s = (struct source){.kind = usual};
	if (r < 0)
		return r;
	if (o != NULL && o->request_host)
		s->kind = SOURCE_HOST;
	if (o != NULL && o->request_header_name.n > 0) {
		s->kind = SOURCE_HEADER;
		s->header = o->request_header_name;
	}
	if (o != NULL && o->ip_strategy != NULL)
		s->kind = SOURCE_ADDRESS;
	return ip_strategy_init(&s->ip, o != NULL ? o->ip_strategy : NULL, e);
}

void source_free(struct source *s)
{
	ip_strategy_free(&s->ip);
}

static slice address_key(const struct source *s, struct exchange *x)
{
	char text[ADDRESS_TEXT_BYTES];
	struct address a;
	slice said;

	if (ip_strategy_address(&s->ip, x, &a))
		return arena_copy(&x->arena, address_format(&a, text));
	/* What is no address is a source of its own. */
	said = ip_strategy_pick(&s->ip, fields_value_id(&x->request.fields, FIELD_X_FORWARDED_FOR));
	return said.p != NULL ? said : SLICE("");
}

slice source_key(const struct source *s, struct exchange *x)
{
	const struct field *line;

	switch (s->kind) {
	case SOURCE_HOST:
		return x->request.authority.p != NULL ? x->request.authority : SLICE("");
	case SOURCE_HEADER:
		line = fields_find(&x->request.fields, s->header);
		return line != NULL && line->value.p != NULL ? line->value : SLICE("");
	case SOURCE_ADDRESS:
		break;
	}
	return address_key(s, x);
}
