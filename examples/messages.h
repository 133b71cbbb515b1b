/*
 * A request and its response in memory, and the access to them that plugins get: struct weir_http.
 * The part of an embedder that depends on how its own messages look.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <weir/plugin.h>

#define TEXT_MAX 65536 /* bytes of method, target and fields, those since replaced included */
#define FIELDS_MAX 100
#define BODY_MAX 1048576

struct body {
	char bytes[BODY_MAX];
	size_t n;
};

struct message {
	struct weir_field fields[FIELDS_MAX];
	size_t count;
	struct body original; /* what came, or what the server itself answers */
	struct body written;  /* by the plugin */
};

/* One request and its response. */
struct messages {
	struct weir_slice method, target, authority, source;
	unsigned status;
	struct message of[2]; /* WEIR_REQUEST and WEIR_RESPONSE */
	size_t length;        /* of the request's body, once it is complete */
	bool cut_off;         /* it never will be */
	char text[TEXT_MAX];  /* what the slices point to */
	size_t text_used;
};

static struct weir_slice slice_of(const char *string)
{
	return (struct weir_slice){string, strlen(string)};
}

/* Plugins hand over slices of their own memory, so what is kept is copied. */
static int keep(struct messages *m, struct weir_slice from, struct weir_slice *to)
{
	if (from.n > TEXT_MAX - m->text_used)
		return -EFBIG;
	if (from.n > 0)
		memcpy(m->text + m->text_used, from.p, from.n);
	*to = (struct weir_slice){m->text + m->text_used, from.n};
	m->text_used += from.n;
	return 0;
}

static int body_add(struct body *b, const char *bytes, size_t n)
{
	if (n > BODY_MAX - b->n)
		return -EFBIG;
	if (n > 0)
		memcpy(b->bytes + b->n, bytes, n);
	b->n += n;
	return 0;
}

/* Empties it for the next request. `source` stays in use. */
static void messages_begin(struct messages *m, const char *source)
{
	m->method = m->target = m->authority = slice_of("");
	m->source = slice_of(source);
	m->status = 0;
	m->length = m->text_used = 0;
	m->cut_off = false;
	for (int i = 0; i < 2; i++)
		m->of[i].count = m->of[i].original.n = m->of[i].written.n = 0;
}

static struct weir_slice get_method(void *x)
{
	return ((struct messages *)x)->method;
}

static int set_method(void *x, struct weir_slice method)
{
	struct messages *m = x;

	return keep(m, method, &m->method);
}

static struct weir_slice get_target(void *x)
{
	return ((struct messages *)x)->target;
}

static int set_target(void *x, struct weir_slice target)
{
	struct messages *m = x;

	return keep(m, target, &m->target);
}

static struct weir_slice get_version(void *x)
{
	(void)x;
	return slice_of("HTTP/1.1");
}

static struct weir_slice get_source(void *x)
{
	return ((struct messages *)x)->source;
}

static struct weir_slice get_authority(void *x)
{
	return ((struct messages *)x)->authority;
}

static int set_authority(void *x, struct weir_slice authority)
{
	struct messages *m = x;

	return keep(m, authority, &m->authority);
}

static bool field_next(void *x, enum weir_message which, size_t *cursor, struct weir_field *field)
{
	const struct message *m = &((struct messages *)x)->of[which];

	if (*cursor == m->count)
		return false;
	*field = m->fields[(*cursor)++];
	return true;
}

static bool same_name(struct weir_slice a, struct weir_slice b)
{
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static int field_remove(void *x, enum weir_message which, struct weir_slice name)
{
	struct message *m = &((struct messages *)x)->of[which];
	size_t kept = 0;

	for (size_t i = 0; i < m->count; i++) {
		if (!same_name(m->fields[i].name, name))
			m->fields[kept++] = m->fields[i];
	}
	m->count = kept;
	return 0;
}

static int field_add(void *x, enum weir_message which, struct weir_slice name,
		     struct weir_slice value)
{
	struct message *m = &((struct messages *)x)->of[which];
	struct weir_field field;

	if (m->count == FIELDS_MAX || keep(x, name, &field.name) < 0 ||
	    keep(x, value, &field.value) < 0)
		return -EFBIG;
	m->fields[m->count++] = field;
	return 0;
}

static int field_set(void *x, enum weir_message which, struct weir_slice name,
		     struct weir_slice value)
{
	(void)field_remove(x, which, name);
	return field_add(x, which, name, value);
}

static unsigned get_status(void *x)
{
	return ((struct messages *)x)->status;
}

static int set_status(void *x, unsigned status)
{
	((struct messages *)x)->status = status;
	return 0;
}

/* Says WEIR_WAIT instead of waiting for the client: it runs on the plugin's stack. */
static int read_body(void *x, enum weir_message which, uint64_t offset, void *buf, size_t limit,
		     size_t *got, bool *eof)
{
	struct messages *m = x;
	const struct body *b = &m->of[which].original;
	size_t there = b->n - (size_t)offset;
	bool complete = which == WEIR_RESPONSE || b->n == m->length;

	if (there == 0 && !complete)
		return m->cut_off ? -ECONNRESET : WEIR_WAIT;
	*got = there < limit ? there : limit;
	memcpy(buf, b->bytes + offset, *got);
	*eof = complete && *got == there;
	return 0;
}

static int write_body(void *x, enum weir_message which, struct weir_slice bytes, bool first)
{
	struct body *b = &((struct messages *)x)->of[which].written;

	if (first)
		b->n = 0;
	return body_add(b, bytes.p, bytes.n);
}

static const struct weir_http access_to_messages = {
	.method = get_method,
	.set_method = set_method,
	.target = get_target,
	.set_target = set_target,
	.version = get_version,
	.source = get_source,
	.authority = get_authority,
	.set_authority = set_authority,
	.field_next = field_next,
	.field_set = field_set,
	.field_add = field_add,
	.field_remove = field_remove,
	.status = get_status,
	.set_status = set_status,
	.read_body = read_body,
	.write_body = write_body,
};
