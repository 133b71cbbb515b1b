#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/address.h"
#include "net/proxy_protocol.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(text) \
	{ \
		(text), sizeof(text) - 1 \
	}

static const struct row {
	slice bytes;
	enum proxy_header_result result;
	const char *source; /* NULL: says nothing */
} rows[] = {
	{BYTES("GET / HTTP/1.1\r\n"), PROXY_HEADER_NONE, NULL},
	{BYTES("\x16\x03\x01"), PROXY_HEADER_NONE, NULL},
	{BYTES("PROXYTCP4 "), PROXY_HEADER_NONE, NULL},
	{BYTES("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), PROXY_HEADER_NONE, NULL},
	{BYTES("PROXY TCP4 1.2.3.4 5.6.7.8 1000 2\r\n"), PROXY_HEADER_DONE, "1.2.3.4:1000"},
	{BYTES("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"), PROXY_HEADER_DONE, "2001:db8::1:65535"},
	{BYTES("PROXY UNKNOWN\r\n"), PROXY_HEADER_DONE, NULL},
	{BYTES("PROXY UNKNOWN what ever it says\r\n"), PROXY_HEADER_DONE, NULL},
	{BYTES("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 ::1 5.6.7.8 1 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES("PROXY \r\n"), PROXY_HEADER_BAD, NULL},
	{BYTES(V2 "\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\0\x02"),
	 PROXY_HEADER_DONE, "1.2.3.4:1000"},
	{BYTES(V2 "\x21\x11\0\x10\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\0\x02\x04\0\x01z"),
	 PROXY_HEADER_DONE, "1.2.3.4:1000"},
	{BYTES(V2 "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
		  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xff\xff\0\x02"),
	 PROXY_HEADER_DONE, "2001:db8::1:65535"},
	{BYTES(V2 "\x20\0\0\0"), PROXY_HEADER_DONE, NULL},
	{BYTES(V2 "\x20\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\0\x02"),
	 PROXY_HEADER_DONE, NULL},
	{BYTES(V2 "\x21\0\0\0"), PROXY_HEADER_DONE, NULL},
	{BYTES(V2 "\x21\x12\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\0\x02"),
	 PROXY_HEADER_DONE, NULL},
	{BYTES(V2 "\x21\x11\0\x04\x01\x02\x03\x04"), PROXY_HEADER_BAD, NULL},
	{BYTES(V2 "\x21\x21\0\x04\x01\x02\x03\x04"), PROXY_HEADER_BAD, NULL},
	{BYTES(V2 "\x11\x11\0\0"), PROXY_HEADER_BAD, NULL},
	{BYTES(V2 "\x22\x11\0\0"), PROXY_HEADER_BAD, NULL},
	{BYTES(V2 "\x21\x11\xff\xff"), PROXY_HEADER_BAD, NULL},
};

static void expect_source(const struct proxy_header *h, const char *expected)
{
	char text[ADDRESS_TEXT_BYTES], all[ADDRESS_TEXT_BYTES + 8];
	struct address address;
	uint16_t port = 0;

	assert_int_equal(h->named, expected != NULL);
	if (expected == NULL)
		return;
	assert_true(address_from_sockaddr((const struct sockaddr *)&h->source, &address, &port));
	(void)snprintf(all, sizeof all, "%.*s:%u", SLICE_ARG(address_format(&address, text)), port);
	assert_string_equal(all, expected);
}

/* Whatever follows a header is not part of it. */
static void headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct proxy_header h;

		assert_int_equal(proxy_header_parse(r->bytes, &h), r->result);
		if (r->result != PROXY_HEADER_DONE)
			continue;
		assert_int_equal(h.bytes, r->bytes.n);
		expect_source(&h, r->source);
	}
}

/* Every beginning of a header waits for the rest of it. */
static void beginnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t n = 0; rows[i].result == PROXY_HEADER_DONE && n < rows[i].bytes.n;
		     n++) {
			struct proxy_header h;

			assert_int_equal(proxy_header_parse(slice_first(rows[i].bytes, n), &h),
					 PROXY_HEADER_MORE);
		}
	}
}

static void lines_have_a_limit(void **state)
{
	char line[200] = "PROXY UNKNOWN ";
	struct proxy_header h;

	(void)state;
	memset(line + 14, 'x', sizeof line - 14);
	assert_int_equal(proxy_header_parse(slice_of(line, 106), &h), PROXY_HEADER_MORE);
	assert_int_equal(proxy_header_parse(slice_of(line, 107), &h), PROXY_HEADER_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(beginnings),
		cmocka_unit_test(lines_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
