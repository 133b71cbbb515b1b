#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "observe/families.h"
#include "observe/memory.h"
#include "observe/page.h"
#include "proxy/series.h"

static void text_is(struct str *out, const char *expected)
{
	assert_false(out->failed);
	assert_string_equal(out->p, expected);
	str_free(out);
}

static void families_and_samples(void **state)
{
	const struct label labels[] = {{"code", SLICE("200")}, {"method", SLICE("GET")}};
	struct str out = {0};

	(void)state;
	exposition_family(&out, SLICE("x_total"), METRIC_COUNTER, "What it is");
	exposition_number(&out, SLICE("x_total"), labels, 2, UINT64_MAX);
	exposition_number(&out, SLICE("y"), NULL, 0, 0);
	text_is(&out, "# HELP x_total What it is\n"
		      "# TYPE x_total counter\n"
		      "x_total{code=\"200\",method=\"GET\"} 18446744073709551615\n"
		      "y 0\n");
}

/* Backslash, quote and line feed have a notation; every other byte stands for itself. */
static void label_values(void **state)
{
	const struct label labels[] = {{"router", SLICE("a\\b\"c\nd\t\xc3\xa9,}=")},
				       {"service", SLICE("")}};
	struct str out = {0};

	(void)state;
	exposition_number(&out, SLICE("x"), labels, 2, 1);
	text_is(&out, "x{router=\"a\\\\b\\\"c\\nd\t\xc3\xa9,}=\",service=\"\"} 1\n");
}

static void times(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} rows[] = {
		{0, "x 0\n"},
		{1, "x 0.000000001\n"},
		{1000000000, "x 1\n"},
		{1500000000, "x 1.5\n"},
		{UINT64_C(12000000300), "x 12.0000003\n"},
		{UINT64_MAX, "x 18446744073.709551615\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str out = {0};

		exposition_seconds(&out, SLICE("x"), NULL, 0, rows[i].ns);
		text_is(&out, rows[i].text);
	}
}

/* Buckets are cumulative in the text, and the last one is the count. */
static void histograms(void **state)
{
	const uint64_t bounds[] = {100000000, 1200000000}, counts[] = {2, 0, 3};
	const struct exposition_histogram h = {bounds, 2, counts, 4500000000};
	const struct label label = {"plugin", SLICE("p")};
	struct str out = {0};

	(void)state;
	exposition_histogram(&out, SLICE("h"), NULL, 0, &h);
	exposition_histogram(&out, SLICE("h"), &label, 1, &h);
	text_is(&out, "h_bucket{le=\"0.1\"} 2\n"
		      "h_bucket{le=\"1.2\"} 2\n"
		      "h_bucket{le=\"+Inf\"} 5\n"
		      "h_sum 4.5\n"
		      "h_count 5\n"
		      "h_bucket{plugin=\"p\",le=\"0.1\"} 2\n"
		      "h_bucket{plugin=\"p\",le=\"1.2\"} 2\n"
		      "h_bucket{plugin=\"p\",le=\"+Inf\"} 5\n"
		      "h_sum{plugin=\"p\"} 4.5\n"
		      "h_count{plugin=\"p\"} 5\n");
}

static bool is_name(const char *s)
{
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_:")] == '\0' &&
	       (s[0] < '0' || s[0] > '9');
}

/* Names are those that Prometheus allows, no two are equal, and each has a text. */
static void all_families(void **state)
{
	struct str seen = {0};

	(void)state;
	str_add(&seen, SLICE("\n"));
	for (size_t g = 0; g < FAMILY_GROUP_COUNT; g++) {
		for (size_t i = 0; i < family_groups[g].count; i++) {
			const struct family *f = &family_groups[g].families[i];
			struct str line = {0};

			str_add_char(&line, '\n');
			family_add_name(&line, f);
			assert_true(is_name(line.p + 1));
			str_add_char(&line, '\n');
			assert_null(strstr(seen.p, line.p));
			str_add(&seen, slice_from_at(str_slice(&line), 1));
			assert_true(strlen(f->help) > 5 && strchr(f->help, '\n') == NULL);
			str_free(&line);
		}
	}
	assert_non_null(strstr(seen.p, "\nweir_plugin_cpu_seconds_total\n"));
	assert_non_null(strstr(seen.p, "\nweir_plugin_clone_seconds\n"));
	assert_non_null(strstr(seen.p, "\ntraefik_entrypoint_request_duration_seconds\n"));
	str_free(&seen);
}

static struct series_shape shape_of(uint64_t *bounds, size_t count)
{
	return (struct series_shape){.entry_points = true,
				     .routers = true,
				     .services = true,
				     .bound_count = count,
				     .bounds_ns = bounds};
}

/* What `series_visit` showed, as text. */
static void note(void *context, const struct series_group *g, const struct series_sum *sums,
		 size_t count)
{
	struct str *out = context;

	str_format(out, "%.*s/%.*s", SLICE_ARG(g->name), SLICE_ARG(g->service));
	for (size_t i = 0; i < count; i++)
		str_format(out, " %u.%u.%u:%llu,%llu,%llu,%llu[%llu,%llu]", sums[i].key.code,
			   sums[i].key.method, sums[i].key.protocol,
			   (unsigned long long)sums[i].requests,
			   (unsigned long long)sums[i].totals.request_bytes,
			   (unsigned long long)sums[i].totals.response_bytes,
			   (unsigned long long)sums[i].totals.duration_ns,
			   (unsigned long long)sums[i].buckets[0],
			   (unsigned long long)sums[i].buckets[1]);
	str_add_char(out, '\n');
}

static void sums_over_workers(void **state)
{
	uint64_t bounds[] = {100};
	const struct series_shape shape = shape_of(bounds, 1);
	const struct series_key ok = {200, METHOD_GET, SERIES_HTTP}, no = {404, METHOD_GET, 0};
	const struct series_request fast = {1, 10, 100}, slow = {2, 20, 101};
	struct series_registry *r;
	struct series_group *a, *again, *b;
	struct str out = {0};

	(void)state;
	assert_int_equal(series_registry_create(&r, &shape, 2), 0);
	assert_int_equal(series_get(&a, r, SERIES_ROUTER, SLICE("r@file"), SLICE("s@file")), 0);
	assert_int_equal(series_get(&again, r, SERIES_ROUTER, SLICE("r@file"), SLICE("s@file")), 0);
	assert_int_equal(series_get(&b, r, SERIES_SERVICE, SLICE("r@file"), SLICE("")), 0);
	assert_ptr_equal(a, again);
	assert_ptr_not_equal(a, b);
	series_add(&a->workers[1], &shape, no, &fast);
	series_add(&a->workers[0], &shape, ok, &fast);
	series_add(&a->workers[1], &shape, ok, &slow);
	assert_int_equal(series_visit(r, note, &out), 0);
	text_is(&out, "r@file/s@file 200.1.0:2,3,30,201[1,1] 404.1.0:1,1,10,100[1,0]\nr@file/\n");
	/* Gone with the last who refers to it; made anew it begins at nothing. */
	series_release(&a);
	series_release(&again);
	assert_int_equal(series_visit(r, note, &out), 0);
	text_is(&out, "r@file/\n");
	assert_int_equal(series_get(&a, r, SERIES_ROUTER, SLICE("r@file"), SLICE("s@file")), 0);
	assert_int_equal(series_visit(r, note, &out), 0);
	text_is(&out, "r@file/\nr@file/s@file\n");
	series_release(&a);
	series_release(&b);
	series_registry_destroy(&r);
}

/* An upstream that answers with all statuses cannot make the proxy grow without end. */
static void too_many_series(void **state)
{
	const struct series_shape shape = shape_of(NULL, 0);
	const struct series_request request = {0, 0, 1};
	struct series_registry *r;
	struct series_group *g;

	(void)state;
	assert_int_equal(series_registry_create(&r, &shape, 1), 0);
	assert_int_equal(series_get(&g, r, SERIES_SERVICE, SLICE("s"), SLICE("")), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (uint16_t code = 100; code < 1000; code++)
			series_add(&g->workers[0], &shape, (struct series_key){code, 1, 0},
				   &request);
	}
	assert_int_equal(g->workers[0].count, 256);
	assert_int_equal(series_losses(r).refused, 2 * (900 - 256));
	series_release(&g);
	assert_int_equal(series_losses(r).refused, 2 * (900 - 256));
	series_registry_destroy(&r);
}

#define ROUNDS 200000u

struct counting {
	struct series_group *group;
	const struct series_shape *shape;
	size_t worker;
};

static void *count_up(void *context)
{
	const struct counting *c = context;
	const struct series_request request = {1, 1, 1};

	for (unsigned i = 0; i < ROUNDS; i++)
		series_add(&c->group->workers[c->worker], c->shape,
			   (struct series_key){(uint16_t)(200 + i % 7), 1, 0}, &request);
	return NULL;
}

static void add_up(void *context, const struct series_group *g, const struct series_sum *sums,
		   size_t count)
{
	uint64_t *total = context;

	(void)g;
	*total = 0;
	for (size_t i = 0; i < count; i++) {
		*total += sums[i].requests;
		assert_true(sums[i].requests <= 2 * ROUNDS);
	}
}

/* Reading while two workers count: never less than before, and all of it in the end. */
static void read_while_counting(void **state)
{
	uint64_t bounds[] = {100}, total = 0, before = 0;
	const struct series_shape shape = shape_of(bounds, 1);
	struct counting c[2];
	struct series_registry *r;
	struct series_group *g;
	pthread_t t[2];

	(void)state;
	assert_int_equal(series_registry_create(&r, &shape, 2), 0);
	assert_int_equal(series_get(&g, r, SERIES_SERVICE, SLICE("s"), SLICE("")), 0);
	for (size_t i = 0; i < 2; i++) {
		c[i] = (struct counting){g, &shape, i};
		assert_int_equal(pthread_create(&t[i], NULL, count_up, &c[i]), 0);
	}
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(series_visit(r, add_up, &total), 0);
		assert_true(total >= before);
		before = total;
	}
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_int_equal(series_visit(r, add_up, &total), 0);
	assert_int_equal(total, 2 * ROUNDS);
	series_release(&g);
	series_registry_destroy(&r);
}

static enum series_protocol protocol_with(struct arena *a, slice name, slice value, bool upgrade)
{
	struct request q = {.upgrade = upgrade};

	fields_init(&q.fields, a);
	assert_int_equal(fields_add(&q.fields, name, value), 0);
	return series_protocol_of(&q);
}

static void protocols(void **state)
{
	static const struct {
		const char *name, *value;
		bool upgrade;
		enum series_protocol protocol;
	} rows[] = {
		{"Accept", "text/html", false, SERIES_HTTP},
		{"Accept", "text/html, Text/Event-Stream", false, SERIES_SSE},
		{"Accept", "text/event-stream;q=1", false, SERIES_HTTP},
		{"Upgrade", "h2c, WebSocket", true, SERIES_WEBSOCKET},
		{"Upgrade", "websocket", false, SERIES_HTTP},
		{"Content-Type", "application/grpc", false, SERIES_GRPC},
		{"Content-Type", "application/grpc+proto", false, SERIES_GRPC},
		{"Content-Type", "application/grpc-web-text", false, SERIES_GRPC_WEB},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 4096, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(protocol_with(&a, slice_from(rows[i].name),
					       slice_from(rows[i].value), rows[i].upgrade),
				 rows[i].protocol);
	arena_free(&a);
}

static void memory_of_the_process(void **state)
{
	struct memory_process seen;
	struct memory_numbers numbers;
	char path[] = "/tmp/weir-smaps-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "55d0-7fff ---p 00000000 00:00 0    [rollup]\n"
				     "Rss:                2048 kB\nPss:                  12 kB\n"
				     "Pss_Dirty: x kB\nUnknown: 5 kB\nno colon\n"
				     "Private_Dirty:         7 kB\n") > 0,
			 1);
	assert_true(memory_process_read(&seen, path));
	assert_int_equal(seen.resident, 2048 * 1024);
	assert_int_equal(seen.proportional, 12 * 1024);
	assert_int_equal(seen.private_dirty, 7 * 1024);
	assert_int_equal(seen.proportional_dirty + seen.private_clean + seen.swapped, 0);
	(void)close(fd);
	(void)unlink(path);
	assert_false(memory_process_read(&seen, path));
	memory_read(&numbers);
	/* Sanitizers tell nothing. */
	assert_true(numbers.allocated_bytes <= numbers.allocator_resident_bytes);
}

static void pages_with_data(void **state)
{
	struct str out = {0};

	(void)state;
	page_add(&out, SLICE("<script>d = @X@;</script>"), SLICE("@X@"), SLICE("[\"</script><\"]"));
	assert_string_equal(out.p, "<script>d = [\"\\u003c/script>\\u003c\"];</script>");
	str_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_and_samples),
		cmocka_unit_test(label_values),
		cmocka_unit_test(times),
		cmocka_unit_test(histograms),
		cmocka_unit_test(all_families),
		cmocka_unit_test(sums_over_workers),
		cmocka_unit_test(too_many_series),
		cmocka_unit_test(read_while_counting),
		cmocka_unit_test(protocols),
		cmocka_unit_test(memory_of_the_process),
		cmocka_unit_test(pages_with_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
