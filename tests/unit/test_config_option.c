#include "config_case.h"

#include <errno.h>

#include "config/source.h"

static const struct {
	const char *text;
	int result;
	int64_t ns;
	const char *written; /* by Go's rules */
} durations[] = {
	{"0", 0, 0, "0s"},
	{"10", 0, 10000000000, "10s"},
	{"-5", 0, -5000000000, "-5s"},
	{"+5", 0, 5000000000, "5s"},
	{"300ms", 0, 300000000, "300ms"},
	{"1h30m5.5s", 0, 5405500000000, "1h30m5.5s"},
	{"1m", 0, 60000000000, "1m0s"},
	{"90s", 0, 90000000000, "1m30s"},
	{".5s", 0, 500000000, "500ms"},
	{"5.s", 0, 5000000000, "5s"},
	{"1us", 0, 1000, "1us"},
	{"1\302\265s", 0, 1000, "1us"},
	{"1\316\274s", 0, 1000, "1us"},
	{"1ns", 0, 1, "1ns"},
	{"0.1ns", 0, 0, "0s"},
	{"1.5h", 0, 5400000000000, "1h30m0s"},
	{"-1.5h", 0, -5400000000000, "-1h30m0s"},
	{"1m1m", 0, 120000000000, "2m0s"},
	{"2562047h47m16.854775807s", 0, INT64_MAX, "2562047h47m16.854775807s"},
	{"9223372036s", 0, 9223372036000000000, "2562047h47m16s"},
	{"9223372037s", -ERANGE, 0, NULL},
	{"9223372037", -ERANGE, 0, NULL},
	{"99999999999999999999", -ERANGE, 0, NULL},
	{"99999999999999999999s", -ERANGE, 0, NULL},
	{"1d", -EINVAL, 0, NULL},
	{"1H", -EINVAL, 0, NULL},
	{"1.5", -EINVAL, 0, NULL},
	{"", -EINVAL, 0, NULL},
	{"-", -EINVAL, 0, NULL},
	{"s", -EINVAL, 0, NULL},
	{".s", -EINVAL, 0, NULL},
	{"1s 1s", -EINVAL, 0, NULL},
	{"1s1", -EINVAL, 0, NULL},
	{" 1s", -EINVAL, 0, NULL},
	{"1e3s", -EINVAL, 0, NULL},
	{"--1s", -EINVAL, 0, NULL},
};

static void durations_are_go_durations_or_seconds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		struct str out = {0};
		int64_t ns = 0;

		assert_int_equal(option_parse_duration(slice_from(durations[i].text), &ns),
				 durations[i].result);
		if (durations[i].result < 0)
			continue;
		assert_int_equal(ns, durations[i].ns);
		option_add_duration(&out, ns);
		assert_string_equal(out.p, durations[i].written);
		str_free(&out);
	}
}

static void booleans_are_gos(void **state)
{
	static const struct {
		const char *text;
		int result;
		bool value;
	} rows[] = {
		{"1", 0, true},       {"t", 0, true},        {"T", 0, true},
		{"true", 0, true},    {"True", 0, true},     {"TRUE", 0, true},
		{"0", 0, false},      {"f", 0, false},       {"F", 0, false},
		{"false", 0, false},  {"False", 0, false},   {"FALSE", 0, false},
		{"tRue", -EINVAL, 0}, {"yes", -EINVAL, 0},   {"on", -EINVAL, 0},
		{"", -EINVAL, 0},     {" true", -EINVAL, 0}, {"2", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool value = !rows[i].value;

		assert_int_equal(option_parse_bool(slice_from(rows[i].text), &value),
				 rows[i].result);
		assert_true(rows[i].result < 0 || value == rows[i].value);
	}
}

static void integers_and_sizes_are_exact(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t value;
	} integers[] =
		{
			{"0", 0, 0},
			{"-0", 0, 0},
			{"+7", 0, 7},
			{"007", 0, 7},
			{"9223372036854775807", 0, INT64_MAX},
			{"-9223372036854775808", 0, INT64_MIN},
			{"9223372036854775808", -ERANGE, 0},
			{"-9223372036854775809", -ERANGE, 0},
			{"", -EINVAL, 0},
			{"-", -EINVAL, 0},
			{"1_0", -EINVAL, 0},
			{"0x1", -EINVAL, 0},
			{"1.0", -EINVAL, 0},
			{" 1", -EINVAL, 0},
		},
	  sizes[] = {
		  {"0", 0, 0},
		  {"65536", 0, 65536},
		  {"64k", 0, 65536},
		  {"64KiB", 0, 65536},
		  {"64 KiB", 0, 65536},
		  {"1M", 0, 1 << 20},
		  {"1MB", 0, 1000000},
		  {"2GiB", 0, INT64_C(2) << 30},
		  {"1GB", 0, 1000000000},
		  {"-1k", 0, -1024},
		  {"9223372036854775807k", -ERANGE, 0},
		  {"k", -EINVAL, 0},
		  {"1.5k", -EINVAL, 0},
		  {"1T", -EINVAL, 0},
	  };
	int64_t value;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(integers); i++) {
		value = 0;
		assert_int_equal(option_parse_int(slice_from(integers[i].text), &value),
				 integers[i].result);
		assert_true(integers[i].result < 0 || value == integers[i].value);
	}
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		value = 0;
		assert_int_equal(option_parse_size(slice_from(sizes[i].text), &value),
				 sizes[i].result);
		assert_true(sizes[i].result < 0 || value == sizes[i].value);
	}
}

/* One of everything. */
enum fruit { APPLE, PEAR };

struct inner {
	slice text;
	int64_t number;
};

struct all {
	slice text;
	bool flag;
	enum option_tristate maybe;
	int64_t number, optional, ranged;
	int32_t small;
	double fraction;
	int64_t duration;
	int64_t size;
	enum fruit fruit;
	struct option_content content;
	struct option_list list;
	struct option_ints ints;
	struct option_floats floats;
	struct option_pairs pairs;
	struct option_int_pairs int_pairs;
	struct inner object;
	struct inner *pointer;
	struct inner *empty;
	struct option_map map;
	struct option_array array;
	const struct tree_node *node;
	struct option_map nodes;
};

static const char *const fruit_items[] = {"apple", "pear"};
static const struct option_names fruits = {fruit_items, 2};

static int check_even(const void *value, struct weir_error *error)
{
	if (*(const int64_t *)value % 2 == 0)
		return 0;
	return error_set(error, -EINVAL, "found an odd number, expected an even one");
}

static const struct option inner_rows[] = {
	OPT_STRING("text", struct inner, text, "default", "Text."),
	OPT_INT("number", struct inner, number, "2", "Even number.", .check = check_even),
	OPT_END,
};

static const struct option all_rows[] = {
	OPT_STRING("text", struct all, text, NULL, "Text."),
	OPT_BOOL("flag", struct all, flag, "true", "Flag."),
	OPT_TRISTATE("maybe", struct all, maybe, NULL, "Perhaps."),
	OPT_INT("number", struct all, number, "7", "Number."),
	OPT_INT("optional", struct all, optional, NULL, "Number.", .flags = OPTION_OPTIONAL),
	OPT_INT("ranged", struct all, ranged, "5", "Number.", .min = 1, .max = 9),
	OPT_INT32("small", struct all, small, "-1", "Number."),
	OPT_FLOAT("fraction", struct all, fraction, "0.5", "Number."),
	OPT_DURATION("duration", struct all, duration, "3s", "Time."),
	OPT_SIZE("size", struct all, size, "64KiB", "Size."),
	OPT_ENUM("fruit", struct all, fruit, fruits, "pear", "Fruit."),
	OPT_CONTENT("content", struct all, content, NULL, "Content."),
	OPT_LIST("list", struct all, list, "a,b", "List."),
	OPT_INTS("ints", struct all, ints, NULL, "Integers."),
	OPT_FLOATS("floats", struct all, floats, "0.1,2", "Numbers."),
	OPT_PAIRS("pairs", struct all, pairs, "Pairs."),
	OPT_INT_PAIRS("intPairs", struct all, int_pairs, "Pairs."),
	OPT_OBJECT("object", struct all, object, inner_rows, "Object."),
	OPT_POINTER("pointer", struct all, pointer, inner_rows, "Object."),
	OPT_POINTER("empty", struct all, empty, inner_rows, "Object.", .flags = OPTION_ALLOW_EMPTY),
	OPT_MAP("map", struct all, map, struct inner, inner_rows, "Map."),
	OPT_ARRAY("array", struct all, array, struct inner, inner_rows, "Array."),
	OPT_FREE("node", struct all, node, "Anything."),
	OPT_FREE_MAP("nodes", struct all, nodes, "Anything by name."),
	OPT_NOWHERE("ignored", INT, ACCEPTED, "3", "Ignored.", .hint = "use number"),
	OPT_NOWHERE("refused", BOOL, REFUSED, "false", "Refused."),
	OPT_NOWHERE_TABLE("quiet", POINTER, ACCEPTED, inner_rows, OPTION_ALLOW_EMPTY, "Ignored."),
	OPT_NOWHERE_TABLE("never", POINTER, REFUSED, inner_rows, 0, "Refused.",
			  .hint = "use object"),
	{.name = "gone",
	 .type = OPTION_FREE,
	 .status = REMOVED,
	 .flags = OPTION_NOWHERE,
	 .hint = "removed long ago"},
	OPT_END,
};

static int decode(struct config_case *c, const char *yaml, struct all *all)
{
	struct option_context context = {.arena = &c->arena, .report = &c->report};

	assert_int_equal(tree_parse(&c->tree, slice_from(yaml), TREE_YAML, "f", &c->error), 0);
	return option_decode(all_rows, c->tree.root, all, &context);
}

static void defaults_hold(void **state)
{
	struct config_case c;
	struct all all = {.number = 1};

	(void)state;
	case_begin(&c);
	assert_int_equal(decode(&c, "", &all), 0);
	assert_true(all.text.p != NULL && all.text.n == 0 && all.flag);
	assert_int_equal(all.maybe, OPTION_UNSET);
	assert_int_equal(all.number, 7);
	assert_true(all.optional == OPTION_NOT_GIVEN);
	assert_int_equal(all.small, -1);
	assert_true(all.fraction == 0.5);
	assert_int_equal(all.duration, 3000000000);
	assert_int_equal(all.size, 65536);
	assert_int_equal(all.fruit, PEAR);
	assert_int_equal(all.list.count, 2);
	assert_true(all.floats.count == 2 && all.floats.items[1] == 2);
	assert_string_equal(all.object.text.p, "default");
	assert_null(all.pointer);
	assert_int_equal(all.map.count, 0);
	case_end(&c);
}

static const char everything[] =
	"TEXT: 0x10\nFlag: f\nmaybe: true\nnumber: -3\noptional: 0\nranged: 9\nsmall: 2147483647\n"
	"fraction: 1e-9\nduration: 1.5s\nsize: 1MiB\nfruit: apple\ncontent: |\n  PEM\n"
	"list: ['a,b', ' c ', 5, true]\nints: [1, -2]\nfloats: 0.25, 4\n"
	"pairs: {a: 1, b: {c: x, d: {e: y}}, f: true}\nintPairs: {x: 5, 418: 404}\n"
	"object: {number: 4}\npointer: {text: p}\nempty: {}\n"
	"map: {Web: {text: w}, 'a b': {}}\narray: [{number: 6}, {text: z}]\n"
	"node: {a: [1, {b: c}]}\nnodes: {x: {y: 1}, z: {}}\n";

static void every_type_is_decoded(void **state)
{
	struct config_case c;
	struct all all = {.number = 0};
	const struct inner *inner;

	(void)state;
	case_begin(&c);
	assert_int_equal(decode(&c, everything, &all), 0);
	assert_string_equal(case_report(&c), "");
	assert_string_equal(all.text.p, "16");
	assert_false(all.flag);
	assert_int_equal(all.maybe, OPTION_TRUE);
	assert_int_equal(all.number, -3);
	assert_int_equal(all.optional, 0);
	assert_int_equal(all.small, INT32_MAX);
	assert_true(all.fraction == 1e-9);
	assert_int_equal(all.duration, 1500000000);
	assert_int_equal(all.size, 1 << 20);
	assert_int_equal(all.fruit, APPLE);
	assert_string_equal(all.content.text.p, "PEM\n");
	assert_int_equal(all.list.count, 4);
	assert_string_equal(all.list.items[0].p, "a,b");
	assert_string_equal(all.list.items[1].p, "c");
	assert_string_equal(all.list.items[3].p, "true");
	assert_true(all.ints.count == 2 && all.ints.items[1] == -2);
	assert_true(all.floats.count == 2 && all.floats.items[1] == 4);
	assert_int_equal(all.pairs.count, 4);
	assert_string_equal(all.pairs.items[2].key.p, "b.d.e");
	assert_string_equal(all.pairs.items[2].value.p, "y");
	assert_true(all.int_pairs.count == 2 && all.int_pairs.items[1].value == 404);
	assert_int_equal(all.object.number, 4);
	assert_string_equal(all.pointer->text.p, "p");
	assert_int_equal(all.empty->number, 2);
	inner = option_map_get(&all.map, "Web");
	assert_string_equal(inner->text.p, "w");
	assert_null(option_map_get(&all.map, "web"));
	inner = all.array.items[1];
	assert_true(all.array.count == 2 && inner->number == 2);
	assert_int_equal(all.node->kind, TREE_MAP);
	assert_int_equal(all.nodes.count, 2);
	case_end(&c);
}

static const struct {
	const char *yaml;
	const char *report;
} wrongs[] = {
	{"txet: a\n", "error: f:1:1: txet: unknown option, did you mean \"text\"?\n"},
	{"object:\n  nmber: 1\n  zzzzzzz: 1\n",
	 "error: f:2:3: object.nmber: unknown option, did you mean \"number\"?\n"
	 "error: f:3:3: object.zzzzzzz: unknown option, expected text, number\n"},
	{"map: {a: {b: 1}}\n", "error: f:1:11: map.a.b: unknown option, expected text, number\n"},
	{"array:\n- text: a\n- {textt: b}\n",
	 "error: f:3:4: array[1].textt: unknown option, did you mean \"text\"?\n"},
	{"text: a\nText: b\n",
	 "error: f:2:7: Text: found it again, expected it once (first as \"text\" at line 1)\n"},
	{"text: [a]\n", "error: f:1:7: text: found a list, expected a string\n"},
	{"text: {a: b}\n", "error: f:1:7: text: found an object, expected a string\n"},
	{"text: 2001-01-01\n",
	 "error: f:1:7: text: found a date, expected a string (in quotes, if the text is meant)\n"},
	{"text: \"a\\0b\"\n",
	 "error: f:1:7: text: found a NUL character, expected text without one\n"},
	{"flag: yes\n", "error: f:1:7: flag: found \"yes\", expected true or false\n"},
	{"number: 1.5\n", "error: f:1:9: number: found \"1.500000\", expected an integer\n"},
	{"number: 9223372036854775808\n",
	 "error: f:1:9: number: found \"9223372036854775808\", which is out of range, expected an "
	 "integer\n"},
	{"small: 2147483648\n", "error: f:1:8: small: found \"2147483648\", which is out of range, "
				"expected an integer of 32 "
				"bits\n"},
	{"ranged: 10\n", "error: f:1:9: ranged: found 10, expected 1 to 9\n"},
	{"fraction: x\n", "error: f:1:11: fraction: found \"x\", expected a number\n"},
	{"duration: 1d\n", "error: f:1:11: duration: found \"1d\", expected a duration such as 10, "
			   "300ms or 1m30s\n"},
	{"duration: ''\n", "error: f:1:11: duration: found \"\", expected a duration such as 10, "
			   "300ms or 1m30s\n"},
	{"size: 1X\n",
	 "error: f:1:7: size: found \"1X\", expected a number of bytes such as 65536 or 64KiB\n"},
	{"fruit: plum\n", "error: f:1:8: fruit: found \"plum\", expected one of apple, pear\n"},
	{"fruit: Pear\n", "error: f:1:8: fruit: found \"Pear\", expected one of apple, pear\n"},
	{"list: {a: b}\n", "error: f:1:7: list: found an object, expected a list of strings\n"},
	{"list: [a, [b]]\n",
	 "error: f:1:7: list: found a list in the list, expected a list of strings\n"},
	{"list: [a, ~]\n",
	 "error: f:1:7: list: found nothing in the list, expected a list of strings\n"},
	{"ints: [1, x]\n", "error: f:1:7: ints: found \"x\", expected a list of integers\n"},
	{"pairs: {a: [b]}\n", "error: f:1:12: pairs.a: found a list, expected a string\n"},
	{"pairs: {}\n",
	 "error: f:1:8: pairs: found an empty object, expected at least one option in "
	 "it\n"},
	{"intPairs: {a: b}\n", "error: f:1:15: intPairs.a: found \"b\", expected an integer\n"},
	{"object: {}\n",
	 "error: f:1:9: object: found an empty object, expected at least one option "
	 "in it\n"},
	{"object: x\n", "error: f:1:9: object: found a string, expected an object\n"},
	{"object: [x]\n", "error: f:1:9: object: found a list, expected an object\n"},
	{"object: {number: 3}\n",
	 "error: f:1:18: object.number: found an odd number, expected an even one\n"},
	{"empty: 5\n", "error: f:1:8: empty: found \"5\", expected an object, true or false\n"},
	{"map: x\n", "error: f:1:6: map: found a string, expected an object with named objects\n"},
	{"map: {a: x}\n", "error: f:1:10: map.a: found a string, expected an object\n"},
	{"map: {a: [x]}\n", "error: f:1:10: map.a: found a list, expected an object\n"},
	{"map: {a: }\n", "warning: f:1:7: a has no value and is ignored; {} would declare it\n"},
	{"array: {a: b}\n", "error: f:1:8: array: found an object, expected a list of objects\n"},
	{"array: [x]\n", "error: f:1:9: array[0]: found a string, expected an object\n"},
	{"nodes: {a: b}\n", "error: f:1:12: nodes.a: found a string, expected an object\n"},
	{"empty:\n", "warning: f:1:1: empty has no value and is ignored; {} would enable it\n"},
	{"number: ~\n", "warning: f:1:1: number has no value and is ignored\n"},
	{"ignored: 4\n", "warning: f:1:10: ignored: accepted without effect; use number\n"},
	{"ignored: 3\nrefused: false\n", ""},
	{"ignored: x\n", "error: f:1:10: ignored: found \"x\", expected an integer\n"},
	{"refused: true\n", "error: f:1:10: refused: not supported by weir\n"},
	{"quiet: {text: a}\n", "warning: f:1:8: quiet: accepted without effect\n"},
	{"quiet: false\n", ""},
	{"quiet: {txt: a}\n", "warning: f:1:8: quiet: accepted without effect\n"
			      "error: f:1:9: quiet.txt: unknown option, did you mean \"text\"?\n"},
	{"never: {text: a}\n", "error: f:1:8: never: not supported by weir; use object\n"},
	{"gone: 1\n", "error: f:1:7: gone: removed long ago\n"},
};

static void what_is_wrong_is_said_exactly(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
		struct all all = {.number = 0};
		struct config_case c;
		int r;

		case_begin(&c);
		r = decode(&c, wrongs[i].yaml, &all);
		assert_string_equal(case_report(&c), wrongs[i].report);
		assert_int_equal(r < 0, strstr(wrongs[i].report, "error: ") != NULL);
		case_end(&c);
	}
}

static void an_empty_list_leaves_the_default(void **state)
{
	static const char *const texts[] = {"list: []\n", "list: ''\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct all all = {.number = 0};
		struct config_case c;

		case_begin(&c);
		assert_int_equal(decode(&c, texts[i], &all), 0);
		assert_int_equal(all.list.count, 2);
		case_end(&c);
	}
}

static void a_dump_decodes_to_the_same(void **state)
{
	static const struct option_dump ways[] = {{.defaults = false}, {.defaults = true}};
	static const char *const texts[] = {everything, "", "pointer: {text: default}\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts) * ARRAY_LEN(ways); i++) {
		struct all all = {.number = 0}, again = {.number = 0};
		struct config_case c, d;
		struct str first = {0}, second = {0};

		case_begin(&c);
		case_begin(&d);
		assert_int_equal(decode(&c, texts[i / 2], &all), 0);
		option_dump(&first, all_rows, &all, &ways[i % 2]);
		assert_int_equal(decode(&d, first.n > 0 ? first.p : "", &again), 0);
		assert_string_equal(case_report(&d), "");
		option_dump(&second, all_rows, &again, &ways[i % 2]);
		assert_true(slice_equal(str_slice(&first), str_slice(&second)));
		assert_int_equal(all.pointer != NULL, again.pointer != NULL);
		str_free(&first);
		str_free(&second);
		case_end(&c);
		case_end(&d);
	}
}

static void the_dump_is_this(void **state)
{
	struct all all = {.number = 0};
	struct config_case c;

	(void)state;
	case_begin(&c);
	assert_int_equal(decode(&c,
				"number: 8\nempty: {}\nmap: {a: {text: 'y'}, b: {}}\narray: "
				"[{number: 4}]\nnodes: {p: {q: [1, 'x y']}}\n",
				&all),
			 0);
	option_dump(&c.out, all_rows, &all, &(struct option_dump){0});
	assert_string_equal(c.out.p, "number: 8\nempty: {}\nmap:\n  a:\n    text: \"y\"\n  b: {}\n"
				     "array:\n  -\n    number: 4\nnodes:\n  p:\n    q:\n      - 1\n"
				     "      - \"x y\"\n");
	case_end(&c);
}

static void too_little_memory_is_an_error_at_every_point(void **state)
{
	bool done = false;
	int failures = 0;

	(void)state;
	for (size_t limit = 1024; !done; limit += 512) {
		struct all all = {.number = 0};
		struct config_case c;
		int r;

		case_begin(&c);
		arena_free(&c.arena);
		arena_init(&c.arena, 512, limit);
		r = tree_init(&c.tree, &c.arena, NULL);
		if (r == 0)
			r = tree_parse(&c.tree, slice_from(everything), TREE_YAML, "f", &c.error);
		if (r == 0) {
			struct option_context context = {.arena = &c.arena, .report = &c.report};

			r = option_decode(all_rows, c.tree.root, &all, &context);
		}
		done = r == 0;
		failures += !done;
		case_end(&c);
	}
	assert_true(failures > 5);
}

static void reports_are_bounded(void **state)
{
	struct config_case c;

	(void)state;
	case_begin(&c);
	for (int i = 0; i < 100; i++)
		(void)config_error(&c.report, (struct tree_place){"f", 1, 1}, "error %d", i);
	assert_int_equal(c.report.errors, 100);
	assert_int_equal(c.report.count, CONFIG_REPORT_MAX);
	assert_non_null(strstr(case_report(&c), "and 36 more\n"));
	case_end(&c);
}

static void content_is_a_file_or_itself(void **state)
{
	char path[] = "/tmp/weir-test-XXXXXX";
	int fd = mkstemp(path);
	struct config_case c;
	struct option_content file = {.text = slice_from(path)}, directory = {.text = SLICE("/")},
			      pem = {.text = SLICE("-----BEGIN X-----")};
	slice content;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "inside", 6), 6);
	case_begin(&c);
	assert_int_equal(option_read_content(&c.arena, &file, &content, &c.error), 0);
	assert_true(slice_equal(content, SLICE("inside")));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(option_read_content(&c.arena, &file, &content, &c.error), -ENOENT);
	assert_non_null(strstr(c.error.text, path));
	assert_int_equal(option_read_content(&c.arena, &pem, &content, &c.error), 0);
	assert_true(slice_equal(content, pem.text));
	assert_int_equal(option_read_content(&c.arena, &directory, &content, &c.error), -EINVAL);
	file.bytes = SLICE("as it was read");
	assert_int_equal(option_read_content(&c.arena, &file, &content, &c.error), 0);
	assert_true(slice_equal(content, file.bytes));
	(void)close(fd);
	case_end(&c);
}

static void the_reference_names_every_option(void **state)
{
	struct str out = {0};

	(void)state;
	option_reference(&out, all_rows, "");
	assert_non_null(
		strstr(out.p, "| `map.<name>.text` | string | `default` | yes | Text. |\n"));
	assert_non_null(
		strstr(out.p, "| `array[n].number` | integer | `2` | yes | Even number. |"));
	assert_non_null(strstr(out.p, "| `never.text` | string | `default` | refused | Text. |"));
	assert_non_null(strstr(
		out.p,
		"| `ignored` | integer | `3` | accepted, no effect | Ignored. use number. |"));
	assert_non_null(strstr(out.p, "| Fruit. One of `apple`, `pear`. |"));
	assert_null(strstr(out.p, "gone"));
	str_free(&out);
	option_help(&out, all_rows, "--");
	assert_non_null(strstr(out.p, "--object.text  (string, default default)\n        Text.\n"));
	assert_null(strstr(out.p, "never"));
	str_free(&out);
}

static void secrets_of_arguments_are_hidden(void **state)
{
	static const char *const rows[][2] = {
		{"weir", "weir"},
		{"--providers.http.headers.authorization=s=t",
		 "--providers.http.headers.authorization=xxxx"},
		{"-Providers.HTTP.headers.x=s", "-Providers.HTTP.headers.x=xxxx"},
		{"--providers.http.tls.key", "--providers.http.tls.key"},
		{"--s", "xxxx"},
		{"--providers.http.endpoint=http://u:p w@h/",
		 "--providers.http.endpoint=http://xxxx@h/"},
		{"--providers.http.endpoint", "--providers.http.endpoint"},
		{"http://u:p&w@h/?a=b", "http://xxxx@h/?a=b"},
		{"--metrics.influxDB2.token=s", "--metrics.influxDB2.token=xxxx"},
		{"--tracing.otlp.http.headers.x=s", "--tracing.otlp.http.headers.x=xxxx"},
		{"--providers.plugin.a.b=s", "--providers.plugin.a.b=xxxx"},
		{"--entryPoints.web.address=:80", "--entryPoints.web.address=:80"},
		{"--log.level=DEBUG", "--log.level=DEBUG"},
		{"--no.such.key=1", "--no.such.key=1"},
		{"--", "--"},
	};
	bool secret = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str out = {0};

		source_add_hidden(&out, slice_from(rows[i][0]), static_options, &secret);
		assert_string_equal(out.p, rows[i][1]);
		str_free(&out);
	}
	assert_false(secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_go_durations_or_seconds),
		cmocka_unit_test(booleans_are_gos),
		cmocka_unit_test(integers_and_sizes_are_exact),
		cmocka_unit_test(defaults_hold),
		cmocka_unit_test(every_type_is_decoded),
		cmocka_unit_test(what_is_wrong_is_said_exactly),
		cmocka_unit_test(an_empty_list_leaves_the_default),
		cmocka_unit_test(a_dump_decodes_to_the_same),
		cmocka_unit_test(the_dump_is_this),
		cmocka_unit_test(too_little_memory_is_an_error_at_every_point),
		cmocka_unit_test(reports_are_bounded),
		cmocka_unit_test(content_is_a_file_or_itself),
		cmocka_unit_test(the_reference_names_every_option),
		cmocka_unit_test(secrets_of_arguments_are_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
