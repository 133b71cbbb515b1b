#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/replay.h"

static struct loop loop;
static struct spool kept;
static struct body source, out;
static struct replay replay;
static size_t source_left, source_at;
static unsigned told;

static char byte_at(size_t at)
{
	return (char)(at * 31 + at / 251);
}

static void keep(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = byte_at(kept.n);

		assert_int_equal(spool_add(&kept, slice_of(&c, 1)), 0);
	}
}

/* The source goes on where the kept bytes ended, one small buffer at a time. */
static void produce(struct body *b, void *producer)
{
	(void)producer;
	while (source_left > 0 && body_has_room(b)) {
		struct buffer *piece = loop_buffer(&loop, BUFFER_SMALL);
		size_t n = source_left < 3000 ? source_left : 3000;

		assert_non_null(piece);
		for (size_t i = 0; i < n; i++)
			piece->bytes[i] = byte_at(source_at + i);
		piece->filled = n;
		body_push(b, piece, slice_of(piece->bytes, n));
		buffer_unref(&piece);
		source_at += n;
		source_left -= n;
		if (source_left == 0)
			body_end(b);
	}
}

static void ready(struct body *b, void *consumer)
{
	(void)b;
	(void)consumer;
	told++;
}

static int set_up(void **state)
{
	(void)state;
	spool_init(&kept);
	body_init(&source, 10000);
	body_init(&out, 10000);
	replay = (struct replay){.magic = 0};
	told = 0;
	return loop_init(&loop, (size_t)4 << 20);
}

static int tear_down(void **state)
{
	(void)state;
	replay_stop(&replay);
	body_free(&out);
	body_free(&source);
	spool_free(&kept);
	loop_close(&loop);
	return 0;
}

static size_t drink(struct body *b)
{
	size_t at = 0;

	while (b->bytes > 0) {
		slice front = body_front(b);

		for (size_t i = 0; i < front.n; i++)
			assert_int_equal(front.p[i], byte_at(at + i));
		at += front.n;
		body_take(b, front.n);
	}
	return at;
}

static void from(size_t kept_bytes, size_t rest_bytes)
{
	keep(kept_bytes);
	source_at = kept_bytes;
	source_left = rest_bytes;
	body_set_producer(&source, produce, NULL);
	if (rest_bytes == 0)
		body_end(&source);
	replay_start(&replay, &loop, &kept, &source, &out, NULL);
	body_set_consumer(&out, ready, NULL);
	assert_int_equal(drink(&out), kept_bytes + rest_bytes);
	assert_true(body_finished(&out));
}

static void nothing_at_all(void **state)
{
	(void)state;
	from(0, 0);
}

static void kept_bytes_alone(void **state)
{
	(void)state;
	from(100000, 0);
}

static void the_rest_alone(void **state)
{
	(void)state;
	from(0, 200000);
}

static void kept_bytes_and_then_the_rest(void **state)
{
	(void)state;
	from(70000, 200000);
}

static void kept_bytes_in_a_file(void **state)
{
	(void)state;
	from(SPOOL_MEMORY_BYTES + 200000, 50000);
}

static void trailers_end_kept_bytes(void **state)
{
	struct fields trailers = {.count = 0};

	(void)state;
	keep(10);
	replay_start(&replay, &loop, &kept, NULL, &out, &trailers);
	assert_int_equal(drink(&out), 10);
	assert_true(body_finished(&out));
	assert_ptr_equal(out.trailers, &trailers);
}

static void trailers_of_the_rest_pass(void **state)
{
	struct fields trailers = {.count = 0};

	(void)state;
	keep(10);
	replay_start(&replay, &loop, &kept, &source, &out, NULL);
	body_set_consumer(&out, ready, NULL);
	assert_int_equal(drink(&out), 10);
	assert_false(body_finished(&out));
	source.trailers = &trailers;
	body_end(&source);
	body_notify(&source);
	assert_int_equal(told, 1);
	assert_true(body_finished(&out));
	assert_ptr_equal(out.trailers, &trailers);
}

static void an_abort_passes(void **state)
{
	(void)state;
	keep(10);
	replay_start(&replay, &loop, &kept, &source, &out, NULL);
	body_set_consumer(&out, ready, NULL);
	body_abort(&source, -ECONNRESET);
	body_notify(&source);
	assert_int_equal(drink(&out), 10);
	assert_true(body_broken(&out));
	assert_int_equal(out.abort_code, -ECONNRESET);
}

/* Buffers are used up: the body breaks, nothing hangs or crashes. */
static void no_buffers_break_the_body(void **state)
{
	struct buffer *hog[256];
	size_t n = 0;

	(void)state;
	keep(SPOOL_MEMORY_BYTES + 1);
	while (n < 256 && (hog[n] = loop_buffer(&loop, BUFFER_SMALL)) != NULL)
		n++;
	assert_true(n < 256);
	replay_start(&replay, &loop, &kept, NULL, &out, NULL);
	body_set_consumer(&out, ready, NULL);
	assert_true(body_broken(&out));
	assert_int_equal(out.abort_code, -ENOBUFS);
	while (n > 0)
		buffer_unref(&hog[--n]);
}

/* Two in a row, the inner one freed first, as an exchange ends them. */
static void a_chain_of_two_ends_in_any_order(void **state)
{
	struct replay second = {.magic = 0};
	struct spool prefix;
	struct body last;

	(void)state;
	spool_init(&prefix);
	body_init(&last, 1000);
	keep(5000);
	source_at = 5000;
	source_left = 50000;
	body_set_producer(&source, produce, NULL);
	replay_start(&replay, &loop, &kept, &source, &out, NULL);
	replay_start(&second, &loop, &prefix, &out, &last, NULL);
	body_set_consumer(&last, ready, NULL);
	body_take(&last, 10);
	replay_stop(&replay);
	body_free(&out);
	replay_stop(&second);
	body_free(&last);
	body_init(&out, 1);
	spool_free(&prefix);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(nothing_at_all),
		TEST(kept_bytes_alone),
		TEST(the_rest_alone),
		TEST(kept_bytes_and_then_the_rest),
		TEST(kept_bytes_in_a_file),
		TEST(trailers_end_kept_bytes),
		TEST(trailers_of_the_rest_pass),
		TEST(an_abort_passes),
		TEST(no_buffers_break_the_body),
		TEST(a_chain_of_two_ends_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
