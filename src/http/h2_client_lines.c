#include "http/h2_client.h"

/* :method, :scheme, :authority, :path */
#define PSEUDO_LINES 4u

static nghttp2_nv line(slice name, slice value)
{
	return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
			    .namelen = name.n,
			    .value = (uint8_t *)(uintptr_t)value.p,
			    .valuelen = value.n};
}

/* What HTTP/1 says of its connection has no place here (RFC 9113 section 8.2.2). */
#define NOT_SENT \
	(FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_KEEP_ALIVE) | \
	 FIELD_BIT(FIELD_PROXY_CONNECTION) | FIELD_BIT(FIELD_TRANSFER_ENCODING) | \
	 FIELD_BIT(FIELD_UPGRADE) | FIELD_BIT(FIELD_EXPECT))

nghttp2_nv *h2_client_lines(const struct client_call *call, size_t *count)
{
	const struct request *q = call->request;
	nghttp2_nv *list = ARENA_ARRAY(call->arena, nghttp2_nv, q->fields.count + PSEUDO_LINES);

	if (list == NULL)
		return NULL;
	list[0] = line(SLICE(":method"), q->method);
	list[1] = line(SLICE(":scheme"),
		       call->client->options.tls != NULL ? SLICE("https") : SLICE("http"));
	list[2] = line(SLICE(":authority"), fields_value_id(&q->fields, FIELD_HOST));
	list[3] = line(SLICE(":path"), call->target);
	*count = PSEUDO_LINES;
	for (size_t i = 0; i < q->fields.count; i++) {
		const struct field *f = &q->fields.list[i];

		if (f->id == FIELD_OTHER || !(NOT_SENT & FIELD_BIT(f->id)))
			list[(*count)++] = line(f->name, f->value);
	}
	return list;
}
