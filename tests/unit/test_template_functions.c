#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "provider/template.h"

/* What sprig's functions answered to the same text. */
static const struct {
	const char *text;
	const char *output;
} rendered[] = {
	{"{{ substr -1 2 \"hello\" }} {{ substr 1 -1 \"hello\" }} {{ substr 1 3 \"hello\" "
	 "}} {{ substr 3 99 \"hello\" }}",
	 "he ello el lo"},
	{"{{ abbrev 5 \"hello world\" }} {{ swapcase \"Hello World foo\" }} {{ untitle "
	 "\"Hello World\" }} {{ title \"hello wORLD a-b\" }} {{ initials \"First "
	 "Try\" }} {{ nospace \" a b \" }}",
	 "he... hELLO wORLD FOO hello world Hello WORLD A-B FT ab"},
	{"{{ repeat 3 \"ab\" }}{{ repeat 0 \"x\" }}", "ababab"},
	{"{{ replace \"\" \"-\" \"abc\" }} {{ contains \"\" \"\" }} {{ trimAll \"$-\" "
	 "\"$-a$\" }}",
	 "-a-b-c- true a"},
	{"{{ replace \"a\" \"b\" \"banana\" }} {{ contains \"nan\" \"banana\" }} "
	 "{{ hasPrefix \"ba\" \"banana\" }} {{ hasSuffix \"x\" \"banana\" }} {{ trimPrefix "
	 "\"ba\" \"banana\" }} {{ trimSuffix \"na\" \"banana\" }}",
	 "bbnbnb true true false nana bana"},
	{"{{ trunc 3 \"hello\" }} {{ trunc -3 \"hello\" }} {{ trunc 9 \"hello\" }} "
	 "{{ trunc -9 \"hello\" }} {{ trunc 0 \"hello\" }}",
	 "hel llo hello hello "},
	{"{{ indent 2 \"a\\nb\" }}|{{ nindent 2 \"a\\nb\" }}", "  a\n  b|\n  a\n  b"},
	{"{{ quote }} {{ quote \"a\\\"b\" \"\303\251\" \"\\u00a0\" \"\\x01\" }}",
	 " \"a\\\"b\" \"\303\251\" \"\\u00a0\" \"\\x01\""},
	{"{{ join \",\" (list 1 nil \"a\") }} {{ join \",\" \"abc\" }} {{ join \",\" "
	 "nil }} {{ join \"-\" (until 3) }}",
	 "1,a abc  0-1-2"},
	{"{{ splitList \",\" \"a,b\" }} {{ split \"a,b\" \",\" }} {{ splitn \",\" "
	 "2 \"a,b,c\" }} {{ (splitn \",\" 2 \"a,b,c\")._1 }} {{ split \"abc\" \"\" "
	 "}}",
	 "[a b] [a b] map[_0:a _1:b,c] b,c [a b c]"},
	{"{{ split \"\" \",\" | len }} {{ split \"\" \"\" | len }} {{ split \"a,\" "
	 "\",\" | len }} {{ split \"a--b--c\" \"--\" | join \"+\" }} {{ split \"\303\251a\" "
	 "\"\" | len }} {{ splitn \"\" 2 \"abc\" }} {{ splitn \",\" 0 \"a\" }} {{ "
	 "splitn \",\" -1 \"a,b,c\" }}",
	 "1 0 2 a+b+c 2 map[_0:a _1:bc] map[] map[_0:a _1:b _2:c]"},
	{"{{ toStrings (list 1 2) }} {{ sortAlpha (list \"b\" \"a\" 1) }} {{ uniq "
	 "(list 1 1 2 \"a\" \"a\") }} {{ without (list 1 2 3) 2 }} {{ has 2 (list "
	 "1 2) }} {{ has \"a\" nil }}",
	 "[1 2] [1 a b] [1 2 a] [1 3] true false"},
	{"{{ append (list 1) 2 }} {{ prepend (list 1) 2 }} {{ concat (list 1) (list "
	 "2 3) }} {{ initial (list 1 2 3) }} {{ reverse (list 1 2 3) }} {{ compact "
	 "(list 0 1 \"\" \"a\" nil) }} {{ chunk 2 (list 1 2 3) }}",
	 "[1 2] [2 1] [1 2 3] [1 2] [3 2 1] [1 a] [[1 2] [3]]"},
	{"{{ get (dict \"a\" 1) \"b\" }}| {{ hasKey (dict \"a\" 1) \"a\" }} {{ keys "
	 "(dict \"a\" 1) }} {{ values (dict \"a\" 1) }} {{ pluck \"a\" (dict \"a\" "
	 "1) (dict \"b\" 2) (dict \"a\" 3) }} {{ pick (dict \"a\" 1 \"b\" 2) \"a\" "
	 "}} {{ omit (dict \"a\" 1 \"b\" 2) \"a\" }}",
	 "| true [a] [1] [1 3] map[a:1] map[b:2]"},
	{"{{ $d := dict \"a\" 1 }}{{ $_ := set $d \"b\" 2 }}{{ $d }}{{ $_ := unset "
	 "$d \"a\" }}{{ $d }}",
	 "map[a:1 b:2]map[b:2]"},
	{"{{ merge (dict \"a\" 1 \"n\" (dict \"x\" 1)) (dict \"a\" 2 \"b\" 3 \"n\" "
	 "(dict \"x\" 5 \"y\" 2)) }} {{ mergeOverwrite (dict \"a\" 1 \"n\" (dict "
	 "\"x\" 1)) (dict \"a\" 2 \"b\" 3 \"n\" (dict \"x\" 5 \"y\" 2)) }}",
	 "map[a:1 b:3 n:map[x:1 y:2]] map[a:2 b:3 n:map[x:5 y:2]]"},
	{"{{ merge (dict \"a\" 0 \"c\" \"\") (dict \"a\" 2 \"c\" \"x\") }} {{ mergeOverwrite "
	 "(dict \"a\" 1) (dict \"a\" 0 \"b\" \"\") }}",
	 "map[a:2 c:x] map[a:0 b:]"},
	{"{{ dig \"a\" \"b\" \"def\" (dict \"a\" (dict \"b\" 5)) }} {{ dig \"a\" "
	 "\"c\" \"def\" (dict \"a\" (dict \"b\" 5)) }}",
	 "5 def"},
	{"{{ default \"x\" \"\" }} {{ default \"x\" 0 }} {{ default \"x\" \"y\" }} "
	 "{{ default \"x\" }} {{ empty \"\" }} {{ empty nil }} {{ empty (list) }} "
	 "{{ coalesce 0 \"\" \"a\" }} {{ coalesce }} {{ ternary \"a\" \"b\" true "
	 "}} {{ true | ternary \"a\" \"b\" }} {{ all 1 \"\" }} {{ any 0 1 }} {{ all "
	 "}} {{ any }}",
	 "x x y x true true true a <no value> a a false true true false"},
	{"{{ add }} {{ add1 3 }} {{ sub 5 3 }} {{ mul 2 3 4 }} {{ div 7 2 }} {{ mod "
	 "7 3 }} {{ max 1 5 3 }} {{ min 4 2 }} {{ addf 1.5 2 }} {{ subf 3 1.5 }} "
	 "{{ mulf 2 1.5 }} {{ divf 5 2 }} {{ maxf 1 2.5 }} {{ minf 1 2.5 }} {{ add1f "
	 "1.5 }} {{ biggest 1 2 }}",
	 "0 4 2 24 3 1 5 2 3.5 1.5 3 2.5 2.5 1 2.5 2"},
	{"{{ addf 0.1 0.2 }} {{ mulf 1.1 1.1 }} {{ div -7 2 }} {{ mod -7 3 }} {{ "
	 "sub \"5\" \"2\" }} {{ mul 3000000000 4000000000 }} {{ divf 1 3 }}",
	 "0.3 1.21 -3 -1 3 -6446744073709551616 0.3333333333333333"},
	{"{{ ceil 1.2 }} {{ floor 1.8 }} {{ round 1.2345 2 }} {{ round 1.5 0 }} {{ "
	 "round -1.235 2 }} {{ round 123.5555 3 0.5 }}",
	 "2 1 1.23 2 -1.24 123.556"},
	{"{{ seq }} {{ seq 0 }} {{ seq -3 }} {{ seq 3 -1 1 }} {{ seq 1 0 3 }} {{ "
	 "seq 1 2 3 4 }} {{ seq 0 -2 -5 }}|",
	 " 1 0 1 0 -1 -2 -3 3 2 1   0 -2 -4|"},
	{"{{ untilStep 5 0 -2 }} {{ untilStep 0 5 0 }} {{ untilStep 0 5 -1 }} {{ until 0 }}",
	 "[5 3 1] [] [] []"},
	{"{{ typeOf 1 }} {{ typeOf \"a\" }} {{ typeOf (list) }} {{ typeOf nil }} "
	 "{{ kindOf (list) }} {{ kindOf 1.5 }} {{ kindIs \"int\" 1 }} {{ typeIs \"int\" "
	 "1 }} {{ typeIsLike \"int\" 1 }} {{ deepEqual (list 1) (list 1) }}",
	 "int string []interface {} <nil> slice float64 true true true true"},
	{"{{ kindOf nil }}", "invalid"},
	{"{{ toJson (dict \"a\" (list 1 \"<\" 2.5 nil true) ) }} {{ toPrettyJson "
	 "(dict \"a\" 1 \"b\" (list) \"c\" (dict) \"d\" (list 1)) }} {{ toRawJson "
	 "\"<&\" }} {{ fromJson \"{\\\"a\\\":[1,2.5,\\\"x\\\",null]}\" }} {{ fromJson "
	 "\"{\" }}| {{ typeOf (fromJson \"1\") }}",
	 "{\"a\":[1,\"\\u003c\",2.5,null,true]} {\n  \"a\": 1,\n  \"b\": [],\n  \"c\": "
	 "{},\n  \"d\": [\n    1\n  ]\n} \"<&\" map[a:[1 2.5 x <nil>]] <no value>| "
	 "float64"},
	{"{{ toJson \"a\\u2028\\x01\\b\\f\\\"\\\\/\\u00e9\" }} {{ toJson 1e21 }} "
	 "{{ toJson 1e-7 }} {{ toJson 123456789.25 }} {{ toJson 0.000001 }} {{ toJson "
	 "1e6 }} {{ toJson -0.0 }}",
	 "\"a\\u2028\\u0001\\b\\f\\\"\\\\/\303\251\" 1e+21 1e-7 123456789.25 0.000001 "
	 "1000000 -0"},
	{"{{ b64enc \"hello\" }} {{ b64dec \"aGVsbG8=\" }} {{ sha256sum \"a\" }} "
	 "{{ adler32sum \"a\" }} {{ b64enc \"\" }}{{ b64enc \"a\" }}{{ b64enc \"ab\" "
	 "}} {{ b64dec \"YQ==\" }}{{ b64dec \"YWI=\" }} {{ b64dec \"YQ\" }} {{ b64dec "
	 "\"YQ=\" }} {{ b64dec \"YQ==x\" }} {{ b64dec \"=\" }} {{ b64dec \"Y\" }} "
	 "{{ b64dec \"YWJj\\nYWJj\" }}",
	 "aGVsbG8= hello ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb "
	 "6422626 YQ==YWI= aab illegal base64 data at input byte 0 illegal base64 "
	 "data at input byte 3 illegal base64 data at input byte 4 illegal base64 "
	 "data at input byte 0 illegal base64 data at input byte 0 abcabc"},
	{"{{ sha256sum \"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklm"
	 "nopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu\" }} {{ sha256sum \"\" }}",
	 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1 e3b0c44298fc1c149af"
	 "bf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"{{ env \"FOO\" }}|{{ env \"NOPE\" }}|{{ expandenv \"a $FOO ${FOO}x $NOPE "
	 "$$ ${} $1 ${FOO\" }}|{{ expandenv \"$\" }}|{{ expandenv \"a$ b\" }}",
	 "bar||a bar barx     FOO|$|a$ b"},
	{"{{ base \"/a/b.txt\" }} {{ dir \"/a/b.txt\" }} {{ ext \"/a/b.txt\" }} {{ "
	 "clean \"/a/../b//c/.\" }} {{ isAbs \"/a\" }} {{ base \"\" }} {{ dir \"a\" "
	 "}} {{ clean \"\" }} {{ clean \"../../a\" }} {{ osBase \"/x/\" }} {{ dir "
	 "\"/a//b/\" }}",
	 "b.txt /a .txt /b/c true . . . ../../a x /a/b"},
	{"{{ clean \"a/b/../../..\" }} {{ clean \"/..\" }} {{ clean \"a/../b\" }} "
	 "{{ clean \"../a/..\" }} {{ base \"/\" }} {{ ext \"a.b/c\" }} {{ dir \"/\" "
	 "}} {{ clean \"/../a\" }} {{ clean \"a/./b\" }} {{ clean \"./a\" }}",
	 ".. / b .. /  / /a a/b a"},
	{"{{ regexMatch \"^a+$\" \"aaa\" }} {{ regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" "
	 "\"${1}W\" }} {{ regexReplaceAllLiteral \"a(x*)b\" \"-ab-axxb-\" \"${1}\" "
	 "}} {{ regexFind \"[a-z]+\" \"12abc34\" }} {{ regexQuoteMeta \"a.b\" }}",
	 "true -W-xxW- -${1}-${1}- abc a\\.b"},
	{"{{ regexMatch \"(\" \"a\" }}", "false"},
	{"{{ int64 \"12\" }} {{ int \"0x1f\" }} {{ int true }} {{ float64 \"abc\" "
	 "}} {{ toString 12 }} {{ toString nil }} {{ toDecimal \"777\" }} {{ int "
	 "\"12 \" }} {{ int \"\" }} {{ int64 3.99 }} {{ atoi \"-5\" }} {{ atoi \" "
	 "5\" }} {{ atoi \"010\" }}",
	 "12 31 1 0 12 <nil> 511 0 0 3 -5 0 10"},
	{"{{ int \"1_000\" }} {{ int \"0b11\" }} {{ int \"0o17\" }} {{ int \"5.00\" "
	 "}} {{ int \"-3\" }} {{ int -2.7 }} {{ float64 \"1e3\" }} {{ int \"999999999999999999"
	 "9\" }} {{ float64 true }} {{ int (list 1) }} {{ float64 \"0x10\" }} {{ "
	 "atoi \"+5\" }}",
	 "1000 3 15 5 -3 -2 1000 0 1 0 0 5"},
	{"{{ normalize \"a.b--c_d/\303\251!\" }} {{ trim \"  a \" }} {{ plural \"one\" "
	 "\"many\" 1 }} {{ squote \"it's\" }}",
	 "a-b-c-d-\303\251 a one 'it's'"},
	{"{{ normalize \"\" }}|{{ normalize \"--a\" }}|{{ normalize \"a--\" }}|{{ "
	 "trim \"\\u00a0\\t x \\u3000\" }}|",
	 "|a|a|x|"},
	{"{{ slice (list 1 2 3) }} {{ slice (list 1 2 3) 1 }} {{ slice (list) 0 }}",
	 "[1 2 3] [2 3] <no value>"},
	{"{{ last (list) }} {{ initial (list) }} {{ rest (list) }} {{ first (until "
	 "3) }} {{ printf \"%T %T\" (rest (until 3)) (until 3) }}",
	 "<no value> [] [] 0 []interface {} []int"},
	{"{{ list | toString }} {{ tuple 1 2 }} {{ hello }} ", "[] [1 2] Hello! "},
	{"{{ deepCopy (dict \"a\" 1) }} {{ print (dict \"a\" 1 \"b\" \"x y\") }}",
	 "map[a:1] map[a:1 b:x y]"},
	{"{{ keys nil }}", "[]"},
	{"{{ dict \"a\" 1 | toJson | quote }}", "\"{\\\"a\\\":1}\""},
	{"{{ printf \"%s|%10s|%-10s|%.2s|%q\" (list \"a\" \"b\") \"x\" \"y\" \"hello\" "
	 "(list \"a\") }}",
	 "[a b]|         x|y         |he|[\"a\"]"},
	{"{{ printf \"%v %s %d\" true true true }} {{ printf \"%5t|%x|%X|% x\" true "
	 "\"hi\" 255 \"hi\" }} {{ printf \"%03d|%+.2e|%6.2f|%-8.3f|\" -5 12345.678 "
	 "3.14159 2.0 }} {{ printf \"%g %v %v %v\" 100000.0 1e20 123456789.0 0.1 "
	 "}}",
	 "true %!s(bool=true) %!d(bool=true)  true|6869|FF|68 69 -05|+1.23e+04|  "
	 "3.14|2.000   | 100000 1e+20 1.23456789e+08 0.1"},
	{"{{ printf \"%d %%\" 5 }} {{ printf \"%\" }} {{ printf \"%d\" (list 1 2) "
	 "}} {{ printf \"%v\" (dict \"a\" (list nil)) }} {{ printf \"%s\" nil }} "
	 "{{ printf \"%d\" nil }} {{ printf \"%c\" \"a\" }}",
	 "5 % %!(NOVERB) [1 2] map[a:[<nil>]] %!s(<nil>) %!d(<nil>) %!c(string=a)"},
	{"{{ printf \"%q\" 65 }} {{ printf \"%U\" 9786 }} {{ printf \"%08.3f\" -3.14159 "
	 "}} {{ printf \"%t\" 1 }} {{ printf \"%.3v\" \"abcdef\" }} {{ printf \"%v\" "
	 "1.0 }} {{ printf \"%6d|%-6d|%06d\" 42 42 42 }}",
	 "'A' U+263A -003.142 %!t(int=1) abc 1     42|42    |000042"},
	{"{{ printf \"%5s|%-5s|%05s|%.1f|%5.1f|%+v|%x\" \"\303\251\" \"\303\251\" "
	 "\"ab\" 2.55 2.55 3 \"\303\274\" }} {{ printf \"%s %v\" (dict \"a\" 1) (dict "
	 "\"b\" (dict \"c\" \"d\")) }} {{ printf \"%6.2d|%.0f|%e|%G\" 5 2.5 0.0 1e-10 "
	 "}} {{ printf \"%v|%6v|%-6v|\" (list 1 2) 3 4 }}",
	 "    \303\251|\303\251    |000ab|2.5|  2.5|3|c3bc map[a:%!s(int=1)] map[b:map[c:d]] "
	 "    05|2|0.000000e+00|1E-10 [1 2]|     3|4     |"},
	{"{{ printf \"%s\" 1.5 }} {{ printf \"%d\" 1.5 }} {{ printf \"%b %o %O\" "
	 "5 8 8 }} {{ printf \"%#o %#b %#X\" 8 5 255 }} {{ printf \"% d|%+d|% +d\" "
	 "3 3 3 }} {{ printf \"%q %q\" \"a\" \"b\\\"c\" }} {{ printf \"%[3]d %d\" "
	 "1 2 3 }} {{ printf \"%[1]d %[1]d\" 7 }} {{ printf \"%-5t|\" true }} {{ "
	 "printf \"%T %T %T %T\" nil 1.5 (list) (dict) }}",
	 "%!s(float64=1.5) %!d(float64=1.5) 101 10 0o10 010 0b101 0XFF  3|+3|+3 \"a\" "
	 "\"b\\\"c\" 3 %!d(MISSING) 7 7 true | <nil> float64 []interface {} map[string]interfa"
	 "ce {}"},
	{"{{ printf \"%.2f\" \"x\" }} {{ printf \"%v %v\" 1 }} {{ printf \"%*d\" "
	 "\"a\" 3 }} {{ printf \"%.*f\" 2 3.14159 }} {{ printf \"%-*d|\" 4 2 }} {{ "
	 "printf \"%6.3v|\" 3.14159 }} {{ printf \"%x\" (list \"a\" \"b\") }} {{ "
	 "printf \"%5.1v\" true }} {{ printf \"%q\" (list 65) }} {{ printf \"%c\" "
	 "128512 }}",
	 "%!f(string=x) 1 %!v(MISSING) %!(BADWIDTH)3 3.14 2   |   3.14| [61 62]  "
	 "true ['A'] \360\237\230\200"},
	{"{{ cat 1 \"a\" true }} {{ cat }} {{ print \"a\" 1 2 \"b\" }} {{ print 1 "
	 "nil 2 }} {{ println }} {{ print true false \"x\" }}",
	 "1 a true  a1 2b 1 <nil> 2 \n true falsex"},
	{"{{ join \",\" (dict \"a\" 1) }} {{ toStrings \"x\" }} {{ sortAlpha \"x\" "
	 "}} {{ list | join \",\" }}",
	 "map[a:1] [x] [x] "},
	{"{{ $l := list 1 2 3 }}{{ range $i, $v := $l }}{{ if $i }}, {{ end }}{{ "
	 "$v }}{{ end }}",
	 "1, 2, 3"},
	{"{{ $m := dict }}{{ range $i := until 3 }}{{ $_ := set $m (print \"k\" $i) "
	 "$i }}{{ end }}{{ toJson $m }}",
	 "{\"k0\":0,\"k1\":1,\"k2\":2}"},
	{"{{ env \"FOO\" | default \"x\" | upper }} {{ env \"NONE\" | default \"x\" "
	 "}} {{ if eq (env \"FOO\") \"bar\" }}is{{ end }}",
	 "BAR x is"},
	{"{{ ternary 1 2 (eq 1 1) }} {{ ternary 1 2 (and 1 1 | empty) }}", "1 2"},
	{"{{ hasKey (dict \"a\" nil) \"a\" }} {{ (dict \"a\" nil).a }} {{ get (dict "
	 "\"a\" nil) \"a\" }} {{ index (dict \"a\" (list 1)) \"a\" 0 }}",
	 "true <no value> <no value> 1"},
	{"{{ without (until 3) 1 }} {{ has 1 (until 3) }} {{ uniq (until 2) }} {{ "
	 "index (until 3) 2 }} {{ len (until 4) }} {{ eq (index (until 3) 2) 2 }}",
	 "[0 2] true [0 1] 2 4 true"},
	{"{{ eq (index \"a\" 0) 97 }} {{ lt (int64 3) 4 }} {{ eq 3 (add 1 2) }} {{ "
	 "eq (len \"abc\") 3 }}",
	 "true true true true"},
	{"{{ js \"<\303\251\\u2028\\x7f\" }} {{ html \"\\x00\" 3 \"a\" }} {{ urlquery "
	 "\"~-_.*\" }} {{ html nil }}",
	 "\\u003C\303\251\\u2028\177 \357\277\2753a ~-_.%2A &lt;no value&gt;"},
	{"{{ max \"3\" 2.9 }} {{ min -1 \"x\" }} {{ add 1.9 1.9 }} {{ add \"1.0\" 1 }}",
	 "3 -1 2 2"},
	{"{{ untitle \"ABC DEF\" }} {{ swapcase \"aB cD\" }} {{ title \"it's a_b "
	 "1st\" }} {{ initials \"a  b\" }}",
	 "aBC dEF Ab Cd It'S A_b 1st ab"},
};

static const struct {
	const char *text;
	const char *error;
} refused[] = {
	{"{{ substr 3 1 \"hello\" }}",
	 "f:1:4: substr: bounds 3 to 1 are outside of a string of 5 bytes"},
	{"{{ substr 7 9 \"hello\" }}",
	 "f:1:4: substr: bounds 7 to 5 are outside of a string of 5 bytes"},
	{"{{ repeat -1 \"x\" }} ", "f:1:4: repeat: negative count -1"},
	{"{{ indent -1 \"a\" }}", "f:1:4: indent: negative count -1"},
	{"{{ first \"abc\" }}", "f:1:4: first: expected a list, found string"},
	{"{{ first nil }}", "f:1:4: first: expected a list, found <nil>"},
	{"{{ append \"a\" 2 }}", "f:1:4: append: expected a list, found string"},
	{"{{ has 1 \"abc\" }}", "f:1:4: has: expected a list, found string"},
	{"{{ dig \"a\" \"b\" \"c\" \"def\" (dict \"a\" (dict \"b\" 5)) }}",
	 "f:1:4: dig: expected a map, found int"},
	{"{{ ternary \"a\" \"b\" 1 }}",
	 "f:1:20: wrong type of argument for ternary: expected bool, found int"},
	{"{{ mustFromJson \"{\" }}",
	 "f:1:4: mustFromJson: not JSON: string or '}' expected near end of file"},
	{"{{ fail \"boom\" }}", "f:1:4: fail: boom"},
	{"{{ mustRegexMatch \"(\" \"a\" }}",
	 "f:1:4: mustRegexMatch: error parsing regexp: missing closing ): `(`"},
	{"{{ regexReplaceAll \"(\" \"a\" \"b\" }}",
	 "f:1:4: regexReplaceAll: error parsing regexp: missing closing ): `(`"},
	{"{{ slice (list 1 2 3) 4 }}", "f:1:4: slice: bounds 4 to 3 are outside of a list of 3"},
	{"{{ uniq nil }}", "f:1:4: uniq: expected a list, found <nil>"},
	{"{{ mod 5 0 }}", "f:1:4: mod: integer divide by zero"},
	{"{{ get \"a\" \"b\" }}",
	 "f:1:8: wrong type of argument for get: expected map[string]interface {}, "
	 "found string"},
	{"{{ set nil \"a\" 1 }}", "f:1:4: set: expected a map, found nil"},
	{"{{ range $i, $e := splitList \",\" \"a,b,c\" }}  srv{{ $i }}: {{ $e | quote }}",
	 "f:1:4: unexpected end of the file, expected {{end}} for this {{range}}"},
	{"{{ contains \"a\" }}", "f:1:4: wrong number of args for contains: expected 2, found 1"},
	{"{{ keys \"a\" }}",
	 "f:1:9: wrong type of argument for keys: expected map[string]interface {}, "
	 "found string"},
	{"{{ concat (list 1) \"a\" }}", "f:1:4: concat: expected a list, found string"},
	{"{{ chunk 0 (list 1) }}", "f:1:4: chunk: chunks of 0, expected at least 1"},
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

static void left_out_functions_say_so(void **state)
{
	static const char *const names[] = {"now",       "date",          "sha1sum",   "semver",
					    "uuidv4",    "genCA",         "camelcase", "regexSplit",
					    "randAlpha", "getHostByName", "bcrypt",    "urlParse"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct template_input input = {.file = "dyn.yml"};
		struct weir_error e = {0};
		struct str text = {0}, out = {0};
		char expected[100];

		str_format(&text, "a: 1\nb: {{ %s }}\n", names[i]);
		(void)snprintf(expected, sizeof expected,
			       "dyn.yml:2:7: function %s is not supported", names[i]);
		assert_int_equal(template_render(str_slice(&text), &input, &out, &e), -EINVAL);
		assert_string_equal(e.text, expected);
		str_free(&text);
		str_free(&out);
	}
}

static void normalize_without_a_template(void **state)
{
	struct str out = {0};

	(void)state;
	template_normalize(SLICE("/my.app_1/web--"), &out);
	assert_string_equal(out.p, "my-app-1-web");
	str_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_is_as_in_go),
		cmocka_unit_test(errors_have_a_place),
		cmocka_unit_test(left_out_functions_say_so),
		cmocka_unit_test(normalize_without_a_template),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
