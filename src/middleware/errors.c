#include <errno.h>

#include "core/arena.h"
#include "http/exchange.h"
#include "http/location.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/status_list.h"

struct rewrite {
	struct status_list from;
	int to;
};

struct errors {
	struct middleware middleware; /* first */
	const struct dynamic_errors *options;
	struct arena arena;
	struct status_list statuses;
	struct rewrite *rewrites;
	const struct chain *pages; /* its generation's */
};

/* In the exchange's arena, zeroed. */
struct errors_visit {
	bool begun;
	int caught; /* the status that is replaced; 0: none yet */
	int status; /* that the client gets instead */
	slice reason;
	struct request failed; /* which those outside know; its fields are nobody else's */
	/* As they were outside of the service, which adds this hop to them, of plugins, which join
	 * them to the response, and of all who put bodies of theirs into the way. */
	struct body *request_body;
	slice forwarded_for;
	struct fields early_fields;
	struct body no_body;
};

static struct errors *self(struct middleware *m)
{
	return container_of(m, struct errors, middleware);
}

/* Go's url.QueryEscape. */
static void add_escaped(struct str *to, slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);

		if ((c >= 'a' && c <= 'z') || ascii_digit(c) || (c != '\0' && strchr("-_.~", c)))
			str_add_char(to, s.p[i]);
		else if (c == ' ')
			str_add_char(to, '+');
		else
			str_format(to, "%%%02X", (unsigned char)s.p[i]);
	}
}

static bool skip(slice *rest, slice word)
{
	if (!slice_starts(*rest, word))
		return false;
	*rest = slice_from_at(*rest, word.n);
	return true;
}

static void add_query(struct str *to, const struct errors_visit *v, slice query, slice url)
{
	while (query.n > 0) {
		if (skip(&query, SLICE("{status}"))) {
			str_format(to, "%d", v->status);
		} else if (skip(&query, SLICE("{originalStatus}"))) {
			str_format(to, "%d", v->caught);
		} else if (skip(&query, SLICE("{url}"))) {
			add_escaped(to, url);
		} else {
			str_add_char(to, query.p[0]);
			query = slice_from_at(query, 1);
		}
	}
}

/* The request's URL as the client knows it. `p` is NULL when the arena is full. */
static slice make_url(struct exchange *x)
{
	struct request *q = &x->request;
	slice proto = fields_value_id(&q->fields, FIELD_X_FORWARDED_PROTO), target;

	if (proto.n == 0)
		proto = x->tls ? SLICE("https") : SLICE("http");
	q->has_query = q->has_query && q->query.n > 0;
	target = exchange_target(x);
	if (target.p == NULL)
		return target;
	/* An empty path stays empty. */
	if (q->path.n == 0)
		target = slice_from_at(target, 1);
	return arena_format(&x->arena, "%.*s://%.*s%s%.*s", SLICE_ARG(proto),
			    SLICE_ARG(q->authority),
			    q->path.n == 0 || q->path.p[0] == '/' ? "" : "/", SLICE_ARG(target));
}

#define ORIGIN "http://h"

/* Where the page is. Returns 0, -ENOMEM, or -EINVAL where that is no URL. */
static int set_target(const struct errors *p, const struct errors_visit *v, struct exchange *x)
{
	struct request *q = &x->request;
	slice query = p->options->query, url = make_url(x), target;
	struct str text = {0};
	int r = -ENOMEM;

	str_add(&text, SLICE(ORIGIN "/"));
	add_query(&text, v, slice_from_at(query, slice_starts(query, SLICE("/"))), url);
	if (!text.failed && url.p != NULL)
		r = location_normalize(str_slice(&text), &x->arena, &target);
	str_free(&text);
	if (r < 0)
		return r;
	target = slice_from_at(target, sizeof ORIGIN - 1);
	target = slice_first(target, slice_find(target, '#'));
	q->path = slice_first(target, slice_find(target, '?'));
	q->has_query = q->path.n < target.n;
	q->query = slice_from_at(target, q->path.n + 1);
	q->target = target;
	return 0;
}

static bool is_listed(struct option_list names, slice name)
{
	for (size_t i = 0; i < names.count; i++) {
		if (slice_equal_nocase(names.items[i], name))
			return true;
	}
	return false;
}

/* What says how the body that is not there comes, and to whom. */
#define OF_THE_MESSAGE \
	(FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONTENT_LENGTH) | \
	 FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_TRAILER) | \
	 FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_UPGRADE) | \
	 FIELD_BIT(FIELD_X_FORWARDED_FOR))

static int set_fields(const struct errors *p, const struct errors_visit *v, struct request *q)
{
	struct option_list names = p->options->error_request_headers;
	struct fields all = q->fields;
	int r = 0;

	fields_init(&q->fields, all.arena);
	for (size_t i = 0; r == 0 && i < all.count; i++) {
		const struct field *f = &all.list[i];

		if (f->id != FIELD_OTHER && (OF_THE_MESSAGE & FIELD_BIT(f->id)) != 0)
			continue;
		if (names.items == NULL || is_listed(names, f->name))
			r = fields_add_field(&q->fields, f);
	}
	if (r == 0 && v->forwarded_for.p != NULL &&
	    (names.items == NULL || is_listed(names, field_name(FIELD_X_FORWARDED_FOR))))
		r = fields_add_id(&q->fields, FIELD_X_FORWARDED_FOR, v->forwarded_for);
	return r;
}

/* The request for the page, in the place of the one that has failed. */
static enum middleware_verdict ask(const struct errors *p, struct errors_visit *v,
				   struct exchange *x)
{
	struct request *q = &x->request;
	int r;

	v->failed = *q;
	r = set_target(p, v, x);
	if (r == -EINVAL) {
		middleware_answer_error(x, v->status);
		x->response.reason = v->reason;
		return MW_ANSWERED;
	}
	if (r == 0)
		r = set_fields(p, v, q);
	if (r < 0)
		return MW_FAILED;
	q->method = SLICE("GET");
	q->method_id = METHOD_GET;
	q->framing = FRAMING_NONE;
	q->content_length = 0;
	q->expect_continue = q->upgrade = false;
	x->early_fields = v->early_fields;
	/* The peer asks for something else. */
	x->forwarded_for_dropped = true;
	body_set_consumer(v->request_body, NULL, NULL);
	(void)exchange_put_stage(x, &x->request_body, &v->no_body);
	body_end(&v->no_body);
	return MW_CONTINUE;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct errors_visit *v = state;

	if (v->begun)
		return ask(self(m), v, x);
	v->begun = true;
	v->request_body = x->request_body;
	v->forwarded_for = fields_value_id(&x->request.fields, FIELD_X_FORWARDED_FOR);
	return fields_copy(&v->early_fields, &x->early_fields) == 0 ? MW_CONTINUE : MW_FAILED;
}

static int rewritten(const struct errors *p, int status)
{
	for (size_t i = 0; i < p->options->status_rewrites.count; i++) {
		if (status_list_has(&p->rewrites[i].from, status))
			return p->rewrites[i].to;
	}
	return status;
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	const struct errors *p = self(m);
	struct errors_visit *v = state;
	struct response *r = &x->response;

	if (v->caught != 0) {
		x->request = v->failed;
		r->status = v->status;
		r->reason = v->reason;
		return MW_CONTINUE;
	}
	if (r->status < 200 || !status_list_has(&p->statuses, r->status))
		return MW_CONTINUE;
	v->caught = r->status;
	v->status = rewritten(p, r->status);
	if (v->status == v->caught)
		v->reason = r->reason;
	return exchange_divert(x, p->pages) < 0 ? MW_FAILED : MW_AGAIN;
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct errors_visit *v = state;

	(void)m;
	(void)x;
	if (v->no_body.magic == BODY_MAGIC)
		body_free(&v->no_body);
}

static void destroy(struct middleware **m)
{
	arena_free(&self(*m)->arena);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "errors",
	.state_bytes = sizeof(struct errors_visit),
	.on_request = on_request,
	.on_response = on_response,
	.on_end = on_end,
	.detach = middleware_detach_nothing,
	.destroy = destroy,
};

static int parse_rewrites(struct errors *p, struct weir_error *e)
{
	struct option_int_pairs pairs = p->options->status_rewrites;

	p->rewrites = ARENA_ARRAY(&p->arena, struct rewrite, pairs.count);
	if (p->rewrites == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < pairs.count; i++) {
		const struct option_int_pair *pair = &pairs.items[i];
		struct option_list one = {&pair->key, 1};
		int r = status_list_parse(&p->rewrites[i].from, one, &p->arena, e);

		if (r == 0 && (pair->value < 200 || pair->value > 999))
			r = error_set(e, -EINVAL, "%lld, expected a status from 200 to 999",
				      (long long)pair->value);
		if (r < 0) {
			error_prefix(e, "statusRewrites: ");
			return r;
		}
		p->rewrites[i].to = (int)pair->value;
	}
	return 0;
}

int errors_create(struct middleware **m, const struct dynamic_middleware *config,
		  const struct middleware_world *world, struct weir_error *e)
{
	struct errors *p = middleware_new(sizeof *p, &class, config, e);
	int r;

	if (p == NULL)
		return -ENOMEM;
	*m = &p->middleware;
	p->options = config->errors;
	arena_init(&p->arena, 1024, SIZE_MAX);
	r = status_list_parse(&p->statuses, p->options->status, &p->arena, e);
	if (r == 0)
		r = parse_rewrites(p, e);
	if (r == 0)
		r = world->find_service(world->services, &p->pages, p->options->service, e);
	if (r < 0)
		destroy(m);
	return r;
}
