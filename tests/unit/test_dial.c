#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/dial.h"
#include "wire.h"

#define TIMEOUT_MS 60000u

static struct loop loop;
static struct dial dial;
static struct transport transport;
static uint64_t wait_ms;
static int listening;
static uint16_t port;

static int set_up(void **state)
{
	(void)state;
	listening = wire_listen(&port, 0);
	return loop_init(&loop, (size_t)1 << 20);
}

static int tear_down(void **state)
{
	(void)state;
	loop_close(&loop);
	return close(listening);
}

static void on_closed(struct transport *t)
{
	(void)t;
	loop_stop(&loop);
}

static void hang_up(void)
{
	transport_close(&transport, on_closed);
	loop_run(&loop);
}

static void on_ready(struct transport *t, int events)
{
	(void)events;
	assert_int_equal(transport_socket_error(t), 0);
	loop_stop(&loop);
}

static enum dial_step next(const struct resolved *to)
{
	return dial_next(&dial, &loop, to, 30, &transport, on_ready, &wait_ms);
}

static void add(struct resolved *to, const char *host)
{
	struct resolved one;

	assert_true(resolver_is_address(host, port, &one));
	to->addresses[to->count++] = one.addresses[0];
}

static void addresses_take_turns(void **state)
{
	struct resolved to = {0};

	(void)state;
	add(&to, "127.0.0.1");
	add(&to, "127.0.0.1");
	add(&to, "127.0.0.1");
	dial_begin(&dial, &loop, TIMEOUT_MS);
	for (size_t i = 1; i <= to.count; i++) {
		assert_int_equal(next(&to), DIAL_CONNECTING);
		assert_int_equal(dial.next, i);
		if (i < to.count)
			assert_int_equal(wait_ms, DIAL_PATIENCE_MS);
		else
			assert_in_range(wait_ms, DIAL_PATIENCE_MS + 1, TIMEOUT_MS);
		hang_up();
		dial.error = -ETIMEDOUT;
	}
	assert_int_equal(next(&to), DIAL_FAILED);
	assert_int_equal(dial.error, -ETIMEDOUT);
}

/* An address of a kind that cannot be connected to fails at once, and the next one is taken. */
static void addresses_that_fail_at_once_are_passed_over(void **state)
{
	struct resolved to = {0};

	(void)state;
	add(&to, "255.255.255.255");
	add(&to, "127.0.0.1");
	dial_begin(&dial, &loop, TIMEOUT_MS);
	assert_int_equal(next(&to), DIAL_CONNECTING);
	assert_int_equal(dial.next, 2);
	assert_true(dial.error < 0);
	loop_run(&loop);
	hang_up();
}

static void without_addresses_there_is_an_error(void **state)
{
	const struct resolved none = {0};

	(void)state;
	dial_begin(&dial, &loop, 0);
	assert_int_equal(dial_left_ms(&dial, &loop), 0);
	assert_int_equal(next(&none), DIAL_FAILED);
	assert_int_equal(dial.error, -EHOSTUNREACH);
}

static void time_comes_to_an_end(void **state)
{
	struct resolved to = {0};

	(void)state;
	add(&to, "127.0.0.1");
	dial_begin(&dial, &loop, TIMEOUT_MS);
	dial.until_ms = loop_now_ms(&loop);
	assert_int_equal(dial_left_ms(&dial, &loop), 1);
	assert_int_equal(next(&to), DIAL_FAILED);
	assert_int_equal(dial.error, -ETIMEDOUT);
}

static void patience_is_within_the_time(void **state)
{
	struct resolved to = {0};

	(void)state;
	add(&to, "127.0.0.1");
	add(&to, "127.0.0.1");
	dial_begin(&dial, &loop, 100);
	assert_int_equal(next(&to), DIAL_CONNECTING);
	assert_in_range(wait_ms, 1, 100);
	hang_up();
}

/* Looks are further and further apart; the queue is not an address's failure. */
static void full_queues_are_waited_for(void **state)
{
	struct wire_queue queue;
	struct resolved to;
	uint64_t last = 0;

	(void)state;
	wire_queue_fill(&queue);
	assert_true(resolver_is_address(queue.at.sun_path, 0, &to));
	dial_begin(&dial, &loop, TIMEOUT_MS);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(next(&to), DIAL_WAITING);
		assert_in_range(wait_ms, MAX(last, 1), 100);
		last = wait_ms;
	}
	assert_int_equal(last, 100);
	dial.until_ms = loop_now_ms(&loop);
	assert_int_equal(next(&to), DIAL_FAILED);
	assert_int_equal(dial.error, -ETIMEDOUT);
	wire_queue_empty(&queue);
	dial_begin(&dial, &loop, TIMEOUT_MS);
	assert_int_equal(next(&to), DIAL_CONNECTING);
	hang_up();
	(void)close(queue.fd);
}

static void preferred_addresses_come_first(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "::1", "127.0.0.3"};
	struct resolved to = {0}, one;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		add(&to, hosts[i]);
	assert_true(resolver_is_address("127.0.0.4", port, &one));
	resolved_prefer(&to, &one.addresses[0]);
	assert_true(resolver_is_address("::1", port, &one));
	assert_memory_not_equal(&to.addresses[0], &one.addresses[0], sizeof one.addresses[0]);
	resolved_prefer(&to, &one.addresses[0]);
	assert_memory_equal(&to.addresses[0], &one.addresses[0], sizeof one.addresses[0]);
	assert_true(resolver_is_address("127.0.0.1", port, &one));
	assert_memory_equal(&to.addresses[1], &one.addresses[0], sizeof one.addresses[0]);
	assert_int_equal(to.count, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(addresses_take_turns),
		TEST(addresses_that_fail_at_once_are_passed_over),
		TEST(without_addresses_there_is_an_error),
		TEST(time_comes_to_an_end),
		TEST(patience_is_within_the_time),
		TEST(full_queues_are_waited_for),
		TEST(preferred_addresses_come_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
