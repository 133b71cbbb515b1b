#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/address.h"
#include "net/url.h"

static struct address parse(const char *text)
{
	struct address a;

	if (!address_parse(slice_from(text), &a))
		fail_msg("%s", text);
	return a;
}

static void addresses_are_parsed_strictly(void **state)
{
	static const struct {
		const char *text;
		const char *formatted; /* NULL: refused */
	} rows[] = {
		{"1.2.3.4", "1.2.3.4"},
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"::", "::"},
		{"::1", "::1"},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
		{"::ffff:1.2.3.4", "1.2.3.4"},
		{"::ffff:102:304", "1.2.3.4"},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
		{"", NULL},
		{"1.2.3", NULL},
		{"1.2.3.4.5", NULL},
		{"1.2.3.256", NULL},
		{"01.2.3.4", NULL},
		{"1.2.3.4 ", NULL},
		{"[::1]", NULL},
		{"::1%eth0", NULL},
		{"1:2:3:4:5:6:7:8:9", NULL},
		{":::", NULL},
		{"::g", NULL},
		{"::ffff:255.255.255.255.255.255.255.255.255.255", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[ADDRESS_TEXT_BYTES];
		struct address a;
		bool ok = address_parse(slice_from(rows[i].text), &a);

		assert_int_equal(ok, rows[i].formatted != NULL);
		if (ok)
			assert_string_equal(address_format(&a, text).p, rows[i].formatted);
	}
	assert_false(address_parse((slice){"1.2.3.4\0", 8}, &(struct address){{0}}));
}

static void socket_addresses_convert_both_ways(void **state)
{
	static const char *const texts[] = {"1.2.3.4", "::1", "fe80::1:2"};
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct address a = parse(texts[i]), b;
		struct sockaddr_storage storage;
		socklen_t n = address_to_sockaddr(&a, 8080, &storage);

		assert_int_equal(storage.ss_family, address_is_v4(&a) ? AF_INET : AF_INET6);
		assert_true(n <= sizeof storage);
		assert_true(address_from_sockaddr((struct sockaddr *)&storage, &b, &port));
		assert_true(address_equal(&a, &b));
		assert_int_equal(port, 8080);
	}
	assert_false(address_from_sockaddr(&(struct sockaddr){.sa_family = AF_UNIX},
					   &(struct address){{0}}, &port));
}

static bool holds_by(bool (*test)(const struct address_set *, const struct address *),
		     const char *list, const char *address)
{
	slice texts[16], rest = slice_from(list), part;
	struct address a = parse(address);
	struct address_set *set;
	size_t n = 0;
	bool has;

	while (slice_next(&rest, ' ', &part))
		texts[n++] = part;
	assert_int_equal(address_set_new(texts, n, &set, NULL), 0);
	has = test(set, &a);
	address_set_free(&set);
	return has;
}

static bool holds(const char *list, const char *address)
{
	return holds_by(address_set_has, list, address);
}

static bool holds_peer(const char *list, const char *address)
{
	return holds_by(address_set_has_peer, list, address);
}

static void sets_hold_their_networks(void **state)
{
	(void)state;
	assert_true(holds("10.0.0.0/8", "10.255.255.255"));
	assert_true(holds("10.1.2.3/8", "10.0.0.0"));
	assert_false(holds("10.0.0.0/8", "11.0.0.0"));
	assert_false(holds("10.0.0.0/8", "9.255.255.255"));
	assert_true(holds("10.0.0.1", "10.0.0.1"));
	assert_false(holds("10.0.0.1", "10.0.0.2"));
	assert_true(holds("0.0.0.0/0", "255.255.255.255"));
	assert_false(holds("0.0.0.0/0", "::1"));
	assert_true(holds("::/0", "::1"));
	assert_true(holds("::/0", "::"));
	assert_true(holds("::/0", "ffff::"));
	assert_false(holds("::/0", "1.2.3.4"));
	assert_false(holds("::/64", "1.2.3.4"));
	assert_true(holds("::ffff:0:0/96", "1.2.3.4"));
	assert_true(holds("::ffff:10.0.0.0/104", "10.1.1.1"));
	assert_true(holds("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(holds("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(holds("10.0.0.0/9 10.128.0.0/9 10.0.0.0/8 1.1.1.1", "10.128.0.0"));
	assert_true(holds("10.0.0.0/8 10.0.0.0/16 10.5.0.0/16", "10.200.0.1"));
	assert_true(holds("10.0.0.0/32", "10.0.0.0"));
	assert_false(holds("", "10.0.0.0"));
	assert_false(address_set_has(NULL, &(struct address){{0}}));
	assert_false(holds_peer("::/0", "::")); /* no address */
	assert_true(holds_peer("::/0", "::1"));
}

/* Lookup by search agrees with looking at every network. */
static void sets_agree_with_a_scan(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int round = 0; round < 300; round++) {
		enum { NETWORKS = 12 };
		char texts[NETWORKS][40];
		slice slices[NETWORKS];
		struct address_set *set, *alone[NETWORKS];

		for (size_t i = 0; i < NETWORKS; i++) {
			int bits = 24 + rand_r(&seed) % 9;

			if (rand_r(&seed) % 4 == 0)
				snprintf(texts[i], sizeof texts[i], "::%x/%d", rand_r(&seed) % 1024,
					 88 + bits);
			else
				snprintf(texts[i], sizeof texts[i], "10.0.%d.%d/%d",
					 rand_r(&seed) % 4, rand_r(&seed) % 256, bits);
			slices[i] = slice_from(texts[i]);
			assert_int_equal(address_set_new(&slices[i], 1, &alone[i], NULL), 0);
		}
		assert_int_equal(address_set_new(slices, NETWORKS, &set, NULL), 0);
		for (int probe = 0; probe < 200; probe++) {
			char text[32];
			struct address a;
			bool any = false;

			snprintf(text, sizeof text, probe % 4 ? "10.0.%d.%d" : "::%x%02x",
				 rand_r(&seed) % 4, rand_r(&seed) % 256);
			a = parse(text);
			for (size_t i = 0; i < NETWORKS; i++)
				any |= address_set_has(alone[i], &a);
			assert_int_equal(address_set_has(set, &a), any);
		}
		for (size_t i = 0; i < NETWORKS; i++)
			address_set_free(&alone[i]);
		address_set_free(&set);
	}
}

static void sets_name_what_they_cannot_read(void **state)
{
	static const char *const bad[] = {"",        "x",       "1.2.3.4/33", "1.2.3.4/",
					  "::1/129", "1.2.3/8", "1.2.3.4/-1", "fe80::1%eth0",
					  "/8"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		slice text = slice_from(bad[i]);
		struct address_set *set;
		struct weir_error e;
		char expected[100];

		snprintf(expected, sizeof expected,
			 "parsing CIDR trusted IPs <nil>: invalid CIDR address: %s", bad[i]);
		assert_int_equal(address_set_new(&text, 1, &set, &e), -EINVAL);
		assert_null(set);
		assert_string_equal(e.text, expected);
	}
}

/* Texts are Go's. */
static void splitting_follows_go(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL: `port` is the fault */
		const char *port;
	} rows[] = {
		{"a:80", "a", "80"},
		{":80", "", "80"},
		{"a:", "a", ""},
		{":", "", ""},
		{"[::1]:80", "::1", "80"},
		{"[a%b]:80", "a%b", "80"},
		{"[]:80", "", "80"},
		{"a:http", "a", "http"},
		{"a", NULL, "missing port in address"},
		{"", NULL, "missing port in address"},
		{"[::1]", NULL, "missing port in address"},
		{"[::1]80", NULL, "missing port in address"},
		{"::1", NULL, "too many colons in address"},
		{"a:b:c", NULL, "too many colons in address"},
		{"[::1]:80:90", NULL, "too many colons in address"},
		{"[::1:80", NULL, "missing ']' in address"},
		{"a[b:80", NULL, "unexpected '[' in address"},
		{"a]b:80", NULL, "unexpected ']' in address"},
		{"[a[b]:80", NULL, "unexpected '[' in address"},
		{"[a]:]80", NULL, "unexpected ']' in address"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct weir_error e;
		slice host, port;
		int r = address_split(slice_from(rows[i].text), &host, &port, &e);

		if (rows[i].host != NULL) {
			assert_int_equal(r, 0);
			assert_true(slice_equal(host, slice_from(rows[i].host)));
			assert_true(slice_equal(port, slice_from(rows[i].port)));
		} else {
			char expected[100];

			snprintf(expected, sizeof expected, "address %s: %s", rows[i].text,
				 rows[i].port);
			assert_int_equal(r, -EINVAL);
			assert_string_equal(e.text, expected);
		}
	}
}

static void listen_addresses(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL: refused */
		int port;
		enum address_protocol protocol;
		bool is_ip;
	} rows[] = {
		{":80", "", 80, ADDRESS_TCP, false},
		{":80/tcp", "", 80, ADDRESS_TCP, false},
		{":53/udp", "", 53, ADDRESS_UDP, false},
		{":53/UDP", "", 53, ADDRESS_UDP, false},
		{"127.0.0.1:8080", "127.0.0.1", 8080, ADDRESS_TCP, true},
		{"[::1]:8080", "::1", 8080, ADDRESS_TCP, true},
		{"localhost:0", "localhost", 0, ADDRESS_TCP, false},
		{"80", NULL, 0, 0, false},
		{":80/sctp", NULL, 0, 0, false},
		{":80/", NULL, 0, 0, false},
		{":65536", NULL, 0, 0, false},
		{":http", NULL, 0, 0, false},
		{"", NULL, 0, 0, false},
		{"unix:80", "unix", 80, ADDRESS_TCP, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listen_address l;
		struct weir_error e = {0};
		int r = listen_address_parse(slice_from(rows[i].text), &l, &e);

		assert_int_equal(r == 0, rows[i].host != NULL);
		if (r < 0) {
			assert_true(e.text[0] != '\0');
			continue;
		}
		assert_true(slice_equal(l.host, slice_from(rows[i].host)));
		assert_int_equal(l.port, rows[i].port);
		assert_int_equal(l.protocol, rows[i].protocol);
		assert_int_equal(l.is_ip, rows[i].is_ip);
	}
}

static void paths_of_unix_sockets(void **state)
{
	static const struct {
		const char *text;
		const char *path; /* NULL: refused */
	} rows[] = {
		{"unix:///run/web.sock", "/run/web.sock"},
		{"unix:///a b/c:80/udp", "/a b/c:80/udp"},
		{"unix:///%2f?x=1", "/%2f?x=1"},
		{"unix://relative.sock", NULL},
		{"unix:/run/web.sock", NULL},
		{"unix:///", NULL},
		{"unix://", NULL},
		{"unix:///a\nb", NULL},
	};
	char longest[7 + ADDRESS_PATH_MAX + 2] = "unix:///";
	struct listen_address l;
	struct weir_error e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = listen_address_parse(slice_from(rows[i].text), &l, &e);

		assert_int_equal(r, rows[i].path != NULL ? 0 : -EINVAL);
		if (r == 0)
			assert_true(slice_equal(l.path, slice_from(rows[i].path)) && l.host.n == 0);
		else
			assert_non_null(strstr(e.text, "expected unix:///path"));
	}
	memset(longest + 8, 'x', ADDRESS_PATH_MAX - 1);
	assert_int_equal(listen_address_parse(slice_from(longest), &l, &e), 0);
	longest[7 + ADDRESS_PATH_MAX] = 'x';
	assert_int_equal(listen_address_parse(slice_from(longest), &l, &e), -EINVAL);
	assert_non_null(strstr(e.text, "at most 107 bytes"));
}

static void urls(void **state)
{
	static const struct {
		const char *text;
		const char *scheme; /* NULL: refused */
		const char *authority, *host;
		int port;
		const char *path, *query;
	} rows[] = {
		{"http://h", "http", "h", "h", 80, "", ""},
		{"https://h/", "https", "h", "h", 443, "/", ""},
		{"h2c://h:8080/a%2Fb?c=d", "h2c", "h:8080", "h", 8080, "/a%2Fb", "c=d"},
		{"HTTP://H:1", "HTTP", "H:1", "H", 1, "", ""},
		{"http://[::1]:80/x", "http", "[::1]:80", "::1", 80, "/x", ""},
		{"http://[::1]", "http", "[::1]", "::1", 80, "", ""},
		{"http://u:p@h:9/", "http", "h:9", "h", 9, "/", ""},
		{"http://u:p@q@h:9/", "http", "h:9", "h", 9, "/", ""},
		{"http://h:", "http", "h:", "h", 80, "", ""},
		{"http://h?x/y", "http", "h", "h", 80, "", "x/y"},
		{"fastcgi://h", "fastcgi", "h", "h", 0, "", ""},
		{"http://h/a#b", "http", "h", "h", 80, "/a", ""},
		{"h:80", NULL, 0, 0, 0, 0, 0},
		{"http:/h", NULL, 0, 0, 0, 0, 0},
		{"//h", NULL, 0, 0, 0, 0, 0},
		{"", NULL, 0, 0, 0, 0, 0},
		{"http://", NULL, 0, 0, 0, 0, 0},
		{"http://:80", NULL, 0, 0, 0, 0, 0},
		{"http://h:99999", NULL, 0, 0, 0, 0, 0},
		{"http://h:x", NULL, 0, 0, 0, 0, 0},
		{"http://a b/", NULL, 0, 0, 0, 0, 0},
		{"http://h/%zz", NULL, 0, 0, 0, 0, 0},
		{"http://h/\x01", NULL, 0, 0, 0, 0, 0},
		{"http://[::1", NULL, 0, 0, 0, 0, 0},
		{"http://[x]", NULL, 0, 0, 0, 0, 0},
		{"http://[::1]x", NULL, 0, 0, 0, 0, 0},
		{"1http://h", NULL, 0, 0, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct url u;
		struct weir_error e = {0};
		int r = url_parse(slice_from(rows[i].text), &u, &e);

		if ((r == 0) != (rows[i].scheme != NULL))
			fail_msg("%s: %s", rows[i].text, e.text);
		if (r < 0) {
			assert_non_null(strstr(e.text, rows[i].text));
			continue;
		}
		assert_true(slice_equal(u.scheme, slice_from(rows[i].scheme)));
		assert_true(slice_equal(u.authority, slice_from(rows[i].authority)));
		assert_true(slice_equal(u.host, slice_from(rows[i].host)));
		assert_int_equal(u.port, rows[i].port);
		assert_true(slice_equal(u.path, slice_from(rows[i].path)));
		assert_true(slice_equal(u.query, slice_from(rows[i].query)));
	}
}

static void a_port_out_of_range_is_told_apart(void **state)
{
	struct weir_error e = {0};
	struct url u;

	(void)state;
	assert_int_equal(url_parse(SLICE("h2c://h:99999/a?b"), &u, &e), -ERANGE);
	assert_string_equal(e.text,
			    "parse \"h2c://h:99999/a?b\": invalid port \":99999\" after host");
	assert_true(slice_equal(u.scheme, SLICE("h2c")));
	assert_true(slice_equal(u.host, SLICE("h")));
	assert_true(slice_equal(u.authority, SLICE("h:99999")));
	assert_true(slice_equal(u.path, SLICE("/a")));
	assert_int_equal(u.port, 0);
}

/* Passwords in URLs were printed by `weir check` and logged. */
static void users_of_urls_are_hidden(void **state)
{
	static const char *const rows[][2] = {
		{"http://u:p@h/a", "http://xxxx@h/a"},
		{"http://token@h", "http://xxxx@h"},
		{"url: \"http://u:p@h\"\nb: [\"h2c://a:b%40@c@d:1\", \"http://h/x@y\"]",
		 "url: \"http://xxxx@h\"\nb: [\"h2c://xxxx@d:1\", \"http://h/x@y\"]"},
		{"https://h://u:p@i", "https://h://xxxx@i"},
		{"http://", "http://"},
		{"://@", "://@"},
		{":/a:://b", ":/a:://b"},
		{"^https?://([^/]+)@x", "^https?://([^/]+)@x"},
		{"a: b", "a: b"},
		{"", ""},
		{"ftp://u:p/w@h/a", "ftp://xxxx@h/a"},
		{"http://u:p?w@h", "http://xxxx@h"},
		{"http://u:p#@w@h", "http://xxxx@h"},
		{"http://u:p\"w @h/a", "http://xxxx@h/a"},
		{"http://u:8/w@h o:x@h", "http://u:8/w@h o:x@h"},
		{"http://h:80/x@y", "http://h:80/x@y"},
		{"http://[::1]:80/x@y", "http://[::1]:80/x@y"},
		{"of ftp://u:p/w@h, http://h/x@y http://a:b@c",
		 "of ftp://xxxx@h, http://h/x@y http://xxxx@c"},
		{"x \"a://u:p/w\" b@c", "x \"a://u:p/w\" b@c"},
	};
	static const char *const faulty[][2] = {
		{"http://u:p/w@h", "parse \"http://xxxx@h\": invalid port"},
		{"http://u:p@h o", "parse \"http://xxxx@h o\": invalid character in host name"},
		{"u:p@h", "parse \"u:xxxx@h\": expected scheme://host[:port]"},
		{"u@h:80", "parse \"u@h:80\": expected scheme://host[:port]"},
		{"http://h:x", "parse \"http://h:x\": invalid port \":x\" after host"},
		{"http://u:99999/w@h", "parse \"http://xxxx@h\": invalid port"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str out = {0};

		url_add_hidden(&out, slice_from(rows[i][0]));
		assert_true(slice_equal(str_slice(&out), slice_from(rows[i][1])));
		str_free(&out);
	}
	for (size_t i = 0; i < ARRAY_LEN(faulty); i++) {
		struct weir_error e = {0};
		struct url u;

		assert_int_equal(url_parse(slice_from(faulty[i][0]), &u, &e), -EINVAL);
		assert_string_equal(e.text, faulty[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_parsed_strictly),
		cmocka_unit_test(socket_addresses_convert_both_ways),
		cmocka_unit_test(sets_hold_their_networks),
		cmocka_unit_test(sets_agree_with_a_scan),
		cmocka_unit_test(sets_name_what_they_cannot_read),
		cmocka_unit_test(splitting_follows_go),
		cmocka_unit_test(listen_addresses),
		cmocka_unit_test(paths_of_unix_sockets),
		cmocka_unit_test(urls),
		cmocka_unit_test(a_port_out_of_range_is_told_apart),
		cmocka_unit_test(users_of_urls_are_hidden),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
