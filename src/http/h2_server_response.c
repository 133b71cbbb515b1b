#include <errno.h>
#include <stdio.h>

#include "http/date.h"
#include "http/h2_server_private.h"

/* :status and content-length. */
#define OWN_LINES 2u

static nghttp2_nv line(slice name, slice value)
{
	return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
			    .namelen = name.n,
			    .value = (uint8_t *)(uintptr_t)value.p,
			    .valuelen = value.n};
}

/* The head in nghttp2's shape, which copies it and spells names in lower case. */
static nghttp2_nv *lines_of(struct arena *arena, const struct response *p, int code, char status[3],
			    size_t *count)
{
	nghttp2_nv *list = ARENA_ARRAY(arena, nghttp2_nv, p->fields.count + OWN_LINES);

	if (list == NULL)
		return NULL;
	status[0] = (char)('0' + code / 100 % 10);
	status[1] = (char)('0' + code / 10 % 10);
	status[2] = (char)('0' + code % 10);
	list[0] = line(SLICE(":status"), slice_of(status, 3));
	*count = 1;
	for (size_t i = 0; i < p->fields.count; i++)
		list[(*count)++] = line(p->fields.list[i].name, p->fields.list[i].value);
	return list;
}

static void send_interim(struct h2_request *r, const struct response *interim)
{
	char status[3];
	size_t count;
	nghttp2_nv *list = lines_of(&r->x->arena, interim, interim->status, status, &count);

	if (list == NULL)
		return;
	(void)nghttp2_submit_headers(r->connection->session.ng, NGHTTP2_FLAG_NONE, r->stream.id,
				     NULL, list, count, NULL);
	h2_session_wake(&r->connection->session);
}

void h2_request_continue(struct h2_request *r)
{
	struct response interim = {.status = 100};

	if (!r->continue_owed || r->responding)
		return;
	r->continue_owed = false;
	send_interim(r, &interim);
}

static void inform(struct exchange *x, const struct response *interim)
{
	struct h2_request *r = x->connection;

	OBJ_CHECK(&r->stream, H2_STREAM_MAGIC);
	if (interim->status > 101 && !r->responding)
		send_interim(r, interim);
}

void h2_request_on_body(struct body *b, void *consumer)
{
	struct h2_request *r = consumer;

	(void)b;
	if (r->lingers) {
		h2_tunnel_go_on(r);
		return;
	}
	if (r->stream.two_way)
		h2_tunnel_note_activity(r);
	h2_stream_wake(&r->stream);
}

int h2_request_submit(struct h2_request *r, int code, struct body *from, enum framing framing)
{
	struct exchange *x = r->x;
	nghttp2_session *ng = r->connection->session.ng;
	nghttp2_data_provider body = {.read_callback = NULL};
	char status[3], length[24];
	size_t count;
	nghttp2_nv *list = lines_of(&x->arena, &x->response, code, status, &count);
	bool empty = h1_says_empty(x, framing);

	if (list == NULL)
		return -ENOMEM;
	if (empty || h1_says_length(x, framing)) {
		int n = snprintf(length, sizeof length, "%llu",
				 empty ? 0 : (unsigned long long)x->response.content_length);

		list[count++] = line(SLICE("content-length"), slice_of(length, (size_t)n));
	}
	if (framing != FRAMING_NONE)
		body = h2_stream_send(&r->stream, from, framing, x->response.content_length);
	return nghttp2_submit_response(ng, r->stream.id, list, count,
				       framing != FRAMING_NONE ? &body : NULL) == 0
		       ? 0
		       : -ENOMEM;
}

static void respond(struct exchange *x)
{
	struct h2_request *r = x->connection;
	enum framing framing = h1_client_framing(x);

	OBJ_CHECK(&r->stream, H2_STREAM_MAGIC);
	must(!r->responding);
	r->responding = true;
	if (x->response.status == 101) {
		h2_tunnel_switch(r);
		return;
	}
	h1_drop_hop_fields(x, framing);
	(void)fields_remove_id(&x->response.fields, FIELD_UPGRADE);
	/* No interim status can be a final one, least of all a 101 (RFC 9113 section 8.6). */
	if (x->response.status < 200 ||
	    h2_request_submit(r, x->response.status, x->response_body, framing) < 0) {
		h2_stream_reset(&r->stream, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	if (framing != FRAMING_NONE)
		body_set_consumer(x->response_body, h2_request_on_body, r);
	h2_session_wake(&r->connection->session);
}

static void drop(struct exchange *x)
{
	struct h2_request *r = x->connection;

	OBJ_CHECK(&r->stream, H2_STREAM_MAGIC);
	if (r->lingers)
		h2_connection_finish(r, true);
	else if (!r->stream.reset)
		h2_stream_reset(&r->stream, NGHTTP2_INTERNAL_ERROR);
}

const struct exchange_client h2_request_client = {
	.respond = respond, .inform = inform, .drop = drop};
