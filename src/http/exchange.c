#include "http/exchange_private.h"

#include <errno.h>
#include <stdlib.h>

#include "core/work_note.h"

#define ARENA_BLOCK_BYTES ((size_t)4096)
#define IDLE_MAX 256u

static size_t rounded(size_t n)
{
	const size_t alignment = _Alignof(max_align_t);

	return (n + alignment - 1) & ~(alignment - 1);
}

void chain_finish(struct chain *c)
{
	c->magic = CHAIN_MAGIC;
	c->state_bytes = 0;
	for (size_t i = 0; i < c->count; i++) {
		OBJ_CHECK(c->list[i], MIDDLEWARE_MAGIC);
		c->state_bytes += rounded(c->list[i]->class->state_bytes);
	}
}

void exchange_pool_init(struct exchange_pool *pool, struct loop *loop,
			const struct exchange_limits *limits)
{
	*pool = (struct exchange_pool){.magic = EXCHANGE_POOL_MAGIC,
				       .loop = loop,
				       .idle_max = IDLE_MAX,
				       .limits = *limits};
	list_init(&pool->idle);
	list_init(&pool->live);
}

static void destroy(struct exchange *x)
{
	arena_free(&x->arena);
	free(x);
}

void exchange_pool_free(struct exchange_pool *pool)
{
	struct list *e;

	OBJ_CHECK(pool, EXCHANGE_POOL_MAGIC);
	must(pool->live_count == 0);
	while ((e = list_pop(&pool->idle)) != NULL)
		destroy(container_of(e, struct exchange, link));
	pool->idle_count = 0;
	pool->magic = 0;
}

static struct exchange *take(struct exchange_pool *pool)
{
	struct list *e = list_pop(&pool->idle);
	struct exchange *x;

	if (e != NULL) {
		pool->idle_count--;
		return container_of(e, struct exchange, link);
	}
	x = malloc(sizeof *x);
	if (x == NULL)
		return NULL;
	x->link = (struct list){NULL, NULL};
	arena_init(&x->arena, ARENA_BLOCK_BYTES, pool->limits.arena_bytes_max);
	return x;
}

struct exchange *exchange_begin(struct exchange_pool *pool, const struct exchange_client *client,
				void *connection)
{
	struct exchange *x;

	OBJ_CHECK(pool, EXCHANGE_POOL_MAGIC);
	x = take(pool);
	if (x == NULL)
		return NULL;
	x->magic = EXCHANGE_MAGIC;
	x->phase = EXCHANGE_NEW;
	x->loop = pool->loop;
	x->pool = pool;
	x->client = client;
	x->connection = connection;
	x->peer = x->peer_host = (slice){NULL, 0};
	x->peer_address = (struct address){{0}};
	x->tls = false;
	x->client_tls = NULL;
	x->server_name = (slice){NULL, 0};
	x->client_method = METHOD_OTHER;
	x->request = (struct request){.framing = FRAMING_NONE};
	x->response = (struct response){.version = HTTP_1_1};
	fields_init(&x->request.fields, &x->arena);
	fields_init(&x->response.fields, &x->arena);
	fields_init(&x->early_fields, &x->arena);
	fields_init(&x->request_trailers, &x->arena);
	fields_init(&x->response_trailers, &x->arena);
	body_init(&x->own_request_body, pool->limits.body_queue_bytes);
	body_init(&x->own_response_body, pool->limits.body_queue_bytes);
	x->request_body = &x->own_request_body;
	x->response_body = &x->own_response_body;
	x->chain = NULL;
	x->service = NULL;
	x->branch = x->diverted = NULL;
	x->tunnel = NULL;
	x->endings = NULL;
	x->at = x->entered = 0;
	x->states = NULL;
	x->walking = x->waiting = x->service_active = x->own_answer = x->failed = false;
	x->forwarded_for_dropped = x->reached_server = x->request_sent = x->drops_interim = false;
	x->guesses_type = false;
	x->repetitions = x->diversions = 0;
	x->detached = false;
	x->expired_turn = 0;
	x->on_respond = x->on_release = x->on_tunnel = NULL;
	x->route = NULL;
	x->account = x->record = NULL;
	x->user = (slice){NULL, 0};
	list_push(&pool->live, &x->link);
	pool->live_count++;
	counter_add(&pool->counters.begun, 1);
	counter_add(&pool->counters.live, 1);
	return x;
}

int exchange_make_states(struct exchange *x, const struct chain *chain, void **states)
{
	char *at = arena_zalloc(&x->arena, chain->state_bytes);

	if (at == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < chain->count; i++) {
		states[i] = at;
		at += rounded(chain->list[i]->class->state_bytes);
	}
	return 0;
}

void *exchange_state(struct exchange *x, size_t index)
{
	must(index < x->chain->count);
	return x->states != NULL ? x->states[index] : NULL;
}

static void set_phase(struct exchange *x, enum exchange_phase from, enum exchange_phase to)
{
	must(x->phase == from);
	x->phase = to;
}

static enum middleware_verdict enter(struct exchange *x)
{
	struct middleware *m = x->chain->list[x->at];

	OBJ_CHECK(m, MIDDLEWARE_MAGIC);
	x->entered = MAX(x->entered, x->at + 1);
	if (m->class->on_request == NULL)
		return MW_CONTINUE;
	return m->class->on_request(m, x, exchange_state(x, x->at));
}

static enum middleware_verdict leave(struct exchange *x)
{
	struct middleware *m = x->chain->list[x->at - 1];

	OBJ_CHECK(m, MIDDLEWARE_MAGIC);
	if (m->class->on_response == NULL)
		return MW_CONTINUE;
	return m->class->on_response(m, x, exchange_state(x, x->at - 1));
}

static void answer_status(struct exchange *x, int status)
{
	exchange_answer(x, status, slice_from(status_text(status)), false);
}

/* Whoever has set fields early lies further outside than who answers. */
static void begin_response(struct exchange *x, enum exchange_phase from)
{
	set_phase(x, from, EXCHANGE_RESPONSE);
	x->early_is_lost = false;
	if (fields_put_before(&x->response.fields, &x->early_fields, &x->arena) < 0)
		answer_status(x, 500);
}

/* One step of the walk inwards. Returns false when the walk must wait. */
static bool step_request(struct exchange *x)
{
	switch (enter(x)) {
	case MW_CONTINUE:
		x->at++;
		return true;
	case MW_PENDING:
		x->waiting = true;
		return false;
	case MW_FAILED:
		answer_status(x, 500);
		break;
	case MW_ANSWERED:
		break;
	case MW_AGAIN:
		must(false);
	}
	begin_response(x, EXCHANGE_REQUEST);
	return true;
}

/* Asked for pages of pages, a request could go on for as long as its generation has chains. */
static bool may_repeat(struct exchange *x)
{
	struct exchange_counters *c = &x->pool->counters;
	unsigned *count = x->diverted != NULL ? &x->diversions : &x->repetitions;

	if (*count >= x->pool->limits.repetitions_max) {
		counter_add(&c->repetitions_refused, 1);
		x->diverted = NULL;
		return false;
	}
	++*count;
	counter_add(x->diverted != NULL ? &c->diverted : &c->repeated, 1);
	return true;
}

static void drop_service(struct exchange *x);

/* Drops the response's body; its head stays until those inside have ended, who may look at it. */
static void begin_rewind(struct exchange *x)
{
	set_phase(x, EXCHANGE_RESPONSE, EXCHANGE_REWIND);
	if (x->service_active)
		drop_service(x);
	body_set_consumer(x->response_body, NULL, NULL);
	x->response_body = &x->own_response_body;
}

static void forget_response(struct exchange *x)
{
	body_free(&x->own_response_body);
	body_init(&x->own_response_body, x->pool->limits.body_queue_bytes);
	x->response = (struct response){.version = HTTP_1_1};
	fields_init(&x->response.fields, &x->arena);
	fields_init(&x->response_trailers, &x->arena);
	x->own_answer = x->reached_server = x->request_sent = false;
	exchange_switch_branch(x);
}

/* Ends those further inside than `x->at`, the innermost first. Returns false when one must be
 * waited for. */
static bool step_rewind(struct exchange *x)
{
	while (x->entered > x->at + 1) {
		size_t i = x->entered - 1;
		struct middleware *m = x->chain->list[i];
		void *state = exchange_state(x, i);

		if (m->class->on_sent != NULL && m->class->on_sent(m, x, state) == MW_PENDING) {
			x->waiting = true;
			return false;
		}
		if (m->class->on_end != NULL)
			m->class->on_end(m, x, state);
		if (m->class->state_bytes > 0)
			memset(state, 0, m->class->state_bytes);
		x->entered = i;
	}
	forget_response(x);
	set_phase(x, EXCHANGE_REWIND, EXCHANGE_REQUEST);
	return true;
}

/* One step of the walk outwards. Returns false when the walk must wait. */
static bool step_response(struct exchange *x)
{
	switch (leave(x)) {
	case MW_PENDING:
		x->waiting = true;
		return false;
	case MW_FAILED:
		answer_status(x, 500);
		break;
	case MW_AGAIN:
		if (may_repeat(x))
			begin_rewind(x);
		break;
	case MW_CONTINUE:
	case MW_ANSWERED:
		break;
	}
	x->at--;
	return true;
}

/* Returns false when the walk must wait. */
static bool step(struct exchange *x)
{
	if (x->phase == EXCHANGE_REQUEST)
		return step_request(x);
	return x->phase == EXCHANGE_REWIND ? step_rewind(x) : step_response(x);
}

static void forget_work(void)
{
	work_note.method = work_note.target = NULL;
}

static void respond(struct exchange *x)
{
	if (x->on_respond != NULL)
		x->on_respond(x);
	x->client->respond(x);
}

/* The one loop that walks the chain. After the calls of the service or the client the exchange may
 * be gone. */
static void walk(struct exchange *x)
{
	must(!x->walking);
	x->walking = true;
	work_note.method = &x->request.method;
	work_note.target = &x->request.target;
	for (;;) {
		if (x->phase == EXCHANGE_REQUEST && x->at == x->chain->count) {
			x->walking = false;
			set_phase(x, EXCHANGE_REQUEST, EXCHANGE_SERVICE);
			x->service_active = true;
			x->service->class->start(x->service, x);
			forget_work();
			return;
		}
		if (x->phase == EXCHANGE_RESPONSE && x->at == 0) {
			x->walking = false;
			if (x->response.status == 101 && !exchange_may_tunnel(x))
				answer_status(x, 500);
			set_phase(x, EXCHANGE_RESPONSE, EXCHANGE_SENDING);
			respond(x);
			forget_work();
			return;
		}
		if (!step(x))
			break;
	}
	x->walking = false;
	forget_work();
}

void exchange_start(struct exchange *x, const struct chain *chain)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	OBJ_CHECK(chain, CHAIN_MAGIC);
	x->chain = chain;
	x->service = chain->service;
	set_phase(x, EXCHANGE_NEW, EXCHANGE_REQUEST);
	if (chain->state_bytes > 0) {
		x->states = ARENA_ARRAY(&x->arena, void *, chain->count);
		if (x->states == NULL || exchange_make_states(x, chain, x->states) < 0) {
			answer_status(x, 503);
			x->phase = EXCHANGE_RESPONSE;
		}
	}
	walk(x);
}

void exchange_resume(struct exchange *x)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	if (!x->waiting)
		return;
	x->waiting = false;
	if (x->phase >= EXCHANGE_TUNNEL)
		exchange_finish(x);
	else
		walk(x);
}

static void drop_service(struct exchange *x)
{
	struct service *s = x->service;

	x->service_active = false;
	s->class->cancel(x->detached ? NULL : s, x);
}

void exchange_answer(struct exchange *x, int status, slice body, bool as_error)
{
	struct response *r = &x->response;
	slice copy = arena_copy(&x->arena, body);
	struct body *b = &x->own_response_body;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(x->phase <= EXCHANGE_RESPONSE);
	if (x->service_active)
		drop_service(x);
	x->early_is_lost = x->phase == EXCHANGE_RESPONSE;
	fields_init(&r->fields, &x->arena);
	fields_init(&x->response_trailers, &x->arena);
	*r = (struct response){.status = status,
			       .version = HTTP_1_1,
			       .framing = FRAMING_LENGTH,
			       .content_length = copy.n,
			       .keep_alive = true,
			       .fields = r->fields};
	if (as_error) {
		(void)fields_add_id(&r->fields, FIELD_CONTENT_TYPE,
				    SLICE("text/plain; charset=utf-8"));
		(void)fields_add_id(&r->fields, FIELD_X_CONTENT_TYPE_OPTIONS, SLICE("nosniff"));
	}
	body_free(b);
	body_init(b, x->pool->limits.body_queue_bytes);
	body_push(b, NULL, copy);
	body_end(b);
	x->response_body = b;
	x->own_answer = true;
}

void exchange_refuse(struct exchange *x, int status, slice body, bool as_error)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(x->phase == EXCHANGE_NEW);
	exchange_answer(x, status, body, as_error);
	x->phase = EXCHANGE_SENDING;
	respond(x);
}

void exchange_respond(struct exchange *x)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	begin_response(x, EXCHANGE_SERVICE);
	walk(x);
}

void exchange_reply(struct exchange *x, int status, slice body, bool as_error)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(x->service_active);
	x->service_active = false;
	exchange_answer(x, status, body, as_error);
	exchange_respond(x);
}

void exchange_fail(struct exchange *x, int status)
{
	exchange_reply(x, status, slice_from(status_text(status)), false);
}

void exchange_inform(struct exchange *x, const struct response *interim)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(x->phase == EXCHANGE_SERVICE);
	if (!x->drops_interim)
		x->client->inform(x, interim);
}

void exchange_service_done(struct exchange *x)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(x->service_active);
	x->service_active = false;
}

static void tell_middlewares(struct exchange *x)
{
	for (size_t i = x->entered; i-- > 0;) {
		struct middleware *m = x->chain->list[i];

		if (m->class->on_end != NULL)
			m->class->on_end(x->detached ? NULL : m, x, exchange_state(x, i));
	}
	x->entered = 0;
}

static void count_end(const struct exchange *x)
{
	struct exchange_counters *c = &x->pool->counters;
	uint64_t stalls = x->own_request_body.stalls + x->own_response_body.stalls;

	counter_sub(&c->live, 1);
	if (stalls > 0)
		counter_add(&c->body_stalls, stalls);
	if (x->arena.full)
		counter_add(&c->memory_full, 1);
}

static void release(struct exchange *x)
{
	struct exchange_pool *pool = x->pool;

	for (struct exchange_ending *e; (e = x->endings) != NULL;) {
		x->endings = e->next;
		e->run(e);
	}
	body_free(&x->own_request_body);
	body_free(&x->own_response_body);
	exchange_free_tunnel(x);
	if (x->on_release != NULL)
		x->on_release(x);
	x->magic = 0;
	list_remove(&x->link);
	pool->live_count--;
	count_end(x);
	if (pool->idle_count >= pool->idle_max) {
		destroy(x);
		return;
	}
	arena_reset(&x->arena);
	list_push(&pool->idle, &x->link);
	pool->idle_count++;
}

void exchange_finish(struct exchange *x)
{
	for (; x->at > 0; x->at--) {
		struct middleware *m = x->chain->list[x->at - 1];

		if (m->class->on_sent != NULL &&
		    m->class->on_sent(x->detached ? NULL : m, x, exchange_state(x, x->at - 1)) ==
			    MW_PENDING) {
			x->waiting = true;
			return;
		}
	}
	tell_middlewares(x);
	if (x->phase == EXCHANGE_TUNNEL)
		exchange_leave_chain(x);
	else
		release(x);
}

void exchange_end(struct exchange **giver, bool failed)
{
	struct exchange *x;
	bool finishing;

	OBJ_TAKE(x, giver, EXCHANGE_MAGIC);
	must(!x->walking && x->phase != EXCHANGE_CLOSING);
	/* In a tunnel's life the middlewares may be finishing already: one that waits goes on. */
	finishing = x->phase == EXCHANGE_TUNNEL && x->at > 0;
	x->phase = EXCHANGE_CLOSING;
	x->waiting &= finishing;
	x->failed |= failed;
	x->connection = NULL;
	x->client_tls = NULL;
	if (x->service_active)
		drop_service(x);
	/* The connection is the producer of one body and the consumer of the other, and may be gone
	 * before the middlewares are done. */
	body_set_producer(&x->own_request_body, NULL, NULL);
	body_set_consumer(x->response_body, NULL, NULL);
	exchange_cut_tunnel(x);
	if (finishing)
		return;
	x->at = x->entered;
	exchange_finish(x);
}

struct body *exchange_put_stage(struct exchange *x, struct body **where, struct body *stage)
{
	struct body *inner = *where;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	body_init(stage, x->pool->limits.body_queue_bytes);
	*where = stage;
	return inner;
}

/* The query still follows its path in the bytes of the request line. */
static bool is_one_piece(const struct request *q)
{
	return q->path.n > 0 && q->path.p + q->path.n + 1 == q->query.p &&
	       q->path.p[q->path.n] == '?';
}

slice exchange_target(struct exchange *x)
{
	const struct request *q = &x->request;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	if (!q->has_query)
		return q->path.n > 0 ? q->path : SLICE("/");
	if (is_one_piece(q))
		return slice_of(q->path.p, q->path.n + 1 + q->query.n);
	return arena_format(&x->arena, "%.*s?%.*s", SLICE_ARG(q->path.n > 0 ? q->path : SLICE("/")),
			    SLICE_ARG(q->query));
}
