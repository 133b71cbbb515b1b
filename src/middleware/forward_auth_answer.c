#include <errno.h>

#include "config/dynamic.h"
#include "http/location.h"
#include "middleware/forward_auth_private.h"
#include "middleware/make.h"

/* How a message is framed and routed is not for another server to say. */
static bool is_framing(const struct field *f)
{
	return f->id == FIELD_HOST || f->id == FIELD_CONTENT_LENGTH ||
	       f->id == FIELD_TRANSFER_ENCODING || f->id == FIELD_TRAILER;
}

static bool is_listed(const struct dynamic_forward_auth *o, slice name)
{
	for (size_t i = 0; i < o->auth_response_headers.count; i++) {
		if (slice_equal_nocase(o->auth_response_headers.items[i], name))
			return true;
	}
	return false;
}

/* Whether the request gets fields of this name from the answer only. Returns 1, 0 or -ENOMEM. */
static int is_taken(const struct forward_auth_visit *v, const struct field *f)
{
	slice name;

	if (is_framing(f))
		return 0;
	if (is_listed(v->a->options, f->name))
		return 1;
	if (v->a->response_headers == NULL)
		return 0;
	name = field_canonical(&v->x->arena, f->name);
	return name.p != NULL ? regex_matches(v->a->response_headers, name) : -ENOMEM;
}

int forward_auth_pass(struct forward_auth_visit *v)
{
	struct fields *f = &v->x->request.fields, kept;
	const struct fields *answer = &v->inquiry.response.fields;
	int r = 0;

	fields_init(&kept, &v->x->arena);
	for (size_t i = 0; r >= 0 && i < f->count; i++) {
		r = is_taken(v, &f->list[i]);
		if (r == 0)
			r = fields_add_field(&kept, &f->list[i]);
	}
	for (size_t i = 0; r >= 0 && i < answer->count; i++) {
		r = is_taken(v, &answer->list[i]);
		if (r > 0)
			r = fields_add_field(&kept, &answer->list[i]);
	}
	if (r >= 0)
		*f = kept;
	return MIN(r, 0);
}

/* Those that Traefik removes of an answer; the others of the connection go where it is sent. */
static bool passes(const struct field *f)
{
	return f->id != FIELD_CONNECTION && f->id != FIELD_KEEP_ALIVE && f->id != FIELD_TE &&
	       f->id != FIELD_TRANSFER_ENCODING && f->id != FIELD_UPGRADE &&
	       f->id != FIELD_TRAILER && !slice_equal_nocase(f->name, FORWARD_AUTH_TRAILERS);
}

/* Returns 0, -ENOMEM, or -EINVAL for a Location that is no URL. */
static int set_location(struct forward_auth_visit *v)
{
	struct fields *f = &v->x->response.fields;
	slice text = fields_value_id(f, FIELD_LOCATION), location = {NULL, 0};
	int r;

	if (text.n == 0)
		return 0;
	if (v->a->options->preserve_location_header)
		r = location_normalize(text, &v->x->arena, &location);
	else
		r = location_resolve(text, &v->a->address, &v->x->arena, &location);
	if (r == 0 && location.n > 0)
		r = fields_set_id(f, FIELD_LOCATION, location);
	return r;
}

static void set_body(struct forward_auth_visit *v)
{
	struct exchange *x = v->x;
	const struct response *from = &v->inquiry.response;
	struct response *r = &x->response;

	if (from->framing == FRAMING_LENGTH && v->inquiry.request.method_id == METHOD_HEAD) {
		r->content_length = from->content_length;
		return;
	}
	r->content_length = v->inquiry.body.n;
	(void)exchange_put_stage(x, &x->response_body, &v->response_out);
	replay_start(&v->replay, x->loop, &v->inquiry.body, NULL, &v->response_out, NULL);
}

static enum middleware_verdict pass_on(struct forward_auth_visit *v)
{
	struct exchange *x = v->x;
	const struct response *from = &v->inquiry.response;
	int r = 0;

	exchange_answer(x, from->status, (slice){NULL, 0}, false);
	for (size_t i = 0; r == 0 && i < from->fields.count; i++) {
		if (passes(&from->fields.list[i]))
			r = fields_add_field(&x->response.fields, &from->fields.list[i]);
	}
	if (r == 0)
		r = set_location(v);
	if (r == -EINVAL) {
		exchange_answer(x, 500, (slice){NULL, 0}, false);
		return MW_ANSWERED;
	}
	x->response.reason = from->reason;
	set_body(v);
	return r == 0 ? MW_ANSWERED : MW_FAILED;
}

/* As Go's http.Redirect in a server that guesses no Content-Type: without a body. */
static enum middleware_verdict send_to_signin(struct forward_auth_visit *v)
{
	struct exchange *x = v->x;

	exchange_answer(x, 302, (slice){NULL, 0}, false);
	if (x->client_method == METHOD_HEAD)
		x->response.framing = FRAMING_NONE;
	return fields_add_id(&x->response.fields, FIELD_LOCATION, v->a->options->auth_signin_url) ==
			       0
		       ? MW_ANSWERED
		       : MW_FAILED;
}

enum middleware_verdict forward_auth_refuse(struct forward_auth_visit *v)
{
	if (v->inquiry.response.status == 401 && v->a->options->auth_signin_url.n > 0)
		return send_to_signin(v);
	return pass_on(v);
}

/* Whether a Set-Cookie line is of a cookie that the answer may set. */
static bool is_of_answer(const struct forward_auth_visit *v, slice line)
{
	const struct option_list *names = &v->a->options->add_auth_cookies_to_response;
	slice name = slice_first(line, slice_find(line, ';'));

	name = middleware_trim(slice_first(name, slice_find(name, '=')));
	for (size_t i = 0; i < names->count; i++) {
		if (slice_equal(names->items[i], name))
			return true;
	}
	return false;
}

static int add_cookies(const struct forward_auth_visit *v, const struct fields *from,
		       bool of_answer, struct fields *to)
{
	const struct field *line = fields_find_id(from, FIELD_SET_COOKIE);
	int r = 0;

	for (; r == 0 && line != NULL; line = fields_find_next(from, line)) {
		if (is_of_answer(v, line->value) == of_answer)
			r = fields_add_field(to, line);
	}
	return r;
}

int forward_auth_set_cookies(struct forward_auth_visit *v)
{
	struct fields *f = &v->x->response.fields, cookies;
	const struct fields *answer = &v->inquiry.response.fields;
	int r;

	if (v->a->options->add_auth_cookies_to_response.count == 0 ||
	    !fields_have(answer, FIELD_SET_COOKIE))
		return 0;
	fields_init(&cookies, &v->x->arena);
	r = add_cookies(v, f, false, &cookies);
	if (r == 0)
		r = add_cookies(v, answer, true, &cookies);
	if (r < 0)
		return r;
	(void)fields_remove_id(f, FIELD_SET_COOKIE);
	for (size_t i = 0; r == 0 && i < cookies.count; i++)
		r = fields_add_field(f, &cookies.list[i]);
	return r;
}
