#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/body.h"

static struct buffer_pool pool;
static unsigned wanted, told;

static int set_up(void **state)
{
	(void)state;
	buffer_pool_init(&pool, (size_t)8 << 20);
	wanted = told = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buffer_pool_free(&pool);
	return 0;
}

static void want(struct body *b, void *producer)
{
	(void)b;
	(void)producer;
	wanted++;
}

static void ready(struct body *b, void *consumer)
{
	(void)b;
	(void)consumer;
	told++;
}

static void push_text(struct body *b, const char *text)
{
	body_push(b, NULL, slice_from(text));
}

static void bytes_end_and_trailers_in_order(void **state)
{
	struct fields trailers = {.count = 0};
	struct body b;
	struct iovec v[4];

	(void)state;
	body_init(&b, 100);
	body_set_consumer(&b, ready, NULL);
	push_text(&b, "hello ");
	push_text(&b, "");
	push_text(&b, "world");
	assert_int_equal(b.bytes, 11);
	b.trailers = &trailers;
	body_end(&b);
	assert_false(body_finished(&b));
	assert_int_equal(body_vectors(&b, v, 4, 8), 2);
	assert_int_equal(v[0].iov_len, 6);
	assert_int_equal(v[1].iov_len, 2);
	assert_int_equal(body_vectors(&b, v, 1, SIZE_MAX), 1);
	body_take(&b, 8);
	assert_true(slice_equal(body_front(&b), SLICE("rld")));
	body_take(&b, 3);
	assert_true(body_finished(&b));
	assert_int_equal(b.taken_bytes, 11);
	assert_int_equal(body_front(&b).n, 0);
	body_notify(&b);
	assert_int_equal(told, 1);
	/* An end is final. */
	body_abort(&b, -EPIPE);
	assert_true(body_finished(&b));
	body_free(&b);
}

static void what_was_queued_before_an_abort_is_delivered(void **state)
{
	struct body b;

	(void)state;
	body_init(&b, 100);
	push_text(&b, "x");
	body_abort(&b, -ECONNRESET);
	body_abort(&b, -EPIPE);
	assert_false(body_broken(&b));
	body_take(&b, 1);
	assert_true(body_broken(&b));
	assert_int_equal(b.abort_code, -ECONNRESET);
	body_free(&b);
}

static void a_stalled_producer_is_woken_at_half(void **state)
{
	static const char text[100];
	struct body b;

	(void)state;
	body_init(&b, 100);
	body_set_producer(&b, want, NULL);
	body_set_consumer(&b, ready, NULL);
	assert_int_equal(wanted, 1);
	body_push(&b, NULL, slice_of(text, 100));
	assert_false(body_has_room(&b));
	body_take(&b, 49);
	assert_int_equal(wanted, 1);
	body_take(&b, 1);
	assert_int_equal(wanted, 2);
	/* Who was not turned away is not woken. */
	body_take(&b, 50);
	assert_int_equal(wanted, 2);
	body_free(&b);
}

static void many_pieces_fill_it_too(void **state)
{
	static const char text[2 * BODY_PIECES];
	struct body b;

	(void)state;
	body_init(&b, 1000);
	body_set_producer(&b, want, NULL);
	body_set_consumer(&b, ready, NULL);
	/* Not adjacent, so that they stay apart. */
	for (unsigned i = 0; i < BODY_PIECES; i++) {
		assert_true(body_has_room(&b));
		body_push(&b, NULL, slice_of(text + 2 * i, 1));
	}
	assert_false(body_has_room(&b));
	assert_int_equal(wanted, 1);
	body_take(&b, BODY_PIECES / 2);
	assert_int_equal(wanted, 2);
	body_free(&b);
}

static void a_consumer_that_leaves_asks_for_nothing(void **state)
{
	struct body b;

	(void)state;
	body_init(&b, 100);
	body_set_producer(&b, want, NULL);
	body_set_consumer(&b, NULL, NULL);
	assert_int_equal(wanted, 0);
	body_set_consumer(&b, ready, NULL);
	assert_int_equal(wanted, 1);
	body_free(&b);
}

/* A limit of nothing would be a body that never moves. */
static void one_byte_fits_always(void **state)
{
	struct body b;

	(void)state;
	body_init(&b, 0);
	body_set_producer(&b, want, NULL);
	body_set_consumer(&b, ready, NULL);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(body_has_room(&b));
		push_text(&b, "x");
		assert_false(body_has_room(&b));
		body_take(&b, 1);
	}
	assert_int_equal(wanted, 11);
	body_free(&b);
}

static void buffers_are_shared_and_moved(void **state)
{
	struct buffer *one = buffer_get(&pool, BUFFER_SMALL);
	struct body from, to;

	(void)state;
	memcpy(one->bytes, "abcdef", 6);
	one->filled = 6;
	body_init(&from, 100);
	body_init(&to, 100);
	body_push(&from, one, slice_of(one->bytes, 2));
	body_push(&from, one, slice_of(one->bytes + 2, 2)); /* joins the first */
	assert_int_equal(from.count, 1);
	assert_int_equal(one->references, 2);
	body_push(&from, one, slice_of(one->bytes + 5, 1));
	assert_int_equal(one->references, 3);
	buffer_unref(&one);
	body_move(&to, &from);
	assert_true(slice_equal(body_front(&to), SLICE("abcd")));
	assert_true(slice_equal(body_front(&from), SLICE("f")));
	body_free(&from);
	assert_int_equal(pool.idle_count[BUFFER_SMALL], 0);
	body_free(&to);
	assert_int_equal(pool.idle_count[BUFFER_SMALL], 1);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* Random pushes, takes and moves through two bodies deliver the same bytes in the same order, and
 * never stall for ever. */
static void random_traffic(void **state)
{
	uint64_t seed = 7, in = 0, out = 0;
	struct body a, b;

	(void)state;
	body_init(&a, 5000);
	body_init(&b, 3000);
	body_set_producer(&a, want, NULL);
	body_set_consumer(&a, ready, NULL);
	while (out < 2000000) {
		if (body_has_room(&a)) {
			struct buffer *piece = buffer_get(&pool, BUFFER_SMALL);
			size_t n = next_random(&seed) % 4000 + 1;

			assert_non_null(piece);
			for (size_t i = 0; i < n; i++)
				piece->bytes[i] = (char)((in + i) * 7);
			piece->filled = n;
			body_push(&a, piece, slice_of(piece->bytes, n));
			in += n;
			buffer_unref(&piece);
		}
		if (a.bytes > 0 && body_has_room(&b))
			body_move(&b, &a);
		if (b.bytes > 0 && next_random(&seed) % 3 > 0) {
			slice front = body_front(&b);
			size_t n = next_random(&seed) % front.n + 1;

			for (size_t i = 0; i < n; i++)
				assert_int_equal(front.p[i], (char)((out + i) * 7));
			body_take(&b, n);
			out += n;
		}
	}
	assert_int_equal(in, out + a.bytes + b.bytes);
	body_free(&a);
	body_free(&b);
}

/* Two pairs of sockets: what is written to `from[0]` can be read from `from[1]`, and so on. */
struct sockets {
	int from[2], to[2];
	struct pipe_pool pipes;
};

static void open_sockets(struct sockets *s, unsigned pipes_max)
{
	const int kind = SOCK_STREAM | SOCK_NONBLOCK;

	assert_int_equal(socketpair(AF_UNIX, kind, 0, s->from), 0);
	assert_int_equal(socketpair(AF_UNIX, kind, 0, s->to), 0);
	pipe_pool_init(&s->pipes, pipes_max);
}

static void close_sockets(struct sockets *s)
{
	pipe_pool_free(&s->pipes);
	for (int i = 0; i < 2; i++) {
		(void)close(s->from[i]);
		(void)close(s->to[i]);
	}
}

static void expect_text(struct sockets *s, const char *text)
{
	char found[64];
	ssize_t n = read(s->to[1], found, sizeof found);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(found, text, strlen(text));
}

static void a_pipe_comes_behind_the_pieces(void **state)
{
	struct sockets s;
	struct body b;

	(void)state;
	open_sockets(&s, 1);
	body_init(&b, 100);
	body_set_producer(&b, want, NULL);
	body_set_consumer(&b, ready, NULL);
	assert_false(body_accepts_pipe(&b));
	body_accept_pipe(&b);
	push_text(&b, "first ");
	assert_int_equal(write(s.from[0], "second", 6), 6);
	assert_int_equal(body_pipe_in(&b, &s.pipes, s.from[1], 4), 4);
	assert_int_equal(b.bytes, 10);
	assert_int_equal(body_piped(&b), 4);
	assert_int_equal(body_front(&b).n, 6);
	body_take(&b, 6);
	assert_int_equal(body_pipe_out(&b, s.to[0], 2), 2);
	expect_text(&s, "se");
	body_end(&b);
	assert_false(body_finished(&b));
	assert_int_equal(body_pipe_out(&b, s.to[0], UINT64_MAX), 2);
	expect_text(&s, "co");
	assert_true(body_finished(&b));
	assert_int_equal(b.taken_bytes, 10);
	body_free(&b);
	assert_int_equal(s.pipes.count, 1);
	close_sockets(&s);
}

static void a_pipe_is_bounded_and_its_producer_woken(void **state)
{
	char text[200];
	struct sockets s;
	struct body b;

	(void)state;
	memset(text, 'x', sizeof text);
	open_sockets(&s, 1);
	body_init(&b, 100);
	body_set_producer(&b, want, NULL);
	body_set_consumer(&b, ready, NULL);
	body_accept_pipe(&b);
	assert_int_equal(write(s.from[0], text, sizeof text), sizeof text);
	assert_int_equal(body_pipe_in(&b, &s.pipes, s.from[1], sizeof text), 100);
	assert_false(body_has_room(&b));
	wanted = 0;
	assert_int_equal(body_pipe_out(&b, s.to[0], 49), 49);
	assert_int_equal(wanted, 0);
	assert_int_equal(body_pipe_out(&b, s.to[0], 1), 1);
	assert_int_equal(wanted, 1);
	body_free(&b);
	close_sockets(&s);
}

static void a_pipe_with_bytes_is_not_used_again(void **state)
{
	struct sockets s;
	struct body b;

	(void)state;
	open_sockets(&s, 1);
	body_init(&b, 100);
	body_set_consumer(&b, ready, NULL);
	body_accept_pipe(&b);
	assert_int_equal(write(s.from[0], "secret", 6), 6);
	assert_int_equal(body_pipe_in(&b, &s.pipes, s.from[1], 6), 6);
	body_set_consumer(&b, NULL, NULL);
	assert_false(body_accepts_pipe(&b));
	body_free(&b);
	assert_int_equal(s.pipes.count, 0);
	close_sockets(&s);
}

static void without_a_pipe_bytes_are_pushed(void **state)
{
	struct sockets s;
	struct body b, other;

	(void)state;
	open_sockets(&s, 1);
	body_init(&b, 100);
	body_init(&other, 100);
	body_set_consumer(&b, ready, NULL);
	body_set_consumer(&other, ready, NULL);
	body_accept_pipe(&b);
	body_accept_pipe(&other);
	assert_int_equal(write(s.from[0], "one", 3), 3);
	assert_int_equal(body_pipe_in(&b, &s.pipes, s.from[1], 3), 3);
	assert_int_equal(body_pipe_in(&other, &s.pipes, s.from[1], 3), -EOPNOTSUPP);
	assert_false(body_accepts_pipe(&other));
	assert_int_equal(counter_get(&s.pipes.counters.refused), 1);
	body_free(&b);
	body_free(&other);
	body_init(&b, 100);
	body_set_consumer(&b, ready, NULL);
	body_accept_pipe(&b);
	assert_int_equal(body_pipe_in(&b, &s.pipes, -1, 3), -EBADF);
	/* Nothing that a pipe takes: whoever reads sees whether there is something else. */
	assert_int_equal(body_pipe_in(&b, &s.pipes, s.from[1], 3), -EOPNOTSUPP);
	assert_true(body_accepts_pipe(&b));
	(void)shutdown(s.from[0], SHUT_WR);
	assert_int_equal(body_pipe_in(&b, &s.pipes, s.from[1], 3), 0);
	body_free(&b);
	close_sockets(&s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(bytes_end_and_trailers_in_order),
		TEST(what_was_queued_before_an_abort_is_delivered),
		TEST(a_stalled_producer_is_woken_at_half),
		TEST(many_pieces_fill_it_too),
		TEST(a_consumer_that_leaves_asks_for_nothing),
		TEST(one_byte_fits_always),
		TEST(buffers_are_shared_and_moved),
		TEST(random_traffic),
		TEST(a_pipe_comes_behind_the_pieces),
		TEST(a_pipe_is_bounded_and_its_producer_woken),
		TEST(a_pipe_with_bytes_is_not_used_again),
		TEST(without_a_pipe_bytes_are_pushed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
