#include <errno.h>

#include "middleware/plugin_private.h"
#include "middleware/plugin_rules.h"

static int set_request_length(struct plugin_visit *v, uint64_t n)
{
	struct request *q = &v->x->request;
	slice text;

	(void)fields_remove_id(&q->fields, FIELD_CONTENT_LENGTH);
	(void)fields_remove_id(&q->fields, FIELD_TRANSFER_ENCODING);
	(void)fields_remove_id(&q->fields, FIELD_TRAILER);
	(void)fields_remove_id(&q->fields, FIELD_EXPECT);
	q->expect_continue = false;
	if (n == 0 && (method_is_idempotent(q->method_id) && q->method_id != METHOD_PUT)) {
		q->framing = FRAMING_NONE;
		return 0;
	}
	q->framing = FRAMING_LENGTH;
	q->content_length = n;
	text = arena_format(&v->x->arena, "%llu", (unsigned long long)n);
	return text.p == NULL ? -ENOMEM : fields_add_id(&q->fields, FIELD_CONTENT_LENGTH, text);
}

void plugin_replay_request(struct plugin_visit *v)
{
	struct exchange *x = v->x;
	struct body *in;

	if (v->request_in == NULL)
		return;
	in = exchange_put_stage(x, &x->request_body, &v->request_out);
	replay_start(&v->request_replay, x->loop, &v->request_kept, in, &v->request_out, NULL);
}

int plugin_settle_request(struct plugin_visit *v)
{
	struct exchange *x = v->x;

	if (v->facts.request_body_written) {
		(void)exchange_put_stage(x, &x->request_body, &v->request_out);
		if (v->request_in != NULL)
			body_set_consumer(v->request_in, NULL, NULL);
		replay_start(&v->request_replay, x->loop, &v->request_new, NULL, &v->request_out,
			     NULL);
		return set_request_length(v, v->request_new.n);
	}
	plugin_replay_request(v);
	return 0;
}

int plugin_merge_head(struct plugin_visit *v)
{
	return fields_put_before(&v->x->response.fields, &v->x->early_fields, &v->x->arena);
}

/* The response's body becomes what `content` holds from there on; trailers, if there are any, need
 * chunks. */
static void send_spool_at(struct plugin_visit *v, const struct spool *content, uint64_t from)
{
	struct exchange *x = v->x;
	struct response *r = &x->response;
	bool trailers = x->response_trailers.count > 0;

	(void)exchange_put_stage(x, &x->response_body, &v->response_out);
	r->framing = trailers ? FRAMING_CHUNKED : FRAMING_LENGTH;
	r->content_length = content != NULL ? content->n - from : 0;
	if (content == NULL) {
		body_end(&v->response_out);
		return;
	}
	replay_start_at(&v->response_replay, x->loop, content, from, NULL, &v->response_out,
			trailers ? &x->response_trailers : NULL);
}

static void send_spool(struct plugin_visit *v, const struct spool *content)
{
	send_spool_at(v, content, 0);
}

bool plugin_suppresses_body(const struct fields *f, bool length_set, bool body_written, uint64_t n)
{
	const struct field *line = fields_find_id(f, FIELD_CONTENT_LENGTH);
	uint64_t declared;

	if (!length_set || body_written || line == NULL)
		return false;
	return !slice_to_u64(line->value, &declared) || declared < n;
}

static bool has_no_body(const struct plugin_visit *v)
{
	return status_has_no_body(v->x->response.status, v->x->client_method);
}

int plugin_settle_stop(struct plugin_visit *v)
{
	struct exchange *x = v->x;
	struct response *r = &x->response;
	const struct spool *content = &v->response_kept;

	exchange_answer(x, v->early_status != 0 ? (int)v->early_status : 200, (slice){NULL, 0},
			false);
	r->fields = x->early_fields;
	fields_init(&x->early_fields, &x->arena);
	if (plugin_suppresses_body(&r->fields, v->facts.response_length_prefixed, false,
				   content->n) ||
	    has_no_body(v))
		content = NULL;
	send_spool(v, content);
	return 0;
}

int plugin_settle_prefix(struct plugin_visit *v)
{
	struct exchange *x = v->x;
	struct response *r = &x->response;
	struct body *in;

	if (!v->facts.response_body_prefixed || v->response_kept.n == 0 || has_no_body(v))
		return 0;
	in = exchange_put_stage(x, &x->response_body, &v->response_out);
	if (r->framing == FRAMING_NONE && in->state == BODY_OPEN)
		body_end(in);
	if (r->framing == FRAMING_LENGTH &&
	    !__builtin_add_overflow(r->content_length, v->response_kept.n, &r->content_length))
		r->framing = FRAMING_LENGTH;
	else
		r->framing = FRAMING_CHUNKED;
	replay_start(&v->response_replay, x->loop, &v->response_kept, in, &v->response_out, NULL);
	return 0;
}

void plugin_send_kept(struct plugin_visit *v, uint64_t from)
{
	if (!has_no_body(v))
		send_spool_at(v, &v->response_kept, from);
}

int plugin_settle_response(struct plugin_visit *v)
{
	const struct weir_exchange_facts *facts = weir_exchange_facts(v->guest);
	bool written = facts->response_body_written;
	const struct spool *content = written ? &v->response_new : &v->response_kept;

	/* The length of a body that is not sent stays what upstream or guest say. */
	if (has_no_body(v))
		return 0;
	if (plugin_suppresses_body(&v->x->response.fields, facts->response_length_written, written,
				   content->n))
		content = NULL;
	send_spool(v, content);
	return 0;
}
