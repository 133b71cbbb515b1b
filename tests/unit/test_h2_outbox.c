#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h2_outbox.h"

#define FRAME_HEAD 9u
#define FRAME_BYTES 16384u

static struct loop loop;
static const char zeros[FRAME_HEAD + FRAME_BYTES];

/* A frame of DATA whose body is in as many pieces as there can be, each of a block of its own. */
static void put_data(struct h2_outbox *o)
{
	struct body b;

	body_init(&b, BODY_LIMIT_BYTES);
	for (unsigned i = 0; i < BODY_PIECES; i++) {
		struct buffer *block = loop_buffer(&loop, BUFFER_SMALL);

		assert_non_null(block);
		body_push(&b, block, slice_of(block->bytes, 1));
		buffer_unref(&block);
	}
	assert_int_equal(h2_outbox_copy(o, &loop, slice_of(zeros, FRAME_HEAD)), 0);
	assert_int_equal(h2_outbox_take(o, &loop, &b, b.bytes), 0);
	body_free(&b);
}

/*
 * nghttp2 goes on after a frame of DATA that was put: with the same room comes one of another kind.
 * `count` pieces wait, and `filled` bytes of the block are taken: heads straddle two of them.
 */
static void fill_from(unsigned count, size_t filled)
{
	struct h2_outbox o = {0};

	assert_int_equal(h2_outbox_copy(&o, &loop, slice_of(zeros, filled)), 0);
	while (o.count < count) {
		struct buffer *block = loop_buffer(&loop, BUFFER_SMALL);
		struct body b;

		assert_non_null(block);
		body_init(&b, BODY_LIMIT_BYTES);
		body_push(&b, block, slice_of(block->bytes, 1));
		assert_int_equal(h2_outbox_take(&o, &loop, &b, 1), 0);
		body_free(&b);
		buffer_unref(&block);
	}
	if (h2_outbox_has_room(&o)) {
		put_data(&o);
		assert_int_equal(h2_outbox_copy(&o, &loop, slice_of(zeros, sizeof zeros)), 0);
	}
	assert_true(o.count <= H2_OUTBOX_PIECES);
	h2_outbox_free(&o);
}

static void room_is_for_two_frames(void **state)
{
	(void)state;
	for (unsigned count = 1; count <= H2_OUTBOX_PIECES; count++) {
		fill_from(count, 1);
		fill_from(count, BUFFER_SMALL_BYTES - FRAME_HEAD - 1);
		fill_from(count, BUFFER_SMALL_BYTES - 1);
	}
}

static int set_up(void **state)
{
	(void)state;
	return loop_init(&loop, (size_t)8 << 20);
}

static int tear_down(void **state)
{
	(void)state;
	loop_close(&loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(room_is_for_two_frames, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
