#include "config_case.h"
#include "config_scalar_rows.h"

#include <errno.h>

#define YAML(text_, json_) \
	{ \
		text_, TREE_YAML, json_ \
	}
#define TOML(text_, json_) \
	{ \
		text_, TREE_TOML, json_ \
	}

static const struct {
	const char *text;
	enum tree_format format;
	const char *json; /* or the error */
} documents[] = {
	YAML("", "{}"),
	YAML("# nothing\n", "{}"),
	YAML("---\n", "{}"),
	YAML("~\n", "{}"),
	YAML("a: 1\nb: [x, 2, ~]\nc: {d: true}\n",
	     "{\"a\":1,\"b\":[\"x\",2,null],\"c\":{\"d\":true}}"),
	YAML("a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}"),
	YAML("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n",
	     "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":1,\"c\":3}}"),
	YAML("a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y], f: 4}\n",
	     "{\"a\":{\"b\":1},\"c\":{\"b\":2,\"d\":3},\"e\":{\"b\":1,\"d\":3,\"f\":4}}"),
	YAML("a: {\"<<\": 1}\n", "{\"a\":{\"\\u003c\\u003c\":1}}"),
	YAML("1: a\n2.5: b\ntrue: c\n", "{\"1\":\"a\",\"2.5\":\"b\",\"true\":\"c\"}"),
	YAML("a: \"\\u2028\\u00e9\"\n", "{\"a\":\"\\u2028\303\251\"}"),
	YAML("{\"a\": \"\\/\", \"b\": [1.5, 1e100]}", "{\"a\":\"/\",\"b\":[1.5,1e+100]}"),
	YAML("- a\n", "f:1:1: found a list, expected an object with options"),
	YAML("a\n", "f:1:1: found a string, expected an object with options"),
	YAML("5\n", "f:1:1: found an integer, expected an object with options"),
	YAML("a: 1\nb: 2\na: 3\n",
	     "f:3:1: found key \"a\" again, expected it once (first at line 1)"),
	YAML("a: {b: 1, b: 2}\n",
	     "f:1:11: found key \"b\" again, expected it once (first at line 1)"),
	YAML("a: *x\n", "f:1:4: found alias *x, expected an anchor of that name before it"),
	YAML("a: &x {b: *x}\n", "f:1:11: found alias *x inside its own anchor"),
	YAML("? [a]\n: b\n", "f:1:3: found a list as a key, expected a string"),
	YAML("? {a: b}\n: b\n", "f:1:3: found an object as a key, expected a string"),
	YAML("a: &x b\n*x : c\n", "f:2:1: found an alias as a key, expected a string"),
	YAML("a: {<<: b}\n", "f:1:9: found a string, expected an object to merge"),
	YAML("a: {<<: [b]}\n", "f:1:10: found a string, expected an object to merge"),
	YAML("a: !!int x\n", "f:1:4: found \"x\", expected a value of type !!int"),
	YAML("a: !foo x\n",
	     "f:1:4: found tag !foo, expected none, !!str, !!int, !!float, !!bool or !!null"),
	YAML("a: 1\n---\nb: 2\n", "f:2:1: found a second document, expected only one"),
	YAML("a: 'x\n", "f:2:1: while scanning a quoted scalar, found unexpected end of stream"),
	YAML("a: [1, 2\nb: 3\n",
	     "f:2:2: while parsing a flow sequence, did not find expected ',' or ']'"),
	YAML("a:\n\t- b\n", "f:2:1: found a tab, expected spaces for indentation"),
	YAML("a: \xc3\xa9\xc3\xa9\n\t- b\n", "f:2:1: found a tab, expected spaces for indentation"),
	YAML("a: \xff\n", "f:1:4: invalid leading UTF-8 octet, expected UTF-8 text"),
	TOML("", "{}"),
	TOML("b = 1\na = [1, 2]\n[c]\nd = true\n[[c.e]]\nf = 'x'\n[[c.e]]\n",
	     "{\"a\":[1,2],\"b\":1,\"c\":{\"d\":true,\"e\":[{\"f\":\"x\"},{}]}}"),
	TOML("a = 0x1F\nb = 1_000\nc = 1.5\nd = inf\ne = 1e3\n",
	     "{\"a\":31,\"b\":1000,\"c\":1.5,\"d\":\"+Inf\",\"e\":1000}"),
	TOML("a.b.c = \"\\u00e9\\n\"\n", "{\"a\":{\"b\":{\"c\":\"\303\251\\n\"}}}"),
	TOML("a = 1979-05-27T07:32:00Z\n", "{\"a\":\"1979-05-27T07:32:00Z\"}"),
	TOML("a = 1\na = 2\n", "f:2:1: found \"a\" again, expected it once (first at line 1)"),
	TOML("[a]\nb = 1\n[a]\n", "f:3:2: found \"a\" again, expected it once (first at line 1)"),
	TOML("a = {b = 1}\n[a.c]\n",
	     "f:2:2: found \"a\" again, expected it once (first at line 1)"),
	TOML("a.b = 1\n[a]\n", "f:2:2: found \"a\" again, expected it once (first at line 1)"),
	TOML("[a.b]\n[a]\nb.c = 1\n",
	     "f:3:1: found \"b\" again, expected it once (first at line 1)"),
	TOML("a = [1]\n[[a]]\n", "f:2:3: found \"a\" again, expected it once (first at line 1)"),
	TOML("[[a]]\nb = 1\n[a.c]\nd = 2\n[[a]]\nb = 3\n",
	     "{\"a\":[{\"b\":1,\"c\":{\"d\":2}},{\"b\":3}]}"),
	TOML("[fruit]\napple.color = 1\n[fruit.apple.texture]\n",
	     "{\"fruit\":{\"apple\":{\"color\":1,\"texture\":{}}}}"),
	TOML("\357\273\277a = '''\r\nx\ny'''''\r\nb = \"\"\"\\\n  z\"\"\"\n",
	     "{\"a\":\"x\\ny''\",\"b\":\"z\"}"),
	TOML("a = [ # x\n 1,\n 2, ]\nb = { c.d = 1, c.e = {} }\n",
	     "{\"a\":[1,2],\"b\":{\"c\":{\"d\":1,\"e\":{}}}}"),
	TOML("a = 1979-05-27 07:32:00.5-07:00\nb = 07:32:00\n",
	     "{\"a\":\"1979-05-27 07:32:00.5-07:00\",\"b\":\"07:32:00\"}"),
	TOML("a = abc\n", "f:1:5: found abc, expected a value (text in quotes)"),
	TOML("a = 010\n", "f:1:5: found 010, expected a value (text in quotes)"),
	TOML("a = 9223372036854775808\n",
	     "f:1:24: found an integer out of range, expected one of 64 bits"),
	TOML("a =\n", "f:1:4: found no value, expected one"),
	TOML("a\n", "f:1:2: found something else, expected = after the key"),
	TOML("a = 1 b = 2\n", "f:1:7: found more on the line, expected its end"),
	TOML("[a\n[b]\n", "f:1:3: found something else, expected ] after the name"),
	TOML("[\n[x]\n",
	     "f:1:2: found no key, expected one (letters, digits, _ and -, or in quotes)"),
	TOML("{\n\"a\": 1\n}\n", "f:1:1: found no key: expected '.' or '=', but got '{' instead"),
	TOML("a = [1 2]\n", "f:1:8: found something else, expected , or ] in the list"),
	TOML("a = {b = 1,}\n",
	     "f:1:12: found no key, expected one (letters, digits, _ and -, or in quotes)"),
	TOML("a = {b = 1\n}\n",
	     "f:1:11: found something else, expected , or } in the inline table"),
	TOML("a = \"\\q\"\n", "f:1:7: found an unknown escape, expected \\b, \\t, \\n, \\f, \\r, "
			      "\\\", \\\\, \\uXXXX or \\UXXXXXXXX"),
	TOML("a = \"\\ud800\"\n", "f:1:12: found U+D800, expected a character"),
	TOML("a = 'x\n", "f:1:7: found the end of the line, expected ' to close the string"),
	TOML("a = '''x\n",
	     "f:2:1: found the end of the text, expected three of ' to close the string"),
	TOML("a = 'x\x01'\n", "f:1:7: found control character 0x01, expected text"),
	TOML("a = '\303\251\377'\n", "f:1:7: found a byte that is not UTF-8, expected UTF-8 text"),
};

static void documents_give_the_expected_tree(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		struct config_case c;

		case_begin(&c);
		assert_string_equal(case_json(&c, documents[i].text, documents[i].format, false),
				    documents[i].json);
		case_end(&c);
	}
}

static void scalars_become_what_traefik_makes_of_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scalar_rows); i++) {
		const struct tree_node *node;
		struct config_case c;
		char text[200];

		case_begin(&c);
		(void)snprintf(text, sizeof text, "a:\n      b: %s\n", scalar_rows[i].yaml);
		assert_int_equal(tree_parse(&c.tree, slice_from(text), TREE_YAML, "f", &c.error),
				 0);
		node = tree_child(c.tree.root->first, SLICE("b"));
		if (scalar_rows[i].text == NULL)
			assert_int_equal(node->kind, TREE_NULL);
		else
			assert_string_equal(node->text.p, scalar_rows[i].text);
		case_end(&c);
	}
}

/* The table of types that plugins see. */
static const struct {
	const char *yaml;
	const char *json;
} plugin_rows[] = {
	{"{}", "{}"},
	{"str: hello", "{\"str\":\"hello\"}"},
	{"int: 10", "{\"int\":\"10\"}"},
	{"flt: 1.5", "{\"flt\":\"1.500000\"}"},
	{"flt: 2.0", "{\"flt\":\"2\"}"},
	{"bool: true", "{\"bool\":\"true\"}"},
	{"x: null", "{}"},
	{"m: {}\nl: []", "{\"l\":\"\",\"m\":\"\"}"},
	{"l: [1, 2]", "{\"l\":[1,2]}"},
	{"l: [true, false]", "{\"l\":[true,false]}"},
	{"l: [1, 2.6]", "{\"l\":[1,2.6]}"},
	{"l: [1, a, true]", "{\"l\":[\"1\",\"a\",\"true\"]}"},
	{"l: [{a: 1}, {b: {c: true}}]", "{\"l\":[{\"a\":\"1\"},{\"b\":{\"c\":\"true\"}}]}"},
	{"Z: {Y: 1}\na: <&>", "{\"Z\":{\"Y\":\"1\"},\"a\":\"\\u003c\\u0026\\u003e\"}"},
};

static void plugins_get_the_types_that_traefik_gives(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plugin_rows); i++) {
		struct config_case c;

		case_begin(&c);
		assert_string_equal(case_json(&c, plugin_rows[i].yaml, TREE_YAML, true),
				    plugin_rows[i].json);
		case_end(&c);
	}
}

static void the_same_configuration_in_three_formats_is_the_same_tree(void **state)
{
	static const char yaml[] =
		"log:\n  level: DEBUG\nentryPoints:\n  web:\n    address: \":80\"\n"
		"    http: {middlewares: [a, b]}\n  websecure: {address: \":443\", "
		"asDefault: true}\nx: [{a: 1.5}, {a: 2}]\n";
	static const char json[] =
		"{\"log\": {\"level\": \"DEBUG\"}, \"entryPoints\": {\"web\": {\"address\": "
		"\":80\", \"http\": {\"middlewares\": [\"a\", \"b\"]}},\n"
		"\"websecure\": {\"address\": \":443\", \"asDefault\": true}}, \"x\": [{\"a\": "
		"1.5}, "
		"{\"a\": 2}]}";
	static const char toml[] =
		"[log]\nlevel = 'DEBUG'\n[entryPoints.web]\naddress = ':80'\n"
		"http.middlewares = ['a', 'b']\n[entryPoints.websecure]\n"
		"address = ':443'\nasDefault = true\n[[x]]\na = 1.5\n[[x]]\na = 2\n";
	struct config_case a, b, c;

	(void)state;
	case_begin(&a);
	case_begin(&b);
	case_begin(&c);
	assert_string_equal(case_json(&a, yaml, TREE_YAML, false),
			    case_json(&b, json, TREE_JSON, false));
	assert_string_equal(a.out.p, case_json(&c, toml, TREE_TOML, false));
	case_end(&a);
	case_end(&b);
	case_end(&c);
}

static void places_are_those_of_the_file(void **state)
{
	static const struct {
		const char *text;
		enum tree_format format;
		uint32_t key_line, key_column, line, column;
	} rows[] = {
		{"# x\na:\n  b:   c\n", TREE_YAML, 3, 3, 3, 8},
		{"{\"a\":\n {\"b\": 1}}", TREE_JSON, 2, 3, 2, 8},
		{"[a]\n\nb =  'c'\n", TREE_TOML, 3, 1, 3, 6},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct tree_node *b;
		struct config_case c;

		case_begin(&c);
		assert_int_equal(tree_parse(&c.tree, slice_from(rows[i].text), rows[i].format, "f",
					    &c.error),
				 0);
		b = tree_child(tree_child(c.tree.root, SLICE("A")), SLICE("B"));
		assert_non_null(b);
		assert_int_equal(b->key_place.line, rows[i].key_line);
		assert_int_equal(b->key_place.column, rows[i].key_column);
		assert_int_equal(b->place.line, rows[i].line);
		assert_int_equal(b->place.column, rows[i].column);
		tree_add_path(&c.out, b);
		assert_string_equal(c.out.p, "a.b");
		case_end(&c);
	}
}

static void what_is_emitted_reads_back_the_same(void **state)
{
	static const char *const texts[] = {
		"a: 1.0\nb: 100000.0\nc: 1e300\nd: .inf\ne: -.inf\nf: 0.1\ng: 1e-7\n",
		("a: 'true'\nb: \"~\"\nc: ''\nd: '1'\ne: yes\nf: 'x: y'\ng: '- x'\nh: "
		 "\"a\\nb\\0c\"\n"),
		"a: \"\\u0085\\u2028\\ufeff\\x80\\\"\\\\\"\n'x y': {'': [[], {}, [[1]], ~]}\n",
		"a: 2001-01-01\nb: [2001-01-01T01:01:01Z, '2001-01-01']\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct config_case c, again;
		struct str yaml = {0};

		case_begin(&c);
		case_begin(&again);
		(void)case_json(&c, texts[i], TREE_YAML, false);
		assert_int_equal(c.error.code, 0);
		tree_add_yaml(&yaml, c.tree.root, 0);
		assert_string_equal(case_json(&again, yaml.p, TREE_YAML, false), c.out.p);
		str_free(&yaml);
		case_end(&c);
		case_end(&again);
	}
}

static void a_long_key_reads_back_the_same(void **state)
{
	struct config_case c, again;
	struct str yaml = {0};

	(void)state;
	case_begin(&c);
	case_begin(&again);
	for (int i = 0; i < 3000; i++)
		str_add_char(&yaml, 'k');
	assert_non_null(tree_add(&c.tree, c.tree.root, str_slice(&yaml),
				 (struct tree_place){"f", 1, 1}, &c.error));
	str_clear(&yaml);
	tree_add_yaml(&yaml, c.tree.root, 0);
	(void)case_json(&again, yaml.p, TREE_YAML, false);
	assert_int_equal(again.tree.root->first->key.n, 3000);
	str_free(&yaml);
	case_end(&c);
	case_end(&again);
}

static void repeat(struct str *out, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		str_add(out, slice_from(text));
}

static void nesting_is_limited(void **state)
{
	static const struct {
		const char *before, *each, *after;
		enum tree_format format;
	} rows[] = {
		{"a: ", "[", "", TREE_YAML},
		{"a: ", "{a: ", "", TREE_YAML},
		{"a = ", "[", "", TREE_TOML},
		{"a", ".a", "=1", TREE_TOML},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config_case c;
		struct str text = {0};

		case_begin(&c);
		str_add(&text, slice_from(rows[i].before));
		repeat(&text, rows[i].each, 100000);
		str_add(&text, slice_from(rows[i].after));
		assert_true(tree_parse(&c.tree, str_slice(&text), rows[i].format, "f", &c.error) <
			    0);
		str_free(&text);
		case_end(&c);
	}
}

static void aliases_do_not_explode(void **state)
{
	struct config_case c;
	struct str text = {0};

	(void)state;
	case_begin(&c);
	str_add(&text, SLICE("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"));
	for (int i = 1; i < 20; i++) {
		str_format(&text, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			str_format(&text, "*a%d, ", i - 1);
		str_add(&text, SLICE("]\n"));
	}
	assert_int_equal(tree_parse(&c.tree, str_slice(&text), TREE_YAML, "f", &c.error), -E2BIG);
	assert_non_null(strstr(c.error.text, "found more than 1000000 values"));
	str_free(&text);
	case_end(&c);
}

static void files_are_read_within_limits(void **state)
{
	static const struct tree_limits small = {.file_bytes = 10, .nodes = 3, .depth = 2};
	char path[] = "/tmp/weir-test-XXXXXX.yaml";
	int fd = mkstemps(path, 5);
	struct config_case c;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a: 1\n", 5), 5);
	case_begin(&c);
	assert_int_equal(tree_load(&c.tree, path, &c.error), 0);
	assert_int_equal(tree_init(&c.tree, &c.arena, &small), 0);
	assert_int_equal(write(fd, "b: 2\nc: 3\n", 10), 10);
	assert_int_equal(tree_load(&c.tree, path, &c.error), -EFBIG);
	assert_non_null(strstr(c.error.text, "found 15 bytes, expected at most 10"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(tree_load(&c.tree, path, &c.error), -ENOENT);
	assert_int_equal(tree_load(&c.tree, "/dev/null.conf", &c.error), -EINVAL);
	assert_string_equal(c.error.text,
			    "/dev/null.conf: found an unknown file extension, expected "
			    ".yaml, .yml, .toml or .json");
	assert_int_equal(tree_read_file(&c.arena, "/dev/zero", 10, &(slice){0}, &c.error), -EINVAL);
	assert_int_equal(tree_read_file(&c.arena, "/", 10, &(slice){0}, &c.error), -EINVAL);
	assert_string_equal(c.error.text, "/: found a directory, expected a regular file");
	(void)close(fd);
	case_end(&c);
}

/* An "&" is `\u0026` in JSON, and what was looked for in it was not found. */
static void users_of_urls_are_hidden_whatever_the_escapes(void **state)
{
	static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-._:~!$&'()*+,;=%@",
			  wrong[] = "/?#\"\\<> \t\n{}^`|[]";
	void (*const formats[])(struct str *, slice) = {tree_add_json_string, tree_add_yaml_string};
	struct str all = {0};

	(void)state;
	str_add(&all, slice_from(valid));
	str_add(&all, slice_from(wrong));
	for (size_t i = 0; i < 2 * all.n; i++) {
		struct str url = {0}, in = {0}, out = {0}, expected = {0};

		str_format(&url, "ftp://user:pass%cword@h&/x?y=\"\\\n\u00e4\u2028", all.p[i / 2]);
		str_add(&in, SLICE("{\"a\":"));
		formats[i % 2](&in, str_slice(&url));
		str_add(&in, SLICE(",\"b\":1}"));
		str_add(&expected, SLICE("{\"a\":"));
		formats[i % 2](&expected, SLICE("ftp://xxxx@h&/x?y=\"\\\n\u00e4\u2028"));
		str_add(&expected, SLICE(",\"b\":1}"));
		/* JSON's keys are in quotes, too. */
		tree_add_hidden(&out, str_slice(&in), formats[i % 2]);
		if (i % 2 == 0)
			assert_string_equal(out.p, expected.p);
		assert_null(strstr(out.p, "user"));
		assert_null(strstr(out.p, "word"));
		assert_non_null(strstr(out.p, "ftp://xxxx@h"));
		str_free(&url);
		str_free(&in);
		str_free(&out);
		str_free(&expected);
	}
	str_free(&all);
}

static void put(struct config_case *c, const char *path, const char *value, int expected)
{
	assert_int_equal(tree_put(&c->tree, slice_from(path), slice_from(value),
				  (struct tree_place){"p", 0, 0}, &c->error),
			 expected);
}

static void flat_names_make_a_tree(void **state)
{
	static const char *const wrong[] = {"",   ".",    ".a",  "a.",    "a..b",    "[0]", "a.[0]",
					    "a[", "a[x]", "a[0", "a[0]b", "a[0][1]", "a]"};
	struct config_case c;

	(void)state;
	case_begin(&c);
	put(&c, "A.b", "1", 0);
	put(&c, "a.C", "2", 0);
	put(&c, "a.B", "3", 0);
	put(&c, "d[10].x", "ten", 0);
	put(&c, "d[2].x", "two", 0);
	put(&c, "D[2].y", "too", 0);
	put(&c, "d[0].x", "zero", 0);
	put(&c, "e", "false", 0);
	put(&c, "e.f", "g", 0);
	tree_add_json(&c.out, c.tree.root, false);
	assert_string_equal(
		c.out.p,
		"{\"A\":{\"C\":\"2\",\"b\":\"3\"},\"d\":[{\"x\":\"zero\"},{\"x\":\"two\",\"y\":"
		"\"too\"},{\"x\":\"ten\"}],\"e\":{\"f\":\"g\"}}");
	assert_string_equal(tree_get(&c.tree, SLICE("e"))->text.p, "false");
	put(&c, "g", "\377", -EINVAL);
	put(&c, "g\377", "x", -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		put(&c, wrong[i], "x", -EINVAL);
	case_end(&c);
}

static void an_overlay_merges_maps_and_replaces_the_rest(void **state)
{
	struct config_case below, above;

	(void)state;
	case_begin(&below);
	case_begin(&above);
	(void)case_json(&below, "a: {b: 1, c: [1, 2]}\nd: x\ne: {f: 1}\n", TREE_YAML, false);
	(void)case_json(&above, "A: {C: [3], g: 4}\nd: {h: 5}\ne: 6\n", TREE_YAML, false);
	assert_int_equal(tree_overlay(&below.tree, below.tree.root, above.tree.root, &below.error),
			 0);
	str_clear(&below.out);
	tree_add_json(&below.out, below.tree.root, false);
	assert_string_equal(below.out.p,
			    "{\"a\":{\"b\":1,\"c\":[3],\"g\":4},\"d\":{\"h\":5},\"e\":6}");
	case_end(&below);
	case_end(&above);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_give_the_expected_tree),
		cmocka_unit_test(scalars_become_what_traefik_makes_of_them),
		cmocka_unit_test(plugins_get_the_types_that_traefik_gives),
		cmocka_unit_test(the_same_configuration_in_three_formats_is_the_same_tree),
		cmocka_unit_test(places_are_those_of_the_file),
		cmocka_unit_test(what_is_emitted_reads_back_the_same),
		cmocka_unit_test(a_long_key_reads_back_the_same),
		cmocka_unit_test(nesting_is_limited),
		cmocka_unit_test(aliases_do_not_explode),
		cmocka_unit_test(files_are_read_within_limits),
		cmocka_unit_test(users_of_urls_are_hidden_whatever_the_escapes),
		cmocka_unit_test(flat_names_make_a_tree),
		cmocka_unit_test(an_overlay_merges_maps_and_replaces_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
