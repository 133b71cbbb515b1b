#include <errno.h>

#include "middleware/headers_private.h"
#include "middleware/make.h"

#define REQUEST_METHOD SLICE("Access-Control-Request-Method")
#define REQUEST_HEADERS SLICE("Access-Control-Request-Headers")
#define ALLOW_CREDENTIALS SLICE("Access-Control-Allow-Credentials")
#define ALLOW_HEADERS SLICE("Access-Control-Allow-Headers")
#define ALLOW_METHODS SLICE("Access-Control-Allow-Methods")
#define ALLOW_ORIGIN SLICE("Access-Control-Allow-Origin")
#define EXPOSE_HEADERS SLICE("Access-Control-Expose-Headers")
#define MAX_AGE SLICE("Access-Control-Max-Age")

static bool has_star(struct option_list list)
{
	for (size_t i = 0; i < list.count; i++) {
		if (slice_equal(list.items[i], SLICE("*")))
			return true;
	}
	return false;
}

static int compile_origins(struct headers_cors *c, struct option_list list, struct arena *arena,
			   struct weir_error *e)
{
	c->origin_regexes = ARENA_ARRAY(arena, struct regex *, list.count);
	if (c->origin_regexes == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (; c->origin_regex_count < list.count; c->origin_regex_count++) {
		int r = regex_compile(list.items[c->origin_regex_count], NULL,
				      &c->origin_regexes[c->origin_regex_count], e);

		if (r < 0) {
			error_prefix(e, "error occurred during origin parsing: ");
			return r;
		}
	}
	return 0;
}

static int check_values(const struct headers_cors *c, struct weir_error *e)
{
	int r = middleware_check_value(c->headers, "accessControlAllowHeaders", e);

	if (r == 0)
		r = middleware_check_value(c->methods, "accessControlAllowMethods", e);
	if (r == 0)
		r = middleware_check_value(c->expose, "accessControlExposeHeaders", e);
	for (size_t i = 0; r == 0 && i < c->origins.count; i++)
		r = middleware_check_value(c->origins.items[i], "accessControlAllowOriginList", e);
	return r;
}

int headers_cors_init(struct headers_cors *c, const struct dynamic_headers *o, struct arena *arena,
		      struct weir_error *e)
{
	*c = (struct headers_cors){.credentials = o->access_control_allow_credentials,
				   .any_header = has_star(o->access_control_allow_headers),
				   .any_method = has_star(o->access_control_allow_methods),
				   .headers = headers_join(arena, o->access_control_allow_headers),
				   .methods = headers_join(arena, o->access_control_allow_methods),
				   .expose = headers_join(arena, o->access_control_expose_headers),
				   .origins = o->access_control_allow_origin_list,
				   .vary = o->add_vary_header};
	if (o->access_control_max_age != OPTION_NOT_GIVEN)
		c->max_age = arena_format(arena, "%lld", (long long)o->access_control_max_age);
	c->defined = c->credentials || c->vary || c->max_age.p != NULL ||
		     o->access_control_allow_headers.count > 0 ||
		     o->access_control_allow_methods.count > 0 ||
		     o->access_control_expose_headers.count > 0 || c->origins.count > 0 ||
		     o->access_control_allow_origin_list_regex.count > 0;
	if (c->headers.p == NULL || c->methods.p == NULL || c->expose.p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	/* Browsers do not take a star together with credentials. */
	if (c->credentials && has_star(o->access_control_expose_headers))
		c->expose.n = 0;
	if (check_values(c, e) < 0)
		return -EINVAL;
	return compile_origins(c, o->access_control_allow_origin_list_regex, arena, e);
}

void headers_cors_free(struct headers_cors *c)
{
	for (size_t i = 0; i < c->origin_regex_count; i++)
		regex_free(&c->origin_regexes[i]);
	c->origin_regex_count = 0;
}

/* What to allow this origin, or `p` NULL. */
static slice match_origin(const struct headers_cors *c, slice origin)
{
	if (origin.p == NULL)
		origin = SLICE("");
	for (size_t i = 0; i < c->origins.count; i++) {
		slice item = c->origins.items[i];

		if (slice_equal(item, origin))
			return item;
		if (slice_equal(item, SLICE("*")))
			return c->credentials ? origin : item;
	}
	for (size_t i = 0; i < c->origin_regex_count; i++) {
		if (regex_matches(c->origin_regexes[i], origin))
			return origin;
	}
	return (slice){NULL, 0};
}

static slice first_value(const struct fields *f, slice name)
{
	const struct field *line = fields_find(f, name);

	return line != NULL ? line->value : (slice){NULL, 0};
}

static int set_unless_empty(struct fields *f, slice name, slice value)
{
	return value.n > 0 ? fields_set(f, name, value) : 0;
}

static int set_origin(const struct headers_cors *c, struct exchange *x)
{
	slice origin = fields_value_id(&x->request.fields, FIELD_ORIGIN);
	slice allowed = match_origin(c, origin);

	return allowed.p != NULL ? fields_set(&x->response.fields, ALLOW_ORIGIN, allowed) : 0;
}

bool headers_cors_preflight(const struct headers_cors *c, struct exchange *x,
			    enum middleware_verdict *verdict)
{
	const struct fields *asked = &x->request.fields;
	slice method = first_value(asked, REQUEST_METHOD);
	struct fields *f = &x->response.fields;
	int r = 0;

	if (!c->defined || x->request.method_id != METHOD_OPTIONS || method.n == 0 ||
	    fields_value_id(asked, FIELD_ORIGIN).n == 0)
		return false;
	exchange_answer(x, 200, (slice){NULL, 0}, false);
	if (c->credentials)
		r = fields_set(f, ALLOW_CREDENTIALS, SLICE("true"));
	if (r == 0)
		r = set_unless_empty(f, ALLOW_HEADERS,
				     c->any_header && c->credentials
					     ? first_value(asked, REQUEST_HEADERS)
					     : c->headers);
	if (r == 0)
		r = set_unless_empty(f, ALLOW_METHODS,
				     c->any_method && c->credentials ? method : c->methods);
	if (r == 0)
		r = set_origin(c, x);
	if (r == 0)
		r = set_unless_empty(f, MAX_AGE, c->max_age);
	if (r == 0)
		r = set_unless_empty(f, EXPOSE_HEADERS, c->expose);
	*verdict = r == 0 ? MW_ANSWERED : MW_FAILED;
	return true;
}

/* As Traefik: only the first line counts, and becomes the only one. */
static int add_vary(struct exchange *x)
{
	struct fields *f = &x->response.fields;
	slice now = fields_value_id(f, FIELD_VARY), both;

	if (slice_equal(now, SLICE("Origin")))
		return 0;
	if (now.n == 0)
		return fields_set_id(f, FIELD_VARY, SLICE("Origin"));
	both = arena_format(&x->arena, "%.*s,Origin", SLICE_ARG(now));
	return both.p != NULL ? fields_set_id(f, FIELD_VARY, both) : -ENOMEM;
}

int headers_cors_respond(const struct headers_cors *c, struct exchange *x)
{
	struct fields *f = &x->response.fields;
	int r = set_origin(c, x);

	if (r == 0 && c->credentials)
		r = fields_set(f, ALLOW_CREDENTIALS, SLICE("true"));
	if (r == 0)
		r = set_unless_empty(f, EXPOSE_HEADERS, c->expose);
	return r == 0 && c->vary ? add_vary(x) : r;
}
