#include "cli/plugin_message.h"

#include <errno.h>
#include <time.h>

#include "middleware/plugin_rules.h"

#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)
#define ARENA_MAX_BYTES ((size_t)256 * 1024 * 1024)

static int keep(struct plugin_exchange *x, slice from, slice *kept)
{
	*kept = arena_copy(&x->arena, from);
	return kept->p != NULL ? 0 : -ENOMEM;
}

static struct weir_slice get_method(void *x)
{
	return ((struct plugin_exchange *)x)->method;
}

static int set_method(void *x, struct weir_slice method)
{
	return keep(x, method, &((struct plugin_exchange *)x)->method);
}

static struct weir_slice get_target(void *x)
{
	return ((struct plugin_exchange *)x)->target;
}

static int set_target(void *x, struct weir_slice target)
{
	return keep(x, target, &((struct plugin_exchange *)x)->target);
}

static struct weir_slice get_version(void *x)
{
	return ((struct plugin_exchange *)x)->from->head.version == HTTP_1_0 ? SLICE("HTTP/1.0")
									     : SLICE("HTTP/1.1");
}

static struct weir_slice get_source(void *x)
{
	(void)x;
	return SLICE("127.0.0.1:1024");
}

static struct weir_slice get_authority(void *x)
{
	return ((struct plugin_exchange *)x)->authority;
}

static int set_authority(void *x, struct weir_slice authority)
{
	return keep(x, authority, &((struct plugin_exchange *)x)->authority);
}

static struct fields *fields_of(struct plugin_exchange *x, enum weir_message message)
{
	if (message == WEIR_REQUEST)
		return &x->fields;
	return x->responding ? &x->response.fields : &x->early_fields;
}

static bool field_next(void *x, enum weir_message message, size_t *cursor, struct weir_field *field)
{
	const struct fields *f = fields_of(x, message);

	if (*cursor >= f->count)
		return false;
	*field = (struct weir_field){f->list[*cursor].name, f->list[*cursor].value};
	++*cursor;
	return true;
}

static int change(struct plugin_exchange *x, enum weir_message message, slice name, slice value,
		  int (*how)(struct fields *, slice, slice))
{
	slice kept_name, kept_value;
	int r = keep(x, name, &kept_name);

	if (r == 0)
		r = keep(x, value, &kept_value);
	return r == 0 ? how(fields_of(x, message), kept_name, kept_value) : r;
}

static int field_set(void *x, enum weir_message message, struct weir_slice name,
		     struct weir_slice value)
{
	return change(x, message, name, value, fields_set);
}

static int field_add(void *x, enum weir_message message, struct weir_slice name,
		     struct weir_slice value)
{
	return change(x, message, name, value, fields_add);
}

static int field_remove(void *x, enum weir_message message, struct weir_slice name)
{
	(void)fields_remove(fields_of(x, message), name);
	return 0;
}

static unsigned get_status(void *x)
{
	struct plugin_exchange *e = x;

	return e->responding ? (unsigned)e->response.status : e->early_status;
}

static int set_status(void *x, unsigned status)
{
	struct plugin_exchange *e = x;

	if (e->responding)
		e->response.status = (int)status;
	else
		e->early_status = status;
	return 0;
}

/* The request's body as far as it has arrived; the response's with what the guest wrote in front of
 * it, which is complete. */
static int read_body(void *x, enum weir_message message, uint64_t offset, void *buf, size_t limit,
		     size_t *got, bool *eof)
{
	struct plugin_exchange *e = x;
	bool request = message == WEIR_REQUEST;
	slice whole = request ? e->from->body : str_slice(&e->prefix);
	size_t here = request ? e->arrived_bytes : whole.n;

	*got = MIN(here - MIN((size_t)offset, here), limit);
	if (*got > 0)
		memcpy(buf, whole.p + offset, *got);
	*eof = offset + *got >= whole.n;
	return *got == 0 && !*eof ? WEIR_WAIT : 0;
}

static int write_body(void *x, enum weir_message message, struct weir_slice bytes, bool first)
{
	struct plugin_exchange *e = x;
	struct str *to =
		message == WEIR_RESPONSE && !e->responding ? &e->prefix : &e->body[message];

	if (first)
		str_clear(to);
	if (to->n + bytes.n > e->body_max)
		return -EFBIG;
	str_add(to, bytes);
	return to->failed ? -ENOMEM : 0;
}

static const struct weir_http http = {
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

void plugin_exchange_init(struct plugin_exchange *x, uint64_t body_max)
{
	*x = (struct plugin_exchange){.body_max = body_max};
	arena_init(&x->arena, ARENA_BLOCK_BYTES, ARENA_MAX_BYTES);
}

void plugin_exchange_free(struct plugin_exchange *x)
{
	str_free(&x->body[WEIR_REQUEST]);
	str_free(&x->body[WEIR_RESPONSE]);
	str_free(&x->prefix);
	arena_free(&x->arena);
}

static int copy_fields(struct plugin_exchange *x, struct fields *to, const struct fields *from)
{
	int r = 0;

	fields_init(to, &x->arena);
	for (size_t i = 0; r == 0 && i < from->count; i++) {
		if (from->list[i].id != FIELD_HOST)
			r = fields_add_field(to, &from->list[i]);
	}
	return r;
}

static void arrive(struct plugin_exchange *x)
{
	size_t left = x->from->body.n - x->arrived_bytes;

	x->arrived_bytes += x->from->piece_bytes > 0 ? MIN(x->from->piece_bytes, left) : left;
}

static int begin(struct plugin_exchange *x, const struct plugin_request *from)
{
	x->from = from;
	arena_reset(&x->arena);
	x->method = from->head.method;
	x->target = from->head.target;
	x->authority = from->head.authority;
	fields_init(&x->early_fields, &x->arena);
	x->response = from->upstream;
	x->early_status = 0;
	x->responding = false;
	x->arrived_bytes = 0;
	str_clear(&x->body[WEIR_REQUEST]);
	str_clear(&x->body[WEIR_RESPONSE]);
	str_clear(&x->prefix);
	x->forwarded_body = x->response_body = SLICE("");
	x->response_step = WEIR_NEXT;
	x->cause = WEIR_CAUSE_NONE;
	x->facts = (struct weir_exchange_facts){0};
	x->yields = x->body_waits = x->sleeps = 0;
	x->cpu_ns[WEIR_REQUEST] = x->cpu_ns[WEIR_RESPONSE] = 0;
	arrive(x);
	return copy_fields(x, &x->fields, &from->head.fields);
}

static void sleep_until(uint64_t mono_ns)
{
	struct timespec t = {.tv_sec = (time_t)(mono_ns / 1000000000u),
			     .tv_nsec = (long)(mono_ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* Until the guest waits for nothing any more. */
static enum weir_step drive(struct plugin_exchange *x, struct weir_exchange *e, enum weir_step step)
{
	for (;;) {
		switch (step) {
		case WEIR_YIELD:
			x->yields++;
			break;
		case WEIR_WAIT_BODY:
			x->body_waits++;
			arrive(x);
			break;
		case WEIR_WAIT_TIMER:
		case WEIR_WAIT_INSTANCE:
			x->sleeps++;
			sleep_until(weir_exchange_wake_at_ns(e));
			break;
		default:
			return step;
		}
		step = weir_exchange_step(e);
	}
}

static int set_length(struct plugin_exchange *x, struct fields *f, size_t n)
{
	slice text = arena_format(&x->arena, "%zu", n);

	return text.p != NULL ? fields_set_id(f, FIELD_CONTENT_LENGTH, text) : -ENOMEM;
}

static bool has_no_body(const struct plugin_exchange *x)
{
	return status_has_no_body(x->response.status, x->from->head.method_id);
}

/* The response gets this body, unless its guest says otherwise. */
static int send_body(struct plugin_exchange *x, bool length_set, bool written, slice body)
{
	struct fields *f = &x->response.fields;

	if (has_no_body(x))
		return 0;
	if (!plugin_suppresses_body(f, length_set, written, body.n))
		x->response_body = body;
	return set_length(x, f, x->response_body.n);
}

static int settle_request(struct plugin_exchange *x)
{
	x->forwarded_body = x->from->body;
	if (!x->facts.request_body_written)
		return 0;
	x->forwarded_body = str_slice(&x->body[WEIR_REQUEST]);
	(void)fields_remove_id(&x->fields, FIELD_TRANSFER_ENCODING);
	return set_length(x, &x->fields, x->forwarded_body.n);
}

static int settle_stop(struct plugin_exchange *x)
{
	x->author = PLUGIN_BY_GUEST;
	x->response.status = x->early_status != 0 ? (int)x->early_status : 200;
	x->response.fields = x->early_fields;
	return send_body(x, x->facts.response_length_prefixed, false, str_slice(&x->prefix));
}

/* The upstream has answered: its response as the guest sees it, with what the guest had said before
 * in front. */
static int ask_upstream(struct plugin_exchange *x)
{
	int r = copy_fields(x, &x->response.fields, &x->from->upstream.fields);

	x->author = PLUGIN_BY_UPSTREAM;
	if (r == 0)
		r = fields_put_before(&x->response.fields, &x->early_fields, &x->arena);
	if (r == 0 && x->prefix.n > 0)
		r = set_length(x, &x->response.fields, x->prefix.n + x->from->upstream_body.n);
	if (!has_no_body(x))
		str_add(&x->prefix, x->from->upstream_body);
	x->responding = true;
	return x->prefix.failed ? -ENOMEM : r;
}

static int settle_response(struct plugin_exchange *x, bool buffered)
{
	bool written = buffered && x->facts.response_body_written;
	slice body = str_slice(written ? &x->body[WEIR_RESPONSE] : &x->prefix);

	return send_body(x, buffered && x->facts.response_length_written, written, body);
}

static uint64_t guest_cpu_ns(const struct weir_plugin *plugin)
{
	struct weir_plugin_stats stats = {0};

	if (plugin != NULL)
		weir_plugin_stats(plugin, &stats);
	return stats.cpu_ns;
}

static bool fail(struct plugin_exchange *x, enum weir_cause cause, const struct weir_error *error)
{
	x->cause = cause;
	x->error = *error;
	/* A response that is on its way cannot be taken back. */
	if (x->responding && !(x->facts.features & WEIR_FEATURE_BUFFER_RESPONSE)) {
		(void)settle_response(x, false);
		return false;
	}
	x->author = PLUGIN_BY_WEIR;
	x->response.status = (int)weir_cause_status(cause);
	fields_init(&x->response.fields, &x->arena);
	return false;
}

static bool fail_memory(struct plugin_exchange *x)
{
	static const struct weir_error error = {-ENOMEM, "not enough memory for the messages"};

	return fail(x, WEIR_CAUSE_EMBEDDER, &error);
}

static int respond(struct plugin_exchange *x, struct weir_exchange *e)
{
	bool wanted = x->facts.response_wanted;
	bool buffered = (x->facts.features & WEIR_FEATURE_BUFFER_RESPONSE) != 0;
	enum weir_step step;

	step = drive(x, e, weir_exchange_response(e, buffered ? 0 : WEIR_RESPONSE_SENT));
	if (wanted)
		x->response_step = step;
	x->facts = *weir_exchange_facts(e);
	return step == WEIR_FAILED ? 0 : settle_response(x, buffered && wanted);
}

/* After the request phase. False when memory is short. */
static bool go_on(struct plugin_exchange *x, struct weir_exchange *e)
{
	if (x->step == WEIR_STOP)
		return settle_stop(x) == 0;
	return settle_request(x) == 0 && ask_upstream(x) == 0 && respond(x, e) == 0;
}

bool plugin_exchange_run(struct plugin_exchange *x, struct weir_pool *pool,
			 const struct weir_plugin *plugin, const struct plugin_request *from)
{
	struct weir_exchange *e = NULL;
	uint64_t before_ns = guest_cpu_ns(plugin), between_ns;
	bool good = true;

	if (begin(x, from) < 0)
		return fail_memory(x);
	x->step = weir_exchange_begin(&e, pool, &http, x);
	x->step = drive(x, e, x->step);
	between_ns = guest_cpu_ns(plugin);
	x->cpu_ns[WEIR_REQUEST] = between_ns - before_ns;
	if (e != NULL)
		x->facts = *weir_exchange_facts(e);
	if (x->step != WEIR_FAILED && !go_on(x, e))
		good = fail_memory(x);
	else if (x->step == WEIR_FAILED || x->response_step == WEIR_FAILED)
		good = fail(x, weir_exchange_cause(e), weir_exchange_error(e));
	x->cpu_ns[WEIR_RESPONSE] = guest_cpu_ns(plugin) - between_ns;
	weir_exchange_end(&e);
	return good;
}

const char *plugin_author_text(enum plugin_author author)
{
	static const char *const texts[] = {
#define X(name, text) [PLUGIN_BY_##name] = text,
		PLUGIN_AUTHORS(X)
#undef X
	};

	must((size_t)author < ARRAY_LEN(texts));
	return texts[author];
}
