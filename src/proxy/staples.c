#include "proxy/staples.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/map.h"
#include "http/inquiry.h"
#include "net/tls_ocsp.h"
#include "net/url.h"

#define STAPLES_MAGIC 0x73746170u

#define TIMEOUT_MS 10000u
#define HEAD_BYTES_MAX ((size_t)16 * 1024)
#define HEAD_FIELDS_MAX 100u
#define QUEUE_BYTES ((size_t)16 * 1024)

/* After a failure: at first, and at most; twice as long each time. */
#define RETRY_FIRST_MS UINT64_C(5000)
#define RETRY_MAX_MS UINT64_C(3600000)

/* Not asked more often, however short answers are valid; and at least once a day. */
#define REFRESH_MIN_MS UINT64_C(1000)
#define REFRESH_MAX_MS UINT64_C(86400000)

/* A certificate that has a responder. */
struct entry {
	struct tls_certificate *certificate; /* one reference */
	uint64_t due_ms;
	unsigned failures; /* in a row */
	bool stapled;
};

struct staples {
	uint32_t magic;
	struct loop *loop;
	const struct ocsp_config *config;
	struct proxy_counters *counters;
	struct timer timer; /* for the entry that is due next */
	struct entry *entries;
	size_t count;

	/* One inquiry. */
	struct tls_certificate *asking; /* one reference; NULL: none is in progress */
	struct arena arena;
	slice responder;
	struct client *client;
	struct spool content;
	struct inquiry inquiry;
};

static void schedule(struct staples *s);

static void set_stapled(struct staples *s, struct entry *e, bool stapled)
{
	if (stapled && !e->stapled)
		counter_add(&s->counters->ocsp_staples, 1);
	if (!stapled && e->stapled)
		counter_sub(&s->counters->ocsp_staples, 1);
	e->stapled = stapled;
}

static struct entry *find(const struct staples *s, const struct tls_certificate *c)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->entries[i].certificate == c)
			return &s->entries[i];
	}
	return NULL;
}

static void end_inquiry(struct staples *s)
{
	inquiry_stop(&s->inquiry);
	s->inquiry = (struct inquiry){0};
	spool_free(&s->content);
	spool_init(&s->content);
	if (s->client != NULL)
		client_destroy(&s->client);
	tls_certificate_release(&s->asking);
	arena_reset(&s->arena);
}

static const char *name_of(const struct tls_certificate *c)
{
	return c->name_count > 0 ? c->names[0] : "";
}

static uint64_t retry_ms(unsigned failures)
{
	uint64_t wait = RETRY_FIRST_MS;

	for (; failures > 1 && wait < RETRY_MAX_MS; failures--)
		wait *= 2;
	return MIN(wait, RETRY_MAX_MS);
}

/* What is there is served on while it is valid, unless it is known to be wrong. */
static void fail(struct staples *s, struct entry *e, const struct weir_error *why)
{
	struct str responder = {0};

	counter_add(&s->counters->ocsp_failures, 1);
	e->failures++;
	e->due_ms = loop_now_ms(s->loop) + retry_ms(e->failures);
	if (why->code == -EKEYREVOKED)
		(void)tls_certificate_set_staple(e->certificate, (slice){NULL, 0}, 0);
	set_stapled(s, e, tls_certificate_has_staple(e->certificate));
	url_add_hidden(&responder, s->responder);
	log_error_with((LOG_STRING("certificate", name_of(e->certificate)),
			LOG_TEXT("responder", str_slice(&responder)), LOG_CAUSE(why)),
		       "OCSP: no answer that can be shown to clients");
	str_free(&responder);
}

static void succeed(struct staples *s, struct entry *e, slice answer, int64_t valid_s)
{
	uint64_t half_ms = (uint64_t)valid_s * 500;

	if (tls_certificate_set_staple(e->certificate, answer, valid_s) < 0) {
		struct weir_error why = {0};

		(void)error_set(&why, -ENOMEM, "out of memory");
		fail(s, e, &why);
		return;
	}
	set_stapled(s, e, true);
	e->failures = 0;
	e->due_ms = loop_now_ms(s->loop) + MIN(MAX(half_ms, REFRESH_MIN_MS), REFRESH_MAX_MS);
	log_debug_with((LOG_STRING("certificate", name_of(e->certificate)),
			LOG_INTEGER("seconds", valid_s)),
		       "OCSP: answer taken");
}

/* Returns 0 and the answer, which is that of the inquiry, or a negative errno value. */
static int read_answer(const struct staples *s, slice *answer, struct weir_error *e)
{
	const struct inquiry *q = &s->inquiry;

	if (q->code == -EFBIG)
		return error_set(e, q->code, "found more than %u bytes, expected an OCSP response",
				 TLS_OCSP_BYTES_MAX);
	if (q->code < 0)
		return error_set(e, q->code, "%s", strerror(-q->code));
	if (q->response.status != 200)
		return error_set(e, -EPROTO, "found status %d, expected 200", q->response.status);
	*answer = spool_memory(&q->body);
	return 0;
}

static void on_answered(struct inquiry *q)
{
	struct staples *s = container_of(q, struct staples, inquiry);
	struct entry *entry = find(s, s->asking);
	struct weir_error e = {0};
	int64_t valid_s = 0;
	slice answer;
	int r;

	OBJ_CHECK(s, STAPLES_MAGIC);
	if (entry != NULL) {
		r = read_answer(s, &answer, &e);
		if (r == 0)
			r = tls_ocsp_check(entry->certificate, answer, &valid_s, &e);
		if (r == 0)
			succeed(s, entry, answer, valid_s);
		else
			fail(s, entry, &e);
	}
	end_inquiry(s);
	schedule(s);
}

/* `ocsp.responderOverrides`: whom to ask instead. */
static slice overridden(const struct staples *s, slice responder)
{
	const struct option_pairs *all = &s->config->responder_overrides;

	for (size_t i = 0; i < all->count; i++) {
		if (slice_equal(all->items[i].key, responder))
			return all->items[i].value;
	}
	return responder;
}

static int fill_request(struct staples *s, const struct url *u, slice content)
{
	struct request *q = &s->inquiry.request;
	slice length = arena_format(&s->arena, "%zu", content.n);
	int r;

	s->inquiry = (struct inquiry){.loop = s->loop,
				      .arena = &s->arena,
				      .body_bytes_max = TLS_OCSP_BYTES_MAX,
				      .timeout_ms = TIMEOUT_MS,
				      .queue_bytes = QUEUE_BYTES,
				      .content = &s->content,
				      .answered = on_answered};
	*q = (struct request){.method = SLICE("POST"),
			      .method_id = METHOD_POST,
			      .version = HTTP_1_1,
			      .framing = FRAMING_LENGTH,
			      .content_length = content.n};
	s->inquiry.target = arena_format(&s->arena, "%.*s%s%.*s",
					 SLICE_ARG(u->path.n > 0 ? u->path : SLICE("/")),
					 u->has_query ? "?" : "", SLICE_ARG(u->query));
	fields_init(&q->fields, &s->arena);
	if (length.p == NULL || s->inquiry.target.p == NULL)
		return -ENOMEM;
	r = fields_add_id(&q->fields, FIELD_HOST, u->authority);
	if (r == 0)
		r = fields_add_id(&q->fields, FIELD_CONTENT_TYPE,
				  SLICE("application/ocsp-request"));
	if (r == 0)
		r = fields_add_id(&q->fields, FIELD_CONTENT_LENGTH, length);
	return r == 0 ? spool_add(&s->content, content) : r;
}

static int make_client(struct staples *s, const struct url *u)
{
	const struct client_options options = {
		.idle_max = 0,
		.connections_max = 4,
		.head = {.head_bytes_max = HEAD_BYTES_MAX, .fields_max = HEAD_FIELDS_MAX},
	};

	return client_create(&s->client, s->loop, u->host, u->port, &options, NULL);
}

/* Returns 0 with the inquiry ready, or a negative errno value. */
static int prepare(struct staples *s, const struct tls_certificate *c, struct weir_error *e)
{
	slice content;
	struct url u;
	int r = tls_ocsp_ask(c, &s->arena, &content, &s->responder);

	if (r < 0)
		return error_set(e, r, "%s", strerror(-r));
	s->responder = overridden(s, s->responder);
	r = url_parse(s->responder, &u, e);
	if (r < 0)
		return r;
	if (!slice_equal_nocase(u.scheme, SLICE("http")))
		return error_set(e, -ENOTSUP, "found scheme \"%.*s\", expected http",
				 SLICE_ARG(u.scheme));
	r = fill_request(s, &u, content);
	if (r == 0)
		r = make_client(s, &u);
	return r < 0 ? error_set(e, r, "%s", strerror(-r)) : 0;
}

static void ask(struct staples *s, struct entry *entry)
{
	struct weir_error e = {0};

	s->asking = tls_certificate_ref(entry->certificate);
	counter_add(&s->counters->ocsp_requests, 1);
	if (prepare(s, entry->certificate, &e) < 0) {
		fail(s, entry, &e);
		end_inquiry(s);
		schedule(s);
		return;
	}
	inquiry_start(&s->inquiry, s->client);
}

static struct entry *next_due(const struct staples *s)
{
	struct entry *next = NULL;

	for (size_t i = 0; i < s->count; i++) {
		if (next == NULL || s->entries[i].due_ms < next->due_ms)
			next = &s->entries[i];
	}
	return next;
}

static void on_timer(struct timer *t)
{
	struct staples *s = container_of(t, struct staples, timer);
	struct entry *next = next_due(s);

	OBJ_CHECK(s, STAPLES_MAGIC);
	if (s->asking == NULL && next != NULL && next->due_ms <= loop_now_ms(s->loop))
		ask(s, next);
	else
		schedule(s);
}

/* Always by the timer: so an answer within the call cannot recurse. */
static void schedule(struct staples *s)
{
	const struct entry *next = next_due(s);
	uint64_t now = loop_now_ms(s->loop);

	loop_disarm(s->loop, &s->timer);
	if (s->asking == NULL && next != NULL)
		loop_arm(s->loop, &s->timer, next->due_ms > now ? next->due_ms - now : 1, on_timer);
}

int staples_create(struct staples **staples, struct loop *control, const struct ocsp_config *config,
		   struct proxy_counters *counters, struct weir_error *e)
{
	struct staples *s = calloc(1, sizeof *s);

	*staples = s;
	if (s == NULL)
		return error_set(e, -ENOMEM, "ocsp: out of memory");
	s->magic = STAPLES_MAGIC;
	s->loop = control;
	s->config = config;
	s->counters = counters;
	arena_init(&s->arena, 4096, (size_t)256 * 1024);
	spool_init(&s->content);
	return 0;
}

static void drop_entries(struct staples *s, struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		set_stapled(s, &entries[i], false);
		tls_certificate_release(&entries[i].certificate);
	}
	free(entries);
}

/* By their certificates' addresses. */
static int index_entries(const struct staples *s, struct map *known)
{
	int r = 0;

	for (size_t i = 0; i < s->count && r == 0; i++) {
		struct entry *e = &s->entries[i];

		r = map_put(known, slice_of((const char *)&e->certificate, sizeof(void *)), e);
	}
	return r;
}

/* Of a certificate; what is known of it stays. */
static struct entry make_entry(const struct staples *s, const struct map *known,
			       struct tls_certificate *c)
{
	const struct entry *old = map_get(known, slice_of((const char *)&c, sizeof(void *)));
	struct entry made = old != NULL ? *old : (struct entry){.due_ms = loop_now_ms(s->loop)};

	made.certificate = tls_certificate_ref(c);
	if (made.stapled)
		counter_add(&s->counters->ocsp_staples, 1);
	return made;
}

void staples_use(struct staples *s, const struct tls_store *store)
{
	struct entry *old = s->entries, *fresh = calloc(store->count, sizeof *fresh);
	size_t old_count = s->count, count = 0;
	struct map known = {0};

	OBJ_CHECK(s, STAPLES_MAGIC);
	if (fresh == NULL || index_entries(s, &known) < 0) {
		log_error("OCSP: out of memory; new certificates are shown without an answer");
		free(fresh);
		map_free(&known);
		return;
	}
	for (size_t i = 0; i < store->count; i++) {
		if (store->list[i]->has_responder)
			fresh[count++] = make_entry(s, &known, store->list[i]);
	}
	map_free(&known);
	s->entries = fresh;
	s->count = count;
	drop_entries(s, old, old_count);
	schedule(s);
}

void staples_destroy(struct staples **staples)
{
	struct staples *s;

	if (*staples == NULL)
		return;
	OBJ_TAKE(s, staples, STAPLES_MAGIC);
	loop_disarm(s->loop, &s->timer);
	end_inquiry(s);
	drop_entries(s, s->entries, s->count);
	spool_free(&s->content);
	arena_free(&s->arena);
	s->magic = 0;
	free(s);
}
