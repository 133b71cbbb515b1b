#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "middleware/shared_state.h"

struct number {
	struct shared_state state; /* first */
	int *made;                 /* what `init` needs and may fail to get */
};

static int live;
static bool fails;

static struct number *number_of(struct shared_state *s)
{
	return container_of(s, struct number, state);
}

static int init(struct shared_state *s, const struct dynamic_middleware *config,
		const struct middleware_world *world, struct weir_error *e)
{
	(void)config, (void)world;
	live++;
	number_of(s)->made = malloc(sizeof(int));
	return fails ? error_set(e, -EIO, "it fails") : 0;
}

static void release(struct shared_state *s)
{
	live--;
	free(number_of(s)->made);
}

static const struct shared_state_class first = {"first", sizeof(struct number), init, release};
static const struct shared_state_class second = {"second", sizeof(struct number), init, release};

static struct dynamic_middleware options(const char *name, unsigned char hash)
{
	struct dynamic_middleware m = {.object.name = slice_from(name)};

	m.object.hash.bytes[31] = hash;
	return m;
}

static struct shared_state *get(struct middleware_world *w, const struct shared_state_class *class,
				const char *name, unsigned char hash)
{
	struct dynamic_middleware m = options(name, hash);
	struct shared_state *s;

	assert_int_equal(shared_state_get(&s, class, &m, w, NULL), 0);
	return s;
}

static void count(void *context, const struct shared_state *s)
{
	assert_true(s->name.n > 0);
	(*(int *)context)++;
}

static void the_same_is_found_again(void **state)
{
	struct middleware_world w = {.states = shared_states_create()};
	struct shared_state *list[] = {
		get(&w, &first, "a@file", 1),  get(&w, &first, "a@file", 1),
		get(&w, &first, "a@file", 2),  get(&w, &first, "b@file", 1),
		get(&w, &second, "a@file", 1),
	};
	int visited = 0;

	(void)state;
	assert_ptr_equal(list[0], list[1]);
	for (size_t i = 1; i < ARRAY_LEN(list); i++) {
		for (size_t j = i + 1; j < ARRAY_LEN(list); j++)
			assert_ptr_not_equal(list[i], list[j]);
	}
	assert_int_equal(live, 4);
	shared_states_visit(w.states, count, &visited);
	assert_int_equal(visited, 4);
	shared_state_release(&list[0]);
	assert_null(list[0]);
	assert_int_equal(live, 4);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		shared_state_release(&list[i]);
	assert_int_equal(live, 0);
	shared_states_destroy(&w.states);
	assert_null(w.states);
}

static void what_cannot_be_made_leaves_nothing(void **state)
{
	struct middleware_world w = {.states = shared_states_create()};
	struct dynamic_middleware m = options("a@file", 1);
	struct shared_state *s;
	struct weir_error e = {0};

	(void)state;
	fails = true;
	assert_int_equal(shared_state_get(&s, &first, &m, &w, &e), -EIO);
	assert_null(s);
	assert_string_equal(e.text, "it fails");
	assert_int_equal(live, 0);
	fails = false;
	s = get(&w, &first, "a@file", 1);
	shared_state_release(&s);
	shared_states_destroy(&w.states);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_is_found_again),
		cmocka_unit_test(what_cannot_be_made_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
