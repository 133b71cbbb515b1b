#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/exchange.h"

#define DEPTH 3

static struct loop loop;
static struct exchange_pool pool;
static struct exchange *current;
static char trace[512];
static bool is_sent, released;

static void note(const char *what, char who)
{
	size_t n = strlen(trace);

	assert_true(n + 8 < sizeof trace);
	(void)snprintf(trace + n, sizeof trace - n, "%s%s%c", n > 0 ? " " : "", what, who);
}

/* A middleware that does what its script says: one letter per call of a hook. */
struct probe {
	struct middleware middleware;
	char letter;
	/* c: continue, a: answered, p: pending, f: failed, g: again, d: the same to `aside` */
	const char *request, *response, *sent;
	unsigned request_calls, response_calls, sent_calls;
	unsigned ended;
	const struct chain *aside;
};

struct probe_state {
	unsigned marker;
};

static struct probe *probe_of(struct middleware *m)
{
	return container_of(m, struct probe, middleware);
}

static enum middleware_verdict follow(const char *script, unsigned *calls, struct exchange *x)
{
	size_t n = script != NULL ? strlen(script) : 0;
	char c = n == 0 ? 'c' : script[MIN(*calls, n - 1)];

	(*calls)++;
	switch (c) {
	case 'a':
		exchange_answer(x, 418, SLICE("short and stout"), false);
		return MW_ANSWERED;
	case '1':
		exchange_answer(x, 101, SLICE(""), false);
		return MW_ANSWERED;
	case 'p':
		return MW_PENDING;
	case 'f':
		return MW_FAILED;
	case 'g':
	case 'd':
		return MW_AGAIN;
	default:
		return MW_CONTINUE;
	}
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct probe *p = probe_of(m);
	struct probe_state *s = state;

	assert_true(s->marker == 0 || s->marker == (unsigned)p->letter);
	s->marker = (unsigned)p->letter;
	note("q", p->letter);
	return follow(p->request, &p->request_calls, x);
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	struct probe *p = probe_of(m);

	assert_int_equal(((struct probe_state *)state)->marker, (unsigned)p->letter);
	note("r", p->letter);
	if (p->aside != NULL && p->response[MIN(p->response_calls, strlen(p->response) - 1)] == 'd')
		assert_int_equal(exchange_divert(x, p->aside), 0);
	return follow(p->response, &p->response_calls, x);
}

static enum middleware_verdict on_sent(struct middleware *m, struct exchange *x, void *state)
{
	struct probe *p = probe_of(m);

	(void)state;
	assert_true((x->connection == NULL) == (x->phase == EXCHANGE_CLOSING));
	note("s", p->letter);
	return follow(p->sent, &p->sent_calls, x);
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct probe *p = probe_of(m);

	(void)x;
	assert_int_equal(((struct probe_state *)state)->marker, (unsigned)p->letter);
	note("e", p->letter);
	p->ended++;
}

static const struct middleware_class probe_class = {.name = "probe",
						    .state_bytes = sizeof(struct probe_state),
						    .on_request = on_request,
						    .on_response = on_response,
						    .on_sent = on_sent,
						    .on_end = on_end};
static const struct middleware_class idle_class = {.name = "idle"};

/* A service that answers when it is told to, or at once. */
static struct {
	struct service service;
	char how; /* n: now, l: later, f: failed, d: now, but not done yet, t: 101 */
	bool cancelled;
} backend;

static void answer_from_service(struct exchange *x, bool is_done)
{
	x->response = (struct response){.status = 200,
					.version = HTTP_1_1,
					.framing = FRAMING_LENGTH,
					.content_length = 2,
					.fields = x->response.fields};
	body_push(x->response_body, NULL, SLICE("ok"));
	if (is_done) {
		body_end(x->response_body);
		exchange_service_done(x);
	}
	exchange_respond(x);
}

static void start(struct service *s, struct exchange *x)
{
	(void)s;
	note("S", ' ');
	if (backend.how == 'n' || backend.how == 'd')
		answer_from_service(x, backend.how == 'n');
	else if (backend.how == 'f')
		exchange_fail(x, 502);
	if (backend.how != 't')
		return;
	x->response =
		(struct response){.status = 101, .version = HTTP_1_1, .fields = x->response.fields};
	exchange_respond(x);
}

static void cancel(struct service *s, struct exchange *x)
{
	(void)s;
	(void)x;
	note("C", ' ');
	backend.cancelled = true;
}

static const struct service_class backend_class = {
	.name = "backend", .start = start, .cancel = cancel};

static void cancel_switched(struct service *s, struct exchange *x)
{
	assert_true((s == NULL) == x->detached);
	cancel(s, x);
}

static int detach_switched(struct service *s, struct exchange *x)
{
	assert_non_null(s);
	assert_int_equal(x->phase, EXCHANGE_TUNNEL);
	note("T", 'D');
	return 0;
}

static void tunnel(struct exchange *x, struct tunnel *t)
{
	assert_ptr_equal(x->tunnel, t);
	note("T", 'O');
}

static const struct service_class switching_class = {.name = "switching",
						     .start = start,
						     .cancel = cancel_switched,
						     .detach = detach_switched,
						     .tunnel = tunnel};

static bool end_at_once;

static void respond(struct exchange *x)
{
	note("=", (char)('0' + x->response.status / 100));
	is_sent = true;
	if (x->response.status == 101) {
		assert_int_equal(exchange_open_tunnel(x), 0);
		return;
	}
	if (end_at_once)
		exchange_end(&current, false);
}

static void inform(struct exchange *x, const struct response *interim)
{
	(void)x;
	(void)interim;
}

static void drop(struct exchange *x)
{
	assert_ptr_equal(x, current);
	note("X", ' ');
	exchange_end(&current, true);
}

static const struct exchange_client client = {.respond = respond, .inform = inform, .drop = drop};
static struct probe probes[DEPTH];
static struct middleware idle = {.magic = MIDDLEWARE_MAGIC, .class = &idle_class};
static struct middleware *list[DEPTH + 1];
static struct chain chain;

static void on_release(struct exchange *x)
{
	(void)x;
	assert_false(released);
	released = true;
}

static void on_tunnel(struct exchange *x)
{
	assert_null(x->chain);
	note("T", 'L');
}

static struct exchange *begin(void)
{
	current = exchange_begin(&pool, &client, &pool);
	assert_non_null(current);
	current->on_release = on_release;
	current->on_tunnel = on_tunnel;
	return current;
}

static void go(void)
{
	exchange_start(begin(), &chain);
}

static int set_up(void **state)
{
	const struct exchange_limits limits = {
		.arena_bytes_max = 65536, .body_queue_bytes = 1000, .repetitions_max = 3};

	(void)state;
	trace[0] = '\0';
	is_sent = released = false;
	end_at_once = true;
	backend.service = (struct service){.magic = SERVICE_MAGIC, .class = &backend_class};
	backend.how = 'n';
	backend.cancelled = false;
	for (unsigned i = 0; i < DEPTH; i++) {
		probes[i] = (struct probe){
			.middleware = {.magic = MIDDLEWARE_MAGIC, .class = &probe_class},
			.letter = (char)('A' + i)};
		list[i] = &probes[i].middleware;
	}
	list[DEPTH] = &idle;
	chain = (struct chain){.count = DEPTH + 1, .list = list, .service = &backend.service};
	chain_finish(&chain);
	assert_int_equal(loop_init(&loop, 1 << 20), 0);
	exchange_pool_init(&pool, &loop, &limits);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(pool.live_count, 0);
	exchange_pool_free(&pool);
	loop_close(&loop);
	return 0;
}

static void the_whole_way(void **state)
{
	(void)state;
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB rA =2 sC sB sA eC eB eA");
	assert_true(released);
}

static void an_answer_skips_what_lies_inside(void **state)
{
	(void)state;
	probes[1].request = "a";
	go();
	assert_string_equal(trace, "qA qB rA =4 sB sA eB eA");
}

static void a_failure_answers_500(void **state)
{
	(void)state;
	end_at_once = false;
	probes[2].request = "f";
	go();
	assert_string_equal(trace, "qA qB qC rB rA =5");
	assert_int_equal(current->response.status, 500);
	assert_true(current->own_answer);
	assert_true(
		slice_equal(body_front(current->response_body), SLICE("Internal Server Error")));
	exchange_end(&current, false);
}

static void a_failed_response_is_replaced(void **state)
{
	(void)state;
	end_at_once = false;
	probes[2].response = "f";
	probes[0].response = "a";
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB rA =4");
	assert_true(slice_equal(body_front(current->response_body), SLICE("short and stout")));
	exchange_end(&current, false);
}

/* The service has more to say when a middleware replaces its response. */
static void a_replaced_response_cancels_the_service(void **state)
{
	(void)state;
	backend.how = 'd';
	probes[1].response = "a";
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB C  rA =4 sC sB sA eC eB eA");
}

static enum middleware_verdict late_sent(struct middleware *m, struct exchange *x, void *state)
{
	assert_null(m);
	assert_true(x->detached);
	note("s", (char)((struct probe_state *)state)->marker);
	return MW_CONTINUE;
}

static void late_end(struct middleware *m, struct exchange *x, void *state)
{
	assert_null(m);
	assert_true(x->detached);
	note("e", (char)((struct probe_state *)state)->marker);
}

static int detach_result, service_result;

static int detach(struct middleware *m, struct exchange *x, void *state)
{
	(void)x;
	note("d", probe_of(m)->letter);
	assert_int_equal(((struct probe_state *)state)->marker, (unsigned)probe_of(m)->letter);
	return detach_result;
}

static int detach_service(struct service *s, struct exchange *x)
{
	(void)x;
	assert_ptr_equal(s, &backend.service);
	note("D", ' ');
	return service_result;
}

static void late_cancel(struct service *s, struct exchange *x)
{
	(void)x;
	assert_null(s);
	note("C", ' ');
}

static const struct middleware_class late_class = {.name = "late",
						   .state_bytes = sizeof(struct probe_state),
						   .on_request = on_request,
						   .on_response = on_response,
						   .on_sent = late_sent,
						   .on_end = late_end,
						   .detach = detach};
static const struct service_class late_backend_class = {
	.name = "late", .start = start, .cancel = late_cancel, .detach = detach_service};

/* What a generation owns, on the heap: whoever uses it afterwards is found by the sanitizer. */
static struct chain *late_chain(void)
{
	struct chain *c = calloc(1, sizeof *c);

	assert_non_null(c);
	c->count = DEPTH;
	c->list = calloc(DEPTH, sizeof(struct middleware *));
	assert_non_null(c->list);
	for (unsigned i = 0; i < DEPTH; i++) {
		struct probe *p = calloc(1, sizeof *p);

		assert_non_null(p);
		p->middleware = (struct middleware){MIDDLEWARE_MAGIC, &late_class, SLICE("m")};
		p->letter = (char)('A' + i);
		c->list[i] = &p->middleware;
	}
	backend.service.class = &late_backend_class;
	c->service = &backend.service;
	chain_finish(c);
	detach_result = service_result = 0;
	return c;
}

static void free_late_chain(struct chain *c)
{
	for (unsigned i = 0; i < DEPTH; i++)
		free(probe_of(c->list[i]));
	free(c->list);
	free(c);
	memset(&backend.service, 0xdd, sizeof backend.service);
}

static void a_detached_exchange_needs_nothing_of_its_chain(void **state)
{
	struct chain *c = late_chain();
	char *borrowed = strdup("of the configuration");

	(void)state;
	assert_non_null(borrowed);
	end_at_once = false;
	backend.how = 'd';
	exchange_start(begin(), c);
	assert_int_equal(fields_add(&current->response.fields, SLICE("X-Of"), slice_from(borrowed)),
			 0);
	current->request.path = slice_from(borrowed);
	assert_int_equal(exchange_detach(current), 0);
	assert_int_equal(counter_get(&pool.counters.detached), 1);
	memset(borrowed, 0xdd, strlen(borrowed));
	free(borrowed);
	free_late_chain(c);
	assert_true(slice_equal(fields_find(&current->response.fields, SLICE("x-of"))->value,
				SLICE("of the configuration")));
	assert_true(slice_equal(current->request.path, SLICE("of the configuration")));
	exchange_end(&current, false);
	assert_string_equal(trace, "qA qB qC S  rC rB rA =2 dA dB dC D  C  sC sB sA eC eB eA");
	assert_true(released);
}

static void an_exchange_is_not_detached_before_its_response_has_passed(void **state)
{
	struct chain *c = late_chain();

	(void)state;
	end_at_once = false;
	backend.how = 'l';
	exchange_start(begin(), c);
	assert_int_equal(exchange_detach(current), -EAGAIN);
	answer_from_service(current, true);
	detach_result = -ENOMEM;
	assert_int_equal(exchange_detach(current), -ENOMEM);
	assert_false(current->detached);
	detach_result = 0;
	assert_int_equal(exchange_detach(current), 0);
	free_late_chain(c);
	exchange_end(&current, false);
	assert_string_equal(trace, "qA qB qC S  rC rB rA =2 dA dA dB dC sC sB sA eC eB eA");
}

static void a_middleware_that_cannot_detach_holds_its_exchange(void **state)
{
	(void)state;
	end_at_once = false;
	go();
	assert_int_equal(exchange_detach(current), -EBUSY);
	exchange_end(&current, false);
	assert_string_equal(trace, "qA qB qC S  rC rB rA =2 sC sB sA eC eB eA");
}

static void a_service_that_cannot_detach_holds_its_exchange(void **state)
{
	(void)state;
	end_at_once = false;
	backend.how = 'd';
	chain.count = 0;
	chain_finish(&chain);
	go();
	assert_int_equal(exchange_detach(current), -EBUSY);
	exchange_service_done(current);
	assert_int_equal(exchange_detach(current), 0);
	body_end(current->response_body);
	exchange_end(&current, false);
}

static void an_expired_exchange_that_waits_for_its_service_is_answered(void **state)
{
	(void)state;
	backend.how = 'l';
	go();
	exchange_expire(current);
	assert_string_equal(trace, "qA qB qC S  C  rC rB rA =5 sC sB sA eC eB eA");
	assert_true(released);
	assert_int_equal(counter_get(&pool.counters.expired), 1);
}

static void an_expired_exchange_is_dropped(void **state)
{
	(void)state;
	backend.how = 'l';
	probes[1].response = "p";
	go();
	exchange_expire(current);
	assert_string_equal(trace, "qA qB qC S  C  rC rB");
	exchange_expire(current);
	assert_string_equal(trace, "qA qB qC S  C  rC rB X  sC sB sA eC eB eA");
	assert_int_equal(counter_get(&pool.counters.expired), 1);
}

static void every_hook_may_wait(void **state)
{
	(void)state;
	probes[1].request = "ppc";
	probes[1].response = "pc";
	probes[1].sent = "pc";
	go();
	assert_string_equal(trace, "qA qB");
	exchange_resume(current);
	exchange_resume(current);
	assert_string_equal(trace, "qA qB qB qB qC S  rC rB");
	exchange_resume(current);
	assert_false(released);
	/* The connection is gone (`current` was taken); the middleware still works. */
	assert_null(current);
	assert_int_equal(pool.live_count, 1);
	exchange_resume(container_of(pool.live.next, struct exchange, link));
	assert_true(released);
	assert_string_equal(trace, "qA qB qB qB qC S  rC rB rB rA =2 sC sB sB sA eC eB eA");
}

static void a_middleware_has_the_request_made_again(void **state)
{
	(void)state;
	probes[0].response = "gc";
	probes[1].sent = "pc";
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB rA sC eC sB");
	assert_int_equal(current->response.status, 200);
	exchange_resume(current);
	assert_string_equal(
		trace,
		"qA qB qC S  rC rB rA sC eC sB sB eB qA qB qC S  rC rB rA =2 sC sB sA eC eB eA");
	assert_true(released);
}

/* Each begins inside with a cleared state, which the probes look at; the service is let go. */
static void repetitions_have_a_limit(void **state)
{
	(void)state;
	backend.how = 'd';
	probes[1].response = "g";
	go();
	assert_string_equal(trace,
			    "qA qB qC S  rC rB C  sC eC qB qC S  rC rB C  sC eC "
			    "qB qC S  rC rB C  sC eC qB qC S  rC rB rA =2 C  sC sB sA eC eB eA");
	assert_int_equal(counter_get(&pool.counters.repeated), 3);
	assert_int_equal(counter_get(&pool.counters.repetitions_refused), 1);
}

/* Chains of a probe each, X and then Y, with a service of their own. */
static struct probe others[2];
static struct middleware *others_list[ARRAY_LEN(others)];
static struct chain asides[ARRAY_LEN(others)];

static void make_asides(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
		others[i] = (struct probe){
			.middleware = {.magic = MIDDLEWARE_MAGIC, .class = &probe_class},
			.letter = (char)('X' + i)};
		others_list[i] = &others[i].middleware;
		asides[i] = (struct chain){
			.count = 1, .list = &others_list[i], .service = &backend.service};
		chain_finish(&asides[i]);
	}
}

static void a_request_is_diverted_to_another_chain(void **state)
{
	make_asides(state);
	probes[1].aside = &asides[0];
	probes[1].response = "dc";
	go();
	assert_string_equal(trace,
			    "qA qB qC S  rC rB sC eC qB qX S  rX rB rA =2 sX sB sA eX eB eA");
}

/* Y inside of X inside of B; then A has all of it made again, of the chain that it was. */
static void diversions_nest_and_end(void **state)
{
	make_asides(state);
	probes[0].response = "gc";
	probes[1].aside = &asides[0];
	probes[1].response = "dccc";
	others[0].aside = &asides[1];
	others[0].response = "dc";
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB sC eC qB qX S  rX qX qY S  rY rX rB rA "
				   "sY eY sX eX sB eB qA qB qC S  rC rB rA =2 sC sB sA eC eB eA");
}

static void another_chain_replaces_the_one_before(void **state)
{
	make_asides(state);
	probes[0].aside = &asides[0];
	probes[1].aside = &asides[1];
	probes[0].response = probes[1].response = "dc";
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB sC eC qB qY S  rY rB rA "
				   "sY eY sB eB qA qX S  rX rA =2 sX sA eX eA");
}

static void diversions_have_a_limit(void **state)
{
	make_asides(state);
	probes[2].aside = &asides[0];
	probes[2].response = "d";
	go();
	assert_int_equal(others[0].ended, 3);
	assert_int_equal(counter_get(&pool.counters.diverted), 3);
	assert_int_equal(counter_get(&pool.counters.repetitions_refused), 1);
}

static void the_client_leaves_while_those_inside_end(void **state)
{
	(void)state;
	probes[0].response = "g";
	probes[2].sent = "pc";
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB rA sC");
	exchange_end(&current, true);
	assert_string_equal(trace, "qA qB qC S  rC rB rA sC sC sB sA eC eB eA");
	assert_true(released);
}

static void a_request_goes_back_to_its_mark(void **state)
{
	struct exchange_mark mark;
	struct exchange *x = begin();
	struct body stage;

	(void)state;
	x->phase = EXCHANGE_REQUEST;
	x->request.path = SLICE("/a");
	assert_int_equal(fields_add(&x->request.fields, SLICE("A"), SLICE("1")), 0);
	assert_int_equal(fields_add(&x->early_fields, SLICE("E"), SLICE("1")), 0);
	assert_int_equal(exchange_mark(x, &mark), 0);
	for (int i = 0; i < 2; i++) {
		(void)exchange_put_stage(x, &x->request_body, &stage);
		x->request.path = SLICE("/b");
		x->drops_interim = x->forwarded_for_dropped = true;
		assert_int_equal(fields_remove(&x->request.fields, SLICE("A")), 1);
		assert_int_equal(fields_set(&x->early_fields, SLICE("E"), SLICE("2")), 0);
		assert_int_equal(exchange_restore(x, &mark), 0);
		assert_true(slice_equal(x->request.path, SLICE("/a")));
		assert_true(slice_equal(x->request.fields.list[0].value, SLICE("1")));
		assert_true(slice_equal(x->early_fields.list[0].value, SLICE("1")));
		assert_ptr_equal(x->request_body, &x->own_request_body);
		assert_false(x->drops_interim || x->forwarded_for_dropped);
		body_free(&stage);
	}
	x->phase = EXCHANGE_NEW;
	exchange_end(&current, true);
}

/* A wake-up that comes when nobody waits any more once ended the process. */
static void late_wake_ups_do_nothing(void **state)
{
	(void)state;
	backend.how = 'l';
	end_at_once = false;
	probes[0].request = "pc";
	go();
	exchange_resume(current);
	assert_string_equal(trace, "qA qA qB qC S ");
	exchange_resume(current);
	exchange_resume(current);
	answer_from_service(current, true);
	assert_true(is_sent);
	exchange_resume(current);
	assert_string_equal(trace, "qA qA qB qC S  rC rB rA =2");
	exchange_end(&current, false);
	assert_true(released);
}

static void the_client_leaves_while_a_hook_waits(void **state)
{
	(void)state;
	probes[1].request = "p";
	go();
	exchange_end(&current, true);
	assert_string_equal(trace, "qA qB sB sA eB eA");
	assert_false(is_sent);
}

static void the_client_leaves_while_the_service_works(void **state)
{
	(void)state;
	backend.how = 'l';
	go();
	exchange_end(&current, true);
	assert_true(backend.cancelled);
	assert_string_equal(trace, "qA qB qC S  C  sC sB sA eC eB eA");
}

static void the_client_leaves_before_the_response_is_whole(void **state)
{
	(void)state;
	backend.how = 'd';
	probes[2].sent = "pc";
	end_at_once = false;
	go();
	assert_true(is_sent);
	exchange_end(&current, true);
	assert_true(backend.cancelled);
	assert_false(released);
	exchange_resume(container_of(pool.live.next, struct exchange, link));
	assert_true(released);
}

static unsigned asked;

static void want(struct body *b, void *producer)
{
	(void)b;
	(void)producer;
	asked++;
}

static void never(struct body *b, void *consumer)
{
	(void)b;
	(void)consumer;
	fail();
}

/* After the end, neither body may call a connection that is no more. */
static void bodies_forget_the_connection(void **state)
{
	struct exchange *x;

	(void)state;
	asked = 0;
	backend.how = 'd';
	probes[0].sent = "pc";
	end_at_once = false;
	x = begin();
	body_set_producer(&x->own_request_body, want, &pool);
	exchange_start(x, &chain);
	body_set_consumer(x->response_body, never, &pool);
	exchange_end(&current, true);
	assert_false(released);
	body_set_consumer(&x->own_request_body, never, NULL);
	body_notify(x->response_body);
	assert_int_equal(asked, 0);
	exchange_resume(x);
	assert_true(released);
}

static void the_service_fails(void **state)
{
	(void)state;
	backend.how = 'f';
	end_at_once = false;
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB rA =5");
	assert_int_equal(current->response.status, 502);
	assert_true(slice_equal(body_front(current->response_body), SLICE("Bad Gateway")));
	exchange_end(&current, false);
}

static void refused_before_any_chain(void **state)
{
	(void)state;
	end_at_once = false;
	exchange_refuse(begin(), 404, SLICE("404 page not found\n"), true);
	assert_string_equal(trace, "=4");
	assert_true(slice_equal(fields_value_id(&current->response.fields, FIELD_CONTENT_TYPE),
				SLICE("text/plain; charset=utf-8")));
	exchange_end(&current, false);
	assert_true(released);
}

/* With every arena limit, the exchange ends in order: with a response or without a chain. */
static void memory_is_short_everywhere(void **state)
{
	(void)state;
	for (size_t limit = 0; limit < 16384; limit += 64) {
		trace[0] = '\0';
		released = is_sent = false;
		for (unsigned i = 0; i < DEPTH; i++)
			probes[i].request_calls = probes[i].ended = 0;
		exchange_pool_free(&pool);
		exchange_pool_init(&pool, &loop, &(struct exchange_limits){limit, 1000, 0});
		probes[2].request = "a";
		go();
		assert_true(is_sent && released);
		for (unsigned i = 0; i < DEPTH; i++)
			assert_int_equal(probes[i].ended, probes[i].request_calls);
	}
}

static void exchanges_are_recycled_clean(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct exchange *x;

		released = false;
		trace[0] = '\0';
		x = begin();
		assert_int_equal(x->request.fields.count, 0);
		assert_int_equal(x->own_request_body.bytes, 0);
		assert_int_equal(fields_add_id(&x->request.fields, FIELD_HOST, SLICE("h")), 0);
		body_push(&x->own_request_body, NULL, SLICE("left over"));
		exchange_start(x, &chain);
	}
	assert_int_equal(pool.idle_count, 1);
}

static void targets(void **state)
{
	const char *line = "/a/b?c=d&e";
	struct exchange *x = begin();

	(void)state;
	x->request.path = slice_of(line, 4);
	x->request.query = slice_of(line + 5, 5);
	assert_true(slice_equal(exchange_target(x), SLICE("/a/b")));
	x->request.has_query = true;
	assert_true(exchange_target(x).p == line);
	assert_true(slice_equal(exchange_target(x), SLICE("/a/b?c=d&e")));
	x->request.path = SLICE("/z");
	assert_true(slice_equal(exchange_target(x), SLICE("/z?c=d&e")));
	x->request.query.n = 0;
	assert_true(slice_equal(exchange_target(x), SLICE("/z?")));
	/* An empty path gave a target that begins with the question mark. */
	x->request.path = SLICE("");
	assert_true(slice_equal(exchange_target(x), SLICE("/?")));
	exchange_end(&current, true);
}

static struct exchange_ending endings[2];

static void first_ending(struct exchange_ending *e)
{
	assert_ptr_equal(e, &endings[0]);
	note("E", '1');
}

static void second_ending(struct exchange_ending *e)
{
	assert_ptr_equal(e, &endings[1]);
	note("E", '2');
}

/* The middlewares finish when the tunnel begins; then the route is let go, and the rest waits for
 * its end. */
static void a_tunnel_leaves_its_chain(void **state)
{
	(void)state;
	backend.how = 't';
	backend.service.class = &switching_class;
	go();
	exchange_at_end(current, &endings[0], first_ending);
	exchange_at_end(current, &endings[1], second_ending);
	assert_string_equal(trace, "qA qB qC S  rC rB rA =1 TO sC sB sA eC eB eA TD TL");
	assert_int_equal(counter_get(&pool.counters.tunnels_live), 1);
	body_push(&current->tunnel->up, NULL, SLICE("abc"));
	body_take(&current->tunnel->up, 3);
	body_push(&current->tunnel->down, NULL, SLICE("left over"));
	body_take(&current->tunnel->down, 4);
	assert_int_equal(exchange_request_bytes(current), 3);
	assert_int_equal(exchange_response_bytes(current), 4);
	trace[0] = '\0';
	exchange_end(&current, false);
	assert_string_equal(trace, "C  E2 E1");
	assert_true(released);
	assert_int_equal(counter_get(&pool.counters.tunnels_live), 0);
	assert_int_equal(counter_get(&pool.counters.tunnels), 1);
}

/* A hook that waits after the switch delays the route's end, not the tunnel. */
static void a_tunnel_begins_while_a_hook_waits(void **state)
{
	(void)state;
	backend.how = 't';
	backend.service.class = &switching_class;
	probes[1].sent = "pc";
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB rA =1 TO sC sB");
	exchange_resume(current);
	assert_string_equal(trace, "qA qB qC S  rC rB rA =1 TO sC sB sB sA eC eB eA TD TL");
	exchange_resume(current);
	exchange_end(&current, false);
	assert_true(released);
}

/* No hook is called twice, and none is left out. */
static void a_tunnel_ends_while_a_hook_waits(void **state)
{
	struct exchange *x;

	(void)state;
	backend.how = 't';
	backend.service.class = &switching_class;
	probes[1].sent = "ppc";
	go();
	x = current;
	exchange_resume(x);
	exchange_end(&current, true);
	assert_false(released);
	exchange_resume(x);
	assert_string_equal(trace, "qA qB qC S  rC rB rA =1 TO sC sB sB C  sB sA eC eB eA");
	assert_true(released);
}

/* Only the service can switch: a status that a middleware sets is none. */
static void nobody_else_answers_101(void **state)
{
	(void)state;
	end_at_once = false;
	go();
	exchange_end(&current, false);
	released = false;
	trace[0] = '\0';
	probes[2].request = "1";
	go();
	assert_string_equal(trace, "qA qB qC rB rA =5");
	assert_int_equal(current->response.status, 500);
	exchange_end(&current, false);
}

/* A middleware that answers instead of the 101 ends the service's connection. */
static void a_replaced_switch_is_cancelled(void **state)
{
	(void)state;
	backend.how = 't';
	backend.service.class = &switching_class;
	probes[1].response = "f";
	go();
	assert_string_equal(trace, "qA qB qC S  rC rB C  rA =5 sC sB sA eC eB eA");
	assert_true(backend.cancelled && released);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_whole_way),
		TEST(an_answer_skips_what_lies_inside),
		TEST(a_failure_answers_500),
		TEST(a_failed_response_is_replaced),
		TEST(a_replaced_response_cancels_the_service),
		TEST(a_detached_exchange_needs_nothing_of_its_chain),
		TEST(an_exchange_is_not_detached_before_its_response_has_passed),
		TEST(a_middleware_that_cannot_detach_holds_its_exchange),
		TEST(a_service_that_cannot_detach_holds_its_exchange),
		TEST(an_expired_exchange_that_waits_for_its_service_is_answered),
		TEST(an_expired_exchange_is_dropped),
		TEST(every_hook_may_wait),
		TEST(a_middleware_has_the_request_made_again),
		TEST(repetitions_have_a_limit),
		TEST(a_request_is_diverted_to_another_chain),
		TEST(diversions_nest_and_end),
		TEST(another_chain_replaces_the_one_before),
		TEST(diversions_have_a_limit),
		TEST(the_client_leaves_while_those_inside_end),
		TEST(a_request_goes_back_to_its_mark),
		TEST(late_wake_ups_do_nothing),
		TEST(the_client_leaves_while_a_hook_waits),
		TEST(the_client_leaves_while_the_service_works),
		TEST(the_client_leaves_before_the_response_is_whole),
		TEST(bodies_forget_the_connection),
		TEST(the_service_fails),
		TEST(refused_before_any_chain),
		TEST(memory_is_short_everywhere),
		TEST(exchanges_are_recycled_clean),
		TEST(targets),
		TEST(a_tunnel_leaves_its_chain),
		TEST(a_tunnel_begins_while_a_hook_waits),
		TEST(a_tunnel_ends_while_a_hook_waits),
		TEST(nobody_else_answers_101),
		TEST(a_replaced_switch_is_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
