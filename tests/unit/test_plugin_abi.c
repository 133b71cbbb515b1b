#include "plugin_fake.h"

static int setup(void **state)
{
	*state = bench_new();
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	bench_free(&b);
	return 0;
}

/** Runs the request phase of a guest that has been loaded. */
static enum weir_step again(struct bench *b, struct fake *f, struct weir_exchange **e)
{
	enum weir_step step = weir_exchange_begin(e, b->pool, &fake_http, f);

	return fake_drive(*e, step);
}

/** Runs the request phase of a guest for `f`; the exchange goes on in `*e`. */
static enum weir_step begin(struct bench *b, const char *wat, struct fake *f,
			    struct weir_exchange **e)
{
	bench_open(b, wat, NULL);
	return again(b, f, e);
}

static void run(struct bench *b, const char *wat, struct fake *f, enum weir_step expected)
{
	struct weir_exchange *e = NULL;
	enum weir_step step = begin(b, wat, f, &e);

	if (step == WEIR_FAILED)
		print_message("%s\n", weir_exchange_error(e)->text);
	assert_int_equal(step, expected);
	weir_exchange_end(&e);
}

/** A guest that must fail, in handle_request or in handle_response, with a text that contains
 * `text`. */
static void traps(struct bench *b, const char *wat, bool in_response, const char *text)
{
	struct weir_exchange *e = NULL;
	struct fake f;
	enum weir_step step;

	fake_init(&f);
	step = begin(b, wat, &f, &e);
	if (in_response) {
		assert_int_equal(step, WEIR_NEXT);
		step = fake_drive(e, weir_exchange_response(e, 0));
	}
	assert_int_equal(step, WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_ABI);
	if (strstr(weir_exchange_error(e)->text, text) == NULL)
		fail_msg("found \"%s\", expected \"%s\"", weir_exchange_error(e)->text, text);
	weir_exchange_end(&e);
	/* It is gone, and the next request gets another one. */
	assert_int_equal(bench_stats(b).live, 0);
	assert_int_equal(bench_stats(b).failures[WEIR_CAUSE_ABI], 1);
	bench_close_plugin(b);
	fake_free(&f);
}

#define TRAPS(data, code, text) traps(*state, FAKE_GUEST(data, "", code FAKE_NEXT, ""), false, text)
#define TRAPS_AFTER(data, features, code, text) \
	traps(*state, \
	      FAKE_GUEST(data, "", "(drop (call $enable (i32.const " features ")))" FAKE_NEXT, \
			 code), \
	      true, text)

static void trap_conditions(void **state)
{
	TRAPS("", "(call $set_method (i32.const 0) (i32.const 0))", "HTTP method cannot be empty");
	TRAPS("A B", "(call $set_method (i32.const 1024) (i32.const 3))", "not a token");
	TRAPS("", "(call $set_method (i32.const 65535) (i32.const 2))",
	      "out of memory reading method: 2 bytes at 65535 of 65536");
	TRAPS("", "(call $set_method (i32.const -1) (i32.const -1))", "out of memory reading");
	TRAPS("rel", "(call $set_uri (i32.const 1024) (i32.const 3))", "invalid URI");
	TRAPS("/%zz", "(call $set_uri (i32.const 1024) (i32.const 4))",
	      "without two hexadecimal digits");
	TRAPS("/a\\0ab", "(call $set_uri (i32.const 1024) (i32.const 4))", "control character");
	TRAPS("", "(drop (call $get_uri (i32.const 65530) (i32.const 100)))",
	      "out of memory writing URI");
	TRAPS("", "(drop (call $names (i32.const 4) (i32.const 0) (i32.const 0)))",
	      "unsupported header kind: 4");
	TRAPS("", "(drop (call $names (i32.const 0) (i32.const 65534) (i32.const 100)))",
	      "out of memory writing header names");
	TRAPS("",
	      "(drop (call $values (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) "
	      "(i32.const 0)))",
	      "HTTP header name cannot be empty");
	TRAPS("host",
	      "(drop (call $values (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 65530) "
	      "(i32.const 100)))",
	      "out of memory writing header values");
	TRAPS("",
	      "(call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const "
	      "0))",
	      "HTTP header name cannot be empty");
	TRAPS("a b",
	      "(call $add (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 0) "
	      "(i32.const 0))",
	      "is not a token");
	TRAPS("ab",
	      "(call $set (i32.const 1) (i32.const 1024) (i32.const 2) (i32.const 65530) "
	      "(i32.const 10))",
	      "out of memory reading header value");
	TRAPS("", "(call $remove (i32.const 1) (i32.const 0) (i32.const 0))",
	      "HTTP header name cannot be empty");
	TRAPS("ab",
	      "(call $set (i32.const 2) (i32.const 1024) (i32.const 2) (i32.const 0) "
	      "(i32.const 0))",
	      "can't set trailer: trailers are not supported");
	TRAPS("", "(drop (call $read (i32.const 2) (i32.const 0) (i32.const 1)))",
	      "unsupported body kind: 2");
	TRAPS("", "(drop (call $read (i32.const 0) (i32.const 0) (i32.const 0)))",
	      "buf_limit must be greater than 0");
	TRAPS("", "(drop (call $read (i32.const 0) (i32.const 65535) (i32.const 2)))",
	      "out of memory reading request body");
	TRAPS("", "(call $write (i32.const -1) (i32.const 0) (i32.const 0))",
	      "unsupported body kind: -1");
	TRAPS("", "(call $write (i32.const 1) (i32.const 65535) (i32.const 2))",
	      "out of memory reading response body");
	TRAPS("", "(call $set_status (i32.const 99))", "invalid status code 99");
	TRAPS("", "(call $set_status (i32.const 101))", "invalid status code 101");
	TRAPS("", "(call $set_status (i32.const 1000))", "invalid status code 1000");
}

static void trap_conditions_after(void **state)
{
	TRAPS_AFTER("GET", "3", "(call $set_method (i32.const 1024) (i32.const 3))",
		    "can't set method after next handler");
	TRAPS_AFTER("/", "3", "(call $set_uri (i32.const 1024) (i32.const 1))",
		    "can't set URI after next handler");
	TRAPS_AFTER("ab", "3",
		    "(call $set (i32.const 0) (i32.const 1024) (i32.const 2) (i32.const 0) "
		    "(i32.const 0))",
		    "can't set request header after next handler");
	TRAPS_AFTER("ab", "3", "(call $remove (i32.const 0) (i32.const 1024) (i32.const 2))",
		    "can't remove request header after next handler");
	TRAPS_AFTER("ab", "1",
		    "(call $add (i32.const 1) (i32.const 1024) (i32.const 2) (i32.const 0) "
		    "(i32.const 0))",
		    "can't add response header after next handler unless buffer_response is "
		    "enabled");
	TRAPS_AFTER("", "1", "(call $set_status (i32.const 200))",
		    "can't set status code after next handler unless buffer_response is enabled");
	TRAPS_AFTER("", "2", "(drop (call $read (i32.const 0) (i32.const 0) (i32.const 1)))",
		    "can't read request body after next handler unless buffer_request is enabled");
	TRAPS_AFTER("", "1", "(drop (call $read (i32.const 1) (i32.const 0) (i32.const 1)))",
		    "can't read response body after next handler unless buffer_response is "
		    "enabled");
	TRAPS_AFTER("", "3", "(call $write (i32.const 0) (i32.const 0) (i32.const 0))",
		    "can't write request body after next handler");
	TRAPS_AFTER("", "1", "(call $write (i32.const 1) (i32.const 0) (i32.const 0))",
		    "can't write response body after next handler unless buffer_response is "
		    "enabled");
	/* Asking for it now is too late. */
	TRAPS_AFTER("", "1",
		    "(drop (call $enable (i32.const 2))) (call $set_status (i32.const 200))",
		    "can't set status code after next handler unless buffer_response is enabled");
}

#define ENABLE(n) "(call $r32 (call $enable (i32.const " n ")))"

static void features(void **state)
{
	struct bench *b = *state;
	struct fake f;
	struct weir_exchange *e = NULL;

	fake_init(&f);
	assert_int_equal(
		begin(b,
		      FAKE_GUEST("",
				 "(func (export \"_start\") " ENABLE("0") ENABLE("1") ENABLE("8")
					 ENABLE("4") ENABLE("0") ")",
				 ENABLE("0") ENABLE("2") ENABLE("4") FAKE_NEXT, ENABLE("4")),
		      &f, &e),
		WEIR_NEXT);
	expect_i32(b, 0, 0);
	expect_i32(b, 1, 1);
	expect_i32(b, 2, 1);
	expect_i32(b, 3, 1);
	expect_i32(b, 4, 1);
	expect_i32(b, 5, 1);
	expect_i32(b, 6, 3);
	expect_i32(b, 7, 3);
	assert_int_equal(weir_exchange_facts(e)->features, 3);
	assert_true(weir_exchange_facts(e)->response_wanted);
	assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_DONE);
	weir_exchange_end(&e);
	/* The next request starts from what initialisation asked for. */
	assert_int_equal(again(b, &f, &e), WEIR_NEXT);
	expect_i32(b, 9, 1);
	assert_int_equal(bench_stats(b).created, 1);
	weir_exchange_end(&e);
	fake_free(&f);
}

#define GET(f, limit) \
	"(call $r32 (call " f " (i32.const 2048) (i32.const " limit ")))" \
	"(call $say (i32.const 2048) (i32.const 4))"

static void getters(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.config = SLICE("{}c")};
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	bench_open(b,
		   FAKE_GUEST("", "",
			      GET("$get_method", "0") GET("$get_method", "2") GET(
				      "$get_method", "3") GET("$config", "3") GET("$version", "8")
				      GET("$source", "13") GET("$source", "14") FAKE_NEXT,
			      GET("$get_method", "9")),
		   &o);
	assert_int_equal(again(b, &f, &e), WEIR_NEXT);
	for (size_t i = 0; i < 3; i++)
		expect_i32(b, 2 * i, 3);
	expect_line(b, 1, "\0\0\0\0", 4);
	expect_line(b, 3, "\0\0\0\0", 4);
	expect_line(b, 5, "GET\0", 4);
	expect_i32(b, 6, 3);
	expect_line(b, 7, "{}c\0", 4);
	expect_i32(b, 8, 8);
	expect_text(b, 9, "HTTP");
	expect_i32(b, 10, 14);
	expect_text(b, 11, "HTTP");
	expect_text(b, 13, "127.");
	assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_DONE);
	expect_text(b, 15, "GET.");
	weir_exchange_end(&e);
	fake_free(&f);
}

#define SET_URI(at, n) "(call $set_uri (i32.const " at ") (i32.const " n "))"
#define SAY_URI "(call $say (i32.const 2048) (call $get_uri (i32.const 2048) (i32.const 200)))"

static void setters(void **state)
{
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	run(b,
	    FAKE_GUEST("POST/x y?q=a b", "",
		       SAY_URI "(call $set_method (i32.const 1024) (i32.const 4))"
			       "(call $set_status (i32.const 0))" SET_URI("1028", "10")
				       SAY_URI SET_URI("0", "0") SAY_URI FAKE_STOP,
		       ""),
	    &f, WEIR_STOP);
	expect_text(b, 0, "/path?q=1");
	expect_text(b, 1, "/x%20y?q=a%20b");
	expect_text(b, 2, "/");
	assert_string_equal(f.method, "POST");
	assert_string_equal(f.target, "/");
	assert_int_equal(f.status, 200);
	fake_free(&f);
}

static void status_is_never_a_trap(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	assert_int_equal(
		begin(b,
		      FAKE_GUEST("", "",
				 "(call $r32 (call $get_status)) (call $set_status (i32.const "
				 "418)) (call $r32 (call $get_status))" FAKE_NEXT,
				 "(call $r32 (call $get_status))"),
		      &f, &e),
		WEIR_NEXT);
	expect_i32(b, 0, 200);
	expect_i32(b, 1, 418);
	f.status = 204;
	assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_DONE);
	expect_i32(b, 2, 204);
	weir_exchange_end(&e);
	fake_free(&f);
}

#define NAMES(kind, limit) \
	"(call $r64 (call $names (i32.const " kind ") (i32.const 2048) (i32.const " limit ")))" \
	"(call $say (i32.const 2048) (i32.const 24))"
#define VALUES(kind, at, n, limit) \
	"(call $r64 (call $values (i32.const " kind ") (i32.const " at ") (i32.const " n \
	") (i32.const 2048) (i32.const " limit ")))" \
	"(call $say (i32.const 2048) (i32.const 24))"
#define WIPE "(memory.fill (i32.const 2048) (i32.const 46) (i32.const 100))"

static void header_lists(void **state)
{
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	fake_field(&f, WEIR_REQUEST, "X-B", "1");
	fake_field(&f, WEIR_REQUEST, "Transfer-Encoding", "chunked");
	fake_field(&f, WEIR_REQUEST, "a", "");
	fake_field(&f, WEIR_REQUEST, "x-b", "22,3");
	fake_field(&f, WEIR_REQUEST, "Trailer", "z");
	run(b,
	    FAKE_GUEST("X-bAHOSTtransfer-encodingq", "",
		       WIPE NAMES("0", "10") NAMES("0", "11") WIPE VALUES("0", "1024", "3", "6")
			       VALUES("0", "1024", "3", "7") WIPE VALUES("0", "1027", "1", "0")
				       VALUES("0", "1027", "1", "1") VALUES("0", "1028", "4", "100")
					       WIPE VALUES("0", "1032", "17", "100") VALUES(
						       "0", "1049", "1", "100") NAMES("1", "100")
						       NAMES("2", "100") VALUES("3", "1024", "3",
										"100") FAKE_NEXT,
		       ""),
	    &f, WEIR_NEXT);
	expect_count_len(b, 0, 3, 11);
	expect_text(b, 1, "........................");
	expect_count_len(b, 2, 3, 11);
	expect_line(b, 3, "a\0host\0x-b\0.............", 24);
	expect_count_len(b, 4, 2, 7);
	expect_text(b, 5, "........................");
	expect_count_len(b, 6, 2, 7);
	expect_line(b, 7, "1\00022,3\0.................", 24);
	expect_count_len(b, 8, 1, 1);
	expect_text(b, 9, "........................");
	expect_count_len(b, 10, 1, 1);
	expect_line(b, 11, "\0.......................", 24);
	expect_count_len(b, 12, 1, 13);
	expect_line(b, 13, "example.test\0...........", 24);
	expect_count_len(b, 14, 0, 0);
	expect_count_len(b, 16, 0, 0);
	expect_count_len(b, 18, 0, 0);
	expect_count_len(b, 20, 0, 0);
	expect_count_len(b, 22, 0, 0);
	fake_free(&f);
}

#define CHANGE(f, kind, name, name_n, value, value_n) \
	"(call " f " (i32.const " kind ") (i32.const " name ") (i32.const " name_n \
	") (i32.const " value ") (i32.const " value_n "))"

static void header_changes(void **state)
{
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	fake_field(&f, WEIR_REQUEST, "Ab", "old");
	fake_field(&f, WEIR_REQUEST, "ab", "older");
	fake_field(&f, WEIR_REQUEST, "gone", "1");
	/* 1024 ab, 1026 gone, 1030 hosT, 1034 content-length, 1048 transfer-encoding, 1065
	 * v<CR><LF>w */
	run(b,
	    FAKE_GUEST("abgonehosTcontent-lengthtransfer-encodingv\\0d\\0aw", "",
		       CHANGE("$set", "0", "1024", "2", "1065", "4") CHANGE(
			       "$add", "0", "1024", "2", "0",
			       "0") "(call $remove (i32.const 0) (i32.const 1026) (i32.const 4))"
				    "(call $remove (i32.const 0) (i32.const 1030) (i32.const "
				    "4))" CHANGE("$add", "0", "1030", "4", "1024",
						 "2") CHANGE("$set", "0", "1030", "4", "1026", "4")
					    CHANGE("$set", "0", "1034", "14", "1065", "1")
						    CHANGE("$set", "1", "1034", "14", "1065", "1")
							    CHANGE("$set", "1", "1048", "17",
								   "1065", "1") FAKE_STOP,
		       ""),
	    &f, WEIR_STOP);
	assert_string_equal(fake_values(&f, WEIR_REQUEST, "AB"), "v  w;;");
	assert_string_equal(fake_values(&f, WEIR_REQUEST, "gone"), "");
	assert_string_equal(fake_values(&f, WEIR_REQUEST, "host"), "");
	assert_string_equal(f.authority, "gone");
	assert_string_equal(fake_values(&f, WEIR_REQUEST, "content-length"), "");
	assert_string_equal(fake_values(&f, WEIR_RESPONSE, "content-length"), "v;");
	assert_string_equal(fake_values(&f, WEIR_RESPONSE, "transfer-encoding"), "");
	fake_free(&f);
}

static void embedder_refuses(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	for (size_t i = 0; i < FIELDS_MAX; i++)
		fake_field(&f, WEIR_REQUEST, "x", "y");
	assert_int_equal(
		begin(b,
		      FAKE_GUEST("ab", "", CHANGE("$add", "0", "1024", "2", "1024", "2") FAKE_NEXT,
				 ""),
		      &f, &e),
		WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_EMBEDDER);
	assert_non_null(strstr(weir_exchange_error(e)->text,
			       "handle_request: header: No buffer space available, in "));
	weir_exchange_end(&e);
	fake_free(&f);
}

#define READ(kind, limit) \
	"(call $r64 (local.tee $r (call $read (i32.const " kind \
	") (i32.const 2048) (i32.const " limit \
	"))))(call $say (i32.const 2048) (i32.wrap_i64 (local.get $r)))"

static void request_body(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	str_add(&f.body[0], SLICE("0123456789"));
	f.arrived_bytes = 10;
	f.chunk_bytes = 3;
	assert_int_equal(
		begin(b,
		      FAKE_GUEST(
			      "ABC", "",
			      READ("0",
				   "4") "(call $write (i32.const 0) (i32.const 1024) "
					"(i32.const 1))" READ(
						"0",
						"6") "(call $write (i32.const 0) (i32.const 1025) "
						     "(i32.const 2))" READ("0", "6") FAKE_NEXT,
			      "nop (call $r32 (local.get $err))"),
		      &f, &e),
		WEIR_NEXT);
	expect_count_len(b, 0, 0, 4);
	expect_text(b, 1, "0123");
	expect_count_len(b, 2, 1, 6);
	expect_text(b, 3, "456789");
	expect_count_len(b, 4, 1, 0);
	assert_string_equal(f.written[0].p, "ABC");
	assert_int_equal(f.firsts[0], 1);
	assert_true(weir_exchange_facts(e)->request_body_written);
	assert_int_equal(weir_exchange_facts(e)->request_body_read_bytes, 10);
	assert_false(weir_exchange_facts(e)->response_body_prefixed);
	assert_int_equal(fake_drive(e, weir_exchange_response(e, WEIR_RESPONSE_ERROR)), WEIR_DONE);
	expect_i32(b, b->line_count - 1, 1);
	weir_exchange_end(&e);
	fake_free(&f);
}

static void empty_bodies(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	assert_int_equal(
		begin(b,
		      FAKE_GUEST("", "",
				 READ("0", "4")
					 READ("1", "4") "(call $write (i32.const 0) (i32.const -1) "
							"(i32.const 0))" FAKE_STOP,
				 ""),
		      &f, &e),
		WEIR_STOP);
	expect_count_len(b, 0, 1, 0);
	expect_count_len(b, 1, 1, 0);
	assert_int_equal(f.firsts[0], 1);
	assert_int_equal(f.written[0].n, 0);
	assert_true(weir_exchange_facts(e)->request_body_written);
	weir_exchange_end(&e);
	fake_free(&f);
}

static void response_body(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	str_add(&f.body[1], SLICE("upstream"));
	assert_int_equal(
		begin(b,
		      FAKE_GUEST("PREcontent-length0", "",
				 "(drop (call $enable (i32.const 3)))"
				 "(call $write (i32.const 1) (i32.const 1024) (i32.const "
				 "3))" FAKE_NEXT,
				 READ("1", "5") "(call $write (i32.const 1) (i32.const 1024) "
						"(i32.const 1))" READ("1", "5") READ(
							"0", "5") "(call $write (i32.const 1) "
								  "(i32.const 1025) (i32.const "
								  "1))" CHANGE("$set", "1", "1027",
									       "14", "1041", "1")),
		      &f, &e),
		WEIR_NEXT);
	assert_string_equal(f.written[1].p, "PRE");
	assert_true(weir_exchange_facts(e)->response_body_prefixed);
	assert_false(weir_exchange_facts(e)->response_body_written);
	assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_DONE);
	expect_count_len(b, 0, 0, 5);
	expect_text(b, 1, "upstr");
	expect_count_len(b, 2, 1, 3);
	expect_text(b, 3, "eam");
	expect_count_len(b, 4, 1, 0);
	assert_string_equal(f.written[1].p, "PR");
	assert_int_equal(f.firsts[1], 2);
	assert_true(weir_exchange_facts(e)->response_body_written);
	assert_true(weir_exchange_facts(e)->response_length_written);
	assert_false(weir_exchange_facts(e)->response_length_prefixed);
	weir_exchange_end(&e);
	fake_free(&f);
}

/* A response that is on its way ignores changes; the guest that may make them does not notice. */
static void sent_response(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	str_add(&f.body[1], SLICE("upstream"));
	assert_int_equal(
		begin(b,
		      FAKE_GUEST("ab", "", "(drop (call $enable (i32.const 2)))" FAKE_NEXT,
				 READ("1",
				      "5") "(call $write (i32.const 1) (i32.const 1024) (i32.const "
					   "1)) (call $set_status (i32.const 500))" CHANGE(
						   "$set", "1", "1024", "2", "1024", "2")),
		      &f, &e),
		WEIR_NEXT);
	f.status = 101;
	assert_int_equal(fake_drive(e, weir_exchange_response(e, WEIR_RESPONSE_SENT)), WEIR_DONE);
	expect_count_len(b, 0, 1, 0);
	assert_int_equal(f.status, 101);
	assert_int_equal(f.writes[1], 0);
	assert_int_equal(f.messages[1].count, 0);
	assert_false(weir_exchange_facts(e)->response_body_written);
	weir_exchange_end(&e);
	fake_free(&f);
}

static void body_limits(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.body_bytes = 8}};
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	str_add(&f.body[0], SLICE("0123456789"));
	f.arrived_bytes = 10;
	f.chunk_bytes = 4;
	bench_open(b, FAKE_GUEST("", "", READ("0", "8") READ("0", "8") FAKE_NEXT, ""), &o);
	f.arrived_bytes = 8;
	assert_int_equal(again(b, &f, &e), WEIR_NEXT);
	weir_exchange_end(&e);
	f.arrived_bytes = 10;
	f.chunk_bytes = 1;
	assert_int_equal(again(b, &f, &e), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_TOO_LARGE);
	assert_int_equal(weir_cause_status(weir_exchange_cause(e)), 413);
	weir_exchange_end(&e);
	bench_close_plugin(b);
	bench_open(b,
		   FAKE_GUEST("", "",
			      "(call $write (i32.const 1) (i32.const 0) (i32.const 8))"
			      "(call $write (i32.const 1) (i32.const 0) (i32.const 1))" FAKE_STOP,
			      ""),
		   &o);
	assert_int_equal(again(b, &f, &e), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_MEMORY);
	assert_int_equal(weir_cause_status(weir_exchange_cause(e)), 500);
	assert_int_equal(f.written[1].n, 8);
	weir_exchange_end(&e);
	fake_free(&f);
}

static void context_is_passed_on(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	assert_int_equal(
		begin(b,
		      FAKE_GUEST("", "", "(i64.const 0xfedcba9800000002)",
				 "(call $r32 (local.get $ctx)) (call $r32 (local.get $err))"),
		      &f, &e),
		WEIR_NEXT);
	assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_DONE);
	expect_i32(b, 0, (int32_t)0xfedcba98);
	expect_i32(b, 1, 0);
	weir_exchange_end(&e);
	bench_close_plugin(b);
	/* A zero low word stops, whatever the context. */
	run(b, FAKE_GUEST("", "", "(i64.const 68719476736)", "unreachable"), &f, WEIR_STOP);
	fake_free(&f);
}

#define LOG(level, at, n) "(call $log (i32.const " level ") (i32.const " at ") (i32.const " n "))"

static void logging(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.log_lines = 3}};
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	b->lowest = WEIR_LOG_WARN;
	bench_open(b,
		   FAKE_GUEST("line", "",
			      LOG("0", "-1", "-1") LOG("1", "65536", "1") LOG("1", "1024", "4") LOG(
				      "2", "0", "5000") LOG("4", "1024", "4") LOG("3", "1024", "4")
				      LOG("2", "1024", "4") LOG("2", "1024", "4") FAKE_NEXT,
			      ""),
		   &o);
	assert_int_equal(again(b, &f, &e), WEIR_NEXT);
	weir_exchange_end(&e);
	assert_int_equal(b->line_count, 4);
	expect_text(b, 0, "line");
	assert_int_equal(b->lines[0].level, WEIR_LOG_WARN);
	assert_int_equal(b->lines[0].source, WEIR_LOG_GUEST);
	assert_int_equal(b->lines[1].n, 4096);
	assert_int_equal(b->lines[2].level, WEIR_LOG_ERROR);
	expect_text(b, 3, "2 lines of the plugin were left out (limit 3)");
	assert_int_equal(b->lines[3].source, WEIR_LOG_HOST);
	assert_int_equal(bench_stats(b).log_lines_dropped, 2);
	fake_free(&f);
}

#define ASKS(level) \
	"(i32.store (i32.const 0) (i32.or (i32.shl (i32.load (i32.const 0)) (i32.const 1)) (call " \
	"$log_enabled (i32.const " level "))))"

static void log_enabled_levels(void **state)
{
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	b->lowest = WEIR_LOG_WARN;
	run(b,
	    FAKE_GUEST(
		    "", "",
		    ASKS("-9") ASKS("-1") ASKS("0") ASKS("1") ASKS("2") ASKS("3") ASKS(
			    "4") "(call $log (i32.const 2) (i32.const 0) (i32.const 4))" FAKE_NEXT,
		    ""),
	    &f, WEIR_NEXT);
	expect_i32(b, 0, 0xe); /* 0001110 */
	fake_free(&f);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(trap_conditions),
		TEST(trap_conditions_after),
		TEST(features),
		TEST(getters),
		TEST(setters),
		TEST(status_is_never_a_trap),
		TEST(header_lists),
		TEST(header_changes),
		TEST(embedder_refuses),
		TEST(request_body),
		TEST(empty_bodies),
		TEST(response_body),
		TEST(sent_response),
		TEST(body_limits),
		TEST(context_is_passed_on),
		TEST(logging),
		TEST(log_enabled_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
