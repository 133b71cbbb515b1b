#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/kept_body.h"

static struct loop loop;
static struct exchange_pool pool;
static struct exchange *x;
static struct kept_body kept;
static struct fields trailers;

static void nobody(struct exchange *unused)
{
	(void)unused;
}

static void inform(struct exchange *unused, const struct response *interim)
{
	(void)unused;
	(void)interim;
}

static const struct exchange_client client = {.respond = nobody, .inform = inform, .drop = nobody};

static int set_up(void **state)
{
	const struct exchange_limits limits = {
		.arena_bytes_max = 65536, .body_queue_bytes = 64, .repetitions_max = 1};

	(void)state;
	assert_int_equal(loop_init(&loop, 1 << 20), 0);
	exchange_pool_init(&pool, &loop, &limits);
	x = exchange_begin(&pool, &client, &pool);
	assert_non_null(x);
	kept = (struct kept_body){0};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kept_body_end(&kept);
	assert_int_equal(kept.magic, 0);
	x->request_body = &x->own_request_body;
	exchange_end(&x, true);
	exchange_pool_free(&pool);
	loop_close(&loop);
	assert_int_equal(counter_get(&spool_counters.bytes), 0);
	return 0;
}

static void begin(size_t memory_bytes, uint64_t bytes_max)
{
	const struct kept_body_limits limits = {memory_bytes, bytes_max};

	kept_body_begin(&kept, x, x->request_body, &limits);
}

static void push(const char *text)
{
	body_push(&x->own_request_body, NULL, slice_from(text));
}

static void expect(const char *text)
{
	struct body *b = x->request_body;
	size_t at = 0;

	while (b->bytes > 0) {
		slice front = body_front(b);

		assert_true(at + front.n <= strlen(text));
		assert_memory_equal(front.p, text + at, front.n);
		at += front.n;
		body_take(b, front.n);
	}
	assert_int_equal(at, strlen(text));
}

static void comes_in_pieces_and_goes_out_any_number_of_times(void **state)
{
	(void)state;
	begin(1024, UINT64_MAX);
	assert_int_equal(kept_body_collect(&kept), -EAGAIN);
	push("one ");
	assert_int_equal(kept_body_collect(&kept), -EAGAIN);
	push("two ");
	push("three");
	body_end(&x->own_request_body);
	body_notify(&x->own_request_body);
	assert_int_equal(kept_body_collect(&kept), 0);
	assert_int_equal(kept.bytes.n, 13);
	for (int i = 0; i < 3; i++) {
		kept_body_deliver(&kept, &x->request_body, false, &trailers);
		assert_ptr_equal(x->request_body, &kept.out);
		assert_false(kept_body_is_taken(&kept));
		expect("one two three");
		assert_true(kept_body_is_taken(&kept) && body_finished(x->request_body));
		assert_ptr_equal(x->request_body->trailers, &trailers);
	}
}

static void goes_to_a_file(void **state)
{
	(void)state;
	begin(0, UINT64_MAX);
	push("some bytes");
	body_end(&x->own_request_body);
	assert_int_equal(kept_body_collect(&kept), 0);
	assert_int_equal(counter_get(&spool_counters.files), 1);
	kept_body_deliver(&kept, &x->request_body, false, NULL);
	expect("some bytes");
}

static void the_limit_is_part_of_what_fits(void **state)
{
	(void)state;
	begin(1024, 8);
	push("12345678");
	body_end(&x->own_request_body);
	assert_int_equal(kept_body_collect(&kept), 0);
}

/* What is too long can still go on as it is. */
static void the_rest_follows(void **state)
{
	(void)state;
	begin(1024, 8);
	push("1234");
	assert_int_equal(kept_body_collect(&kept), -EAGAIN);
	push("56789");
	assert_int_equal(kept_body_collect(&kept), -EFBIG);
	assert_int_equal(kept.bytes.n, 4);
	kept_body_deliver(&kept, &x->request_body, true, NULL);
	expect("123456789");
	push("0");
	body_end(&x->own_request_body);
	body_notify(&x->own_request_body);
	expect("0");
	assert_true(body_finished(x->request_body));
}

static void an_abort_is_told_behind_its_bytes(void **state)
{
	(void)state;
	begin(1024, UINT64_MAX);
	push("12");
	body_abort(&x->own_request_body, -ECONNRESET);
	assert_int_equal(kept_body_collect(&kept), -ECONNRESET);
	assert_int_equal(kept.bytes.n, 2);
}

static void all_of_them_have_a_limit(void **state)
{
	uint64_t refused = counter_get(&spool_counters.refused);

	(void)state;
	spool_set_limit(8);
	begin(1024, UINT64_MAX);
	push("12345678");
	assert_int_equal(kept_body_collect(&kept), -EAGAIN);
	push("9");
	assert_int_equal(kept_body_collect(&kept), -EDQUOT);
	assert_int_equal(counter_get(&spool_counters.refused), refused + 1);
	assert_int_equal(counter_get(&spool_counters.bytes), 8);
	spool_set_limit(UINT64_MAX);
}

/* A wake-up that was due when the exchange ended once came to freed memory. */
static void ends_while_it_waits(void **state)
{
	(void)state;
	begin(1024, UINT64_MAX);
	push("12");
	body_notify(&x->own_request_body);
	kept_body_end(&kept);
	assert_null(x->own_request_body.consumer);
	assert_true(kept.again.link.next == NULL || list_empty(&kept.again.link));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(comes_in_pieces_and_goes_out_any_number_of_times),
		TEST(goes_to_a_file),
		TEST(the_limit_is_part_of_what_fits),
		TEST(the_rest_follows),
		TEST(an_abort_is_told_behind_its_bytes),
		TEST(all_of_them_have_a_limit),
		TEST(ends_while_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
