#include <stdlib.h>

#include "plugin/abi.h"
#include "plugin/pool.h"

/* Kinds 2 and 3 are the trailers, which this host does not offer. */
#define KIND_COUNT 4u

#define NAMES_MAX 10000u

static bool is_trailers(uint32_t kind)
{
	return kind > WEIR_RESPONSE;
}

static bool known_kind(struct abi_call *c)
{
	uint32_t kind = abi_arg(c, 0);

	return kind < KIND_COUNT || abi_fault(c, "unsupported header kind: %d", (int)kind);
}

/* Framing that guests do not see in requests, as in the reference host. */
static bool is_hidden(enum weir_message message, slice name)
{
	return message == WEIR_REQUEST && (slice_equal_nocase(name, SLICE("transfer-encoding")) ||
					   slice_equal_nocase(name, SLICE("trailer")) ||
					   slice_equal_nocase(name, SLICE("host")));
}

static bool is_host(enum weir_message message, slice name)
{
	return message == WEIR_REQUEST && slice_equal_nocase(name, SLICE("host"));
}

/* Framing is the embedder's: what guests write there has no effect. */
static bool is_framing(enum weir_message message, slice name)
{
	return slice_equal_nocase(name, SLICE("transfer-encoding")) ||
	       (message == WEIR_REQUEST && slice_equal_nocase(name, SLICE("content-length")));
}

static bool next_visible(const struct weir_exchange *e, enum weir_message message, size_t *cursor,
			 struct weir_field *field)
{
	do {
		if (!e->http->field_next(e->x, message, cursor, field))
			return false;
	} while (is_hidden(message, field->name));
	return true;
}

static bool add_name(struct weir_pool *p, size_t count, slice name)
{
	if (count == p->names_capacity) {
		size_t capacity = MAX((size_t)64, 2 * p->names_capacity);
		struct pool_name *grown = realloc(p->names, capacity * sizeof *grown);

		if (grown == NULL)
			return false;
		p->names = grown;
		p->names_capacity = capacity;
	}
	p->names[count] = (struct pool_name){(uint32_t)p->scratch.n, (uint32_t)name.n};
	for (size_t i = 0; i < name.n; i++)
		str_add_char(&p->scratch, ascii_lower(name.p[i]));
	return !p->scratch.failed;
}

static slice name_at(const struct weir_pool *p, const struct pool_name *n)
{
	return slice_of(p->scratch.p + n->at, n->n);
}

static int compare_names(const void *a, const void *b, void *pool)
{
	return slice_compare(name_at(pool, a), name_at(pool, b));
}

/* Lower-case names of all fields in the pool's scratch space; false if there are too many. */
static bool collect_names(struct weir_exchange *e, enum weir_message message, size_t *count)
{
	struct weir_pool *p = e->pool;
	struct weir_field field;
	size_t cursor = 0;

	*count = 0;
	str_clear(&p->scratch);
	if (message == WEIR_REQUEST && e->http->authority(e->x).n > 0 &&
	    !add_name(p, (*count)++, SLICE("host")))
		return false;
	while (next_visible(e, message, &cursor, &field)) {
		if (*count >= NAMES_MAX || !add_name(p, (*count)++, field.name))
			return false;
	}
	return true;
}

static size_t sort_names(struct weir_pool *p, size_t count, size_t *bytes)
{
	size_t kept = 0;

	*bytes = 0;
	if (count > 1)
		qsort_r(p->names, count, sizeof *p->names, compare_names, p);
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 &&
		    slice_equal(name_at(p, &p->names[kept - 1]), name_at(p, &p->names[i])))
			continue;
		p->names[kept++] = p->names[i];
		*bytes += p->names[i].n + 1;
	}
	return kept;
}

static bool list_fits(struct abi_call *c, size_t n, const char *what, size_t bytes, bool *fits)
{
	uint32_t at = abi_arg(c, n), limit = abi_arg(c, n + 1);

	*fits = bytes > 0 && bytes <= limit;
	if (bytes > UINT32_MAX)
		return abi_fault(c, "%s are larger than a guest's memory", what);
	if (*fits && !abi_in_bounds(c->memory, at, bytes))
		return abi_fault(c, "out of memory writing %s: %zu bytes at %u of %zu", what, bytes,
				 at, c->memory.size_bytes);
	return true;
}

static uint8_t *put_text(uint8_t *to, slice s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return to + s.n + 1;
}

static bool give_count(struct abi_call *c, size_t count, size_t bytes)
{
	c->v[0].i64 = (int64_t)((uint64_t)count << 32 | bytes);
	return true;
}

bool abi_get_header_names(struct abi_call *c)
{
	struct weir_pool *p = c->exchange->pool;
	size_t count, bytes;
	uint8_t *to;
	bool fits;

	if (!known_kind(c))
		return false;
	if (is_trailers(abi_arg(c, 0)))
		return give_count(c, 0, 0);
	if (!collect_names(c->exchange, (enum weir_message)abi_arg(c, 0), &count))
		return abi_fault(c, "too many header names");
	count = sort_names(p, count, &bytes);
	if (!list_fits(c, 1, "header names", bytes, &fits))
		return false;
	if (!fits)
		return give_count(c, count, bytes);
	to = c->memory.base + abi_arg(c, 1);
	for (size_t i = 0; i < count; i++)
		to = put_text(to, name_at(p, &p->names[i]));
	return give_count(c, count, bytes);
}

static bool guest_name(struct abi_call *c, slice *name)
{
	if (!abi_guest_text(c, 1, "header name", name))
		return false;
	return name->n > 0 || abi_fault(c, "HTTP header name cannot be empty");
}

/* A request has exactly one host, also when it is empty. */
static bool give_host(struct abi_call *c)
{
	slice host = c->exchange->http->authority(c->exchange->x);
	bool fits;

	if (!list_fits(c, 3, "header values", host.n + 1, &fits))
		return false;
	if (fits)
		(void)put_text(c->memory.base + abi_arg(c, 3), host);
	return give_count(c, 1, host.n + 1);
}

bool abi_get_header_values(struct abi_call *c)
{
	enum weir_message message = (enum weir_message)abi_arg(c, 0);
	size_t count = 0, bytes = 0, cursor = 0;
	struct weir_field field;
	uint8_t *to, *end;
	slice name;
	bool fits;

	if (!known_kind(c) || !guest_name(c, &name))
		return false;
	if (is_trailers(abi_arg(c, 0)))
		return give_count(c, 0, 0);
	if (is_host(message, name))
		return give_host(c);
	while (next_visible(c->exchange, message, &cursor, &field)) {
		if (slice_equal_nocase(field.name, name)) {
			count++;
			bytes += field.value.n + 1;
		}
	}
	if (!list_fits(c, 3, "header values", bytes, &fits))
		return false;
	if (!fits)
		return give_count(c, count, bytes);
	/* The guest's buffer may lie over its name. */
	to = c->memory.base + abi_arg(c, 3);
	end = to + bytes;
	str_clear(&c->exchange->pool->scratch);
	str_add(&c->exchange->pool->scratch, name);
	if (c->exchange->pool->scratch.failed)
		return abi_fault(c, "not enough memory for a header name");
	name = str_slice(&c->exchange->pool->scratch);
	cursor = 0;
	while (next_visible(c->exchange, message, &cursor, &field)) {
		if (!slice_equal_nocase(field.name, name))
			continue;
		must((size_t)(end - to) >= field.value.n + 1);
		to = put_text(to, field.value);
	}
	return give_count(c, count, bytes);
}

enum change { CHANGE_SET, CHANGE_ADD, CHANGE_REMOVE };

static const char *const change_names[] = {
	[CHANGE_SET] = "set", [CHANGE_ADD] = "add", [CHANGE_REMOVE] = "remove"};

static bool may_change(struct abi_call *c, enum change change)
{
	const struct weir_exchange *e = c->exchange;
	uint32_t kind = abi_arg(c, 0);

	if (!known_kind(c))
		return false;
	if (is_trailers(kind))
		return abi_fault(c, "can't %s trailer: trailers are not supported",
				 change_names[change]);
	if (e->after && kind == WEIR_REQUEST)
		return abi_fault(c, "can't %s request header after next handler",
				 change_names[change]);
	if (e->after && (e->facts.features & WEIR_FEATURE_BUFFER_RESPONSE) == 0)
		return abi_fault(c,
				 "can't %s response header after next handler unless "
				 "buffer_response is enabled",
				 change_names[change]);
	return true;
}

/* A value on one line: what would end it becomes a space, in a copy. */
static bool clean_value(struct abi_call *c, slice *value)
{
	struct str *copy = &c->exchange->pool->scratch;
	size_t i = 0;

	while (i < value->n && value->p[i] != '\r' && value->p[i] != '\n' && value->p[i] != '\0')
		i++;
	if (i == value->n)
		return true;
	str_clear(copy);
	str_add(copy, *value);
	if (copy->failed)
		return abi_fault(c, "not enough memory for a header value");
	for (; i < copy->n; i++) {
		if (copy->p[i] == '\r' || copy->p[i] == '\n' || copy->p[i] == '\0')
			copy->p[i] = ' ';
	}
	*value = str_slice(copy);
	return true;
}

/* Setting it changes what goes upstream; there is never a second one, and always one. */
static int change_host(const struct weir_exchange *e, enum change change, slice value)
{
	bool has = e->http->authority(e->x).n > 0;

	if (e->http->set_authority == NULL || change == CHANGE_REMOVE ||
	    (change == CHANGE_ADD && has))
		return 0;
	return e->http->set_authority(e->x, value);
}

static int change_field(struct weir_exchange *e, enum change change, enum weir_message message,
			slice name, slice value)
{
	const struct weir_http *http = e->http;

	if (is_framing(message, name) || (message == WEIR_RESPONSE && e->frozen))
		return 0;
	if (is_host(message, name))
		return change_host(e, change, value);
	if (message == WEIR_RESPONSE && slice_equal_nocase(name, SLICE("content-length"))) {
		if (e->after)
			e->facts.response_length_written = true;
		else
			e->facts.response_length_prefixed = true;
	}
	switch (change) {
	case CHANGE_SET:
		return http->field_set(e->x, message, name, value);
	case CHANGE_ADD:
		return http->field_add(e->x, message, name, value);
	default:
		return http->field_remove(e->x, message, name);
	}
}

static bool change(struct abi_call *c, enum change change)
{
	slice name, value = SLICE("");
	int r;

	if (!may_change(c, change) || !guest_name(c, &name))
		return false;
	if (!abi_is_token(name))
		return abi_fault(c, "HTTP header name of %zu bytes is not a token", name.n);
	if (change != CHANGE_REMOVE &&
	    (!abi_guest_text(c, 3, "header value", &value) || !clean_value(c, &value)))
		return false;
	r = change_field(c->exchange, change, (enum weir_message)abi_arg(c, 0), name, value);
	return r == 0 || abi_refused(c, r, "header");
}

bool abi_set_header_value(struct abi_call *c)
{
	return change(c, CHANGE_SET);
}

bool abi_add_header_value(struct abi_call *c)
{
	return change(c, CHANGE_ADD);
}

bool abi_remove_header(struct abi_call *c)
{
	return change(c, CHANGE_REMOVE);
}
