/* The core headers are C. */
#define _Noreturn [[noreturn]]
extern "C" {
#include "core/regex.h"
}

#include <re2/re2.h>

#include <cerrno>
#include <map>
#include <new>
#include <string>
#include <vector>

namespace
{

const size_t pattern_default_bytes = 64 * 1024;
const int64_t memory_default_bytes = 8 << 20;

struct Utf8 {
	bool valid;
	size_t n;
};

/* Go's utf8.DecodeRune: a byte that starts no valid sequence stands alone. */
Utf8 decode(const unsigned char *p, size_t n)
{
	unsigned char c = p[0], low = 0x80, high = 0xbf;
	size_t need = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (need == 0 || need > n)
		return {false, 1};
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < need; i++) {
		if (p[i] < low || p[i] > high)
			return {false, 1};
		low = 0x80;
		high = 0xbf;
	}
	return {true, need};
}

bool is_utf8(slice s)
{
	const unsigned char *p = reinterpret_cast<const unsigned char *>(s.p);

	for (size_t i = 0; i < s.n;) {
		if (p[i] < 0x80) {
			i++;
			continue;
		}
		Utf8 u = decode(p + i, s.n - i);
		if (!u.valid)
			return false;
		i += u.n;
	}
	return true;
}

/*
 * What RE2 searches. Go lets `.` match a byte that is not UTF-8 as if it were U+FFFD and RE2 does
 * not, so such bytes are replaced for the search, and offsets are translated back.
 */
class Subject
{
      public:
	explicit Subject(slice s) : original_(s), text_(s.p != nullptr ? s.p : "", s.n)
	{
		if (is_utf8(s))
			return;
		const unsigned char *p = reinterpret_cast<const unsigned char *>(s.p);
		for (size_t i = 0; i < s.n;) {
			Utf8 u = decode(p + i, s.n - i);
			if (u.valid)
				copy_.append(s.p + i, u.n);
			else
				copy_.append("\xef\xbf\xbd");
			from_.resize(copy_.size(), i);
			i += u.n;
		}
		from_.push_back(s.n);
		text_ = copy_;
	}

	const re2::StringPiece &text() const
	{
		return text_;
	}

	slice original(const re2::StringPiece &part) const
	{
		if (part.data() == nullptr)
			return {nullptr, 0};
		size_t start = static_cast<size_t>(part.data() - text_.data()),
		       end = start + part.size();
		if (!from_.empty()) {
			start = from_[start];
			end = from_[end];
		}
		return {original_.p != nullptr ? original_.p + start : "", end - start};
	}

	/* Length of the character at an offset of `text`. */
	size_t width(size_t at) const
	{
		if (at >= text_.size())
			return 0;
		return decode(reinterpret_cast<const unsigned char *>(text_.data()) + at,
			      text_.size() - at)
			.n;
	}

      private:
	slice original_;
	std::string copy_;
	std::vector<size_t> from_;
	re2::StringPiece text_;
};

/* Go's texts for RE2's codes. */
const char *go_reason(RE2::ErrorCode code)
{
	switch (code) {
	case RE2::ErrorBadEscape:
		return "invalid escape sequence";
	case RE2::ErrorBadCharClass:
		return "invalid character class range";
	case RE2::ErrorBadCharRange:
		return "invalid character class range";
	case RE2::ErrorMissingBracket:
		return "missing closing ]";
	case RE2::ErrorMissingParen:
		return "missing closing )";
	case RE2::ErrorUnexpectedParen:
		return "unexpected )";
	case RE2::ErrorTrailingBackslash:
		return "trailing backslash at end of expression";
	case RE2::ErrorRepeatArgument:
		return "missing argument to repetition operator";
	case RE2::ErrorRepeatSize:
		return "invalid repeat count";
	case RE2::ErrorRepeatOp:
		return "invalid nested repetition operator";
	case RE2::ErrorBadPerlOp:
		return "invalid or unsupported Perl syntax";
	case RE2::ErrorBadUTF8:
		return "invalid UTF-8";
	case RE2::ErrorBadNamedCapture:
		return "invalid named capture";
	case RE2::ErrorPatternTooLarge:
		return "expression too large";
	default:
		return "internal error";
	}
}

int fail(struct weir_error *e, const char *reason, const std::string &what)
{
	return error_set(e, -EINVAL, "error parsing regexp: %s: `%.*s`", reason,
			 static_cast<int>(what.size() < 512 ? what.size() : 512), what.c_str());
}

bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* At "(?<" or "(?P<" of `in`. Go checks the name itself; what is not a name is an error with Go's
 * text. */
int copy_group_name(const std::string &in, size_t *at, std::string *out, struct weir_error *e)
{
	size_t name = in.find('<', *at) + 1, end = in.find('>', name);

	if (end == std::string::npos)
		return fail(e, go_reason(RE2::ErrorBadNamedCapture), in.substr(*at));
	for (size_t i = name; i < end; i++) {
		if (!is_word(in[i]))
			return fail(e, go_reason(RE2::ErrorBadNamedCapture),
				    in.substr(*at, end + 1 - *at));
	}
	if (end == name)
		return fail(e, go_reason(RE2::ErrorBadNamedCapture), in.substr(*at, end + 1 - *at));
	out->append("(?P<").append(in, name, end + 1 - name);
	*at = end + 1;
	return 0;
}

/* Copies an escape sequence, or the whole of \Q...\E. */
int copy_escape(const std::string &in, size_t *at, std::string *out, struct weir_error *e)
{
	if (in.compare(*at, 2, "\\C") == 0)
		return fail(e, go_reason(RE2::ErrorBadEscape), "\\C");
	size_t end = *at + 2;
	if (in.compare(*at, 2, "\\Q") == 0) {
		end = in.find("\\E", end);
		end = end == std::string::npos ? in.size() : end + 2;
	}
	if (end > in.size())
		end = in.size();
	out->append(in, *at, end - *at);
	*at = end;
	return 0;
}

/* Rewrites what Go accepts and this RE2 does not, and refuses what RE2 accepts and Go does not. */
int translate(const std::string &in, std::string *out, struct weir_error *e)
{
	bool in_class = false;

	for (size_t at = 0; at < in.size();) {
		if (in[at] == '\\' && at + 1 < in.size()) {
			int r = copy_escape(in, &at, out, e);
			if (r < 0)
				return r;
			continue;
		}
		if (in_class) {
			size_t posix = in.compare(at, 2, "[:") == 0 ? in.find(":]", at + 2)
								    : std::string::npos;
			size_t n = posix == std::string::npos ? 1 : posix + 2 - at;
			in_class = in[at] != ']';
			out->append(in, at, n);
			at += n;
			continue;
		}
		if (in.compare(at, 3, "(?<") == 0 || in.compare(at, 4, "(?P<") == 0) {
			int r = copy_group_name(in, &at, out, e);
			if (r < 0)
				return r;
			continue;
		}
		if (in[at] == '[') {
			size_t n = in.compare(at, 2, "[^") == 0 ? 2 : 1;
			n += at + n < in.size() && in[at + n] == ']';
			in_class = true;
			out->append(in, at, n);
			at += n;
			continue;
		}
		out->push_back(in[at++]);
	}
	return 0;
}

/* The letters, digits and "_" at the front of a template's group reference. */
const RE2 &name_pattern()
{
	static const RE2 re("[\\pL\\p{Nd}_]+");
	return re;
}

} // namespace

#define REGEX_MAGIC 0x72656765u /* "rege" */

struct regex {
	uint32_t magic;
	RE2 *re;
	const std::map<int, std::string> *names;
};

namespace
{

const RE2 &re_of(const struct regex *re)
{
	OBJ_CHECK(re, REGEX_MAGIC);
	return *re->re;
}

void append(struct str *out, const char *p, size_t n)
{
	str_add(out, slice_of(p, n));
}

/* The group that a template's reference means, or -1 if there is none. */
int reference(const struct regex *re, const std::string &name)
{
	int number = 0;

	for (char c : name) {
		if (c < '0' || c > '9' || number >= 100000000) {
			number = -1;
			break;
		}
		number = number * 10 + (c - '0');
	}
	if (number >= 0 && (name.size() == 1 || name[0] != '0'))
		return number;
	return regex_group_named(re, slice_of(name.data(), name.size()));
}

void expand(const struct regex *re, const std::string &text, const slice *groups, size_t count,
	    struct str *out)
{
	size_t at = 0;

	for (;;) {
		size_t dollar = text.find('$', at);
		if (dollar == std::string::npos)
			break;
		append(out, text.data() + at, dollar - at);
		at = dollar + 1;
		if (at < text.size() && text[at] == '$') {
			str_add_char(out, '$');
			at++;
			continue;
		}
		bool brace = at < text.size() && text[at] == '{';
		re2::StringPiece rest(text.data() + at + brace, text.size() - at - brace), name;
		if (!name_pattern().Match(rest, 0, rest.size(), RE2::ANCHOR_START, &name, 1) ||
		    (brace && (name.size() == rest.size() || rest[name.size()] != '}'))) {
			str_add_char(out, '$');
			continue;
		}
		at += name.size() + 2 * static_cast<size_t>(brace);
		int group = reference(re, std::string(name.data(), name.size()));
		if (group >= 0 && static_cast<size_t>(group) < count && groups[group].p != nullptr)
			str_add(out, groups[group]);
	}
	append(out, text.data() + at, text.size() - at);
}

bool replace_all(const struct regex *re, slice text, const std::string &with, struct str *out)
{
	Subject subject(text);
	const re2::StringPiece &in = subject.text();
	size_t count = regex_group_count(re) + 1;
	std::vector<re2::StringPiece> found(count);
	std::vector<slice> groups(count);
	size_t search = 0;
	const char *copied = text.p, *text_end = text.p + text.n;
	size_t last_end = 0;
	bool any = false;

	while (search <= in.size() && re_of(re).Match(in, search, in.size(), RE2::UNANCHORED,
						      found.data(), static_cast<int>(count))) {
		size_t start = static_cast<size_t>(found[0].data() - in.data()),
		       end = start + found[0].size();
		for (size_t i = 0; i < count; i++)
			groups[i] = subject.original(found[i]);
		if (text.p != nullptr)
			append(out, copied, static_cast<size_t>(groups[0].p - copied));
		/* An empty match right after a match is not one of its own. */
		if (end > last_end || start == 0) {
			expand(re, with, groups.data(), count, out);
			any = true;
		}
		copied = groups[0].p + groups[0].n;
		last_end = end;
		size_t width = subject.width(search);
		search = search + width > end ? search + width
			 : search + 1 > end   ? search + 1
					      : end;
	}
	if (text.p != nullptr)
		append(out, copied, static_cast<size_t>(text_end - copied));
	return any;
}

int compile(slice pattern, const struct regex_limits *limits, struct regex **re,
	    struct weir_error *e)
{
	size_t bytes = limits != nullptr && limits->pattern_bytes != 0 ? limits->pattern_bytes
								       : pattern_default_bytes;
	std::string text(pattern.p != nullptr ? pattern.p : "", pattern.n), translated;
	RE2::Options options(RE2::Quiet);

	if (pattern.n > bytes)
		return error_set(e, -E2BIG,
				 "regular expression has %zu bytes, at most %zu are allowed",
				 pattern.n, bytes);
	options.set_max_mem(limits != nullptr && limits->memory_bytes != 0 ? limits->memory_bytes
									   : memory_default_bytes);
	if (!is_utf8(pattern))
		return fail(e, "invalid UTF-8", text);
	int r = translate(text, &translated, e);
	if (r < 0)
		return r;
	::regex *made = new ::regex{REGEX_MAGIC, nullptr, nullptr};
	*re = made;
	made->re = new RE2(translated, options);
	if (!made->re->ok())
		return fail(e, go_reason(made->re->error_code()), made->re->error_arg());
	made->names = &made->re->CapturingGroupNames();
	return 0;
}

} // namespace

extern "C" int regex_compile(slice pattern, const struct regex_limits *limits, struct regex **re,
			     struct weir_error *e)
{
	int r;

	*re = nullptr;
	try {
		r = compile(pattern, limits, re, e);
	} catch (const std::bad_alloc &) {
		r = error_set(e, -ENOMEM, "out of memory");
	}
	if (r < 0)
		regex_free(re);
	return r;
}

extern "C" void regex_free(struct regex **re)
{
	struct regex *r;

	if (*re == nullptr)
		return;
	OBJ_TAKE(r, re, REGEX_MAGIC);
	delete r->re;
	r->magic = 0;
	delete r;
}

extern "C" bool regex_matches(const struct regex *re, slice text)
{
	try {
		Subject subject(text);
		return re_of(re).Match(subject.text(), 0, subject.text().size(), RE2::UNANCHORED,
				       nullptr, 0);
	} catch (const std::bad_alloc &) {
		return false;
	}
}

extern "C" size_t regex_group_count(const struct regex *re)
{
	return static_cast<size_t>(re_of(re).NumberOfCapturingGroups());
}

extern "C" bool regex_find(const struct regex *re, slice text, slice *groups, size_t count)
{
	re2::StringPiece found[REGEX_GROUPS_MAX];

	must(count <= REGEX_GROUPS_MAX);
	try {
		Subject subject(text);
		if (!re_of(re).Match(subject.text(), 0, subject.text().size(), RE2::UNANCHORED,
				     found, static_cast<int>(count)))
			return false;
		for (size_t i = 0; i < count; i++)
			groups[i] = subject.original(found[i]);
		return true;
	} catch (const std::bad_alloc &) {
		return false;
	}
}

extern "C" int regex_group_named(const struct regex *re, slice name)
{
	OBJ_CHECK(re, REGEX_MAGIC);
	for (const auto &entry : *re->names) {
		if (slice_equal(name, slice_of(entry.second.data(), entry.second.size())))
			return entry.first;
	}
	return -1;
}

extern "C" void regex_expand(const struct regex *re, slice template_text, const slice *groups,
			     size_t count, struct str *out)
{
	try {
		expand(re,
		       std::string(template_text.p != nullptr ? template_text.p : "",
				   template_text.n),
		       groups, count, out);
	} catch (const std::bad_alloc &) {
		out->failed = true;
	}
}

extern "C" bool regex_replace(const struct regex *re, slice text, slice template_text,
			      struct str *out)
{
	try {
		return replace_all(re, text,
				   std::string(template_text.p != nullptr ? template_text.p : "",
					       template_text.n),
				   out);
	} catch (const std::bad_alloc &) {
		out->failed = true;
		return false;
	}
}
