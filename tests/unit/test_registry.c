#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base.h"
#include "core/registry.h"

#define THREADS 4
#define ROUNDS 20000

struct thing {
	char name[2];
	struct registry_member member;
};

static struct registry registry;

static int set_up(void **state)
{
	(void)state;
	registry_init(&registry);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	registry_free(&registry);
	return 0;
}

static struct thing *get(char name)
{
	struct registry_member *m = registry_find(&registry, slice_of(&name, 1));
	struct thing *made;

	if (m != NULL)
		return container_of(m, struct thing, member);
	made = calloc(1, sizeof *made);
	must(made != NULL);
	made->name[0] = name;
	m = registry_add(&registry, &made->member, slice_from(made->name));
	must(m != NULL);
	if (m != &made->member)
		free(made);
	return container_of(m, struct thing, member);
}

static void put(struct thing *t)
{
	if (registry_release(&t->member))
		free(t);
}

static void finds_what_is_there(void **state)
{
	struct thing *a = get('a'), *b = get('b');

	(void)state;
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(get('a'), a);
	assert_int_equal(a->member.references, 2);
	assert_int_equal(registry_count(&registry), 2);
	put(a);
	assert_int_equal(registry_count(&registry), 2);
	put(a);
	put(b);
	assert_int_equal(registry_count(&registry), 0);
	assert_null(registry_find(&registry, SLICE("a")));
}

static void the_first_of_two_stays(void **state)
{
	struct thing first = {.name = "a"}, second = {.name = "a"};

	(void)state;
	assert_ptr_equal(registry_add(&registry, &first.member, SLICE("a")), &first.member);
	assert_ptr_equal(registry_add(&registry, &second.member, SLICE("a")), &first.member);
	assert_int_equal(first.member.references, 2);
	assert_null(second.member.registry);
	registry_ref(&first.member);
	assert_false(registry_release(&first.member));
	assert_false(registry_release(&first.member));
	assert_true(registry_release(&first.member));
}

static void holds_all_in_order(void **state)
{
	struct thing *things[] = {get('c'), get('a'), get('b')};
	struct registry_member **held;
	size_t count;

	(void)state;
	held = registry_hold(&registry, &count);
	assert_non_null(held);
	assert_int_equal(count, ARRAY_LEN(things));
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(held[i], &things[i]->member);
		put(things[i]);
		assert_int_equal(things[i]->member.references, 1);
		put(things[i]);
	}
	free(held);
}

static void *get_and_put(void *context)
{
	(void)context;
	for (int i = 0; i < ROUNDS; i++) {
		struct thing *t = get((char)('a' + i % 3));

		must(t->name[0] == 'a' + i % 3);
		put(t);
	}
	return NULL;
}

static void threads_share(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_and_put, NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(registry_count(&registry), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(finds_what_is_there),
		TEST(the_first_of_two_stays),
		TEST(holds_all_in_order),
		TEST(threads_share),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
