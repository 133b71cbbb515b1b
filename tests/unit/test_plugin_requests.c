/*
 * Options of the commands for plugins, and requests from options and files.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/plugin_cli.h"

#define COMMAND(...) \
	&(struct cli_args) \
	{ \
		sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), \
			(const char *[]){__VA_ARGS__}, NULL \
	}

struct site {
	struct plugin_args args;
	struct plugin_requests requests;
	struct weir_error error;
};

static int setup(void **state)
{
	static struct site site;

	site = (struct site){.error = {0}};
	*state = &site;
	return plugin_args_read(&site.args, PLUGIN_RUN, COMMAND("x.wasm"), &site.error);
}

static int teardown(void **state)
{
	struct site *s = *state;

	plugin_args_free(&s->args);
	return 0;
}

static int parse(struct site *s, slice text)
{
	return plugin_requests_parse(&s->requests, &s->args, text, &s->error);
}

static void expect_error(struct site *s, slice text, const char *error)
{
	assert_true(parse(s, text) < 0);
	assert_string_equal(s->error.text, error);
}

static void is(slice found, const char *expected)
{
	assert_int_equal(found.n, strlen(expected));
	assert_memory_equal(found.p, expected, found.n);
}

static void read_again(struct site *s, unsigned command, const struct cli_args *args)
{
	plugin_args_free(&s->args);
	if (plugin_args_read(&s->args, command, args, &s->error) < 0)
		fail_msg("%s", s->error.text);
}

static void options(void **state)
{
	struct site *s = *state;
	const struct plugin_request *q;

	read_again(s, PLUGIN_RUN,
		   COMMAND("--json", "--config={count: 3}", "x.wasm", "--env", "A=b=c", "--mount",
			   "/a:/b:ro", "--header", "X-A: 1", "--body=body", "--request",
			   "POST http://h.test/p?q", "--header=X-B:2", "--callCPU", "50ms",
			   "--isolation=reset", "--restore", "drop", "--response=404",
			   "--response-header", "X-C: 3", "--response-body", "none"));
	assert_true(s->args.json && s->args.isolation_given);
	assert_string_equal(s->args.path, "x.wasm");
	assert_string_equal(s->args.envs[0], "A=b=c");
	assert_true(s->args.mounts[0].read_only);
	assert_string_equal(s->args.mounts[0].guest_path, "/b");
	assert_int_equal(s->args.plugins.defaults.call_cpu_ns, 50000000);
	assert_int_equal(s->args.plugins.defaults.isolation, WEIR_ISOLATION_RESET);
	assert_int_equal(s->args.plugins.restore, WEIR_RESTORE_DROP);
	assert_int_equal(plugin_requests_read(&s->requests, &s->args, &s->error), 0);
	assert_int_equal(s->requests.count, 2);
	q = s->requests.list;
	is(q[0].head.method, "GET");
	is(q[0].head.authority, "localhost");
	is(fields_value_id(&q[0].head.fields, FIELD_CONTENT_LENGTH), "4");
	is(q[0].body, "body");
	is(q[1].head.target, "http://h.test/p?q");
	is(q[1].head.authority, "h.test");
	is(fields_find(&q[1].head.fields, SLICE("x-b"))->value, "2");
	assert_int_equal(q[1].upstream.status, 404);
	is(fields_value_id(&q[1].upstream.fields, FIELD_CONTENT_LENGTH), "4");
	is(q[1].upstream_body, "none");
}

static void wrong_options(void **state)
{
	static const struct {
		const char *list[3];
		const char *error;
	} cases[] = {
		{{"x.wasm", "y.wasm"}, "found \"y.wasm\", expected one file and options"},
		{{"x.wasm", "-j"}, "found \"-j\", expected one file and options"},
		{{"--json"}, "found no file, expected a WebAssembly module"},
		{{"x.wasm", "--jsn"}, "--jsn: unknown option, did you mean --json?"},
		{{"x.wasm", "--calCPU"}, "--calCPU: unknown option, did you mean --callCPU?"},
		{{"x.wasm", "--for", "1s"}, "--for: unknown option"},
		{{"x.wasm", "--defaults", "1"}, "--defaults: unknown option"},
		{{"x.wasm", "--config"}, "--config: found nothing, expected a value"},
		{{"x.wasm", "--env", "A"}, "--env: found \"A\", expected NAME=VALUE"},
		{{"x.wasm", "--mount", ":/b"},
		 "--mount: invalid directory \":/b\", expected HOST[:GUEST][:ro]"},
		{{"x.wasm", "--header", "A b: c"},
		 "--header: found \"A b: c\", expected \"NAME: VALUE\""},
		{{"x.wasm", "--header", "A: b\r\nC: d"},
		 "--header: found \"A: b\r\nC: d\", expected \"NAME: VALUE\""},
		{{"x.wasm", "--response", "100"},
		 "--response: found \"100\", expected a status from 200 to 999"},
		{{"x.wasm", "--pieces", "0"},
		 "--pieces: found \"0\", expected a size such as 1 or 4KiB"},
		{{"x.wasm", "--body", "@/nothing/here"},
		 "--body: /nothing/here: No such file or directory"},
	};
	struct site *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cli_args args = {0, cases[i].list, NULL};

		while (args.count < 3 && cases[i].list[args.count] != NULL)
			args.count++;
		plugin_args_free(&s->args);
		assert_true(plugin_args_read(&s->args, PLUGIN_RUN, &args, &s->error) < 0);
		assert_string_equal(s->error.text, cases[i].error);
	}
}

static void setting_of_the_wrong_kind(void **state)
{
	struct site *s = *state;

	plugin_args_free(&s->args);
	assert_true(plugin_args_read(&s->args, PLUGIN_BENCH,
				     COMMAND("x.wasm", "--isolation", "rest"), &s->error) < 0);
	assert_non_null(strstr(s->error.text, "isolation"));
	assert_non_null(strstr(s->error.text, "\"rest\""));
	assert_non_null(strstr(s->error.text, "reset"));
}

static void files_to_compile(void **state)
{
	struct site *s = *state;

	read_again(s, PLUGIN_COMPILE, COMMAND("a.wasm", "--cache", "/c", "b.wasm", "c.wasm"));
	assert_int_equal(s->args.path_count, 3);
	assert_string_equal(s->args.paths[2], "c.wasm");
	is(s->args.plugins.cache_directory, "/c");
}

static void messages(void **state)
{
	struct site *s = *state;
	const struct plugin_request *q;

	assert_int_equal(
		parse(s, SLICE("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
			       "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\na\r\n\r\n"
			       "\r\nPUT /c HTTP/1.0\nHost: h\nContent-Length: 2\n\n\r!"
			       "\nPOST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			       "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
			       "\n\nGET /e HTTP/1.1\nHost: last")),
		0);
	assert_int_equal(s->requests.count, 5);
	q = s->requests.list;
	is(q[0].head.target, "/a");
	is(q[1].body, "a\r\n\r\n");
	is(q[2].head.target, "/c");
	is(q[2].body, "\r!");
	assert_int_equal(q[2].head.version, HTTP_1_0);
	is(q[3].body, "abcde");
	is(q[4].head.authority, "last");
	assert_int_equal(q[4].upstream.status, 200);
}

/* Of which nothing must be left, either. */
static void a_chunked_body_without_bytes(void **state)
{
	struct site *s = *state;

	assert_int_equal(parse(s, SLICE("POST /d HTTP/1.1\r\nHost: h\r\n"
					"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
			 0);
	assert_int_equal(s->requests.count, 1);
	assert_int_equal(s->requests.list[0].body.n, 0);
}

static void broken_messages(void **state)
{
	struct site *s = *state;

	expect_error(s, SLICE(" \n"), "is empty, expected requests");
	expect_error(s, SLICE("[]"), "found an empty list, expected requests");
	expect_error(s, SLICE("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /\r\nHost: h\r\n\r\n"),
		     "request 2, from byte 28 on: start line, field line or chunk does not follow "
		     "RFC 9112");
	expect_error(s, SLICE("GET / HTTP/1.1\r\nHost: h\r\n"),
		     "request 1, from byte 0 on: the head has no end, expected an empty line");
	expect_error(s, SLICE("GET / HTTP/1.1\n\n"),
		     "request 1, from byte 0 on: Host is missing, repeated or not host[:port]");
	expect_error(s, SLICE("GET / HTTP/1.1\nHost: h\nContent-Length: 9\n\nabc"),
		     "request 1, from byte 0 on: body: found 3 bytes, expected the 9 of "
		     "Content-Length");
	expect_error(s,
		     SLICE("GET / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n"),
		     "request 1, from byte 0 on: body: the file ends before the last chunk");
}

static void objects(void **state)
{
	struct site *s = *state;
	const struct plugin_request *q;

	assert_int_equal(
		parse(s, SLICE(" [{}, {\"method\": \"POST\", \"target\": \"/b\", \"body\": "
			       "\"x\\u00e9\", \"headers\": {\"Host\": \"h.test\", \"X-A\": "
			       "[\"1\", \"2\"]}, \"response\": {\"status\": 204, \"headers\": "
			       "{\"X-B\": \"3\"}}}]")),
		0);
	assert_int_equal(s->requests.count, 2);
	q = s->requests.list;
	is(q[0].head.method, "GET");
	is(q[0].head.target, "/");
	assert_int_equal(q[0].upstream.status, 200);
	is(q[1].head.method, "POST");
	is(q[1].head.authority, "h.test");
	is(q[1].body, "x\xc3\xa9");
	is(fields_value_id(&q[1].head.fields, FIELD_CONTENT_LENGTH), "3");
	is(fields_find_next(&q[1].head.fields, fields_find(&q[1].head.fields, SLICE("X-A")))->value,
	   "2");
	assert_int_equal(q[1].upstream.status, 204);
	is(fields_find(&q[1].upstream.fields, SLICE("X-B"))->value, "3");
	assert_null(fields_find_id(&q[1].upstream.fields, FIELD_CONTENT_LENGTH));
	assert_int_equal(parse(s, SLICE("{\"target\": \"/only\"}")), 0);
	assert_int_equal(s->requests.count, 1);
}

static void broken_objects(void **state)
{
	struct site *s = *state;

	assert_true(parse(s, SLICE("[{\"method\": ]")) < 0);
	assert_memory_equal(s->error.text, "line 1, column ", 15);
	expect_error(s, SLICE("[{}, 3]"), "request 2: request: expected an object");
	expect_error(s, SLICE("{\"url\": \"/\"}"),
		     "request 1: \"url\": unknown key, expected one of method, target, headers, "
		     "body, response");
	expect_error(s, SLICE("{\"method\": \"GET / HTTP/1.1\\r\\nX: y\"}"),
		     "request 1: method: expected a string without spaces");
	expect_error(s, SLICE("{\"headers\": {\"X-A\": \"1\\r\\nX-B: 2\"}}"),
		     "request 1: headers: \"X-A\": expected a header's name, and its value as a "
		     "string or a list of strings");
	expect_error(s, SLICE("{\"headers\": [\"X-A\"]}"),
		     "request 1: headers: expected an object");
	expect_error(s, SLICE("{\"body\": 1}"), "request 1: body: expected a string");
	expect_error(s, SLICE("{\"response\": {\"status\": 20}}"),
		     "request 1: status: expected a number from 200 to 999");
	expect_error(s, SLICE("{\"response\": {\"code\": 20}}"),
		     "request 1: \"code\": unknown key, expected one of status, headers, body");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(options),
		TEST(wrong_options),
		TEST(setting_of_the_wrong_kind),
		TEST(files_to_compile),
		TEST(messages),
		TEST(broken_messages),
		TEST(a_chunked_body_without_bytes),
		TEST(objects),
		TEST(broken_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
