#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base.h"
#include "core/base64.h"
#include "core/md5.h"
#include "core/sha1.h"
#include "middleware/digest_header.h"
#include "middleware/password.h"
#include "middleware/password_threads.h"
#include "middleware/users.h"

#define LENGTHS 200

/* The digest of the digests of 0 to 199 letters, which has all ways to fill a block. */
static void digests_of_all_lengths(void **state)
{
	unsigned char digest[SHA1_DIGEST_BYTES];
	struct md5 md5s, sha1s, one;
	char letters[LENGTHS], hex[MD5_HEX];

	(void)state;
	memset(letters, 'a', sizeof letters);
	md5_begin(&md5s);
	md5_begin(&sha1s);
	for (size_t n = 0; n < LENGTHS; n++) {
		md5_begin(&one);
		md5_add(&one, slice_of(letters, n / 3));
		md5_add(&one, slice_of(letters, n - n / 3));
		md5_end(&one, digest);
		md5_add(&md5s, slice_of((char *)digest, MD5_DIGEST_BYTES));
		sha1(slice_of(letters, n), digest);
		md5_add(&sha1s, slice_of((char *)digest, SHA1_DIGEST_BYTES));
	}
	md5_end_hex(&md5s, hex);
	assert_string_equal(hex, "9370237cf2c013418ada10f8f1b5210b");
	md5_end_hex(&sha1s, hex);
	assert_string_equal(hex, "227d86315b3379946604faa5a5b81b6f");
}

static void base64_is_written(void **state)
{
	static const char *const rows[][2] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
		{"\xff\xfe\xfd", "//79"},
	};
	char to[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		slice text = slice_from(rows[i][0]);

		base64_encode(text, to);
		assert_true(
			slice_equal(slice_of(to, BASE64_BYTES(text.n)), slice_from(rows[i][1])));
	}
}

static void base64_is_strict(void **state)
{
	static const struct {
		const char *text, *bytes; /* NULL: refused */
	} rows[] = {
		{"", ""},        {"YQ==", "a"},         {"YWI=", "ab"},
		{"YWJj", "abc"}, {"YW\r\nJj\n", "abc"}, {"YQ=\n=", "a"},
		{"YQ", NULL},    {"YQ=", NULL},         {"YQ==YQ==", NULL},
		{"=", NULL},     {"Y===", NULL},        {"YW-_", NULL},
		{" YQ==", NULL}, {"YQ== ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		slice text = slice_from(rows[i].text);
		char *to = malloc(BASE64_ROOM(text.n));
		size_t n, bad;

		assert_non_null(to);
		assert_int_equal(base64_decode(text, to, &n, &bad), rows[i].bytes != NULL);
		if (rows[i].bytes != NULL)
			assert_true(slice_equal(slice_of(to, n), slice_from(rows[i].bytes)));
		free(to);
	}
}

static void passwords_fit_their_hashes(void **state)
{
	static const char many[] =
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	static const struct {
		const char *password, *hash;
		bool fits;
	} rows[] = {
		{"secret", "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", true},
		{"secret", "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", true},
		{"secret", "$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", true},
		{"secret", "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", true},
		{"Secret", "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", false},
		{"secret", "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrX", false},
		{"secret", "$2y$05$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", false},
		{"p\xc3\xa4ssword", "$2x$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG",
		 true},
		{"", "$2y$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq", true},
		{many, "$2y$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i", true},
		{"secret", "$2y$", false},
		{"secret", "$2y$99$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", false},
		{"secret", "$2y$04$!!cdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", false},
		{"secret", "$1$saltsalt$9xy1btjgzLYfb7hivXtC//", true},
		{"", "$1$saltsalt$5Jhcit4zN9UlGiA0txPkO0", true},
		{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "$1$saltsalt$lTT80f5GEB.8cfLv43D0D1",
		 true},
		{"a longer password of some size", "$1$saltsalt$iqwHSsGdnFvQsofuRS3Fy.", true},
		{"secret", "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0", true},
		{"", "$apr1$saltsalt$a8ml/vK5HEjiZ5oypDWA7/", true},
		{"secret", "$apr1$ab$jiiV6N7hIIuIoJbc1hxOE/", true},
		{"secret", "$apr1$ab$jiiV6N7hIIuIoJbc1hxOE.", false},
		{"secret", "$apr1$ab$jiiV6N7hIIuIoJbc1hxOE", false},
		{"secret", "$apr1$ab$jiiV6N7hIIuIoJbc1hxOE/x", false},
		{"secret", "$1$ab$jiiV6N7hIIuIoJbc1hxOE/", false},
		{"secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", true},
		{"", "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", true},
		{"secret", "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", false},
		{"secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ", false},
		{"secret", "{SHA}", false},
		{"secret", "secret", false},
		{"secret", "", false},
		{"secret", "$", false},
		{"secret", "$$", false},
		{"secret", "$$$", false},
		{"secret", "x$1$saltsalt$9xy1btjgzLYfb7hivXtC//", false},
		{"secret", "$5$saltsalt$9xy1btjgzLYfb7hivXtC//", false},
		{"*0", "*0", false},
	};

	char long_password[1025];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (password_fits(slice_from(rows[i].hash), slice_from(rows[i].password)) !=
		    rows[i].fits)
			fail_msg("%s with %s", rows[i].password, rows[i].hash);
	}
	(void)memset(long_password, 'x', sizeof long_password);
	assert_true(password_fits(SLICE("$apr1$saltsalt$/QtoXpu3UbByfSC87f4iw."),
				  slice_of(long_password, 1024)));
	assert_false(password_fits(SLICE("$apr1$saltsalt$gOZdIl6yj9VXFt0E2IfuN/"),
				   slice_of(long_password, 1025)));
	/* Behind a zero byte the library would not look. */
	assert_false(password_fits(slice_from(rows[0].hash), SLICE("secret\0more")));
	assert_true(password_fits(slice_from(rows[8].hash), (slice){NULL, 0}));
}

/* More than there are threads. */
#define JOBS 40

struct held_job {
	struct password_job job;
	bool ran;
};

static sem_t job_began, job_may_end;

static void hold(struct password_job *job)
{
	container_of(job, struct held_job, job)->ran = true;
	(void)sem_post(&job_began);
	(void)sem_wait(&job_may_end);
}

static void jobs_that_have_not_begun_can_be_cancelled(void **state)
{
	static struct held_job jobs[JOBS];

	(void)state;
	assert_int_equal(sem_init(&job_began, 0, 0), 0);
	assert_int_equal(sem_init(&job_may_end, 0, 0), 0);
	assert_int_equal(password_threads_ref(NULL), 0);
	assert_int_equal(password_threads_ref(NULL), 0);
	for (size_t i = 0; i < JOBS; i++) {
		jobs[i].job.run = hold;
		password_threads_add(&jobs[i].job);
	}
	(void)sem_wait(&job_began);
	assert_false(password_threads_cancel(&jobs[0].job));
	assert_true(password_threads_cancel(&jobs[JOBS - 1].job));
	assert_false(password_threads_cancel(&jobs[JOBS - 1].job));
	password_threads_unref();
	for (size_t i = 0; i < JOBS - 1; i++)
		(void)sem_post(&job_may_end);
	for (size_t i = 1; i < JOBS - 1; i++)
		(void)sem_wait(&job_began);
	password_threads_unref();
	for (size_t i = 0; i < JOBS; i++)
		assert_int_equal(jobs[i].ran, i < JOBS - 1);
	/* They start again. */
	assert_int_equal(password_threads_ref(NULL), 0);
	password_threads_add(&jobs[JOBS - 1].job);
	(void)sem_wait(&job_began);
	(void)sem_post(&job_may_end);
	password_threads_unref();
	(void)sem_destroy(&job_began);
	(void)sem_destroy(&job_may_end);
}

static void lines_of_users_are_read(void **state)
{
	static const slice more[] = {{"b:from the list", 15}, {"d:", 2}};
	struct users users;
	struct arena arena;

	(void)state;
	arena_init(&arena, 256, 1 << 16);
	assert_int_equal(users_parse(&users,
				     SLICE("# comment\n\n c:1 \r\na:2\nb:3\na:4\n:nobody\n"),
				     (struct option_list){more, 2}, USERS_BASIC, &arena, NULL),
			 0);
	assert_int_equal(users.count, 5);
	assert_true(slice_equal(users_find(&users, SLICE("a"))->secret, SLICE("4")));
	assert_true(slice_equal(users_find(&users, SLICE("b"))->secret, SLICE("from the list")));
	assert_true(slice_equal(users_find(&users, SLICE("c"))->secret, SLICE("1")));
	assert_int_equal(users_find(&users, SLICE("d"))->secret.n, 0);
	assert_non_null(users_find(&users, SLICE("")));
	assert_null(users_find(&users, SLICE("e")));
	assert_int_equal(users_parse(&users, SLICE("a:r:x\n"), (struct option_list){NULL, 0},
				     USERS_DIGEST, &arena, NULL),
			 0);
	assert_non_null(users_find(&users, SLICE("a:r")));
	arena_free(&arena);
}

static void bad_lines_are_named_but_not_shown(void **state)
{
	static const struct {
		const char *text;
		enum users_format format;
		const char *error;
	} rows[] = {
		{"a:1\nsecret\n", USERS_BASIC,
		 "line 2: error parsing BasicUser: found 1 parts, expected 2 with colons between "
		 "them"},
		{"a:b:c", USERS_BASIC,
		 "line 1: error parsing BasicUser: found 3 parts, expected 2 with colons between "
		 "them"},
		{"#\n\na:b", USERS_DIGEST,
		 "line 3: error parsing DigestUser: found 2 parts, expected 3 with colons between "
		 "them"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct weir_error e = {0};
		struct users users;
		struct arena arena;

		arena_init(&arena, 256, 1 << 16);
		assert_int_equal(users_parse(&users, slice_from(rows[i].text),
					     (struct option_list){NULL, 0}, rows[i].format, &arena,
					     &e),
				 -EINVAL);
		assert_string_equal(e.text, rows[i].error);
		arena_free(&arena);
	}
}

static void digest_headers_are_taken_apart(void **state)
{
	struct digest_parameters p;
	struct arena arena;

	(void)state;
	arena_init(&arena, 256, 1 << 16);
	assert_int_equal(
		digest_header_parse(SLICE("Digest username=\"a \\\"b\\\\, c\", uri=\"/x?y=z,w\", "
					  "qop=auth ,nc=00000001, unknown=1, nonce=\"\", "
					  "nc=2, opaque, cnonce=\",\" , response=\"x"),
				    &arena, &p),
		0);
	assert_true(slice_equal(p.username, SLICE("a \"b\\, c")));
	assert_true(slice_equal(p.uri, SLICE("/x?y=z,w")));
	assert_true(slice_equal(p.qop, SLICE("auth")));
	assert_true(slice_equal(p.nc, SLICE("2")));
	assert_true(p.nonce.p != NULL && p.nonce.n == 0);
	assert_true(slice_equal(p.cnonce, SLICE(",")));
	assert_true(slice_equal(p.response, SLICE("\"x")));
	assert_null(p.algorithm.p);
	assert_int_equal(digest_header_parse(SLICE("digest a=b"), &arena, &p), -EINVAL);
	assert_int_equal(digest_header_parse(SLICE("Digest"), &arena, &p), -EINVAL);
	assert_int_equal(digest_header_parse(SLICE(""), &arena, &p), -EINVAL);
	assert_int_equal(digest_header_parse(SLICE("Digest \"\\"), &arena, &p), 0);
	assert_int_equal(digest_header_parse(SLICE("Digest ,,=,\"\"=,uri="), &arena, &p), 0);
	arena_free(&arena);
	arena_init(&arena, 64, 0);
	assert_int_equal(digest_header_parse(SLICE("Digest a=b"), &arena, &p), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_of_all_lengths),
		cmocka_unit_test(base64_is_written),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(passwords_fit_their_hashes),
		cmocka_unit_test(jobs_that_have_not_begun_can_be_cancelled),
		cmocka_unit_test(lines_of_users_are_read),
		cmocka_unit_test(bad_lines_are_named_but_not_shown),
		cmocka_unit_test(digest_headers_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
