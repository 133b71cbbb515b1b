#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/desk.h"

#define ANSWER_BYTES ((size_t)3 << 20)
#define LIMIT ((size_t)4 << 20)

static struct loop loop;
static struct exchange_pool pool;
static struct api_counters counters;
static struct desk *desk;
static unsigned released;

static void answer(void *context, const struct desk_request *q, struct desk_answer *a)
{
	char *p = str_reserve(&a->body, ANSWER_BYTES);

	(void)context;
	(void)q;
	a->status = 200;
	if (p == NULL)
		return;
	memset(p, 'x', ANSWER_BYTES);
	str_commit(&a->body, ANSWER_BYTES);
}

static void start(struct service *s, struct exchange *x)
{
	(void)s;
	desk_ask(desk, x);
}

static void cancel(struct service *s, struct exchange *x)
{
	(void)s;
	desk_cancel(x);
}

static const struct service_class class = {.name = "desk", .start = start, .cancel = cancel};
static struct service service = {.magic = SERVICE_MAGIC, .class = &class};

/* Something to do after the client has gone. */
static enum middleware_verdict late(struct middleware *m, struct exchange *x, void *state)
{
	bool *waited = state;
	bool again = *waited;

	(void)m;
	(void)x;
	*waited = true;
	return again ? MW_CONTINUE : MW_PENDING;
}

static const struct middleware_class late_class = {
	.name = "late", .state_bytes = sizeof(bool), .on_sent = late};
static struct middleware late_one = {.magic = MIDDLEWARE_MAGIC, .class = &late_class};
static struct middleware *list[] = {&late_one};

static void respond(struct exchange *x)
{
	(void)x;
	loop_stop(&loop);
}

static void drop(struct exchange *x)
{
	exchange_end(&x, true);
}

static const struct exchange_client client = {.respond = respond, .drop = drop};

static void on_release(struct exchange *x)
{
	(void)x;
	released++;
}

/* Returns when the response is there. */
static struct exchange *ask(struct chain *chain)
{
	struct exchange *x = exchange_begin(&pool, &client, &pool);

	assert_non_null(x);
	x->on_release = on_release;
	chain_finish(chain);
	exchange_start(x, chain);
	loop_run(&loop);
	assert_int_equal(x->phase, EXCHANGE_SENDING);
	return x;
}

static struct exchange *ask_desk(void)
{
	static struct chain chain = {.service = &service};

	return ask(&chain);
}

static int set_up(void **state)
{
	const struct exchange_limits limits = {.arena_bytes_max = 65536, .body_queue_bytes = 1000};
	const struct desk_options options = {.thread = "desk",
					     .answer_bytes_max = LIMIT,
					     .counters = &counters,
					     .answer = answer};
	struct weir_error e;

	(void)state;
	counters = (struct api_counters){0};
	released = 0;
	assert_int_equal(loop_init(&loop, 1 << 20), 0);
	exchange_pool_init(&pool, &loop, &limits);
	assert_int_equal(desk_create(&desk, &options, &e), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (desk != NULL)
		desk_stop(desk);
	assert_int_equal(pool.live_count, 0);
	exchange_pool_free(&pool);
	loop_close(&loop);
	desk_destroy(&desk);
	return 0;
}

/* A stage may still work on it when the client has gone and another middleware is waited for. */
static void the_text_lives_as_long_as_the_middlewares(void **state)
{
	struct chain chain = {.count = 1, .list = list, .service = &service};
	struct exchange *x = ask(&chain), *giver = x;
	slice text;

	(void)state;
	exchange_end(&giver, true);
	assert_int_equal(released, 0);
	text = body_front(&x->own_response_body);
	assert_int_equal(text.n, ANSWER_BYTES);
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] != 'x')
			fail();
	}
	exchange_resume(x);
	assert_int_equal(released, 1);
}

/* Clients that do not read what they asked for. */
static void held_answers_have_a_limit(void **state)
{
	struct exchange *x[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		x[i] = ask_desk();
	assert_int_equal(x[0]->response.status, 200);
	assert_int_equal(x[1]->response.status, 200);
	assert_int_equal(x[2]->response.status, 503);
	assert_int_equal(counters.refused, 1);
	assert_int_equal(counters.answered, 2);
	exchange_end(&x[2], false);
	exchange_end(&x[0], true);
	x[0] = ask_desk();
	assert_int_equal(x[0]->response.status, 200);
	exchange_end(&x[0], false);
	exchange_end(&x[1], false);
	assert_int_equal(released, 4);
}

static void an_unread_answer_holds_no_generation(void **state)
{
	struct exchange *x = ask_desk();

	(void)state;
	assert_int_equal(exchange_detach(x), 0);
	exchange_end(&x, true);
	assert_int_equal(released, 1);
}

struct errand {
	struct desk_errand errand;
	char thread[16]; /* that has run it */
	unsigned turn;
};

static unsigned turns;

static void note(struct desk_errand *e)
{
	struct errand *at = container_of(e, struct errand, errand);

	(void)pthread_getname_np(pthread_self(), at->thread, sizeof at->thread);
	at->turn = ++turns;
}

static void errands_are_run_on_the_thread(void **state)
{
	struct errand errands[3] = {{.turn = 0}};
	struct exchange *x;

	(void)state;
	turns = 0;
	for (size_t i = 0; i < 2; i++) {
		errands[i].errand.run = note;
		assert_true(desk_send(desk, &errands[i].errand));
	}
	/* Its answer comes after them. */
	x = ask_desk();
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(errands[i].thread, "desk");
		assert_int_equal(errands[i].turn, i + 1);
	}
	exchange_end(&x, false);
	desk_stop(desk);
	assert_false(desk_send(desk, &errands[2].errand));
	desk_destroy(&desk);
	assert_int_equal(turns, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_text_lives_as_long_as_the_middlewares, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(held_answers_have_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_unread_answer_holds_no_generation, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(errands_are_run_on_the_thread, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
