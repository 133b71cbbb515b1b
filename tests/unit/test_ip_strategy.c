#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "middleware/ip_strategy.h"

static const slice excluded[] = {{"192.168.0.0/16", 14}, {"10.9.9.9", 8}, {"2001:db8:1::/48", 15}};

static void the_right_part_is_picked(void **state)
{
	/* Depth 0 is by exclusion. */
	static const struct {
		int64_t depth;
		const char *field, *picked;
	} rows[] = {
		{1, "1.1.1.1", "1.1.1.1"},
		{1, "1.1.1.1, 2.2.2.2", "2.2.2.2"},
		{2, "1.1.1.1, 2.2.2.2", "1.1.1.1"},
		{3, "1.1.1.1, 2.2.2.2", ""},
		{1, "", ""},
		{1, "1.1.1.1,", ""},
		{2, "1.1.1.1,", "1.1.1.1"},
		{1, "a ,\tb\t", "b"},
		{INT64_MAX, "a,b,c", ""},
		{0, "1.1.1.1, 192.168.1.1", "1.1.1.1"},
		{0, "192.168.1.1", ""},
		{0, "", ""},
		{0, ",, ,", ""},
		{0, "1.1.1.1, nonsense, 192.168.1.1,", "nonsense"},
		{0, "1.1.1.1, 2001:db8:1::5%eth0", "1.1.1.1"},
		{0, "1.1.1.1, ::ffff:10.9.9.9", "1.1.1.1"},
		{0, "1.1.1.1, 192.168.1.1:80", "192.168.1.1:80"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct dynamic_ip_strategy options = {.depth = rows[i].depth,
							    .excluded_ips = {excluded, 3},
							    .ipv6_subnet = OPTION_NOT_GIVEN};
		struct ip_strategy s;
		slice picked;

		assert_int_equal(ip_strategy_init(&s, &options, NULL), 0);
		picked = ip_strategy_pick(&s, slice_from(rows[i].field));
		if (!slice_equal(picked, slice_from(rows[i].picked)))
			fail_msg("%s: %.*s", rows[i].field, SLICE_ARG(picked));
		ip_strategy_free(&s);
	}
}

/* "" where there is no address. */
static void check(const struct dynamic_ip_strategy *options, const char *peer, const char *field,
		  const char *expected)
{
	struct exchange x = {.magic = 0};
	char text[ADDRESS_TEXT_BYTES] = "";
	struct ip_strategy s;
	struct address a;

	arena_init(&x.arena, 256, 4096);
	fields_init(&x.request.fields, &x.arena);
	assert_true(address_parse(slice_from(peer), &x.peer_address));
	assert_int_equal(fields_add_id(&x.request.fields, FIELD_X_FORWARDED_FOR, slice_from(field)),
			 0);
	assert_int_equal(ip_strategy_init(&s, options, NULL), 0);
	if (ip_strategy_address(&s, &x, &a))
		(void)address_format(&a, text);
	assert_string_equal(text, expected);
	ip_strategy_free(&s);
	arena_free(&x.arena);
}

static void addresses_are_masked_where_they_shall_be(void **state)
{
	struct dynamic_ip_strategy peer = {.ipv6_subnet = 64},
				   depth = {.depth = 1, .ipv6_subnet = 33},
				   by_exclusion = {.excluded_ips = {excluded, 1},
						   .ipv6_subnet = 64};

	(void)state;
	check(NULL, "2001:db8::1", "9.9.9.9", "2001:db8::1");
	check(&peer, "2001:db8:1:2:3:4:5:6", "9.9.9.9", "2001:db8:1:2::");
	check(&peer, "10.1.2.3", "9.9.9.9", "10.1.2.3");
	check(&depth, "::1", "2001:db8:ffff::1", "2001:db8:8000::");
	check(&depth, "::1", "10.1.2.3", "10.1.2.3");
	check(&depth, "::1", "10.1.2.3:80", "10.1.2.3");
	check(&depth, "::1", "[2001:db8:ffff::1]:80", "2001:db8:ffff::1");
	check(&depth, "::1", "fe80::1%eth0", "fe80::");
	check(&depth, "::1", "fe80::1%", "");
	check(&depth, "::1", "10.0.0.1%eth0", "");
	check(&depth, "::1", "[::1]", "");
	check(&depth, "::1", "", "");
	check(&by_exclusion, "::1", "2001:db8::1, 192.168.0.1", "2001:db8::1");
	peer.ipv6_subnet = 128;
	check(&peer, "2001:db8::1", "", "2001:db8::1");
	peer.ipv6_subnet = 1;
	check(&peer, "c001::", "", "8000::");
}

static void wrong_options_are_refused(void **state)
{
	static const slice bad = {"10.0.0.0/33", 11};
	const struct dynamic_ip_strategy rows[] = {
		{.ipv6_subnet = 0},
		{.ipv6_subnet = 129},
		{.depth = 1, .ipv6_subnet = -1},
		{.excluded_ips = {&bad, 1}, .ipv6_subnet = OPTION_NOT_GIVEN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ip_strategy s;
		struct weir_error e = {0};

		assert_int_equal(ip_strategy_init(&s, &rows[i], &e), -EINVAL);
		assert_true(e.text[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_right_part_is_picked),
		cmocka_unit_test(addresses_are_masked_where_they_shall_be),
		cmocka_unit_test(wrong_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
