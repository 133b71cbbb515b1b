#include <errno.h>

#include "core/log.h"
#include "http/sniff.h"
#include "middleware/classes.h"
#include "middleware/compress_stage.h"
#include "middleware/make.h"
#include "middleware/media_type.h"

#define DEFAULT_MIN_BYTES 1024

struct compress {
	struct middleware middleware; /* first */
	struct compressions *all;
	uint64_t min_bytes;
	struct coding_offer offer;
	struct arena arena;
	/* At most one of the lists has any. Parameters do not count, as in Traefik. */
	slice *excluded, *included;
	size_t excluded_count, included_count;
};

/* The middleware's state in the exchange's arena. */
struct compression {
	struct exchange *x;
	struct task again;
	bool waiting; /* for the first bytes of the response */
	enum coding coding;
	bool gzip_refused; /* by Traefik's second look at Accept-Encoding */
	struct compress_stage stage;
};

static bool is_in(const slice *list, size_t count, slice name)
{
	for (size_t i = 0; i < count; i++) {
		if (slice_equal(list[i], name))
			return true;
	}
	return false;
}

/* What is sent by types that are left alone is left alone, too, and gRPC always. */
static bool is_request_excluded(const struct compress *c, struct exchange *x)
{
	slice text = fields_value_id(&x->request.fields, FIELD_CONTENT_TYPE);
	struct media_type t;

	if (text.n == 0)
		return false;
	/* Without memory it goes as it is. */
	if (media_type_parse(&x->arena, text, &t, NULL) == -ENOMEM)
		return true;
	return slice_equal(t.name, SLICE("application/grpc")) ||
	       is_in(c->excluded, c->excluded_count, t.name);
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct compress *c = container_of(m, struct compress, middleware);
	struct compression *p = state;

	p->x = x;
	if (x->request.method_id == METHOD_HEAD || is_request_excluded(c, x))
		return MW_CONTINUE;
	p->coding = accept_encoding_choose(&c->offer, &x->request.fields);
	p->gzip_refused = p->coding == CODING_GZIP && !accept_encoding_has_gzip(&x->request.fields);
	return MW_CONTINUE;
}

/* Before those that are there, as Traefik adds it. */
static int add_vary(struct fields *f)
{
	const struct field *line = fields_find_id(f, FIELD_VARY);
	slice *values = ARENA_ARRAY(f->arena, slice, f->count + 1);
	size_t count = 0;
	int r;

	if (values == NULL)
		return -ENOMEM;
	for (; line != NULL; line = fields_find_next(f, line))
		values[count++] = line->value;
	r = fields_set_id(f, FIELD_VARY, SLICE("Accept-Encoding"));
	for (size_t i = 0; r == 0 && i < count; i++)
		r = fields_add_id(f, FIELD_VARY, values[i]);
	return r;
}

/* The types that gzip sees are guessed where there is none; the others take those as they are. */
static bool is_type_wanted(const struct compress *c, struct exchange *x, enum coding coding,
			   slice head)
{
	slice text = fields_value_id(&x->response.fields, FIELD_CONTENT_TYPE);
	bool any = c->excluded_count == 0 && c->included_count == 0;
	struct media_type t;

	if (text.n == 0 && coding == CODING_GZIP && !any)
		text = sniff_content_type(head);
	if (text.n == 0 || (any && coding == CODING_GZIP))
		return true;
	/* Traefik's writer of gzip excludes only what it understands. */
	if (media_type_parse(&x->arena, text, &t, NULL) < 0)
		return coding == CODING_GZIP && c->included_count == 0;
	if (c->included_count > 0)
		return is_in(c->included, c->included_count, t.name);
	return !is_in(c->excluded, c->excluded_count, t.name);
}

/* What can be told by the head alone. */
static bool may_compress(const struct compress *c, struct exchange *x, struct compression *p)
{
	struct response *r = &x->response;

	if (p->gzip_refused || r->framing == FRAMING_NONE || r->status < 200 ||
	    status_has_no_body(r->status, x->client_method))
		return false;
	if (fields_value_id(&r->fields, FIELD_CONTENT_ENCODING).n > 0 ||
	    fields_find(&r->fields, SLICE("Content-Range")) != NULL)
		return false;
	if (p->coding == CODING_GZIP && fields_remove(&r->fields, SLICE("No-Gzip-Compression")) > 0)
		return false;
	return r->framing != FRAMING_LENGTH || r->content_length >= c->min_bytes;
}

/* Bytes in one piece are enough for a guess. */
static slice first_bytes(const struct body *b)
{
	return slice_first(body_front(b), SNIFF_BYTES);
}

/* As in Traefik, only gzip's writer knows what contentType would say. */
static bool must_name_type(const struct exchange *x, const struct compression *p)
{
	return x->guesses_type && p->coding == CODING_GZIP &&
	       !fields_have(&x->response.fields, FIELD_CONTENT_TYPE);
}

static int begin(const struct compress *c, struct exchange *x, struct compression *p)
{
	struct response *r = &x->response;
	bool eager = r->framing != FRAMING_LENGTH;
	slice head = first_bytes(x->response_body), type = SLICE("");
	int result;

	if (!is_type_wanted(c, x, p->coding, head))
		return 0;
	if (must_name_type(x, p))
		type = sniff_content_type(head);
	result = compress_stage_start(&p->stage, x, p->coding, eager, c->all);
	/* As it is, rather than not at all. */
	if (result < 0)
		return 0;
	if (type.n > 0 && fields_add_id(&r->fields, FIELD_CONTENT_TYPE, type) < 0)
		return -ENOMEM;
	r->framing = FRAMING_CHUNKED;
	r->content_length = 0;
	(void)fields_remove_id(&r->fields, FIELD_CONTENT_LENGTH);
	if (p->coding == CODING_GZIP)
		(void)fields_remove(&r->fields, SLICE("Accept-Ranges"));
	return fields_set_id(&r->fields, FIELD_CONTENT_ENCODING, coding_name(p->coding));
}

static void on_again(struct task *t)
{
	exchange_resume(container_of(t, struct compression, again)->x);
}

static void on_first_bytes(struct body *b, void *consumer)
{
	struct compression *p = consumer;

	(void)b;
	loop_defer(p->x->loop, &p->again);
}

static void stop_waiting(struct compression *p)
{
	if (!p->waiting)
		return;
	p->waiting = false;
	loop_cancel(p->x->loop, &p->again);
}

/* Whether a body has any bytes is known late where it does not say how many. */
static bool must_wait(const struct compress *c, const struct exchange *x,
		      const struct compression *p)
{
	const struct body *b = x->response_body;
	bool guess = (p->coding == CODING_GZIP && c->excluded_count + c->included_count > 0) ||
		     must_name_type(x, p);

	return b->bytes == 0 && b->state == BODY_OPEN &&
	       (x->response.framing != FRAMING_LENGTH || guess);
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	const struct compress *c = container_of(m, struct compress, middleware);
	struct compression *p = state;
	struct body *b = x->response_body;

	if (p->coding == CODING_NONE)
		return MW_CONTINUE;
	if (!p->waiting && add_vary(&x->response.fields) < 0)
		return MW_FAILED;
	if (!p->waiting && !may_compress(c, x, p))
		return MW_CONTINUE;
	if (must_wait(c, x, p)) {
		if (!p->waiting) {
			p->waiting = true;
			p->again.run = on_again;
			body_set_consumer(b, on_first_bytes, p);
		}
		if (must_wait(c, x, p))
			return MW_PENDING;
	}
	if (p->waiting)
		body_set_consumer(b, NULL, NULL);
	stop_waiting(p);
	if (b->bytes == 0 && (b->state != BODY_OPEN || x->response.framing != FRAMING_LENGTH))
		return MW_CONTINUE;
	return begin(c, x, p) == 0 ? MW_CONTINUE : MW_FAILED;
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct compression *p = state;

	(void)m;
	(void)x;
	stop_waiting(p);
	compress_stage_stop(&p->stage);
}

static void destroy(struct middleware **m)
{
	struct compress *c = container_of(*m, struct compress, middleware);

	arena_free(&c->arena);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "compress",
	.state_bytes = sizeof(struct compression),
	.on_request = on_request,
	.on_response = on_response,
	.on_end = on_end,
	.detach = middleware_detach_nothing,
	.destroy = destroy,
};

static int parse_types(struct compress *c, struct option_list list, slice **types, size_t *count,
		       const char *what, struct weir_error *e)
{
	*types = ARENA_ARRAY(&c->arena, slice, list.count + 1);
	if (*types == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < list.count; i++) {
		struct media_type t;
		int r = media_type_parse(&c->arena, list.items[i], &t, e);

		if (r < 0) {
			error_prefix(e, "parsing %s media type: ", what);
			error_suffix(e, ", found \"%.*s\"", SLICE_ARG(list.items[i]));
			return r;
		}
		(*types)[(*count)++] = t.name;
	}
	return 0;
}

static bool is_offered(const struct coding_offer *o, enum coding coding)
{
	bool found = false;

	for (size_t i = 0; i < o->count; i++)
		found |= o->list[i] == coding;
	return found;
}

static int make_offer(struct coding_offer *o, const struct dynamic_compress *options,
		      struct weir_error *e)
{
	for (size_t i = 0; i < options->encodings.count; i++) {
		enum coding coding = coding_of(options->encodings.items[i]);

		if (coding == CODING_NONE)
			return error_set(e, -EINVAL,
					 "unsupported encoding: %.*s, expected gzip, br or zstd",
					 SLICE_ARG(options->encodings.items[i]));
		if (!is_offered(o, coding))
			o->list[o->count++] = coding;
	}
	for (size_t i = CODING_NONE + 1; options->encodings.count == 0 && i < CODING_COUNT; i++)
		o->list[o->count++] = (enum coding)i;
	o->initial = coding_of(options->default_encoding);
	if (options->default_encoding.n > 0 && !is_offered(o, o->initial))
		return error_set(e, -EINVAL,
				 "unsupported default encoding: %.*s, expected one of encodings",
				 SLICE_ARG(options->default_encoding));
	return 0;
}

static int fill(struct compress *c, const struct dynamic_compress *options, struct weir_error *e)
{
	int r = make_offer(&c->offer, options, e);

	if (options->excluded_content_types.count > 0 && options->included_content_types.count > 0)
		return error_set(e, -EINVAL,
				 "excludedContentTypes and includedContentTypes options are "
				 "mutually exclusive");
	c->min_bytes = options->min_response_body_bytes > 0
			       ? (uint64_t)options->min_response_body_bytes
			       : DEFAULT_MIN_BYTES;
	if (r == 0)
		r = parse_types(c, options->excluded_content_types, &c->excluded,
				&c->excluded_count, "excluded", e);
	if (r == 0)
		r = parse_types(c, options->included_content_types, &c->included,
				&c->included_count, "included", e);
	return r;
}

int compress_create(struct middleware **m, const struct dynamic_middleware *config,
		    const struct middleware_world *world, struct weir_error *e)
{
	struct compress *c = middleware_new(sizeof *c, &class, config, e);
	int r;

	if (c == NULL)
		return -ENOMEM;
	*m = &c->middleware;
	c->all = world->compressions;
	arena_init(&c->arena, 4096, SIZE_MAX);
	r = fill(c, config->compress, e);
	if (r < 0)
		destroy(m);
	return r;
}
