#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base.h"
#include "observe/pprof.h"

/* The whole message, byte by byte. */
static void a_message(void **state)
{
	static const unsigned char wanted[] = {
		0x32, 0,                           /* string 0: "" */
		0x32, 4,    'w',  'e',  'i',  'r', /* string 1 */
		0x1a, 17,   0x08, 1,    0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 1,    0x28, 1,    0x38, 1,                   /* mapping 1, up to 2^64 - 1 */
		0x32, 1,    'n',  0x32, 1,    'u',                 /* strings 2, 3 */
		0x0a, 4,    0x08, 2,    0x10, 3,                   /* value: n, u */
		0x5a, 4,    0x08, 2,    0x10, 3,    0x60, 0xac, 2, /* period: 300 n, u */
		0x48, 7,    0x50, 8,                               /* times */
		0x32, 1,    'f',  0x32, 1,    'x',                 /* strings 4, 5 */
		0x2a, 8,    0x08, 1,    0x10, 4,    0x18, 4,    0x20, 5, /* function 1 */
		0x22, 10,   0x08, 1,    0x10, 1,    0x18, 0x10, 0x22, 2,    0x08, 1, /* location 1
										      */
		0x32, 1,    'k',  0x32, 1,    'v', /* strings 6, 7 */
		0x12, 14,   0x0a, 2,    1,    1,    0x12, 2,    0x80, 1,    0x1a, 4,    0x08,
		6,    0x10, 7, /* sample */
	};
	const uint64_t values[] = {128};
	const struct pprof_label labels[] = {{"k", SLICE("v")}, {"empty", SLICE("")}};
	uint64_t locations[2];
	struct pprof p;
	slice message;

	(void)state;
	pprof_init(&p, 1 << 20);
	pprof_value(&p, "n", "u");
	pprof_period(&p, "n", "u", 300);
	pprof_times(&p, 7, 8);
	locations[0] = pprof_location(&p, SLICE("f"), SLICE("x"), 16);
	locations[1] = pprof_location(&p, SLICE("f"), SLICE("x"), 16);
	assert_int_equal(locations[0], 1);
	assert_int_equal(locations[1], 1);
	pprof_add(&p, &(struct pprof_sample){locations, 2, values, 1, labels, ARRAY_LEN(labels)});
	assert_true(pprof_message(&p, &message));
	assert_int_equal(message.n, sizeof wanted);
	assert_memory_equal(message.p, wanted, sizeof wanted);
	pprof_free(&p);
}

static void numbers_are_shared_by_equals_only(void **state)
{
	struct pprof p;
	uint64_t a;

	(void)state;
	pprof_init(&p, 1 << 20);
	a = pprof_location(&p, SLICE("f"), SLICE("x"), 1);
	assert_int_equal(pprof_location(&p, SLICE("f"), SLICE("x"), 1), a);
	assert_int_not_equal(pprof_location(&p, SLICE("f"), SLICE("x"), 2), a);
	assert_int_not_equal(pprof_location(&p, SLICE("f"), SLICE("y"), 1), a);
	assert_int_not_equal(pprof_location(&p, SLICE("x"), SLICE("f"), 1), a);
	assert_int_equal(p.functions, 3);
	assert_int_equal(p.locations, 4);
	pprof_free(&p);
}

static void too_much_shows_at_the_end(void **state)
{
	char name[64];
	struct pprof p;
	slice message;

	(void)state;
	pprof_init(&p, 32768);
	for (int i = 0; i < 2000; i++) {
		int n = snprintf(name, sizeof name, "function number %d", i);

		(void)pprof_location(&p, slice_of(name, (size_t)n), SLICE(""), 0);
	}
	assert_false(pprof_message(&p, &message));
	pprof_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message),
		cmocka_unit_test(numbers_are_shared_by_equals_only),
		cmocka_unit_test(too_much_shows_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
