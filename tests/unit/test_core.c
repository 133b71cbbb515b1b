#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/buffer.h"
#include "core/error.h"
#include "core/map.h"
#include "core/str.h"

static void slices(void **state)
{
	slice rest = SLICE("a,,b,"), part;
	uint64_t n;

	(void)state;
	assert_true(slice_next(&rest, ',', &part) && slice_equal(part, SLICE("a")));
	assert_true(slice_next(&rest, ',', &part) && part.n == 0);
	assert_true(slice_next(&rest, ',', &part) && slice_equal(part, SLICE("b")));
	assert_false(slice_next(&rest, ',', &part));
	assert_true(slice_to_u64(SLICE("18446744073709551615"), &n) && n == UINT64_MAX);
	assert_false(slice_to_u64(SLICE("18446744073709551616"), &n));
	assert_false(slice_to_u64(SLICE("+1"), &n));
	assert_true(slice_equal(slice_trim(SLICE(" \t x y\t")), SLICE("x y")));
	assert_int_equal(slice_search(SLICE("abcabd"), SLICE("abd")), 3);
	assert_true(slice_equal_nocase(SLICE("Content-LENGTH"), SLICE("content-length")));
	assert_true(slice_compare(SLICE("ab"), SLICE("abc")) < 0);
}

static void arena_is_bounded(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1024, 4096);
	assert_non_null(arena_alloc(&a, 2000));
	assert_null(arena_alloc(&a, 2100));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_zalloc_array(&a, SIZE_MAX / 2, 3));
	assert_true(slice_equal(arena_format(&a, "%d-%s", 7, "x"), SLICE("7-x")));
	arena_reset(&a);
	for (int i = 0; i < 16; i++)
		memset(arena_alloc(&a, 100), i, 100);
	arena_free(&a);
	assert_int_equal(a.used_bytes, 0);
}

static void buffers_are_recycled_and_trimmed(void **state)
{
	struct buffer_pool pool;
	struct buffer *a, *b, *same;

	(void)state;
	buffer_pool_init(&pool, 3 * BUFFER_SMALL_BYTES);
	a = same = buffer_get(&pool, BUFFER_SMALL);
	b = buffer_get(&pool, BUFFER_SMALL);
	assert_non_null(b);
	assert_null(buffer_get(&pool, BUFFER_SMALL));
	buffer_ref(a);
	buffer_unref(&same);
	assert_null(same);
	same = a;
	buffer_unref(&a);
	a = buffer_get(&pool, BUFFER_SMALL);
	assert_ptr_equal(a, same);
	buffer_unref(&a);
	buffer_unref(&b);
	assert_true(buffer_pool_trim(&pool));
	for (int i = 0; buffer_pool_trim(&pool); i++)
		assert_true(i < 8);
	assert_int_equal(pool.live_bytes, 0);
	buffer_pool_free(&pool);
}

static void idle_buffers_make_way_for_other_sizes(void **state)
{
	struct buffer_pool pool;
	struct buffer *large[2], *small;

	(void)state;
	buffer_pool_init(&pool, 2 * BUFFER_LARGE_BYTES + 1024);
	large[0] = buffer_get(&pool, BUFFER_LARGE);
	assert_false(buffer_pool_is_short(&pool));
	large[1] = buffer_get(&pool, BUFFER_LARGE);
	assert_non_null(large[1]);
	assert_true(buffer_pool_is_short(&pool));
	assert_null(buffer_get(&pool, BUFFER_SMALL));
	buffer_unref(&large[0]);
	assert_false(buffer_pool_is_short(&pool));
	small = buffer_get(&pool, BUFFER_SMALL);
	assert_non_null(small);
	buffer_unref(&large[1]);
	large[0] = buffer_get_bytes(&pool, BUFFER_LARGE_BYTES + BUFFER_SMALL_BYTES);
	assert_non_null(large[0]);
	buffer_unref(&large[0]);
	buffer_unref(&small);
	buffer_pool_free(&pool);
}

static void map_keeps_order_and_survives_removal(void **state)
{
	struct map m = {0};
	char keys[1000][8];
	struct map_entry *e = NULL;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(keys[i], sizeof keys[i], "k%d", i);
		assert_int_equal(map_put(&m, slice_from(keys[i]), keys[i]), 0);
		if (i % 2 == 1)
			assert_ptr_equal(map_remove(&m, slice_from(keys[i])), keys[i]);
	}
	assert_int_equal(m.count, 500);
	for (int i = 0; i < 1000; i += 2) {
		assert_ptr_equal(map_get(&m, slice_from(keys[i])), keys[i]);
		e = map_next(&m, e);
		assert_ptr_equal(e->value, keys[i]);
	}
	assert_null(map_next(&m, e));
	assert_null(map_get(&m, SLICE("k1")));
	map_free(&m);
}

static void strings_fail_once_and_stay_failed(void **state)
{
	struct str s = {.limit = 8};
	char *p;

	(void)state;
	str_add(&s, SLICE("1234"));
	str_add_u64(&s, 5678);
	str_add_char(&s, 'x');
	for (int i = 0; i < 100; i++)
		str_add_char(&s, 'x');
	assert_true(s.failed);
	assert_null(str_take(&s));
	p = str_take(&s);
	assert_string_equal(p, "");
	free(p);
}

static void nearest_names(void **state)
{
	const char *const names[] = {"address", "transport", "http"};
	struct weir_error e = {0};

	(void)state;
	assert_string_equal(error_nearest(SLICE("adress"), names, 3), "address");
	assert_null(error_nearest(SLICE("completely"), names, 3));
	assert_int_equal(error_set(&e, -22, "found %d", 7), -22);
	error_prefix(&e, "%s: ", "file.yml");
	assert_string_equal(e.text, "file.yml: found 7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices),
		cmocka_unit_test(arena_is_bounded),
		cmocka_unit_test(buffers_are_recycled_and_trimmed),
		cmocka_unit_test(idle_buffers_make_way_for_other_sizes),
		cmocka_unit_test(map_keeps_order_and_survives_removal),
		cmocka_unit_test(strings_fail_once_and_stay_failed),
		cmocka_unit_test(nearest_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
