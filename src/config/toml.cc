/* Compiled in, without exceptions of its own: the packaged library throws. */
#define TOML_HEADER_ONLY 1
#define TOML_MAX_NESTED_VALUES 64
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <sstream>
#include <string>
#include <vector>

extern "C" {
#include "weir/types.h"
}
#include "config/parse.h"

namespace
{

/* As in tree.h, which is C only. */
enum { kind_scalar = 1, kind_list = 2, kind_map = 3 };
enum { type_string, type_bool, type_int, type_float, type_time };

struct reader {
	struct tree *tree;
	const char *source;
	struct weir_error *error;
};

bool add_children(reader &r, struct tree_node *parent, const toml::node &node);

void set_text(parse_value &value, const std::string &text)
{
	value.text = text.data();
	value.text_n = text.size();
}

std::string date_text(const toml::node &node)
{
	std::ostringstream out;

	if (const auto *date = node.as_date())
		out << date->get();
	else if (const auto *time = node.as_time())
		out << time->get();
	else if (const auto *both = node.as_date_time())
		out << both->get();
	return out.str();
}

/* The value without its children; `text` keeps the bytes that the value points to. */
void describe(parse_value &value, const toml::node &node, std::string &text)
{
	const auto begin = node.source().begin;

	value.line = static_cast<uint32_t>(begin.line);
	value.column = static_cast<uint32_t>(begin.column);
	value.kind = kind_scalar;
	value.type = type_string;
	if (node.is_table()) {
		value.kind = kind_map;
	} else if (node.is_array()) {
		value.kind = kind_list;
	} else if (const auto *s = node.as_string()) {
		text = s->get();
	} else if (const auto *i = node.as_integer()) {
		value.type = type_int;
		value.number = static_cast<double>(i->get());
		text = std::to_string(i->get());
	} else if (const auto *f = node.as_floating_point()) {
		char buffer[400];

		value.type = type_float;
		value.number = f->get();
		text.assign(buffer, parse_float_text(f->get(), buffer, sizeof buffer));
	} else if (const auto *b = node.as_boolean()) {
		value.type = type_bool;
		text = b->get() ? "true" : "false";
	} else {
		value.type = type_time;
		text = date_text(node);
	}
	set_text(value, text);
}

bool add_value(reader &r, struct tree_node *parent, const toml::key *key, const toml::node &node)
{
	parse_value value{};
	std::string text;
	struct tree_node *added;

	describe(value, node, text);
	value.key_line = value.line;
	value.key_column = value.column;
	if (key != nullptr) {
		value.key = key->str().data();
		value.key_n = key->str().size();
		value.key_line = static_cast<uint32_t>(key->source().begin.line);
		value.key_column = static_cast<uint32_t>(key->source().begin.column);
	}
	added = parse_add(r.tree, parent, &value, r.source, r.error);
	return added != nullptr && add_children(r, added, node);
}

/* toml++ keeps tables sorted by name; the tree keeps the order of the file. */
bool add_table(reader &r, struct tree_node *parent, const toml::table &table)
{
	std::vector<std::pair<const toml::key *, const toml::node *>> order;

	order.reserve(table.size());
	for (const auto &[key, node] : table)
		order.emplace_back(&key, &node);
	std::stable_sort(order.begin(), order.end(), [](const auto &a, const auto &b) {
		const auto x = a.first->source().begin, y = b.first->source().begin;

		return x.line != y.line ? x.line < y.line : x.column < y.column;
	});
	for (const auto &[key, node] : order)
		if (!add_value(r, parent, key, *node))
			return false;
	return true;
}

bool add_children(reader &r, struct tree_node *parent, const toml::node &node)
{
	if (const auto *table = node.as_table())
		return add_table(r, parent, *table);
	if (const auto *array = node.as_array())
		for (const auto &element : *array)
			if (!add_value(r, parent, nullptr, element))
				return false;
	return true;
}

/* The end of the string that begins at `at`, or of the text. */
size_t skip_string(std::string_view text, size_t at)
{
	const char quote = text[at];
	const bool multi = text.substr(at).substr(0, 3) == std::string(3, quote);
	const size_t width = multi ? 3 : 1;

	for (at += width; at < text.size(); at++) {
		if (text[at] == '\\' && quote == '"')
			at++;
		else if (text[at] == '\n' && !multi)
			return at;
		else if (text.substr(at).substr(0, width) == std::string(width, quote))
			return at + width;
	}
	return text.size();
}

/* The library recurses once per name of a dotted key, and sets no limit to that. */
uint32_t line_of_deep_key(std::string_view text)
{
	uint32_t line = 1;
	size_t names = 0;

	for (size_t at = 0; at < text.size();) {
		const char c = text[at];

		if (c == '"' || c == '\'') {
			const size_t end = skip_string(text, at);

			line += static_cast<uint32_t>(
				std::count(text.begin() + at, text.begin() + end, '\n'));
			at = end;
			continue;
		}
		if (c == '#')
			at = std::min(text.find('\n', at), text.size());
		if (at < text.size() &&
		    std::string_view("\n=,{}[]").find(text[at]) != std::string_view::npos)
			names = 0;
		else if (c == '.' && ++names >= TOML_MAX_NESTED_VALUES)
			return line;
		if (at < text.size())
			line += text[at++] == '\n';
	}
	return 0;
}

int parse(reader &r, std::string_view text)
{
	const uint32_t deep = line_of_deep_key(text);

	if (deep > 0) {
		static const char message[] =
			"found a key with too many names, expected at most 64";

		return parse_error(r.error, -E2BIG, r.source, deep, 1, message, sizeof message - 1);
	}
	const auto result = toml::parse(text, std::string_view{r.source});

	if (result.failed()) {
		const auto &failure = result.error();
		const auto at = failure.source().begin;

		return parse_error(r.error, -EINVAL, r.source, static_cast<uint32_t>(at.line),
				   static_cast<uint32_t>(at.column), failure.description().data(),
				   failure.description().size());
	}
	if (!add_table(r, nullptr, result.table()))
		return r.error != nullptr && r.error->code != 0 ? r.error->code : -EINVAL;
	return 0;
}

} // namespace

int parse_toml(struct tree *t, const char *text, size_t n, const char *source,
	       struct weir_error *error)
{
	reader r{t, source, error};

	try {
		return parse(r, std::string_view{text, n});
	} catch (const std::bad_alloc &) {
		return parse_error(error, -ENOMEM, source, 1, 1, "out of memory", 13);
	}
}
