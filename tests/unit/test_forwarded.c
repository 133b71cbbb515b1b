#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/str.h"
#include "forwarded_rows.inc"
#include "proxy/forwarded.h"
#include "proxy_request.h"

static struct forwarded *make(const struct forwarded_options *base)
{
	struct forwarded_options options = *base;
	struct forwarded *f;

	options.server_name = SLICE("proxy");
	assert_int_equal(forwarded_new(&options, &f, NULL), 0);
	return f;
}

static struct forwarded *make_set(enum option_set which)
{
	static const slice trusted[] = {{"10.0.0.0/8", 10}, {"127.0.0.0/8", 11}};
	static const slice others[] = {{"10.0.0.0/8", 10}, {"::1", 3}};
	static const slice connection[] = {{"x-a", 3}, {"Cookie", 6}};
	static const struct forwarded_options sets[OPTION_SETS] = {
		[INSECURE] = {.insecure = true},
		[TRUSTED] = {.trusted_ips = trusted, .trusted_ips_count = 2},
		[UNTRUSTED] = {.trusted_ips = others, .trusted_ips_count = 2},
		[NOT_APPEND] = {.insecure = true, .not_append_for = true},
		[NOT_APPEND_UNTRUSTED] = {.not_append_for = true},
		[CONNECTION] = {.connection = connection, .connection_count = 2},
		[UNDERSCORES_DELETED] = {.underscores = FORWARDED_DELETE},
		[UNDERSCORES_REJECTED] = {.underscores = FORWARDED_REJECT},
	};

	return make(&sets[which]);
}

/* The request's Connection, as the parser would have read it. */
static void init(struct test_request *t, const char *host, const char *lines)
{
	test_request_init(t, "GET", "/", host, lines);
	t->request.version = HTTP_1_1;
	t->request.upgrade =
		fields_has_token(&t->request.fields, FIELD_CONNECTION, SLICE("upgrade")) &&
		fields_have(&t->request.fields, FIELD_UPGRADE);
}

static struct forwarded_peer peer_of(const struct test_request *t)
{
	return (struct forwarded_peer){.address = &t->peer, .text = SLICE("127.0.0.1")};
}

/* All stages in their order; the status, or 0. */
static int run(const struct forwarded *f, struct test_request *t)
{
	const struct forwarded_peer peer = peer_of(t);
	int r = forwarded_underscores(f, &t->request.fields);

	if (r == 0)
		r = forwarded_receive(f, &t->request, &peer);
	return r == 0 ? forwarded_send(f, &t->request, &peer, false) : r;
}

/* A line in Go's canonical spelling. */
static slice line_of(struct arena *arena, const struct field *f)
{
	slice line = arena_format(arena, "%.*s: %.*s", SLICE_ARG(f->name), SLICE_ARG(f->value));
	bool first = true;

	for (size_t i = 0; i < f->name.n && !slice_starts(f->name, SLICE("Sec-WebSocket")); i++) {
		((char *)(uintptr_t)line.p)[i] =
			first ? ascii_upper(line.p[i]) : ascii_lower(line.p[i]);
		first = line.p[i] == '-';
	}
	return line;
}

static int compare(const void *a, const void *b)
{
	return slice_compare(*(const slice *)a, *(const slice *)b);
}

static char *sorted(const struct fields *fields, struct arena *arena)
{
	slice *lines = arena_alloc(arena, (fields->count + 1) * sizeof *lines);
	struct str all = {0};
	size_t n = 0;

	for (size_t i = 0; i < fields->count; i++) {
		if (fields->list[i].id != FIELD_HOST)
			lines[n++] = line_of(arena, &fields->list[i]);
	}
	qsort(lines, n, sizeof *lines, compare);
	for (size_t i = 0; i < n; i++)
		str_format(&all, "%s%.*s", i > 0 ? " | " : "", SLICE_ARG(lines[i]));
	return str_take(&all);
}

static void check_present(const struct fields *fields)
{
	uint64_t present = 0;

	for (size_t i = 0; i < fields->count; i++) {
		present |= FIELD_BIT(fields->list[i].id);
		assert_int_equal(fields->list[i].id, field_id_of(fields->list[i].name));
	}
	assert_true((present & ~fields->present) == 0);
}

static void sends_what_traefik_sends(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forwarded_rows); i++) {
		const struct forwarded_row *row = &forwarded_rows[i];
		struct forwarded *f = make_set(row->options);
		struct test_request t;
		int status;
		char *sent;

		init(&t, row->host, row->lines);
		status = run(f, &t);
		sent = sorted(&t.request.fields, &t.arena);
		if (status != (row->sent == NULL ? 400 : 0) ||
		    (row->sent != NULL && strcmp(sent, row->sent) != 0)) {
			print_error("set %d, %s:\n  got      %d %s\n  expected %s\n", row->options,
				    row->lines, status, sent, row->sent);
			wrong++;
		}
		check_present(&t.request.fields);
		free(sent);
		test_request_free(&t);
		forwarded_free(&f);
	}
	assert_int_equal(wrong, 0);
}

static void between_the_stages_connection_is_reduced(void **state)
{
	static const struct {
		enum option_set options;
		const char *lines;
		const char *connection; /* NULL: gone */
		bool upgrade;
	} rows[] = {
		{DEFAULT, "Connection: keep-alive\r\n", NULL, false},
		{DEFAULT, "Connection: close, X-A\r\nX-A: 1\r\n", NULL, false},
		{CONNECTION, "Connection: close, X-A\r\nX-A: 1\r\n", "X-A", false},
		{CONNECTION, "Connection: cookie\r\nConnection: x-a,x-b\r\n", "Cookie,X-A", false},
		{CONNECTION, "Connection: x-a, upgrade\r\nUpgrade: foo\r\n", "X-A,Upgrade", true},
		{DEFAULT, "Connection: upgrade\r\nUpgrade: websocket\r\n", "Upgrade", true},
		{DEFAULT, "Connection: upgrade\r\n", NULL, false},
		{DEFAULT, "Upgrade: foo\r\n", NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct forwarded *f = make_set(rows[i].options);
		struct test_request t;
		struct forwarded_peer peer;
		slice connection;

		init(&t, "h", rows[i].lines);
		peer = peer_of(&t);
		assert_int_equal(forwarded_receive(f, &t.request, &peer), 0);
		connection = fields_value_id(&t.request.fields, FIELD_CONNECTION);
		assert_true(slice_equal(connection, slice_from(rows[i].connection)));
		assert_int_equal(connection.p != NULL, rows[i].connection != NULL);
		assert_int_equal(t.request.upgrade, rows[i].upgrade);
		test_request_free(&t);
		forwarded_free(&f);
	}
}

static void expect_sent(const struct forwarded *f, const char *lines, bool tls, const char *sent)
{
	struct test_request t;
	struct forwarded_peer peer;
	char *got;

	init(&t, "h", lines);
	peer = peer_of(&t);
	peer.tls = tls;
	assert_int_equal(forwarded_receive(f, &t.request, &peer), 0);
	assert_int_equal(forwarded_send(f, &t.request, &peer, true), 0);
	got = sorted(&t.request.fields, &t.arena);
	assert_string_equal(got, sent);
	free(got);
	test_request_free(&t);
}

/* `addXForwardedSchemeHeaders` is younger than 3.7.15: these rows follow Traefik's source. */
static void scheme_headers_on_request(void **state)
{
	static const struct forwarded_options options = {.add_scheme_headers = true};
	static const struct forwarded_options trusting = {.add_scheme_headers = true,
							  .insecure = true};
	struct forwarded *f = make(&options);

	(void)state;
	expect_sent(
		f, "X-Scheme: a\r\nx_forwarded_scheme: b\r\n", true,
		"X-Forwarded-Host: h | X-Forwarded-Port: 443 | X-Forwarded-Proto: https | "
		"X-Forwarded-Scheme: https | X-Forwarded-Server: proxy | X-Real-Ip: 127.0.0.1 | "
		"X-Scheme: https");
	forwarded_free(&f);
	f = make(&trusting);
	expect_sent(f, "X-Forwarded-Proto: wss\r\nX-Scheme: a\r\n", false,
		    "X-Forwarded-Host: h | X-Forwarded-Port: 443 | X-Forwarded-Proto: wss | "
		    "X-Forwarded-Scheme: wss | X-Forwarded-Server: proxy | X-Real-Ip: 127.0.0.1 | "
		    "X-Scheme: wss");
	forwarded_free(&f);
}

/* The peer of a Unix socket adds nothing, and is in no list. */
static void a_peer_without_address(void **state)
{
	static const slice everywhere[] = {{"0.0.0.0/0", 9}, {"::/0", 4}};
	static const struct forwarded_options rows[] = {
		{.trusted_ips = everywhere, .trusted_ips_count = 2}, {.insecure = true}};
	static const char *const sent[] = {
		"X-Forwarded-Host: h | X-Forwarded-Port: 80 | X-Forwarded-Proto: http | "
		"X-Forwarded-Server: proxy",
		"X-Forwarded-For: 192.0.2.1 | X-Forwarded-Host: h | X-Forwarded-Port: 80 | "
		"X-Forwarded-Proto: http | X-Forwarded-Server: proxy | X-Real-Ip: 192.0.2.2"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct forwarded *f = make(&rows[i]);
		const struct address none = {{0}};
		const struct forwarded_peer peer = {.address = &none, .text = SLICE("@")};
		struct test_request t;
		char *got;

		init(&t, "h", "X-Forwarded-For: 192.0.2.1\r\nX-Real-Ip: 192.0.2.2\r\n");
		assert_int_equal(forwarded_receive(f, &t.request, &peer), 0);
		assert_int_equal(forwarded_send(f, &t.request, &peer, false), 0);
		got = sorted(&t.request.fields, &t.arena);
		assert_string_equal(got, sent[i]);
		free(got);
		test_request_free(&t);
		forwarded_free(&f);
	}
}

static void tls_shows_in_proto_and_port(void **state)
{
	struct forwarded *f = make_set(DEFAULT);

	(void)state;
	expect_sent(f, "", true,
		    "X-Forwarded-Host: h | X-Forwarded-Port: 443 | X-Forwarded-Proto: https | "
		    "X-Forwarded-Server: proxy | X-Real-Ip: 127.0.0.1");
	expect_sent(f, "Connection: Upgrade\r\nUpgrade: websocket\r\n", true,
		    "Connection: Upgrade | Upgrade: websocket | X-Forwarded-Host: h | "
		    "X-Forwarded-Port: 443 | X-Forwarded-Proto: wss | X-Forwarded-Server: proxy | "
		    "X-Real-Ip: 127.0.0.1");
	forwarded_free(&f);
}

static void trailer_stays_with_a_chunked_body(void **state)
{
	struct forwarded *f = make_set(DEFAULT);
	struct test_request t;

	(void)state;
	init(&t, "h", "Transfer-Encoding: chunked\r\nTrailer: X-T\r\nTe: trailers\r\n");
	t.request.framing = FRAMING_CHUNKED;
	assert_int_equal(run(f, &t), 0);
	assert_false(fields_have(&t.request.fields, FIELD_TRANSFER_ENCODING));
	assert_true(slice_equal(fields_value_id(&t.request.fields, FIELD_TRAILER), SLICE("X-T")));
	assert_true(slice_equal(fields_value_id(&t.request.fields, FIELD_TE), SLICE("trailers")));
	test_request_free(&t);
	forwarded_free(&f);
}

static void answers_lose_their_hop_by_hop_fields(void **state)
{
	static const struct {
		int status;
		const char *lines;
		const char *left;
	} rows[] = {
		{200,
		 "Connection: X-B, keep-alive\r\nKeep-Alive: timeout=5\r\nX-B: 1\r\nX-C: 2\r\n"
		 "Proxy-Authenticate: x\r\nTe: y\r\nUpgrade: z\r\nProxy-Connection: q\r\nServer: "
		 "s\r\n",
		 "Server: s | X-C: 2"},
		{200, "Server: s\r\nDate: d\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n",
		 "Date: d | Server: s | Set-Cookie: a | Set-Cookie: b"},
		{200, "Connection: Content-Length, Server\r\nContent-Length: 3\r\nServer: s\r\n",
		 "Content-Length: 3"},
		{101, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: k\r\n",
		 "Connection: Upgrade | Sec-WebSocket-Accept: k | Upgrade: websocket"},
		{401, "Www-Authenticate: Basic\r\nTrailer: X\r\n", "Www-Authenticate: Basic"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct response r = {.status = rows[i].status};
		struct arena arena;
		char *left;

		arena_init(&arena, 1024, 1 << 20);
		fields_init(&r.fields, &arena);
		test_add_fields(&r.fields, slice_from(rows[i].lines));
		assert_int_equal(forwarded_answer(&r), 0);
		left = sorted(&r.fields, &arena);
		assert_string_equal(left, rows[i].left);
		check_present(&r.fields);
		free(left);
		arena_free(&arena);
	}
}

/* A client cannot make the proxy compare every name with every field. */
static void a_huge_connection_list_costs_linear_time(void **state)
{
	enum { NAMES = 20000 };
	struct forwarded *f = make_set(DEFAULT);
	struct str lines = {0};
	struct test_request t;
	struct forwarded_peer peer;

	(void)state;
	str_add(&lines, SLICE("Connection: a0"));
	for (int i = 1; i < NAMES; i++)
		str_format(&lines, ",A%d", i);
	str_add(&lines, SLICE("\r\n"));
	init(&t, "h", lines.p);
	t.arena.limit_bytes = 64 << 20;
	for (int i = 0; i < NAMES; i++)
		assert_int_equal(
			fields_add(&t.request.fields,
				   arena_format(&t.arena, "%c%d", i % 3 == 0 ? 'b' : 'a', i),
				   SLICE("1")),
			0);
	peer = peer_of(&t);
	assert_int_equal(forwarded_receive(f, &t.request, &peer), 0);
	assert_null(fields_find(&t.request.fields, SLICE("a1")));
	assert_null(fields_find(&t.request.fields, SLICE("A19999")));
	assert_non_null(fields_find(&t.request.fields, SLICE("b3")));
	str_free(&lines);
	test_request_free(&t);
	forwarded_free(&f);
}

static void memory_ends_the_request_not_the_process(void **state)
{
	struct forwarded *f = make_set(DEFAULT);
	unsigned failures = 0;

	(void)state;
	for (size_t spare = 0; spare < 64 * 2048; spare += 2048) {
		struct test_request t;
		int r;

		init(&t, "h",
		     "Connection: a,b,c,d,e,f,g,h,i,j,upgrade\r\nUpgrade: x\r\n"
		     "X-Forwarded-For: 1\r\nX-Forwarded-For: 2\r\n");
		while (arena_alloc(&t.arena, 256) != NULL)
			;
		while (arena_alloc(&t.arena, 16) != NULL)
			;
		t.arena.limit_bytes = t.arena.used_bytes + spare;
		r = run(f, &t);
		assert_true(r == 0 || r == -ENOMEM);
		failures += r != 0;
		test_request_free(&t);
	}
	assert_true(failures > 0 && failures < 64);
	forwarded_free(&f);
}

static void options_name_their_faults(void **state)
{
	static const slice bad[] = {{"127.0.0.1", 9}, {"1.2.3.4/33", 10}};
	static const struct forwarded_options options = {.trusted_ips = bad,
							 .trusted_ips_count = 2};
	struct weir_error e;
	struct forwarded *f;

	(void)state;
	assert_int_equal(forwarded_new(&options, &f, &e), -EINVAL);
	assert_null(f);
	assert_string_equal(e.text,
			    "parsing CIDR trusted IPs <nil>: invalid CIDR address: 1.2.3.4/33");
}

static void managed_names(void **state)
{
	(void)state;
	assert_true(forwarded_is_managed(SLICE("x-forwarded-for")));
	assert_true(forwarded_is_managed(SLICE("X_Forwarded-Tls_Client_Cert_Info")));
	assert_true(forwarded_is_managed(SLICE("X-Scheme")));
	assert_false(forwarded_is_managed(SLICE("X-Forwarded-Foo")));
	assert_false(forwarded_is_managed(SLICE("Forwarded")));
	assert_false(forwarded_is_managed(SLICE("Connection")));
	assert_false(forwarded_is_managed(SLICE("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_what_traefik_sends),
		cmocka_unit_test(between_the_stages_connection_is_reduced),
		cmocka_unit_test(scheme_headers_on_request),
		cmocka_unit_test(a_peer_without_address),
		cmocka_unit_test(tls_shows_in_proto_and_port),
		cmocka_unit_test(trailer_stays_with_a_chunked_body),
		cmocka_unit_test(answers_lose_their_hop_by_hop_fields),
		cmocka_unit_test(a_huge_connection_list_costs_linear_time),
		cmocka_unit_test(memory_ends_the_request_not_the_process),
		cmocka_unit_test(options_name_their_faults),
		cmocka_unit_test(managed_names),
	};

	return cmocka_run_group_tests_name("forwarded", tests, NULL, NULL);
}
