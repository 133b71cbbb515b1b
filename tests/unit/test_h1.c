#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "h1_transcript.h"
#include "h1_vectors.h"

static const struct h1_limits limits = {65536, 100, 8192};

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

static enum h1_result parse(struct request *r, slice bytes)
{
	size_t scanned = 0, head_bytes;

	return h1_parse_request(r, &arena, bytes, &limits, &scanned, &head_bytes);
}

static void assert_same(struct transcript *expected, struct transcript got, const char *what)
{
	if (!slice_equal(str_slice(&expected->text), str_slice(&got.text)))
		fail_msg("%s: whole:\n%s\nin pieces:\n%s", what, expected->text.p, got.text.p);
	str_free(&got.text);
}

static void check_all_cuts(const struct h1_vector *v, slice bytes)
{
	struct transcript whole = transcribe_request(bytes, UNCUT);

	for (size_t at = 1; at < bytes.n; at++)
		assert_same(&whole, transcribe_request(bytes, (struct cut){at, 0}), v->what);
	for (size_t step = 1; step <= 5; step++)
		assert_same(&whole, transcribe_request(bytes, (struct cut){step, step}), v->what);
	if (whole.result != (v->head == H1_DONE ? v->body : v->head) ||
	    whole.head_done != (v->head == H1_DONE))
		fail_msg("%s: %s", v->what, whole.text.p);
	str_free(&whole.text);
}

static void vectors_give_their_result_however_cut(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_LEN(h1_vectors), 55);
	for (size_t i = 0; i < ARRAY_LEN(h1_vectors); i++) {
		const struct h1_vector *v = &h1_vectors[i];
		struct str pipelined = {0};

		check_all_cuts(v, v->bytes);
		if (v->head != H1_DONE || v->body != H1_DONE)
			continue;
		str_add(&pipelined, v->bytes);
		str_add(&pipelined, SLICE("GET /next HTTP/1.1\r\nHost: b\r\n"));
		check_all_cuts(v, str_slice(&pipelined));
		str_free(&pipelined);
	}
}

static const struct {
	enum h1_result result;
	slice bytes;
	/* "path|query or -|authority|flags": K keep-alive, E expect, U upgrade, 0 version 1.0. */
	const char *meaning;
} requests[] = {
#define ROW(result, line, fields, meaning) \
	{ \
		H1_##result, BYTES(line "\r\n" fields "\r\n"), meaning \
	}
	ROW(DONE, "GET / HTTP/1.1", "Host: a.b:80\r\n", "/|-|a.b:80|K"),
	ROW(DONE, "GET /x?a=b?c HTTP/1.1", "Host:a\r\n", "/x|a=b?c|a|K"),
	ROW(DONE, "GET /x? HTTP/1.1", "Host: a\r\n", "/x||a|K"),
	ROW(DONE, "GET //x/../%2e#f HTTP/1.1", "Host: a\r\n", "//x/../%2e#f|-|a|K"),
	ROW(DONE, "GET / HTTP/1.1", "Host:\r\n", "/|-||K"),
	ROW(DONE, "GET / HTTP/1.1", "Host: \t [::1]:8080 \t\r\n", "/|-|[::1]:8080|K"),
	ROW(DONE, "GET / HTTP/1.0", "", "/|-||0"),
	ROW(DONE, "GET / HTTP/1.0", "Host: a\r\n", "/|-|a|0"),
	ROW(DONE, "GET / HTTP/1.0", "Connection: Keep-Alive\r\n", "/|-||K0"),
	ROW(DONE, "GET / HTTP/1.0", "Connection: keep-alive, close\r\n", "/|-||0"),
	ROW(BAD_HOST, "GET / HTTP/1.0", "Host: a\r\nHost: a\r\n", ""),
	ROW(BAD_HOST, "GET / HTTP/1.1", "Host: a\r\nHost: a\r\n", ""),
	ROW(BAD_HOST, "GET / HTTP/1.1", "", ""),
	ROW(BAD_HOST, "GET / HTTP/1.1", "Host: a/b\r\n", ""),
	ROW(BAD_HOST, "GET / HTTP/1.1", "Host: a b\r\n", ""),
	ROW(BAD_HOST, "GET / HTTP/1.1", "Host: user@a\r\n", ""),
	ROW(BAD_HOST, "GET / HTTP/1.1", "Host: \xc3\xa4\r\n", ""),
	ROW(BAD_HOST, "GET / HTTP/1.1", "Host: a, b<c\r\n", ""),
	ROW(DONE, "GET http://t/p?q HTTP/1.1", "Host: h\r\n", "/p|q|t|K"),
	ROW(DONE, "GET HTTPS://t:1/p HTTP/1.1", "Host: h\r\n", "/p|-|t:1|K"),
	ROW(DONE, "GET http://t HTTP/1.1", "Host: t\r\n", "/|-|t|K"),
	ROW(DONE, "GET http://t?q HTTP/1.1", "Host: t\r\n", "/|q|t|K"),
	ROW(DONE, "OPTIONS http://t HTTP/1.1", "Host: t\r\n", "*|-|t|K"),
	ROW(DONE, "OPTIONS http://t/ HTTP/1.1", "Host: t\r\n", "/|-|t|K"),
	ROW(DONE, "GET http://t/ HTTP/1.0", "", "/|-|t|0"),
	ROW(BAD_HOST, "GET http://t/ HTTP/1.1", "", ""),
	ROW(BAD_HOST, "GET http://t/ HTTP/1.1", "Host: a b\r\n", ""),
	ROW(BAD_HOST, "GET http:///p HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_HOST, "GET http://u@t/p HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_HOST, "GET http://t#f HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET ftp://t/p HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET http:/t HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET http:t HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET x HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET ?q HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET http HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET h:80 HTTP/1.1", "Host: h\r\n", ""),
	ROW(DONE, "OPTIONS * HTTP/1.1", "Host: h\r\n", "*|-|h|K"),
	ROW(BAD_SYNTAX, "GET * HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "OPTIONS *? HTTP/1.1", "Host: h\r\n", ""),
	ROW(DONE, "CONNECT h:443 HTTP/1.1", "Host: x\r\n", "|-|h:443|K"),
	ROW(DONE, "CONNECT [::1]:443 HTTP/1.1", "Host: h\r\n", "|-|[::1]:443|K"),
	ROW(BAD_HOST, "CONNECT h HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_HOST, "CONNECT h: HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_HOST, "CONNECT h:0 HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_HOST, "CONNECT h:65536 HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_HOST, "CONNECT :443 HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_HOST, "CONNECT /x:1 HTTP/1.1", "Host: h\r\n", ""),
	ROW(DONE, "GET / HTTP/1.1", "Host: h\r\nConnection: x, CLOSE\r\n", "/|-|h|"),
	ROW(DONE, "GET / HTTP/1.1", "Host: h\r\nConnection: x\r\nConnection: close\r\n", "/|-|h|"),
	ROW(DONE, "GET / HTTP/1.1", "Host: h\r\nConnection: closed\r\n", "/|-|h|K"),
	ROW(DONE, "PUT / HTTP/1.1", "Host: h\r\nExpect: 100-Continue\r\n", "/|-|h|KE"),
	ROW(DONE, "PUT / HTTP/1.1", "Host: h\r\nExpect: 200-ok\r\n", "/|-|h|K"),
	ROW(DONE, "PUT / HTTP/1.0", "Host: h\r\nExpect: 100-continue\r\n", "/|-|h|0"),
	ROW(DONE, "GET / HTTP/1.1", "Host: h\r\nUpgrade: ws\r\nConnection: Upgrade\r\n",
	    "/|-|h|KU"),
	ROW(DONE, "GET / HTTP/1.1", "Host: h\r\nUpgrade: ws\r\n", "/|-|h|K"),
	ROW(DONE, "GET / HTTP/1.1", "Host: h\r\nConnection: upgrade\r\n", "/|-|h|K"),
	ROW(DONE, "GET / HTTP/1.0", "Upgrade: ws\r\nConnection: upgrade\r\n", "/|-||0"),
	ROW(DONE, "\r\n\r\nGET / HTTP/1.1", "Host: h\r\n", "/|-|h|K"),
	ROW(BAD_SYNTAX, "\r\n\r\n\r\nGET / HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "\nGET / HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "\rGET / HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, " GET / HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "G(T / HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/1.1 ", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/1.10", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/11", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET / http/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET / ", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET /", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET /\x7f HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_SYNTAX, "GET /0123456789abcdef\xa0 HTTP/1.1", "Host: h\r\n", ""),
	ROW(BAD_VERSION, "GET / HTTP/0.9", "Host: h\r\n", ""),
	ROW(BAD_VERSION, "GET / HTTP/3.0", "Host: h\r\n", ""),
	ROW(BAD_VERSION, "PRI * HTTP/2.0", "\r\nSM\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/1.1", "Host: h\r\nA B: c\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/1.1", "Host: h\r\nA\xc3\xa4: c\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/1.1", "Host: h\r\nA(b): c\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/1.1", "Host: h\r\nA\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/1.1", "Host: h\r\nA: 0123456789abcdef\x7f\r\n", ""),
	ROW(BAD_SYNTAX, "GET / HTTP/1.1",
	    "Host: h\r\nA: 0123456789abcdef\x1f"
	    "0123456789\r\n",
	    ""),
	ROW(DONE, "GET / HTTP/1.1",
	    "Host: h\r\nA: 0123456789\tabcdef\xff"
	    "0123456789\r\n",
	    "/|-|h|K"),
	ROW(DONE, "GET / HTTP/1.1", "Host: h\r\nA:\r\nB: \r\nC:\t\t\r\n", "/|-|h|K"),
#undef ROW
};

static void check_meaning(slice bytes, const char *expected)
{
	struct str got = {0};
	struct request r;

	assert_int_equal(parse(&r, bytes), H1_DONE);
	str_format(&got, "%.*s|", SLICE_ARG(r.path));
	str_format(&got, "%.*s|", SLICE_ARG(r.has_query ? r.query : SLICE("-")));
	str_format(&got, "%.*s|", SLICE_ARG(r.authority));
	str_format(&got, "%s%s%s%s", r.keep_alive ? "K" : "", r.expect_continue ? "E" : "",
		   r.upgrade ? "U" : "", r.version == HTTP_1_0 ? "0" : "");
	assert_string_equal(got.p, expected);
	if (fields_have(&r.fields, FIELD_HOST) && r.method_id != METHOD_CONNECT)
		assert_true(slice_equal(fields_value_id(&r.fields, FIELD_HOST), r.authority));
	str_free(&got);
}

static void requests_mean_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct h1_vector v = {requests[i].bytes.p, requests[i].result, H1_DONE,
				      requests[i].bytes};

		check_all_cuts(&v, v.bytes);
		if (v.head == H1_DONE)
			check_meaning(v.bytes, requests[i].meaning);
	}
}

static const struct {
	enum h1_result result;
	enum framing framing;
	uint64_t length;
	const char *fields;
} framings[] = {
	{H1_DONE, FRAMING_NONE, 0, ""},
	{H1_DONE, FRAMING_LENGTH, 0, "Content-Length: 0\r\n"},
	{H1_DONE, FRAMING_LENGTH, 3, "content-length:   3\t \r\n"},
	{H1_DONE, FRAMING_LENGTH, 3, "Content-Length: 3\r\nX: y\r\nContent-Length: 3\r\n"},
	{H1_DONE, FRAMING_LENGTH, 3,
	 "Content-Length: 3\r\nContent-Length: 3\r\nCONTENT-LENGTH: 3\r\n"},
	{H1_DONE, FRAMING_LENGTH, 7, "Content-Length: 000000000000000000000000007\r\n"},
	{H1_DONE, FRAMING_LENGTH, INT64_MAX, "Content-Length: 9223372036854775807\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Content-Length: 9223372036854775808\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Content-Length: 3\r\nContent-Length: 03\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Content-Length: 3\r\nContent-Length: 3\r\nContent-Length: 4\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Content-Length: 3,\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Content-Length: 3_0\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Content-Length: 3;x\r\n"},
	{H1_DONE, FRAMING_CHUNKED, 0, "Transfer-Encoding: chunked\r\n"},
	{H1_DONE, FRAMING_CHUNKED, 0, "transfer-encoding:\tCHUNKED \r\n"},
	{H1_BAD_FRAMING, 0, 0, "Transfer-Encoding: \r\n"},
	{H1_BAD_FRAMING, 0, 0, "Transfer-Encoding: ,\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Transfer-Encoding: chunked,\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Transfer-Encoding: , chunked\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Transfer-Encoding: chunked, chunked\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Transfer-Encoding: chunked\r\nX: y\r\nTransfer-Encoding:\r\n"},
	{H1_BAD_FRAMING, 0, 0, "Transfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n"},
	{H1_BAD_CODING, 0, 0, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"},
	{H1_BAD_CODING, 0, 0, "Transfer-Encoding: chunked;q=1\r\n"},
	{H1_BAD_CODING, 0, 0, "Transfer-Encoding: \"chunked\"\r\n"},
	{H1_BAD_CODING, 0, 0, "Transfer-Encoding: chunked\x80\r\n"},
	{H1_BAD_CODING, 0, 0, "Transfer-Encoding: x\tchunked\r\n"},
	{H1_BAD_SYNTAX, 0, 0, "Transfer-Encoding: chunked\x0b\r\n"},
	{H1_BAD_SYNTAX, 0, 0, "Transfer-Encoding : chunked\r\n"},
	{H1_DONE, FRAMING_NONE, 0, "Transfer_Encoding: chunked\r\n"},
};

static void request_bodies_have_one_certain_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(framings); i++) {
		struct str text = {0};
		struct request r;

		str_format(&text, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", framings[i].fields);
		if (parse(&r, str_slice(&text)) != framings[i].result)
			fail_msg("%s", text.p);
		if (framings[i].result == H1_DONE) {
			const struct field *length =
				fields_find_id(&r.fields, FIELD_CONTENT_LENGTH);

			assert_int_equal(r.framing, framings[i].framing);
			assert_true(r.content_length == framings[i].length);
			assert_true(length == NULL || fields_find_next(&r.fields, length) == NULL);
		}
		str_free(&text);
	}
}

static const struct {
	enum method method;
	enum h1_result result;
	int status;
	enum framing framing;
	uint64_t length;
	bool keep_alive;
	slice bytes;
} responses[] = {
#define ROW(method, result, status, framing, length, keep, bytes) \
	{ \
		METHOD_##method, H1_##result, status, FRAMING_##framing, length, keep, \
			BYTES(bytes "\r\n") \
	}
#define OK "HTTP/1.1 200 OK\r\n"
	ROW(GET, DONE, 200, CLOSE, 0, false, OK),
	ROW(GET, DONE, 200, LENGTH, 3, true, OK "Content-Length: 3\r\n"),
	ROW(GET, DONE, 200, LENGTH, 3, true, OK "Content-Length: 3\r\nContent-Length: 3\r\n"),
	ROW(GET, DONE, 200, LENGTH, 3, false, OK "Content-Length: 3\r\nConnection: close\r\n"),
	ROW(GET, DONE, 200, CHUNKED, 0, true, OK "Transfer-Encoding: chunked\r\n"),
	ROW(GET, DONE, 200, CHUNKED, 0, false,
	    OK "Transfer-Encoding: chunked\r\nConnection: close\r\n"),
	ROW(GET, DONE, 200, CLOSE, 0, false, OK "Connection: keep-alive\r\n"),
	ROW(HEAD, DONE, 200, NONE, 0, true, OK "Content-Length: 3\r\n"),
	ROW(HEAD, DONE, 200, NONE, 0, true, OK "Transfer-Encoding: chunked\r\n"),
	ROW(HEAD, DONE, 200, NONE, 0, true, OK),
	ROW(CONNECT, DONE, 200, NONE, 0, true, OK "Content-Length: 3\r\n"),
	ROW(CONNECT, DONE, 407, LENGTH, 3, true, "HTTP/1.1 407 x\r\nContent-Length: 3\r\n"),
	ROW(GET, DONE, 100, NONE, 0, true, "HTTP/1.1 100 Continue\r\n"),
	ROW(GET, DONE, 101, NONE, 0, true,
	    "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n"),
	ROW(GET, DONE, 103, NONE, 0, true, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n"),
	ROW(GET, DONE, 204, NONE, 0, true, "HTTP/1.1 204 No Content\r\n"),
	ROW(GET, DONE, 204, NONE, 0, true, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n"),
	ROW(GET, DONE, 304, NONE, 0, true, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n"),
	ROW(GET, DONE, 205, CLOSE, 0, false, "HTTP/1.1 205 Reset\r\n"),
	ROW(GET, DONE, 999, LENGTH, 0, true, "HTTP/1.1 999 x\r\nContent-Length: 0\r\n"),
	ROW(GET, DONE, 200, LENGTH, 0, true, "HTTP/1.1 200\r\nContent-Length: 0\r\n"),
	ROW(GET, DONE, 200, LENGTH, 0, true, "HTTP/1.1 200 \r\nContent-Length: 0\r\n"),
	ROW(GET, DONE, 200, LENGTH, 0, true, "HTTP/1.1 200 a\tb \xff\r\nContent-Length: 0\r\n"),
	ROW(GET, DONE, 200, LENGTH, 0, true, "HTTP/1.7 200 OK\r\nContent-Length: 0\r\n"),
	ROW(GET, DONE, 200, LENGTH, 0, false, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n"),
	ROW(GET, DONE, 200, LENGTH, 0, true,
	    "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n"),
	ROW(GET, DONE, 200, CLOSE, 0, false, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"),
	ROW(GET, DONE, 200, CLOSE, 0, false, OK "Host: a b\r\nHost: c\r\n"),
	ROW(GET, BAD_FRAMING, 0, NONE, 0, false, OK "Content-Length: 3\r\nContent-Length: 4\r\n"),
	ROW(GET, BAD_FRAMING, 0, NONE, 0, false, OK "Content-Length: x\r\n"),
	ROW(GET, BAD_FRAMING, 0, NONE, 0, false,
	    OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
	ROW(GET, BAD_FRAMING, 0, NONE, 0, false,
	    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n"),
	ROW(HEAD, BAD_FRAMING, 0, NONE, 0, false, OK "Content-Length: -3\r\n"),
	ROW(GET, BAD_CODING, 0, NONE, 0, false, OK "Transfer-Encoding: gzip, chunked\r\n"),
	ROW(GET, BAD_CODING, 0, NONE, 0, false, OK "Transfer-Encoding: identity\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1 099 x\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1 20 x\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1 2000 x\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1 2x0 x\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1  200 OK\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1\t200 OK\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1 200\tOK\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1 200 O\rK\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1 200 O\x01K\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "HTTP/1.1 200 OK\nX: y\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "\r\nHTTP/1.1 200 OK\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "http/1.1 200 OK\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, "ICY 200 OK\r\n"),
	ROW(GET, BAD_VERSION, 0, NONE, 0, false, "HTTP/2.0 200 OK\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, OK "X: y\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, OK "X: y\r\n z\r\n"),
	ROW(GET, BAD_SYNTAX, 0, NONE, 0, false, OK "X : y\r\n"),
#undef OK
#undef ROW
};

static void check_response(size_t row)
{
	size_t scanned = 0, head_bytes = 0;
	slice bytes = responses[row].bytes;
	struct response r;

	if (h1_parse_response(&r, &arena, bytes, responses[row].method, &limits, &scanned,
			      &head_bytes) != responses[row].result)
		fail_msg("%s", bytes.p);
	if (responses[row].result != H1_DONE)
		return;
	assert_int_equal(head_bytes, bytes.n);
	assert_int_equal(r.status, responses[row].status);
	if (r.framing != responses[row].framing || r.keep_alive != responses[row].keep_alive)
		fail_msg("framing %d, keep-alive %d: %s", (int)r.framing, r.keep_alive, bytes.p);
	assert_true(r.content_length == responses[row].length);
}

static void responses_mean_what_the_table_says(void **state)
{
	(void)state;
	assert_true(ARRAY_LEN(responses) >= 40);
	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		slice bytes = responses[i].bytes;
		enum method method = responses[i].method;
		struct transcript whole = transcribe_response(bytes, method, UNCUT);

		check_response(i);
		for (size_t at = 1; at < bytes.n; at++)
			assert_same(&whole, transcribe_response(bytes, method, (struct cut){at, 0}),
				    bytes.p);
		assert_same(&whole, transcribe_response(bytes, method, (struct cut){1, 1}),
			    bytes.p);
		str_free(&whole.text);
	}
}

/*
 * The result for a request with a head of `size` bytes, of which `given` are there, if the limit is
 * `max`.
 */
static enum h1_result parse_sized(size_t size, size_t given, size_t max, size_t step)
{
	struct h1_limits sized = {max, 100, 100};
	size_t scanned = 0, head_bytes;
	enum h1_result result;
	struct str text = {0};
	struct request r;

	str_add(&text, SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: "));
	while (text.n < size - 4)
		str_add_char(&text, 'x');
	str_add(&text, SLICE("\r\n\r\n"));
	str_add(&text, SLICE("the next request"));
	for (size_t have = step;; have += step) {
		have = MIN(have, given);
		result = h1_parse_request(&r, &arena, slice_first(str_slice(&text), have), &sized,
					  &scanned, &head_bytes);
		if (result != H1_MORE || have == given)
			break;
	}
	str_free(&text);
	return result;
}

static void heads_are_limited_in_bytes(void **state)
{
	(void)state;
	for (size_t step = 1; step <= 1000; step += 333) {
		assert_int_equal(parse_sized(300, 300, 300, step), H1_DONE);
		assert_int_equal(parse_sized(300, 316, 300, step), H1_DONE);
		assert_int_equal(parse_sized(301, 301, 300, step), H1_HEAD_TOO_LARGE);
		assert_int_equal(parse_sized(900, 300, 300, step), H1_HEAD_TOO_LARGE);
		assert_int_equal(parse_sized(900, 299, 300, step), H1_MORE);
	}
}

static void field_lines_and_targets_are_limited(void **state)
{
	static const slice head = BYTES("GET /12345 HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\n\r\n");
	struct h1_limits some = {1000, 3, 6};
	size_t scanned = 0, head_bytes;
	struct request r;

	(void)state;
	assert_int_equal(h1_parse_request(&r, &arena, head, &some, &scanned, &head_bytes), H1_DONE);
	some.fields_max = 2;
	assert_int_equal(h1_parse_request(&r, &arena, head, &some, &scanned, &head_bytes),
			 H1_HEAD_TOO_LARGE);
	some.target_bytes_max = 5;
	assert_int_equal(h1_parse_request(&r, &arena, head, &some, &scanned, &head_bytes),
			 H1_TARGET_TOO_LONG);
	assert_int_equal(
		h1_parse_request(&r, &arena, slice_first(head, 9), &some, &scanned, &head_bytes),
		H1_MORE);
	scanned = 0;
	assert_int_equal(
		h1_parse_request(&r, &arena, slice_first(head, 10), &some, &scanned, &head_bytes),
		H1_TARGET_TOO_LONG);
}

static void a_full_arena_is_reported(void **state)
{
	struct arena none;
	size_t scanned = 0, head_bytes;
	struct request r;

	(void)state;
	arena_init(&none, 64, 64);
	assert_int_equal(
		h1_parse_request(&r, &none, h1_vectors[0].bytes, &limits, &scanned, &head_bytes),
		H1_NO_MEMORY);
	arena_free(&none);
}

/*
 * Bytes of an unfinished line are not read again: pages that hold only such bytes are taken away.
 */
static void slow_heads_are_searched_once(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 4 * page, scanned = 0, head_bytes;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct h1_limits large = {n, 100, 100};
	struct request r;

	(void)state;
	assert_true(p != MAP_FAILED);
	memset(p, 'x', n);
	memcpy(p, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
	memcpy(p + n - 4, "\r\n\r\n", 4);
	for (size_t have = 1; have < n - 3; have++) {
		assert_int_equal(h1_parse_request(&r, &arena, slice_of(p, have), &large, &scanned,
						  &head_bytes),
				 H1_MORE);
		if (have % page == 1 && have > page)
			assert_int_equal(mprotect(p, have - 1, PROT_NONE), 0);
	}
	assert_int_equal(mprotect(p, n, PROT_READ), 0);
	assert_int_equal(
		h1_parse_request(&r, &arena, slice_of(p, n), &large, &scanned, &head_bytes),
		H1_DONE);
	assert_int_equal(head_bytes, n);
	assert_int_equal(munmap(p, n), 0);
}

static void messages_move_with_their_bytes(void **state)
{
	slice request = SLICE("GET http://t?q HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
	slice response = SLICE("HTTP/1.1 200 Fine\r\nX: y\r\n\r\n");
	size_t scanned = 0, head_bytes;
	char moved[100];
	struct request q;
	struct response r;

	(void)state;
	for (int i = 0; i < 2; i++) {
		slice copy = exact_copy(i == 0 ? request : response);

		if (i == 0) {
			assert_int_equal(parse(&q, copy), H1_DONE);
			h1_rebase_request(&q, copy, moved);
		} else {
			assert_int_equal(h1_parse_response(&r, &arena, copy, METHOD_GET, &limits,
							   &scanned, &head_bytes),
					 H1_DONE);
			h1_rebase_response(&r, copy, moved);
		}
		memcpy(moved, copy.p, copy.n);
		free((char *)copy.p);
		if (i == 1)
			break;
		check_fields_inside(&q.fields, slice_of(moved, request.n));
		assert_ptr_equal(q.method.p, moved);
		assert_true(slice_equal(q.method, SLICE("GET")) && slice_equal(q.path, SLICE("/")));
		assert_true(slice_equal(q.query, SLICE("q")) &&
			    slice_equal(q.authority, SLICE("t")));
		assert_true(slice_equal(q.target, SLICE("http://t?q")));
		assert_true(slice_equal(fields_value_id(&q.fields, FIELD_HOST), SLICE("t")));
	}
	assert_true(slice_equal(r.reason, SLICE("Fine")) && r.reason.p == moved + 13);
	assert_true(slice_equal(r.fields.list[0].value, SLICE("y")) &&
		    r.fields.list[0].value.p == moved + 22);
}

static void heads_are_written(void **state)
{
	slice request = SLICE(
		"get /%41?x HTTP/1.1\r\nhost:a\r\nX:  \r\nLong: 0123456789abcdef0123456789abcdef"
		"0123456789\r\nL: 012345678\r\nSixteen: 0123456789abcdef\r\nF: 1234\r\n\r\n");
	slice response = SLICE("HTTP/1.0 404\r\nX: y\r\n\r\n");
	size_t scanned = 0, head_bytes;
	char out[400];
	struct request q;
	struct response r;
	slice written;

	(void)state;
	assert_int_equal(parse(&q, request), H1_DONE);
	written = slice_of(out, (size_t)(h1_write_request(out, &q, SLICE("/new")) - out));
	assert_true(slice_equal(
		written, SLICE("get /new HTTP/1.1\r\nhost: a\r\nX: \r\nLong: 0123456789abcdef"
			       "0123456789abcdef0123456789\r\nL: 012345678\r\n"
			       "Sixteen: 0123456789abcdef\r\nF: 1234\r\n\r\n")));
	assert_int_equal(written.n, h1_request_bytes(&q, SLICE("/new")));

	assert_int_equal(
		h1_parse_response(&r, &arena, response, METHOD_GET, &limits, &scanned, &head_bytes),
		H1_DONE);
	written = slice_of(out, (size_t)(h1_write_response(out, &r) - out));
	assert_true(slice_equal(written, SLICE("HTTP/1.1 404 Not Found\r\nX: y\r\n\r\n")));
	assert_int_equal(written.n, h1_response_bytes(&r));
	r.status = 599;
	r.reason = SLICE("");
	written = slice_of(out, (size_t)(h1_write_response(out, &r) - out));
	assert_true(slice_equal(written, SLICE("HTTP/1.1 599 \r\nX: y\r\n\r\n")));
	fields_init(&r.fields, &arena);
	written = slice_of(out, (size_t)(h1_write_response(out, &r) - out));
	assert_true(slice_equal(written, SLICE("HTTP/1.1 599 \r\n\r\n")));
}

static void methods_and_statuses(void **state)
{
	(void)state;
#define X(name) assert_int_equal(method_of(SLICE(#name)), METHOD_##name);
	METHOD_NAMES(X)
#undef X
	assert_int_equal(method_of(SLICE("get")), METHOD_OTHER);
	assert_int_equal(method_of(SLICE("GE")), METHOD_OTHER);
	assert_int_equal(method_of(SLICE("GETS")), METHOD_OTHER);
	assert_true(method_is_idempotent(METHOD_PUT) && method_is_idempotent(METHOD_TRACE));
	assert_false(method_is_idempotent(METHOD_POST) || method_is_idempotent(METHOD_PATCH));
	assert_false(method_is_idempotent(METHOD_OTHER) || method_is_idempotent(METHOD_CONNECT));
	assert_string_equal(status_text(413), "Request Entity Too Large");
	assert_string_equal(status_text(299), "");
	assert_int_equal(h1_error_status(H1_BAD_CODING), 501);
	assert_int_equal(h1_error_status(H1_BAD_FRAMING), 400);
}

/* Wherever the bad byte stands, and however many bytes the search looks at together. */
static void mistakes_are_seen_before_their_line_ends(void **state)
{
	(void)state;
	for (size_t at = 0; at < 40; at++) {
		char head[] = "GET / HTTP/1.1\r\nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";
		struct request r;

		assert_int_equal(parse(&r, slice_of(head, 56)), H1_MORE);
		head[16 + at] = '\xd3';
		assert_int_equal(parse(&r, slice_of(head, 56)), H1_BAD_SYNTAX);
	}
}

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * n >> 32);
}

/*
 * Bytes near the border between good and bad: a vector with some bytes changed, doubled or left
 * out.
 */
static void add_mutated(struct str *text, slice bytes)
{
	static const char interesting[] = "\r\n\r\n :;,\t/?*0a\x7f\x80X";

	for (size_t i = 0; i < bytes.n; i++) {
		uint32_t dice = random_below(120);

		if (dice > 0)
			str_add_char(text, bytes.p[i]);
		if (dice == 1)
			str_add_char(text, bytes.p[i]);
		if (dice == 2)
			str_add_char(text, interesting[random_below(sizeof interesting)]);
	}
}

static void random_requests_are_the_same_in_pieces(void **state)
{
	size_t good = 0, bad = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct str text = {0};
		struct transcript whole, cut;
		struct cut how = {1 + random_below(60), random_below(9)};
		size_t row = random_below(ARRAY_LEN(h1_vectors) + ARRAY_LEN(requests));

		add_mutated(&text, row < ARRAY_LEN(h1_vectors)
					   ? h1_vectors[row].bytes
					   : requests[row - ARRAY_LEN(h1_vectors)].bytes);
		whole = transcribe_request(str_slice(&text), UNCUT);
		cut = transcribe_request(str_slice(&text), how);
		if (whole.result < 0 && cut.result == H1_MORE && !whole.head_done) {
			/* The mistake is in the last line, which is not complete. */
			str_add(&text, SLICE("\r\n\r\n"));
			str_free(&whole.text);
			str_free(&cut.text);
			whole = transcribe_request(str_slice(&text), UNCUT);
			cut = transcribe_request(str_slice(&text), how);
		}
		good += whole.result == H1_DONE;
		bad += whole.result < 0;
		assert_same(&whole, cut, text.p != NULL ? text.p : "");
		str_free(&whole.text);
		str_free(&text);
	}
	assert_true(good > 2000 && bad > 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_give_their_result_however_cut),
		cmocka_unit_test(requests_mean_what_the_table_says),
		cmocka_unit_test(request_bodies_have_one_certain_length),
		cmocka_unit_test(responses_mean_what_the_table_says),
		cmocka_unit_test(heads_are_limited_in_bytes),
		cmocka_unit_test(field_lines_and_targets_are_limited),
		cmocka_unit_test(a_full_arena_is_reported),
		cmocka_unit_test(slow_heads_are_searched_once),
		cmocka_unit_test(messages_move_with_their_bytes),
		cmocka_unit_test(heads_are_written),
		cmocka_unit_test(methods_and_statuses),
		cmocka_unit_test(mistakes_are_seen_before_their_line_ends),
		cmocka_unit_test(random_requests_are_the_same_in_pieces),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
