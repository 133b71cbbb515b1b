#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "provider/template.h"

/* What Go's text/template answered to the same text. */
static const struct {
	const char *text;
	const char *output;
} rendered[] = {
	{"{{ index (dict \"a\" 1) \"b\" }}", "<no value>"},
	{"{{ (dict \"a\" 1).b }}", "<no value>"},
	{"{{ (dict \"a\" 1).b.c }}", "<no value>"},
	{"{{ (dict \"a\" nil).a }}", "<no value>"},
	{"{{ print nil }}", "<nil>"},
	{"{{ list 1 \"a\" nil 2.5 true }}", "[1 a <nil> 2.5 true]"},
	{"{{ dict \"a\" 1 \"b\" (list 1 2) }}", "map[a:1 b:[1 2]]"},
	{"{{ eq nil nil }}", "true"},
	{"{{ eq 1 nil }}", "false"},
	{"{{ lt 1 2 }} {{ le 2 2 }} {{ gt \"b\" \"a\" }} {{ ge 1.5 2.5 }} {{ ne 1 "
	 "2 }} {{ lt 1.5 2.5 }} {{ eq true true }}",
	 "true true true false true true true"},
	{"{{ slice (list 1 2 3) 1 2 }}", "[2]"},
	{"{{ add 1 | print 2 }}", "2 1"},
	{"{{ range 3 }}{{ . }},{{ end }}", "0,1,2,"},
	{"{{ range $i := 3 }}{{ $i }},{{ end }}", "0,1,2,"},
	{"{{ range until 3 }}{{ . }}{{ if eq . 1 }}{{ break }}{{ end }}{{ end }}", "01"},
	{"{{ 1.0 }} {{ 1e3 }} {{ 1e21 }} {{ 0.00001 }} {{ 0x10 }} {{ 1_000 }} {{ "
	 "'a' }} {{ 0b11 }} {{ 0o17 }} {{ 017 }}",
	 "1 1000 1e+21 1e-05 16 1000 97 3 15 15"},
	{"{{ 1234567.5 }} {{ 123456.5 }} {{ 1e6 }} {{ 0.0001 }} {{ -0.5 }} {{ 1e100 }}",
	 "1.2345675e+06 123456.5 1e+06 0.0001 -0.5 1e+100"},
	{"{{ printf \"%d %s\" \"a\" 3 }} {{ printf \"%d\" }} {{ printf \"x\" 1 }} "
	 "{{ printf \"%5.2f|%-5d|%05d|%q|%x|%T|%v\" 3.14159 42 42 \"h\\ni\" \"hi\" "
	 "3 (list \"a\" 1) }}",
	 "%!d(string=a) %!s(int=3) %!d(MISSING) x%!(EXTRA int=1)  3.14|42   |00042|\"h\\ni\"|6"
	 "869|int|[a 1]"},
	{"{{ true }} {{ not 0 }} {{ and 1 0 }} {{ or 0 \"x\" }} {{ and 1 \"\" \"z\" }}",
	 "true true 0 x "},
	{"{{ define \"x\" }}[{{ . }}]{{ end }}{{ template \"x\" 5 }}{{ template \"x\" }}",
	 "[5][<no value>]"},
	{"{{ block \"y\" 3 }}{{ . }}{{ end }}", "3"},
	{"{{ $x := 3 }}{{ $x = 4 }}{{ $x }}", "4"},
	{"{{ with 0 }}a{{ else with 3 }}{{ . }}{{ else }}c{{ end }}", "3"},
	{"{{ if 0 }}a{{ else if 0 }}b{{ else }}c{{ end }}", "c"},
	{"{{ range list }}a{{ else }}none{{ end }}", "none"},
	{"{{/* hi */}}x{{- /* yo */ -}}  y", "xy"},
	{"{{ print 1 2 \"a\" \"b\" 3 4 }} {{ println 1 \"a\" }}", "1 2ab3 4 1 a\n"},
	{"{{ html \"<a>&'\\\"\" }} {{ js \"<a'\\\"=&\\n\" }} {{ urlquery \"a b&c/\303\274\" }}",
	 "&lt;a&gt;&amp;&#39;&#34; \\u003Ca\\'\\\"\\u003D\\u0026\\u000A a+b%26c%2F%C3%BC"},
	{"{{ 1 | add 2 }}", "3"},
	{"{{ \"abc\" | upper | printf \"%s-%s\" \"x\" }}", "x-ABC"},
	{"{{ b64dec \"!!\" }}", "illegal base64 data at input byte 0"},
	{"{{ seq 5 }} {{ seq 1 2 }} {{ seq 0 2 10 }} {{ seq 5 1 }}",
	 "1 2 3 4 5 1 2 0 2 4 6 8 10 5 4 3 2 1"},
	{"{{ untilStep 0 10 3 }} {{ until -3 }}", "[0 3 6 9] [0 -1 -2]"},
	{"{{ int \"010\" }} {{ int \"1.5\" }} {{ int 1.9 }} {{ int \"abc\" }} {{ "
	 "float64 \"1.5\" }} {{ atoi \"12x\" }}",
	 "8 0 1 0 1.5 0"},
	{"{{ \"a{{b\" }}", "a{{b"},
	{"{{ first (list) }} {{ last (list 1 2) }} {{ rest (list 1 2) }}", "<no value> 2 [2]"},
	{"{{ quote \"a\" nil 3 }} {{ squote \"a\" 1 }} {{ cat \"a\" nil 2 }}",
	 "\"a\" \"3\" 'a' '1' a 2"},
	{"{{ define \"x\" }}{{ end }}{{ define \"x\" }}b{{ end }}{{ define \"x\" "
	 "}} {{ end }}{{ template \"x\" }}",
	 "b"},
	{"{{ range $i, $e := list 1 2 }}{{ $i }}{{ $e }}{{ end }}", "0112"},
	{"{{ range $k, $v := dict \"b\" 1 \"a\" 2 }}{{ $k }}{{ $v }}{{ end }}", "a2b1"},
	{"{{ range dict \"b\" 1 \"a\" 2 }}{{ . }}{{ end }}", "21"},
	{"{{ (list 1 2) | len }}", "2"},
	{"{{ \"x\" | printf }}", "x"},
	{"{{ with $x := dict \"a\" (dict \"b\" 5) }}{{ $x.a.b }}{{ .a.b }}{{ end }}", "55"},
	{"{{ (dict \"a\" (dict \"b\" 5)).a.b }}", "5"},
	{"{{ add \"1\" \"x\" 2.7 true nil }}", "4"},
	{"{{ index (list (list 1 2)) 0 1 }}", "2"},
	{"{{ eq 1 2 1 }} {{ eq (int64 1) 1 }}", "true true"},
	{"{{ 3 -}}  x  {{- 4 }}", "3x4"},
	{"{{-3}} {{ -3 }}", "-3 -3"},
	{"{{3}}{{- \"a\" -}} {{ \"b\"}}", "3ab"},
	{"{{\"\\u00e9\\x41\\101\"}} {{ '\303\251' }} {{ '\\'' }} {{ '\\n' }}",
	 "\303\251AA 233 39 10"},
	{"{{ printf \"%v %v\" nil (dict) }} {{ printf \"%c%U\" 65 66 }} {{ printf "
	 "\"%*d\" 5 3 }} {{ printf \"%[2]s %[1]s\" \"a\" \"b\" }} {{ printf \"%!\" "
	 "}} {{ printf \"%z\" 3 }}",
	 "<nil> map[] AU+0042     3 b a %!!(MISSING) %!z(int=3)"},
	{"{{ printf \"%t %e %g %6.3g %+d % d %x %X %o %b %#x %#v\" true 1.5 2.5 3.14159 "
	 "5 6 255 255 8 5 255 \"a\" }}",
	 "true 1.500000e+00 2.5   3.14 +5  6 ff FF 10 101 0xff \"a\""},
	{"{{ print (1 | add 2) (3) }}", "3 3"},
	{"{{ and nil 1 }}", "<no value>"},
	{"{{ $ }} {{ $ | print }}", "false false"},
	{"{{ print | }}", ""},
	{"{{ dict \"a\" | len }} {{ dict \"a\" }} {{ dict 1 2 }}", "1 map[a:] map[1:2]"},
	{"{{ range until 3 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ . }}{{ end }}", "02"},
	{"{{ range until 3 }}{{ with 1 }}{{ break }}{{ end }}{{ end }}", ""},
	{"{{ $x := 1 }}{{ range until 3 }}{{ $x = add $x . }}{{ end }}{{ $x }}", "4"},
	{"{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", "21"},
	{"{{ print \"a\" (print \"b\") | print \"c\" }}", "cab"},
	{"{{ template \"x\" 1 }}{{ define \"x\" }}{{ $ }}{{ . }}{{ end }}", "11"},
	{"{{ $x := 1 }}{{ $x }}{{$x | add 1}} {{ ($x) }} {{ $x := list $x }}{{ $x }}", "12 1 [1]"},
	{"{{ range $x := list 1 2 }}{{ range $y := list 3 4 }}{{ $x }}{{ $y }} {{ "
	 "end }}{{ end }}",
	 "13 14 23 24 "},
	{"x {{- \" y \" -}} z", "x y z"},
	{"{{- 1 -}}", "1"},
	{"a{{/* c */}}b{{- /* d */}} c {{/* e */ -}} d", "ab c d"},
	{"{{ if and true (not false) }}y{{ end }}{{ if or false (eq 1 2) }}n{{ else "
	 "}}m{{ end }}",
	 "ym"},
	{"{{ if eq \"a\" \"b\" \"a\" }}yes{{ end }}", "yes"},
	{"{{ if not (has \"x\" (list \"a\")) }}no{{ end }}", "no"},
	{"{{ upper (lower \"\303\200\303\211\") }} {{ \"stra\303\237e\" | title }} "
	 "{{ \"\303\200\303\211\" | lower }} {{ len \"\303\251\" }}",
	 "\303\200\303\211 Stra\303\237e \303\240\303\251 2"},
	{"{{ define \"T\" }}{{ range . }}<{{ . }}>{{ end }}{{ end }}{{ template \"T\" "
	 "list 1 2 }}",
	 "<1><2>"},
	{"{{ (index (list (dict \"a\" 1)) 0).a }}", "1"},
	{"{{ with list }}x{{ else }}y{{ end }}", "y"},
	{"{{range $i,$e:=list 1 2}}{{$i}}={{$e}};{{end}}", "0=1;1=2;"},
	{"{{ print `a\\n\"b\"` }}", "a\\n\"b\""},
	{"{{ .  }}{{ . | print | upper }}", "falseFALSE"},
	{"{{ 1 | print 2 | print 3 }}", "32 1"},
	{"{{ print -5 +5 1.5e3 0x1p4 }}", "-5 5 1500 16"},
	{"{{ \"x\" | upper | }}", "X"},
};

/* What Go refuses too, though in other words. */
static const struct {
	const char *text;
	const char *error;
} refused[] = {
	{"{{ .x }}", "f:1:4: can't evaluate field x in type bool, expected a map"},
	{"{{ $.x }}", "f:1:4: can't evaluate field x in type bool, expected a map"},
	{"{{ nil }}", "f:1:4: nil is not a command, expected a value"},
	{"{{ eq (list) (list) }}", "f:1:4: eq: values of type []interface {} can't be compared"},
	{"{{ eq 1 1.0 }}", "f:1:4: eq: incompatible types for comparison: int and float64"},
	{"{{ eq \"a\" 1 }}", "f:1:4: eq: incompatible types for comparison: string and int"},
	{"{{ lt true false }}", "f:1:4: lt: values of type bool have no order"},
	{"{{ lt 1 \"a\" }}", "f:1:4: lt: incompatible types for comparison: int and string"},
	{"{{ repeat (add 1 1) \"x\" }}",
	 "f:1:11: wrong type of argument for repeat: expected int, found int64"},
	{"{{ slice \"abc\" 1 2 }}", "f:1:4: slice: expected a list, found string"},
	{"{{ foo }}", "f:1:4: function \"foo\" is not defined"},
	{"{{ if }}x{{ end }}", "f:1:7: missing value for if"},
	{"{{ \"a\" | \"b\" }}",
	 "f:1:10: non executable command in pipeline stage 2, expected a function"},
	{"{{ range $i, $e := 3 }}{{ $i }},{{ end }}",
	 "f:1:10: can't use a number to iterate over more than one variable"},
	{"{{ index \"abc\" 1 }} {{ index (list 1 2) 5 }}",
	 "f:1:24: index: index out of range: 5, expected less than 2"},
	{"{{ len 3 }}", "f:1:4: len: a value of type int has no length"},
	{"{{ call 3 }}", "f:1:4: function call is not supported"},
	{"{{ \"a\" \"b\" }}", "f:1:4: can't give argument to non-function \"a\""},
	{"{{ (1) 2 }}", "f:1:4: can't give argument to non-function (...)"},
	{"{{ . 3 }}", "f:1:4: can't give argument to non-function ."},
	{"{{ template \"x\" }}", "f:1:4: template \"x\" is not defined"},
	{"{{ $y }}", "f:1:4: undefined variable $y"},
	{"{{ div 1 0 }}", "f:1:4: div: integer divide by zero"},
	{"{{ 1(2) }}", "f:1:5: unexpected \"(\" in operand, expected a space, | or }}"},
	{"{{ print(1) }}", "f:1:9: unexpected \"(\" in operand, expected a space, | or }}"},
	{"{{ \"a\".b }}", "f:1:7: unexpected . after term \"a\""},
	{"{{ $x := 1 }}{{ $x.y }}", "f:1:17: can't evaluate field y in type int, expected a map"},
	{"{{ end }}", "f:1:4: unexpected {{end}}, nothing is open"},
	{"{{ if 1 }}", "f:1:4: unexpected end of the file, expected {{end}} for this {{if}}"},
	{"{{ if 1 }}{{ else }}{{ else }}{{ end }}",
	 "f:1:4: expected end; found a second {{else}} for this {{if}}"},
	{"{{ else }}", "f:1:4: unexpected {{else}}, nothing is open"},
	{"{{ break }}", "f:1:4: {{break}} outside {{range}}"},
	{"{{ if 1 }}{{ define \"x\" }}{{ end }}{{ end }}",
	 "f:1:14: unexpected {{define}}, expected it outside of other actions"},
	{"{{ define \"x\" }}a{{ end }}{{ define \"x\" }}b{{ end }}{{ template \"x\" }}",
	 "f:1:30: multiple definition of template \"x\""},
	{"{{ template x }}", "f:1:13: unexpected \"x\" in template clause, expected a quoted name"},
	{"{{ define x }}", "f:1:11: unexpected \"x\" in define clause, expected a quoted name"},
	{"{{ range \"abc\" }}{{ . }}{{ end }}",
	 "f:1:10: range can't iterate over a string, expected a list, a map or an int"},
	{"{{ range nil }}{{ . }}{{ end }}", "f:1:10: nil is not a command, expected a value"},
	{"{{ range . }}{{ . }}{{ end }}",
	 "f:1:10: range can't iterate over a bool, expected a list, a map or an int"},
	{"{{ range $i, $e, $f := list 1 2 }}{{ end }}",
	 "f:1:16: too many declarations in range, expected two"},
	{"{{ $i, $e := list 1 2 }}", "f:1:6: too many declarations in command, expected one"},
	{"{{ .a.b }}", "f:1:4: can't evaluate field a in type bool, expected a map"},
	{"{{ if $x := 3 }}{{ $x }}{{ end }}{{ $x }}", "f:1:37: undefined variable $x"},
	{"{{ (list 1).a }}",
	 "f:1:4: can't evaluate field a in type []interface {}, expected a map"},
	{"{{ upper 3 }}", "f:1:10: wrong type of argument for upper: expected string, found int"},
	{"{{ upper nil }}",
	 "f:1:10: wrong type of argument for upper: expected string, found <nil>"},
	{"{{ upper }}", "f:1:4: wrong number of args for upper: expected 1, found 0"},
	{"{{ upper \"a\" \"b\" }}", "f:1:4: wrong number of args for upper: expected 1, found 2"},
	{"{{ index nil 1 }}", "f:1:4: index: can't index a value of type <nil>"},
	{"{{ index (dict \"a\" 1) 1 }}",
	 "f:1:4: index: cannot index a map with a int, expected a string"},
	{"{{ index (list 1) \"a\" }}",
	 "f:1:4: index: cannot index a list with a string, expected an int"},
	{"{{ index }}", "f:1:4: wrong number of args for index: expected at least 1, found 0"},
	{"{{ eq 1 }} ", "f:1:4: eq: missing argument for comparison, expected at least two"},
	{"{{ . | not }} {{ not }}", "f:1:18: wrong number of args for not: expected 1, found 0"},
	{"{{ 9223372036854775808 }}", "f:1:4: 9223372036854775808 overflows int"},
	{"{{ 0x }}", "f:1:4: bad number syntax: 0x"},
	{"{{ 12a }}", "f:1:4: bad number syntax: 12a"},
	{"{{ a+b }}", "f:1:5: unexpected character + after a, expected a space"},
	{"{{ \"a }}", "f:1:4: unterminated quoted string, expected a closing \""},
	{"{{ 'ab' }}", "f:1:4: malformed character constant 'ab', expected one character"},
	{"{{ \"a\" ? }}", "f:1:8: unrecognized character ? in action, expected an operand or }}"},
	{"{{ (1 }}", "f:1:7: unclosed left paren, expected )"},
	{"{{ 1) }}", "f:1:5: unexpected ), no parenthesis is open"},
	{"{{ a: }}", "f:1:4: function \"a\" is not defined"},
	{"{{ if 1 }}a{{ else with 1 }}{{ end }}",
	 "f:1:20: unexpected \"with\" in else, expected }}"},
	{"{{ with 1 }}a{{ else if 1 }}b{{ end }}",
	 "f:1:22: unexpected \"if\" in else, expected }}"},
	{"{{ /* a */ }}", "f:1:4: unrecognized character / in action, expected an operand or }}"},
	{"{{/* a }}", "f:1:1: unclosed comment, expected */"},
	{"{{/* a */ }}", "f:1:1: comment ends before closing delimiter, expected */}}"},
	{"{{ and }} {{ or }}", "f:1:4: wrong number of args for and: expected at least 1, found 0"},
	{"{{ range $i, $_ := until 2 }}{{ $i }}{{ end }}{{ $_ }}", "f:1:50: undefined variable $_"},
	{"{{ true | print }} {{ nil | print }}", "f:1:23: nil is not a command, expected a value"},
	{"{{ 3 | 4 }}", "f:1:8: non executable command in pipeline stage 2, expected a function"},
	{"{{ | }}", "f:1:4: unexpected \"|\" in command, expected an operand"},
	{"{{}}", "f:1:3: missing value for command"},
	{"{{ block \"a\" . }}{{ end }}{{ block \"a\" }}{{ end }}",
	 "f:1:40: missing value for block clause"},
	{"{{ range until 2 }}{{ define \"q\" }}{{ break }}{{ end }}{{ end }}",
	 "f:1:23: unexpected {{define}}, expected it outside of other actions"},
	{"{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
	 "f:1:20: nested too deep, expected at most 250 levels"},
	{"{{ template \"r\" 1 2 }}", "f:1:4: template \"r\" is not defined"},
	{"{{ $x = 3 }}", "f:1:4: undefined variable $x"},
	{"{{ range $i, 3 := list 1 }}{{ end }}",
	 "f:1:14: unexpected \"3\" in range, expected a variable"},
	{"{{ range $i, $j }}{{ end }}",
	 "f:1:14: range can only initialize variables, expected := after $j"},
	{"{{ with (dict \"a\" 1) }}{{ .a }}{{ $.b }}{{ end }}",
	 "f:1:35: can't evaluate field b in type bool, expected a map"},
	{"{{ true false }}", "f:1:4: can't give argument to non-function true"},
	{"{{ \"\\q\" }}", "f:1:4: invalid escape in the string \"\\q\""},
	{"{{ 'a }}", "f:1:4: unterminated character constant, expected a closing '"},
	{"{{ '' }}", "f:1:4: malformed character constant '', expected one character"},
	{"{{ if 1 }}a{{ end }}{{ end }}", "f:1:24: unexpected {{end}}, nothing is open"},
	{"{{ range list 1 }}{{ else }}{{ else }}{{ end }}",
	 "f:1:4: expected end; found a second {{else}} for this {{range}}"},
	{"{{ template \"a\" }}{{ define \"a\" }}{{ $x }}{{ end }}",
	 "f:1:38: undefined variable $x"},
	{"{{ break 1 }}", "f:1:4: {{break}} outside {{range}}"},
	{"{{ range list 1 }}{{ break x }}{{ end }}",
	 "f:1:28: unexpected \"x\" in break, expected }}"},
	{"{{ end 1 }}", "f:1:4: unexpected {{end}}, nothing is open"},
	{"{{ if 1 }}{{ end 1 }}", "f:1:18: unexpected \"1\" in end, expected }}"},
	{"{{ else if }}", "f:1:4: unexpected {{else}}, nothing is open"},
	{"{{ if 1 }}{{ else if }}{{ end }}", "f:1:22: missing value for if"},
	{"{{ .a.b. }}", "f:1:8: unexpected \".\" in operand, expected a space, | or }}"},
	{"{{ ..a }}", "f:1:5: unexpected . after term ."},
	{"{{ $ .a }}", "f:1:4: can't give argument to non-function $"},
	{"{{ $.a.b | default \"x\" }}",
	 "f:1:4: can't evaluate field a in type bool, expected a map"},
	{"{{ \"unclosed\" ", "f:1:15: unclosed action, expected }}"},
	{"{{ ", "f:1:4: unclosed action, expected }}"},
	{"{{ upper | \"x\" }}",
	 "f:1:12: non executable command in pipeline stage 2, expected a function"},
};

static const char *environment(const char *name)
{
	return strcmp(name, "FOO") == 0 ? "bar" : NULL;
}

static void output_is_as_in_go(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rendered); i++) {
		struct template_input input = {.file = "f", .getenv = environment};
		struct weir_error e = {0};
		struct str out = {0};

		if (template_render(slice_from(rendered[i].text), &input, &out, &e) != 0)
			fail_msg("%s: %s", rendered[i].text, e.text);
		str_add_char(&out, '\0');
		assert_string_equal(out.p, rendered[i].output);
		str_free(&out);
	}
}

static void errors_have_a_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct template_input input = {.file = "f", .getenv = environment};
		struct weir_error e = {0};
		struct str out = {0};

		if (template_render(slice_from(refused[i].text), &input, &out, &e) != -EINVAL)
			fail_msg("%s: code %d, %s", refused[i].text, e.code, e.text);
		assert_string_equal(e.text, refused[i].error);
		str_free(&out);
	}
}

static void plain_text_is_untouched(void **state)
{
	static const slice text = SLICE("a: \"{ { }}\"\n# }} \x80 \0 end");
	struct template_input input = {0};
	struct str out = {0};

	(void)state;
	str_add(&out, SLICE("before "));
	assert_int_equal(template_render(text, &input, &out, NULL), 0);
	assert_true(slice_equal(slice_from_at(str_slice(&out), 7), text));
	str_free(&out);
}

static void data_is_reached_by_fields(void **state)
{
	struct arena a;
	struct template_value *data, *labels;
	struct template_input input = {0};
	struct str out = {0};

	(void)state;
	arena_init(&a, 4096, 1 << 20);
	data = template_map(&a);
	labels = template_map(&a);
	assert_true(template_map_put(&a, labels, SLICE("tier"), template_text(&a, SLICE("front"))));
	assert_true(
		template_map_put(&a, data, SLICE("Name"), template_text(&a, SLICE("my_app.1"))));
	assert_true(template_map_put(&a, data, SLICE("Labels"), labels));
	input.data = data;
	assert_int_equal(
		template_render(SLICE("Host(`{{ normalize .Name }}.{{ index .Labels \"tier\" }}.x`)"
				      "{{ .Labels.none }}"),
				&input, &out, NULL),
		0);
	assert_string_equal(out.p, "Host(`my-app-1.front.x`)<no value>");
	str_free(&out);
	arena_free(&a);
}

/* Each would run for ever, or fill the memory. */
static void hostile_templates_end(void **state)
{
	static const char *const texts[] = {
		"{{ range until 1000000000 }}{{ end }}",
		"{{ range 9223372036854775807 }}{{ end }}",
		"{{ repeat 1000000000 \"xxxxxxxxxxxx\" }}",
		"{{ $x := \"x\" }}{{ range until 100 }}{{ $x = print $x $x }}{{ end }}",
		("{{ define \"a\" }}{{ template \"a\" }}{{ template \"a\" }}{{ end }}{{ template "
		 "\"a\" }}"),
		"{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ $d }}",
		"{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ toJson $d }}",
		"{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ printf \"%s\" $d }}",
		"{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ deepCopy $d }}",
		"{{ printf \"%*d\" 100000 1 | repeat 100000 }}",
		"{{ indent 1000000000 \"a\" }}",
		"{{ seq 1 1000000000 }}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct template_input input = {
			.limits = {.memory_bytes_max = 4 << 20, .steps_max = 100000}};
		struct weir_error e = {0};
		struct str out = {0};
		int rc = template_render(slice_from(texts[i]), &input, &out, &e);

		if (rc != -E2BIG && rc != -EINVAL)
			fail_msg("%s: code %d", texts[i], rc);
		assert_true(strstr(e.text, "expected at most") != NULL);
		assert_true(out.n < 4 << 20);
		str_free(&out);
	}
}

static void depth_is_bounded(void **state)
{
	struct template_input input = {0};
	struct weir_error e = {0};
	struct str text = {0}, out = {0};

	(void)state;
	str_add(&text, SLICE("{{ "));
	for (int i = 0; i < 100000; i++)
		str_add_char(&text, '(');
	assert_int_equal(template_render(str_slice(&text), &input, &out, &e), -EINVAL);
	assert_string_equal(e.text, "template:1:254: nested too deep, expected at most 250 levels");
	str_free(&text);
	str_free(&out);
}

static void output_is_bounded(void **state)
{
	struct template_input input = {.file = "f", .limits = {.output_bytes_max = 10}};
	struct weir_error e = {0};
	struct str out = {0};

	(void)state;
	assert_int_equal(template_render(SLICE("{{ range 20 }}x{{ end }}"), &input, &out, &e),
			 -E2BIG);
	assert_string_equal(
		e.text, "f:1:15: the template makes too much, expected at most 10 bytes of output "
			"and 67108864 bytes of values");
	str_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_is_as_in_go),
		cmocka_unit_test(errors_have_a_place),
		cmocka_unit_test(plain_text_is_untouched),
		cmocka_unit_test(data_is_reached_by_fields),
		cmocka_unit_test(hostile_templates_end),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(output_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
