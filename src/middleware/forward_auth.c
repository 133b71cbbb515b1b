#include <errno.h>

#include "config/static.h"
#include "core/log.h"
#include "http/credentials.h"
#include "http/upstream.h"
#include "middleware/classes.h"
#include "middleware/client_tls.h"
#include "middleware/forward_auth_private.h"
#include "middleware/make.h"

/* Of all of the other server's answer, as Traefik. */
#define TIMEOUT_MS ((uint64_t)30000)

static struct forward_auth *self(struct middleware *m)
{
	return container_of(m, struct forward_auth, middleware);
}

static const struct shared_state_class counts_class = {
	.type = "forwardAuth",
	.bytes = sizeof(struct shared_state),
	.init = shared_state_init_nothing,
	.free = shared_state_free_nothing,
};

/* Whether one more may ask now. */
static bool enter(struct forward_auth_visit *v)
{
	struct shared_state_counters *c = &v->a->state->counters;

	shared_state_lock(v->a->state);
	v->counted = counter_get(&c->asking) < v->a->in_progress_max;
	counter_add(&c->asking, v->counted);
	counter_add(&c->asked, v->counted);
	shared_state_unlock(v->a->state);
	return v->counted;
}

/* Also of a request that never asked. */
static void leave(struct forward_auth_visit *v, bool failed, bool refused)
{
	struct shared_state_counters *c = &v->a->state->counters;

	if (!v->counted && !failed && !refused)
		return;
	shared_state_lock(v->a->state);
	counter_sub(&c->asking, v->counted);
	counter_add(&c->failed, failed);
	counter_add(&c->refused, refused);
	shared_state_unlock(v->a->state);
	v->counted = false;
}

/* Traefik's answers to what is no fault of the client have no body. */
static enum middleware_verdict answer(struct forward_auth_visit *v, int status)
{
	v->step = AUTH_OVER;
	leave(v, v->counted && status >= 500, !v->counted || status < 500);
	exchange_answer(v->x, status, (slice){NULL, 0}, false);
	if (status == 503 &&
	    fields_add_id(&v->x->response.fields, FIELD_RETRY_AFTER, SLICE("1")) < 0)
		return MW_FAILED;
	return MW_ANSWERED;
}

static enum middleware_verdict fail(struct forward_auth_visit *v, int code)
{
	log_debug_with((LOG_TEXT("middlewareName", v->a->middleware.name),
			LOG_STRING("error", strerror(-code))),
		       "The server that decides has not answered");
	if (code == -EFBIG)
		return answer(v, 401);
	return answer(v, code == -EBUSY || code == -EDQUOT ? 503 : 500);
}

static void on_request_body(struct body *b, void *consumer)
{
	struct forward_auth_visit *v = consumer;

	(void)b;
	OBJ_CHECK(v, FORWARD_AUTH_VISIT_MAGIC);
	exchange_resume(v->x);
}

/* Keeps what has arrived of the request's body. Returns 1 when that is all, 0, or a negative errno
 * value. */
static int keep(struct forward_auth_visit *v)
{
	struct body *b = v->request_in;

	while (b->bytes > 0) {
		slice front = body_front(b);
		int r = front.n > v->a->request_bytes_max - v->request_kept.n
				? -EFBIG
				: spool_add(&v->request_kept, front);

		if (r < 0)
			return r;
		body_take(b, front.n);
	}
	if (body_broken(b))
		return b->abort_code;
	return body_finished(b);
}

static void on_answered(struct inquiry *q)
{
	struct forward_auth_visit *v = container_of(q, struct forward_auth_visit, inquiry);

	OBJ_CHECK(v, FORWARD_AUTH_VISIT_MAGIC);
	v->step = AUTH_ANSWERED;
	exchange_resume(v->x);
}

/* The request goes on with the body that was kept. */
static void give_back_body(struct forward_auth_visit *v)
{
	struct exchange *x = v->x;

	if (v->request_in == NULL)
		return;
	body_set_consumer(v->request_in, NULL, NULL);
	(void)exchange_put_stage(x, &x->request_body, &v->request_out);
	replay_start(&v->replay, x->loop, &v->request_kept, NULL, &v->request_out,
		     v->request_in->trailers);
}

/* For the access log. */
static void note_user(struct forward_auth_visit *v)
{
	slice name = v->a->options->header_field;
	const struct field *f = name.n > 0 ? fields_find(&v->inquiry.response.fields, name) : NULL;

	if (f != NULL)
		v->x->user = f->value;
}

static enum middleware_verdict decide(struct forward_auth_visit *v)
{
	int status = v->inquiry.response.status;
	bool passes = status >= 200 && status < 300;

	if (v->inquiry.code < 0)
		return fail(v, v->inquiry.code);
	leave(v, false, !passes);
	v->step = AUTH_OVER;
	note_user(v);
	if (!passes)
		return forward_auth_refuse(v);
	give_back_body(v);
	return forward_auth_pass(v) == 0 ? MW_CONTINUE : MW_FAILED;
}

static enum middleware_verdict ask(struct forward_auth_visit *v)
{
	struct exchange *x = v->x;
	struct inquiry *q = &v->inquiry;
	struct client *client = upstream_client(v->a->upstream, x->loop);

	if (!enter(v))
		return answer(v, 503);
	if (client == NULL || forward_auth_compose(v) < 0)
		return MW_FAILED;
	q->loop = x->loop;
	q->arena = &x->arena;
	q->target = v->a->target;
	q->content = q->request.framing != FRAMING_NONE ? &v->request_kept : NULL;
	q->body_bytes_max = v->a->answer_bytes_max;
	q->timeout_ms = TIMEOUT_MS;
	q->queue_bytes = x->pool->limits.body_queue_bytes;
	q->answered = on_answered;
	v->step = AUTH_ASKING;
	inquiry_start(q, client);
	return v->step == AUTH_ANSWERED ? decide(v) : MW_PENDING;
}

/* The client's own fault: its body was malformed. */
static int status_of_body(int code)
{
	if (code == -EFBIG)
		return 401;
	if (code == -EDQUOT)
		return 503;
	return code == -EPROTO ? 400 : 500;
}

static enum middleware_verdict read_body(struct forward_auth_visit *v)
{
	int r = keep(v);

	if (r == 0)
		return MW_PENDING;
	if (r > 0)
		return ask(v);
	body_set_consumer(v->request_in, NULL, NULL);
	return answer(v, status_of_body(r));
}

static enum middleware_verdict begin(struct forward_auth_visit *v)
{
	struct exchange *x = v->x;
	const struct request *q = &x->request;

	if (!v->a->options->forward_body || q->framing == FRAMING_NONE)
		return ask(v);
	if (q->framing == FRAMING_LENGTH && q->content_length > v->a->request_bytes_max)
		return answer(v, 401);
	v->step = AUTH_READING;
	v->request_in = x->request_body;
	body_set_consumer(v->request_in, on_request_body, v);
	return read_body(v);
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct forward_auth_visit *v = state;

	switch (v->step) {
	case AUTH_NEW:
		v->magic = FORWARD_AUTH_VISIT_MAGIC;
		v->x = x;
		v->a = self(m);
		spool_init(&v->request_kept);
		return begin(v);
	case AUTH_READING:
		return read_body(v);
	case AUTH_ANSWERED:
		return decide(v);
	default:
		return MW_PENDING;
	}
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	(void)m;
	(void)x;
	return forward_auth_set_cookies(state) == 0 ? MW_CONTINUE : MW_FAILED;
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct forward_auth_visit *v = state;

	(void)m;
	(void)x;
	if (v->step == AUTH_NEW)
		return;
	OBJ_CHECK(v, FORWARD_AUTH_VISIT_MAGIC);
	leave(v, false, false);
	if (v->step == AUTH_READING)
		body_set_consumer(v->request_in, NULL, NULL);
	replay_stop(&v->replay);
	inquiry_stop(&v->inquiry);
	if (v->request_out.magic == BODY_MAGIC)
		body_free(&v->request_out);
	if (v->response_out.magic == BODY_MAGIC)
		body_free(&v->response_out);
	spool_free(&v->request_kept);
	v->magic = 0;
}

static void destroy(struct middleware **m)
{
	struct forward_auth *a = self(*m);

	upstream_release(&a->upstream);
	shared_state_release(&a->state);
	regex_free(&a->response_headers);
	arena_free(&a->arena);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "forwardAuth",
	.state_bytes = sizeof(struct forward_auth_visit),
	.on_request = on_request,
	.on_response = on_response,
	.on_end = on_end,
	/* Nobody is asked once the response has passed. */
	.detach = middleware_detach_nothing,
	.destroy = destroy,
};

/* What `tls` says must be right also where it is not needed. */
static int find_endpoint(struct forward_auth *a, const struct middleware_world *world, bool tls,
			 struct weir_error *e)
{
	struct client_options client = *world->client;
	struct tls_connector *connector = NULL;
	int r = 0;

	if (tls || a->options->tls != NULL)
		r = client_tls_connector(a->options->tls, &connector, e);
	if (r < 0)
		return r;
	client.tls = tls ? connector : NULL;
	r = upstream_get(&a->upstream, world->upstreams, a->address.host, a->address.port, &client);
	tls_connector_release(&connector);
	return r < 0 ? error_set(e, r, "out of memory") : 0;
}

static int set_address(struct forward_auth *a, const struct middleware_world *world,
		       struct weir_error *e)
{
	struct url *u = &a->address;
	int r = url_parse(a->options->address, u, e);
	bool tls = slice_equal_nocase(u->scheme, SLICE("https"));

	if (r < 0) {
		error_prefix(e, "address: ");
		return r;
	}
	if (!tls && !slice_equal_nocase(u->scheme, SLICE("http"))) {
		struct str shown = {0};

		url_add_hidden(&shown, a->options->address);
		(void)error_set(e, -EINVAL,
				"address \"%.*s\": scheme \"%.*s\", expected http or https",
				SLICE_ARG(str_slice(&shown)), SLICE_ARG(u->scheme));
		str_free(&shown);
		return -EINVAL;
	}
	a->target = arena_format(&a->arena, "%.*s%s%.*s",
				 SLICE_ARG(u->path.n > 0 ? u->path : SLICE("/")),
				 u->has_query ? "?" : "", SLICE_ARG(u->query));
	if (a->target.p == NULL || credentials_basic(u->userinfo, &a->arena, &a->authorization) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	return find_endpoint(a, world, tls, e);
}

/* Of the option, where -1 is any, and of the proxy's own limit. */
static uint64_t lower(int64_t option, int64_t limit)
{
	return (uint64_t)(option < 0 ? limit : MIN(option, limit));
}

static int fill(struct forward_auth *a, const struct dynamic_middleware *config,
		const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_forward_auth *o = config->forward_auth;
	int r = set_address(a, world, e);

	a->request_bytes_max = lower(o->max_body_size_bytes, world->limits->auth_body_bytes);
	a->answer_bytes_max =
		lower(o->max_response_body_size_bytes, world->limits->auth_body_bytes);
	a->in_progress_max = (uint64_t)world->limits->auth_requests;
	if (r == 0)
		r = middleware_check_value(o->auth_signin_url, "authSigninURL", e);
	if (r == 0 && o->auth_response_headers_regex.n > 0) {
		r = regex_compile(o->auth_response_headers_regex, NULL, &a->response_headers, e);
		if (r < 0)
			error_prefix(e, "authResponseHeadersRegex: ");
	}
	return r == 0 ? shared_state_get(&a->state, &counts_class, config, world, e) : r;
}

int forward_auth_create(struct middleware **m, const struct dynamic_middleware *config,
			const struct middleware_world *world, struct weir_error *e)
{
	struct forward_auth *a = middleware_new(sizeof *a, &class, config, e);
	int r;

	if (a == NULL)
		return -ENOMEM;
	*m = &a->middleware;
	a->options = config->forward_auth;
	arena_init(&a->arena, 4096, SIZE_MAX);
	r = fill(a, config, world, e);
	if (r < 0)
		destroy(m);
	return r;
}
