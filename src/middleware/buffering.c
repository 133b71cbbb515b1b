#include <errno.h>

#include "core/log.h"
#include "http/kept_body.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/predicate.h"

/* As vulcand/oxy, whatever the expression says. */
#define REPETITIONS_MAX 10

/* X(NAME, name in conditions, type) */
#define FUNCTIONS(X) \
	X(ATTEMPTS, "Attempts", PREDICATE_INTEGER) \
	X(METHOD, "RequestMethod", PREDICATE_STRING) \
	X(NETWORK, "IsNetworkError", PREDICATE_BOOLEAN) \
	X(STATUS, "ResponseCode", PREDICATE_INTEGER)

enum function {
#define X(id, name, result) FUNCTION_##id,
	FUNCTIONS(X)
#undef X
};

static const struct predicate_function functions[] = {
#define X(id, name, result) {{name, sizeof(name) - 1}, result, 0, PREDICATE_INTEGER},
	FUNCTIONS(X)
#undef X
};

static const struct predicate_language language = {"buffer", false, functions,
						   ARRAY_LEN(functions)};

struct buffering {
	struct middleware middleware; /* first */
	struct kept_body_limits request, response;
	struct predicate *again; /* NULL: never */
};

/* The middleware's state in the exchange's arena. */
struct buffering_visit {
	struct exchange_mark mark;
	bool marked;
	unsigned attempts;
	struct kept_body request, response; /* begun if there is a body */
};

static struct buffering *self(struct middleware *m)
{
	return container_of(m, struct buffering, middleware);
}

static bool has_body(const struct request *q)
{
	return q->framing == FRAMING_CHUNKED ||
	       (q->framing == FRAMING_LENGTH && q->content_length > 0);
}

/* Whoever is at fault. */
static int status_of_request(int error)
{
	switch (error) {
	case -EFBIG:
		return 413;
	case -EPROTO:
		return 400;
	case -ETIMEDOUT:
		return 504;
	case -EDQUOT:
		return 503;
	default:
		return 500;
	}
}

static int status_of_response(int error)
{
	switch (error) {
	case -EDQUOT:
		return 503;
	case -EFBIG:
	case -ENOMEM:
	case -ENOSPC:
		return 500;
	default:
		return 502;
	}
}

static void tell(const struct middleware *m, const char *what, int error)
{
	log_debug_with((LOG_TEXT("middlewareName", m->name), LOG_STRING("middlewareType", "Buffer"),
			LOG_STRING("error", strerror(-error))),
		       "%s could not be kept", what);
}

/* The body is complete, so that its length is known, and there is nothing else to be said of how it
 * comes. Returns 0 or -ENOMEM. */
static int set_length(struct exchange *x, uint64_t n)
{
	struct request *q = &x->request;
	slice text;

	(void)fields_remove_id(&q->fields, FIELD_CONTENT_LENGTH);
	(void)fields_remove_id(&q->fields, FIELD_TRANSFER_ENCODING);
	(void)fields_remove_id(&q->fields, FIELD_TRAILER);
	q->framing = n > 0 ? FRAMING_LENGTH : FRAMING_NONE;
	q->content_length = n;
	if (n == 0)
		return 0;
	text = arena_format(&x->arena, "%llu", (unsigned long long)n);
	return text.p == NULL ? -ENOMEM : fields_add_id(&q->fields, FIELD_CONTENT_LENGTH, text);
}

/* Reads the body of the request. Returns 0 when it is here, or as `kept_body_collect`. */
static int collect_request(const struct buffering *b, struct exchange *x, struct buffering_visit *v)
{
	const struct request *q = &x->request;
	int r;

	if (!has_body(q))
		return 0;
	if (q->framing == FRAMING_LENGTH && q->content_length > b->request.bytes_max)
		return -EFBIG;
	if (v->request.magic == 0)
		kept_body_begin(&v->request, x, x->request_body, &b->request);
	r = kept_body_collect(&v->request);
	return r < 0 ? r : set_length(x, v->request.bytes.n);
}

/* The request as it goes in, for the first time or again. Returns 0 or -ENOMEM. */
static int go_in(struct exchange *x, struct buffering_visit *v)
{
	int r = v->marked ? exchange_restore(x, &v->mark) : exchange_mark(x, &v->mark);

	v->marked = true;
	v->attempts++;
	x->drops_interim = true;
	kept_body_end(&v->response);
	if (has_body(&x->request))
		kept_body_deliver(&v->request, &x->request_body, false, NULL);
	return r;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct buffering_visit *v = state;
	int r = v->marked ? 0 : collect_request(self(m), x, v);

	if (r == -EAGAIN)
		return MW_PENDING;
	if (r < 0) {
		tell(m, "Request", r);
		middleware_answer_status(x, status_of_request(r));
		return MW_ANSWERED;
	}
	return go_in(x, v) < 0 ? MW_FAILED : MW_CONTINUE;
}

struct outcome {
	const struct exchange *x;
	const struct buffering_visit *v;
};

static void look(void *context, unsigned function, const struct predicate_value *arguments,
		 struct predicate_value *value)
{
	const struct outcome *o = context;
	int status = o->x->response.status;

	(void)arguments;
	switch ((enum function)function) {
	case FUNCTION_ATTEMPTS:
		value->integer = o->v->attempts;
		break;
	case FUNCTION_METHOD:
		value->string = o->v->mark.request.method;
		break;
	case FUNCTION_NETWORK:
		value->boolean = status == 502 || status == 504;
		break;
	case FUNCTION_STATUS:
		value->integer = status;
		break;
	}
}

static enum middleware_verdict judge(const struct buffering *b, struct exchange *x,
				     struct buffering_visit *v)
{
	struct outcome o = {x, v};

	if (b->again == NULL || v->attempts > REPETITIONS_MAX ||
	    !predicate_holds(b->again, look, &o))
		return MW_CONTINUE;
	return MW_AGAIN;
}

/* Reads the body of the response, and puts it in its place. As `kept_body_collect`. */
static int collect_response(const struct buffering *b, struct exchange *x,
			    struct buffering_visit *v)
{
	struct response *q = &x->response;
	bool trailers;
	int r;

	if (status_has_no_body(q->status, x->client_method))
		return 0;
	if (v->response.magic == 0) {
		if (q->framing == FRAMING_NONE && x->response_body->state == BODY_OPEN)
			body_end(x->response_body);
		kept_body_begin(&v->response, x, x->response_body, &b->response);
	}
	r = kept_body_collect(&v->response);
	if (r < 0)
		return r;
	trailers = x->response_trailers.count > 0;
	q->framing = trailers ? FRAMING_CHUNKED : FRAMING_LENGTH;
	q->content_length = v->response.bytes.n;
	kept_body_deliver(&v->response, &x->response_body, false,
			  trailers ? &x->response_trailers : NULL);
	return 0;
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	struct buffering_visit *v = state;
	int r = collect_response(self(m), x, v);

	if (r == -EAGAIN)
		return MW_PENDING;
	if (r < 0) {
		tell(m, "Response", r);
		middleware_answer_status(x, status_of_response(r));
	}
	/* What is too long now would be so again. */
	return r == -EFBIG ? MW_ANSWERED : judge(self(m), x, v);
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct buffering_visit *v = state;

	(void)m;
	(void)x;
	kept_body_end(&v->request);
	kept_body_end(&v->response);
}

static void destroy(struct middleware **m)
{
	predicate_free(&self(*m)->again);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "buffering",
	.state_bytes = sizeof(struct buffering_visit),
	.on_request = on_request,
	.on_response = on_response,
	.on_end = on_end,
	.detach = middleware_detach_nothing,
	.destroy = destroy,
};

static int fill_limits(struct kept_body_limits *to, int64_t memory_bytes, int64_t bytes_max,
		       struct weir_error *e)
{
	if (memory_bytes < 0)
		return error_set(e, -EINVAL, "mem bytes should be >= 0 got %lld",
				 (long long)memory_bytes);
	if (bytes_max < 0)
		return error_set(e, -EINVAL, "max bytes should be >= 0 got %lld",
				 (long long)bytes_max);
	*to = (struct kept_body_limits){.memory_bytes = (size_t)memory_bytes,
					.bytes_max =
						bytes_max > 0 ? (uint64_t)bytes_max : UINT64_MAX};
	return 0;
}

static int fill(struct buffering *b, const struct dynamic_buffering *o, struct weir_error *e)
{
	int r = fill_limits(&b->request, o->mem_request_body_bytes, o->max_request_body_bytes, e);

	if (r == 0)
		r = fill_limits(&b->response, o->mem_response_body_bytes,
				o->max_response_body_bytes, e);
	if (r == 0 && o->retry_expression.n > 0)
		r = predicate_compile(&b->again, o->retry_expression, &language, e);
	return r;
}

int buffering_create(struct middleware **m, const struct dynamic_middleware *config,
		     const struct middleware_world *world, struct weir_error *e)
{
	struct buffering *b = middleware_new(sizeof *b, &class, config, e);
	int r;

	(void)world;
	if (b == NULL)
		return -ENOMEM;
	*m = &b->middleware;
	r = fill(b, config->buffering, e);
	if (r < 0)
		destroy(m);
	return r;
}
