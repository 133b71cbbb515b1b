#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base.h"
#include "core/str.h"
#include "http/fields.h"

static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, 4096, 1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

/* Fails unless the section holds exactly these lines, written "Name=value|Name=value". */
static void assert_lines(const struct fields *f, const char *expected)
{
	struct str got = {0};
	uint64_t present = 0;

	for (size_t i = 0; i < f->count; i++) {
		str_format(&got, "%s%.*s=%.*s", i > 0 ? "|" : "", SLICE_ARG(f->list[i].name),
			   SLICE_ARG(f->list[i].value));
		assert_int_equal(f->list[i].id, field_id_of(f->list[i].name));
		present |= FIELD_BIT(f->list[i].id);
	}
	assert_string_equal(got.p != NULL ? got.p : "", expected);
	assert_true(f->present == present);
	str_free(&got);
}

static void known_names_have_their_number_in_any_case(void **state)
{
	(void)state;
	for (int id = 1; id < FIELD_ID_COUNT; id++) {
		slice name = field_name((enum field_id)id);
		char lower[64], upper[64];

		assert_in_range(name.n, 2, sizeof lower);
		for (size_t i = 0; i < name.n; i++) {
			lower[i] = ascii_lower(name.p[i]);
			upper[i] = ascii_upper(name.p[i]);
		}
		assert_int_equal(field_id_of(name), id);
		assert_int_equal(field_id_of(slice_of(lower, name.n)), id);
		assert_int_equal(field_id_of(slice_of(upper, name.n)), id);
		assert_int_equal(field_id_of(slice_of(name.p, name.n - 1)), FIELD_OTHER);
	}
	assert_int_equal(field_id_of(SLICE("")), FIELD_OTHER);
	assert_int_equal(field_id_of(SLICE("X")), FIELD_OTHER);
	assert_int_equal(field_id_of(SLICE("X-Forwarded-Tls-Client-Cert-Info-And-More")),
			 FIELD_OTHER);
	assert_int_equal(field_name(FIELD_OTHER).n, 0);
}

/* The definition that the table has to agree with. */
static enum field_id search_id(slice name)
{
	for (int id = 1; id < FIELD_ID_COUNT; id++) {
		if (slice_equal_nocase(name, field_name((enum field_id)id)))
			return (enum field_id)id;
	}
	return FIELD_OTHER;
}

static void one_changed_byte_is_another_name(void **state)
{
	(void)state;
	for (int id = 1; id < FIELD_ID_COUNT; id++) {
		slice name = field_name((enum field_id)id);
		char copy[64];

		memcpy(copy, name.p, name.n);
		for (size_t i = 0; i < name.n; i++) {
			for (int c = 0; c < 256; c++) {
				copy[i] = (char)c;
				assert_int_equal(field_id_of(slice_of(copy, name.n)),
						 search_id(slice_of(copy, name.n)));
			}
			copy[i] = name.p[i];
		}
	}
}

static void lines_keep_their_order(void **state)
{
	struct fields f;

	(void)state;
	fields_init(&f, &arena);
	assert_lines(&f, "");
	assert_int_equal(fields_add(&f, SLICE("accept"), SLICE("a")), 0);
	assert_int_equal(fields_add(&f, SLICE("X-One"), SLICE("1")), 0);
	assert_int_equal(fields_add_id(&f, FIELD_ACCEPT, SLICE("b")), 0);
	assert_int_equal(fields_add(&f, SLICE("x-one"), SLICE("2")), 0);
	assert_int_equal(fields_add(&f, SLICE("X-Two"), SLICE("")), 0);
	assert_lines(&f, "accept=a|X-One=1|Accept=b|x-one=2|X-Two=");
}

static void set_replaces_all_in_the_first_place(void **state)
{
	struct fields f;

	(void)state;
	fields_init(&f, &arena);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fields_add(&f, SLICE("X-One"), SLICE("1")), 0);
		assert_int_equal(fields_add(&f, SLICE("accept"), SLICE("a")), 0);
		assert_int_equal(fields_add(&f, SLICE("X-Two"), SLICE("2")), 0);
	}
	assert_int_equal(fields_set(&f, SLICE("X-TWO"), SLICE("3")), 0);
	assert_lines(&f, "X-One=1|accept=a|X-TWO=3|X-One=1|accept=a");
	assert_int_equal(fields_set_id(&f, FIELD_ACCEPT, SLICE("b")), 0);
	assert_lines(&f, "X-One=1|Accept=b|X-TWO=3|X-One=1");
	assert_int_equal(fields_set(&f, SLICE("x-one"), SLICE("4")), 0);
	assert_lines(&f, "x-one=4|Accept=b|X-TWO=3");
	assert_int_equal(fields_set_id(&f, FIELD_HOST, SLICE("h")), 0);
	assert_int_equal(fields_set(&f, SLICE("Y"), SLICE("y")), 0);
	assert_lines(&f, "x-one=4|Accept=b|X-TWO=3|Host=h|Y=y");
}

static void remove_counts_and_forgets(void **state)
{
	struct fields f;

	(void)state;
	fields_init(&f, &arena);
	assert_int_equal(fields_remove_id(&f, FIELD_TE), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fields_add(&f, SLICE("TE"), SLICE("trailers")), 0);
		assert_int_equal(fields_add(&f, SLICE("a"), SLICE("1")), 0);
		assert_int_equal(fields_add(&f, SLICE("b"), SLICE("2")), 0);
	}
	assert_true(fields_have(&f, FIELD_TE));
	assert_int_equal(fields_remove_id(&f, FIELD_TE), 3);
	assert_false(fields_have(&f, FIELD_TE));
	assert_int_equal(fields_remove(&f, SLICE("A")), 3);
	assert_int_equal(fields_remove(&f, SLICE("c")), 0);
	assert_lines(&f, "b=2|b=2|b=2");
	assert_int_equal(fields_remove(&f, SLICE("b")), 3);
	assert_lines(&f, "");
}

static void find_goes_through_all_lines_of_a_name(void **state)
{
	const struct field *line;
	struct fields f;

	(void)state;
	fields_init(&f, &arena);
	assert_null(fields_find_id(&f, FIELD_COOKIE));
	assert_null(fields_value_id(&f, FIELD_COOKIE).p);
	assert_int_equal(fields_add(&f, SLICE("cookie"), SLICE("a")), 0);
	assert_int_equal(fields_add(&f, SLICE("x-a"), SLICE("1")), 0);
	assert_int_equal(fields_add(&f, SLICE("Cookie"), SLICE("b")), 0);
	assert_int_equal(fields_add(&f, SLICE("X-A"), SLICE("2")), 0);
	assert_true(slice_equal(fields_value_id(&f, FIELD_COOKIE), SLICE("a")));
	line = fields_find(&f, SLICE("COOKIE"));
	assert_ptr_equal(line, fields_find_id(&f, FIELD_COOKIE));
	line = fields_find_next(&f, line);
	assert_true(slice_equal(line->value, SLICE("b")));
	assert_null(fields_find_next(&f, line));
	line = fields_find(&f, SLICE("X-a"));
	assert_true(slice_equal(line->value, SLICE("1")));
	line = fields_find_next(&f, line);
	assert_true(slice_equal(line->value, SLICE("2")));
	assert_null(fields_find_next(&f, line));
	assert_null(fields_find(&f, SLICE("x-b")));
}

static void tokens_are_found_in_all_lines(void **state)
{
	struct fields f;

	(void)state;
	fields_init(&f, &arena);
	assert_false(fields_has_token(&f, FIELD_CONNECTION, SLICE("close")));
	assert_int_equal(fields_add(&f, SLICE("Connection"), SLICE("keep-alive ,\tUpgrade")), 0);
	assert_int_equal(fields_add(&f, SLICE("Te"), SLICE("close")), 0);
	assert_int_equal(fields_add(&f, SLICE("connection"), SLICE(",, x-thing")), 0);
	assert_true(fields_has_token(&f, FIELD_CONNECTION, SLICE("Keep-Alive")));
	assert_true(fields_has_token(&f, FIELD_CONNECTION, SLICE("upgrade")));
	assert_true(fields_has_token(&f, FIELD_CONNECTION, SLICE("X-Thing")));
	assert_false(fields_has_token(&f, FIELD_CONNECTION, SLICE("keep")));
	assert_false(fields_has_token(&f, FIELD_CONNECTION, SLICE("close")));
}

static void the_list_grows_and_is_bounded_by_its_arena(void **state)
{
	struct arena small;
	struct fields f;
	size_t n = 0;

	(void)state;
	arena_init(&small, 4096, 16384);
	fields_init(&f, &small);
	while (fields_add(&f, SLICE("X-N"), SLICE("v")) == 0)
		n++;
	assert_in_range(n, 50, 400);
	assert_int_equal(f.count, n);
	assert_int_equal(fields_add_field(&f, &f.list[0]), -ENOMEM);
	assert_int_equal(fields_set(&f, SLICE("X-N"), SLICE("w")), 0);
	assert_lines(&f, "X-N=w");
	arena_free(&small);
}

static void tokens_and_values(void **state)
{
	static const char token_marks[] = "!#$%&'*+-.^_`|~";

	(void)state;
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		bool letter =
			ascii_digit(byte) || (ascii_lower(byte) >= 'a' && ascii_lower(byte) <= 'z');
		bool token = letter || (c != 0 && strchr(token_marks, c) != NULL);

		assert_int_equal(field_is_token(slice_of(&byte, 1)), token);
		assert_int_equal(field_is_value(slice_of(&byte, 1)),
				 c == '\t' || (c >= ' ' && c != 0x7f));
	}
	assert_false(field_is_token(SLICE("")));
	assert_true(field_is_value(SLICE("")));
	assert_false(field_is_token(SLICE("Content-Length ")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_names_have_their_number_in_any_case),
		cmocka_unit_test(one_changed_byte_is_another_name),
		cmocka_unit_test(lines_keep_their_order),
		cmocka_unit_test(set_replaces_all_in_the_first_place),
		cmocka_unit_test(remove_counts_and_forgets),
		cmocka_unit_test(find_goes_through_all_lines_of_a_name),
		cmocka_unit_test(tokens_are_found_in_all_lines),
		cmocka_unit_test(the_list_grows_and_is_bounded_by_its_arena),
		cmocka_unit_test(tokens_and_values),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
