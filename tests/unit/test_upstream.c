#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/upstream.h"
#include "wire.h"

#define LOOPS 2
#define USERS 4
#define ROUNDS 500
#define HOSTS 3

static struct loop loops[LOOPS];
static struct loop *list[LOOPS] = {&loops[0], &loops[1]};
static const struct loop_group group = {list, LOOPS};
static struct upstream_registry *registry;

static struct upstream *get(unsigned host, uint64_t idle_ms)
{
	static const slice hosts[HOSTS] = {{"127.0.0.1", 9}, {"127.0.0.2", 9}, {"a.test", 6}};
	const struct client_options options = {
		.idle_timeout_ms = idle_ms, .idle_max = 1, .connections_max = 1};
	struct upstream *u;

	wire_must(upstream_get(&u, registry, hosts[host % HOSTS], 80, &options) == 0);
	return u;
}

static void open_all(void)
{
	for (unsigned i = 0; i < LOOPS; i++) {
		assert_int_equal(loop_init(&loops[i], 1 << 20), 0);
		loops[i].index = i;
	}
	assert_int_equal(upstream_registry_create(&registry, &group, 10), 0);
}

static void close_all(void)
{
	for (unsigned i = 0; i < LOOPS; i++)
		loop_close(&loops[i]);
	upstream_registry_destroy(&registry);
	assert_null(registry);
}

static void endpoints_are_shared_by_address_and_settings(void **state)
{
	struct upstream *a, *b, *c, *d;

	(void)state;
	open_all();
	a = get(0, 1);
	b = get(0, 1);
	c = get(0, 2);
	d = get(1, 1);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_ptr_not_equal(a, d);
	upstream_release(&a);
	assert_null(a);
	a = get(0, 1);
	assert_ptr_equal(a, b);
	upstream_release(&a);
	upstream_release(&a);
	upstream_release(&b);
	upstream_release(&c);
	upstream_release(&d);
	close_all();
}

static void each_loop_has_its_own_client(void **state)
{
	struct upstream *u;
	struct client *c;

	(void)state;
	open_all();
	u = get(0, 1);
	c = upstream_client(u, &loops[0]);
	assert_non_null(c);
	assert_ptr_equal(c, upstream_client(u, &loops[0]));
	assert_ptr_not_equal(c, upstream_client(u, &loops[1]));
	assert_ptr_equal(c->loop, &loops[0]);
	upstream_release(&u);
	close_all();
}

/* One use of an endpoint on a loop. */
struct use {
	struct message message;
	struct loop *loop;
	struct upstream *upstream;
	_Atomic bool done;
};

static void use(struct message *m)
{
	struct use *u = container_of(m, struct use, message);

	wire_must(upstream_client(u->upstream, u->loop)->loop == u->loop);
	atomic_store(&u->done, true);
}

static void *user(void *number)
{
	unsigned seed = *(const unsigned *)number;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct loop *l = &loops[(i + seed) % LOOPS];
		struct use u = {.message.run = use, .loop = l, .upstream = get(i * seed, 1)};

		wire_must(loop_post(l, &u.message));
		while (!atomic_load(&u.done))
			(void)sched_yield();
		upstream_release(&u.upstream);
	}
	return NULL;
}

static void *run(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void stop_0(struct message *m)
{
	(void)m;
	loop_stop(&loops[0]);
}

static void stop_1(struct message *m)
{
	(void)m;
	loop_stop(&loops[1]);
}

/* As generations come and go while others are in use. */
static void any_thread_may_get_and_release(void **state)
{
	struct message stops[LOOPS] = {{.run = stop_0}, {.run = stop_1}};
	pthread_t runners[LOOPS], users[USERS];
	unsigned numbers[USERS];

	(void)state;
	open_all();
	for (unsigned i = 0; i < LOOPS; i++)
		assert_int_equal(pthread_create(&runners[i], NULL, run, &loops[i]), 0);
	for (unsigned i = 0; i < USERS; i++) {
		numbers[i] = i + 1;
		assert_int_equal(pthread_create(&users[i], NULL, user, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < USERS; i++)
		assert_int_equal(pthread_join(users[i], NULL), 0);
	for (unsigned i = 0; i < LOOPS; i++) {
		assert_true(loop_post(&loops[i], &stops[i]));
		assert_int_equal(pthread_join(runners[i], NULL), 0);
	}
	close_all();
}

/* One that is let go while others look at it lives as long as they do. */
static void others_may_look(void **state)
{
	struct upstream *a, *b, **held;
	struct upstream_look look;
	size_t count;

	(void)state;
	open_all();
	held = upstream_registry_hold(registry, &count);
	assert_int_equal(count, 0);
	free(held);
	a = get(0, 1);
	b = get(2, 1);
	assert_non_null(upstream_client(b, &loops[1]));
	held = upstream_registry_hold(registry, &count);
	assert_int_equal(count, 2);
	upstream_release(&a);
	upstream_release(&b);
	for (size_t i = 0; i < count; i++) {
		look = upstream_look(held[i]);
		assert_int_equal(look.port, 80);
		assert_false(look.tls || look.h2);
		for (unsigned n = 0; n < LOOPS; n++)
			upstream_look_add(held[i], &loops[n], &look);
		assert_int_equal(look.open + look.idle + look.closing, 0);
		upstream_release(&held[i]);
	}
	free(held);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints_are_shared_by_address_and_settings),
		cmocka_unit_test(each_loop_has_its_own_client),
		cmocka_unit_test(any_thread_may_get_and_release),
		cmocka_unit_test(others_may_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
