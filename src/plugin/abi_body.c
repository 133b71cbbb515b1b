#include "plugin/abi.h"

#include <errno.h>

#include "plugin/plugin.h"

#define EOF_BIT ((int64_t)1 << 32)

static const char *const body_names[] = {
	[WEIR_REQUEST] = "request body", [WEIR_RESPONSE] = "response body"};

static bool has(const struct weir_exchange *e, uint32_t feature)
{
	return (e->facts.features & feature) != 0;
}

/* Why the guest may not read that body now, or NULL. */
static const char *read_refusal(const struct weir_exchange *e, enum weir_message message)
{
	if (!e->after)
		return NULL;
	if (message == WEIR_REQUEST && !has(e, WEIR_FEATURE_BUFFER_REQUEST))
		return "can't read request body after next handler unless buffer_request is "
		       "enabled";
	if (message == WEIR_RESPONSE && !has(e, WEIR_FEATURE_BUFFER_RESPONSE))
		return "can't read response body after next handler unless buffer_response is "
		       "enabled";
	return NULL;
}

bool abi_read_body_check(struct instance *i, struct guest_memory memory, const uint64_t args[3])
{
	const char *refusal;

	if (i->exchange == NULL)
		instance_fault(i, WEIR_CAUSE_ABI, "read_body: no request in progress");
	else if (args[0] > WEIR_RESPONSE)
		instance_fault(i, WEIR_CAUSE_ABI, "unsupported body kind: %d", (int)args[0]);
	else if ((refusal = read_refusal(i->exchange, (enum weir_message)args[0])) != NULL)
		instance_fault(i, WEIR_CAUSE_ABI, "%s", refusal);
	else if (args[2] == 0)
		instance_fault(i, WEIR_CAUSE_ABI, "buf_limit must be greater than 0");
	else if (!abi_in_bounds(memory, args[1], args[2]))
		instance_fault(i, WEIR_CAUSE_ABI,
			       "out of memory reading %s: %llu bytes at %llu of %zu",
			       body_names[args[0]], (unsigned long long)args[2],
			       (unsigned long long)args[1], memory.size_bytes);
	return i->fault.cause == WEIR_CAUSE_NONE;
}

/* A request that is too large is the client's doing; anything else the guest's. */
static enum weir_cause too_large(enum weir_message message)
{
	return message == WEIR_REQUEST ? WEIR_CAUSE_TOO_LARGE : WEIR_CAUSE_MEMORY;
}

/* Bodies that do not exist for the guest: its own response before the upstream's, and the request's
 * once it went on. */
static bool reads_nothing(const struct weir_exchange *e, enum weir_message message)
{
	return e->body[message].eof || (message == WEIR_RESPONSE) != e->after || e->frozen;
}

/* One call of the embedder. False: wait, or fault. */
static bool read_some(struct instance *i, enum weir_message message, void *buf, size_t limit,
		      size_t *got)
{
	struct weir_exchange *e = i->exchange;
	struct body_account *b = &e->body[message];
	int r;

	if (b->read_bytes > i->plugin->facts.limits.body_bytes) {
		instance_fault(i, too_large(message), "%s is larger than %llu bytes",
			       body_names[message],
			       (unsigned long long)i->plugin->facts.limits.body_bytes);
		return false;
	}
	*got = 0;
	r = e->http->read_body(e->x, message, b->read_bytes, buf, limit, got, &b->eof);
	must(*got <= limit && r <= WEIR_WAIT);
	if (r < 0) {
		instance_fault(i, r == -EFBIG ? too_large(message) : WEIR_CAUSE_BODY,
			       "cannot read the %s: %s", body_names[message], strerror(-r));
		return false;
	}
	b->read_bytes += *got;
	if (message == WEIR_REQUEST)
		e->facts.request_body_read_bytes += *got;
	return r == 0 && (*got > 0 || b->eof);
}

bool abi_read_body(struct instance *i, struct suspension *s, int64_t *result)
{
	enum weir_message message = (enum weir_message)s->args[0];
	struct body_account *b = &i->exchange->body[message];
	uint8_t *buf = s->memory.base + s->args[1];
	size_t limit = s->args[2];

	if (reads_nothing(i->exchange, message)) {
		*result = EOF_BIT;
		return true;
	}
	while (s->got_bytes < limit && !b->eof) {
		size_t got;

		if (!read_some(i, message, buf + s->got_bytes, limit - s->got_bytes, &got)) {
			if (i->fault.cause != WEIR_CAUSE_NONE)
				return true;
			must(message == WEIR_REQUEST);
			return false;
		}
		s->got_bytes += (uint32_t)got;
	}
	*result = (int64_t)s->got_bytes | (b->eof ? EOF_BIT : 0);
	return true;
}

static const char *write_refusal(const struct weir_exchange *e, enum weir_message message)
{
	if (!e->after)
		return NULL;
	if (message == WEIR_REQUEST)
		return "can't write request body after next handler";
	if (!has(e, WEIR_FEATURE_BUFFER_RESPONSE))
		return "can't write response body after next handler unless buffer_response is "
		       "enabled";
	return NULL;
}

static void note_write(struct weir_exchange *e, enum weir_message message)
{
	e->body[message].written = true;
	if (message == WEIR_REQUEST)
		e->facts.request_body_written = true;
	else if (e->after)
		e->facts.response_body_written = true;
	else
		e->facts.response_body_prefixed = true;
}

bool abi_write_body(struct abi_call *c)
{
	struct weir_exchange *e = c->exchange;
	uint64_t limit = c->instance->plugin->facts.limits.body_bytes;
	uint32_t kind = abi_arg(c, 0);
	struct body_account *b;
	const char *refusal;
	slice bytes;
	int r;

	if (kind > WEIR_RESPONSE)
		return abi_fault(c, "unsupported body kind: %d", (int)kind);
	refusal = write_refusal(e, (enum weir_message)kind);
	if (refusal != NULL)
		return abi_fault(c, "%s", refusal);
	if (!abi_guest_bytes(c, 1, body_names[kind], &bytes))
		return false;
	if (e->frozen && kind == WEIR_RESPONSE)
		return true;
	b = &e->body[kind];
	if (bytes.n > limit - MIN(b->written_bytes, limit)) {
		instance_fault(c->instance, WEIR_CAUSE_MEMORY, "writes a %s larger than %llu bytes",
			       body_names[kind], (unsigned long long)limit);
		return false;
	}
	r = e->http->write_body(e->x, (enum weir_message)kind, bytes, !b->written);
	if (r < 0) {
		instance_fault(c->instance, r == -EFBIG ? WEIR_CAUSE_MEMORY : WEIR_CAUSE_BODY,
			       "cannot write the %s: %s", body_names[kind], strerror(-r));
		return false;
	}
	b->written_bytes += bytes.n;
	note_write(e, (enum weir_message)kind);
	return true;
}
