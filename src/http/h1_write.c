#include "core/base.h"
#include "http/h1.h"

/*
 * Fields are mostly short: two overlapping copies of a fixed size cost less than a call of memcpy.
 */
static inline char *put(char *to, slice s)
{
	if (s.n <= 32 && s.n >= 16) {
		char head[16], tail[16];

		memcpy(head, s.p, 16);
		memcpy(tail, s.p + s.n - 16, 16);
		memcpy(to, head, 16);
		memcpy(to + s.n - 16, tail, 16);
	} else if (s.n < 16 && s.n >= 8) {
		uint64_t head, tail;

		memcpy(&head, s.p, 8);
		memcpy(&tail, s.p + s.n - 8, 8);
		memcpy(to, &head, 8);
		memcpy(to + s.n - 8, &tail, 8);
	} else if (s.n < 8 && s.n >= 4) {
		uint32_t head, tail;

		memcpy(&head, s.p, 4);
		memcpy(&tail, s.p + s.n - 4, 4);
		memcpy(to, &head, 4);
		memcpy(to + s.n - 4, &tail, 4);
	} else if (s.n > 0) {
		memcpy(to, s.p, s.n);
	}
	return to + s.n;
}

/* Room that a field line needs besides its name and value: ": " and the line end. */
#define LINE_EXTRA 4

static size_t fields_bytes(const struct fields *f)
{
	size_t n = 2;

	for (size_t i = 0; i < f->count; i++)
		n += f->list[i].name.n + f->list[i].value.n + LINE_EXTRA;
	return n;
}

size_t h1_request_bytes(const struct request *request, slice target)
{
	return request->method.n + target.n + sizeof("  HTTP/1.1\r\n") - 1 +
	       fields_bytes(&request->fields);
}

static slice reason_of(const struct response *response)
{
	if (response->reason.n > 0)
		return response->reason;
	return slice_from(status_text(response->status));
}

size_t h1_response_bytes(const struct response *response)
{
	return sizeof("HTTP/1.1 200 \r\n") - 1 + reason_of(response).n +
	       fields_bytes(&response->fields);
}

static char *put_fields(char *to, const struct fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		const struct field *line = &f->list[i];

		to = put(to, line->name);
		*to++ = ':';
		*to++ = ' ';
		to = put(to, line->value);
		*to++ = '\r';
		*to++ = '\n';
	}
	*to++ = '\r';
	*to++ = '\n';
	return to;
}

char *h1_write_request(char *to, const struct request *request, slice target)
{
	to = put(to, request->method);
	*to++ = ' ';
	to = put(to, target);
	to = put(to, SLICE(" HTTP/1.1\r\n"));
	return put_fields(to, &request->fields);
}

char *h1_write_response(char *to, const struct response *response)
{
	unsigned status = (unsigned)response->status;

	must(status >= 100 && status <= 999);
	to = put(to, SLICE("HTTP/1.1 "));
	*to++ = (char)('0' + status / 100);
	*to++ = (char)('0' + status / 10 % 10);
	*to++ = (char)('0' + status % 10);
	*to++ = ' ';
	to = put(to, reason_of(response));
	to = put(to, SLICE("\r\n"));
	return put_fields(to, &response->fields);
}

char *h1_write_chunk_size(char *to, uint64_t n)
{
	int digits = n > 0 ? (67 - __builtin_clzll(n)) / 4 : 1;

	for (int i = digits - 1; i >= 0; i--)
		*to++ = "0123456789abcdef"[n >> (4 * i) & 15];
	*to++ = '\r';
	*to++ = '\n';
	return to;
}

struct move {
	slice from;
	const char *to;
};

static void rebase(slice *s, const struct move *m)
{
	uintptr_t p = (uintptr_t)s->p, start = (uintptr_t)m->from.p;

	if (s->p != NULL && p >= start && p - start <= m->from.n && s->n <= m->from.n - (p - start))
		s->p = m->to + (p - start);
}

static void rebase_fields(struct fields *f, const struct move *m)
{
	for (size_t i = 0; i < f->count; i++) {
		rebase(&f->list[i].name, m);
		rebase(&f->list[i].value, m);
	}
}

void h1_rebase_request(struct request *request, slice from, const char *to)
{
	struct move m = {from, to};

	rebase(&request->method, &m);
	rebase(&request->target, &m);
	rebase(&request->path, &m);
	rebase(&request->query, &m);
	rebase(&request->authority, &m);
	rebase_fields(&request->fields, &m);
}

void h1_rebase_response(struct response *response, slice from, const char *to)
{
	struct move m = {from, to};

	rebase(&response->reason, &m);
	rebase_fields(&response->fields, &m);
}
