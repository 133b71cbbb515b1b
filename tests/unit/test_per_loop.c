#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/per_loop.h"
#include "wire.h"

#define LOOPS 3

struct part {
	pthread_t maker;
	bool foreign; /* may be freed by another thread */
};

static struct loop loops[LOOPS];
static struct loop *list[LOOPS] = {&loops[0], &loops[1], &loops[2]};
static const struct loop_group group = {list, LOOPS};
static _Atomic unsigned parts_freed, objects_released;

struct object {
	struct per_loop parts;
	struct message made[LOOPS];
	_Atomic unsigned ready;
};

static void free_part(void *p)
{
	struct part *part = p;

	wire_must(part->foreign || pthread_equal(part->maker, pthread_self()));
	atomic_fetch_add(&parts_freed, 1);
	free(part);
}

static void make_part(struct object *o, struct loop *l)
{
	void **at = per_loop_part(&o->parts, l);
	struct part *p = calloc(1, sizeof *p);

	wire_must(*at == NULL && p != NULL);
	p->maker = pthread_self();
	*at = p;
	atomic_fetch_add(&o->ready, 1);
}

static void make_0(struct message *m)
{
	make_part(container_of(m, struct object, made[0]), &loops[0]);
}

static void make_2(struct message *m)
{
	make_part(container_of(m, struct object, made[2]), &loops[2]);
}

static void *run(void *l)
{
	loop_run(l);
	return NULL;
}

static void released(struct per_loop *p)
{
	struct object *o = container_of(p, struct object, parts);

	atomic_fetch_add(&objects_released, 1);
	free(o);
}

static struct message stops[LOOPS];

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

static void stop_2(struct message *m)
{
	(void)m;
	loop_stop(&loops[2]);
}

static struct object *new_object(void)
{
	struct object *o = calloc(1, sizeof *o);

	assert_non_null(o);
	assert_int_equal(per_loop_init(&o->parts, &group, free_part), 0);
	o->made[0].run = make_0;
	o->made[2].run = make_2;
	return o;
}

static void wait_for(_Atomic unsigned *n, unsigned value)
{
	while (atomic_load(n) < value)
		(void)sched_yield();
}

static void init_loops(void)
{
	for (unsigned i = 0; i < LOOPS; i++) {
		assert_int_equal(loop_init(&loops[i], 1 << 20), 0);
		loops[i].index = i;
	}
}

/* Each loop frees its own part; a loop that made none is not asked. */
static void parts_are_freed_where_they_were_made(void **state)
{
	static void (*const stop_runs[])(struct message *) = {stop_0, stop_1, stop_2};
	pthread_t threads[LOOPS];

	(void)state;
	atomic_store(&parts_freed, 0);
	atomic_store(&objects_released, 0);
	init_loops();
	for (unsigned i = 0; i < LOOPS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run, &loops[i]), 0);
	for (unsigned round = 0; round < 200; round++) {
		struct object *o = new_object();

		assert_true(loop_post(&loops[0], &o->made[0]));
		assert_true(loop_post(&loops[2], &o->made[2]));
		wait_for(&o->ready, 2);
		per_loop_release(&o->parts, released);
	}
	wait_for(&objects_released, 200);
	assert_int_equal(atomic_load(&parts_freed), 400);
	for (unsigned i = 0; i < LOOPS; i++) {
		stops[i] = (struct message){.run = stop_runs[i]};
		assert_true(loop_post(&loops[i], &stops[i]));
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		loop_close(&loops[i]);
	}
}

static void an_object_without_parts_goes_at_once(void **state)
{
	struct object *o;

	(void)state;
	atomic_store(&parts_freed, 0);
	atomic_store(&objects_released, 0);
	init_loops();
	o = new_object();
	per_loop_release(&o->parts, released);
	assert_int_equal(atomic_load(&objects_released), 1);
	for (unsigned i = 0; i < LOOPS; i++)
		loop_close(&loops[i]);
}

/* No loop runs any more: what they were asked to do is done while they close. */
static void stopped_loops_free_when_they_close(void **state)
{
	struct object *o;
	struct part *p = calloc(1, sizeof *p);

	(void)state;
	assert_non_null(p);
	atomic_store(&parts_freed, 0);
	atomic_store(&objects_released, 0);
	init_loops();
	o = new_object();
	p->foreign = true;
	*per_loop_part(&o->parts, &loops[1]) = p;
	per_loop_release(&o->parts, released);
	assert_int_equal(atomic_load(&objects_released), 0);
	for (unsigned i = 0; i < LOOPS; i++)
		loop_close(&loops[i]);
	assert_int_equal(atomic_load(&parts_freed), 1);
	assert_int_equal(atomic_load(&objects_released), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_freed_where_they_were_made),
		cmocka_unit_test(an_object_without_parts_goes_at_once),
		cmocka_unit_test(stopped_loops_free_when_they_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
