#include "config/option.h"

static const char *status_text(enum option_status status)
{
	switch (status) {
	case IMPLEMENTED:
		return "yes";
	case ACCEPTED:
		return "accepted, no effect";
	case REFUSED:
		return "refused";
	case REMOVED:
		break;
	}
	return "removed";
}

static bool has_value(const struct option *row)
{
	return row->table == NULL || (row->flags & OPTION_ALLOW_EMPTY);
}

struct help {
	struct str *out;
	const char *prefix;
};

static bool add_help(const char *path, const struct option *row, enum option_status status,
		     void *user)
{
	struct help *h = user;

	if (status != IMPLEMENTED || !has_value(row))
		return true;
	str_format(h->out, "    %s%s  (%s%s%s)\n", h->prefix, path, option_type_name(row->type),
		   row->initial != NULL ? ", default " : "",
		   row->initial != NULL ? row->initial : "");
	if (row->doc != NULL)
		str_format(h->out, "        %s\n", row->doc);
	return true;
}

void option_help(struct str *out, const struct option *table, const char *prefix)
{
	struct help h = {out, prefix};

	option_visit(table, "", add_help, &h);
}

/* A vertical bar would end the cell. */
static void add_cell(struct str *out, const char *text)
{
	for (; text != NULL && *text != '\0'; text++) {
		if (*text == '|')
			str_add_char(out, '\\');
		str_add_char(out, *text);
	}
}

static void add_names(struct str *out, const struct option *row)
{
	const char *separator = " One of ";

	for (size_t i = 0; row->names != NULL && i < row->names->count; i++) {
		if (row->names->items[i][0] == '\0')
			continue;
		str_format(out, "%s`%s`", separator, row->names->items[i]);
		separator = ", ";
	}
	if (row->names != NULL)
		str_add_char(out, '.');
}

/* A row without default has the zero of its type. */
static const char *shown_default(const struct option *row)
{
	bool number = row->type == OPTION_INT || row->type == OPTION_INT32 ||
		      row->type == OPTION_FLOAT || row->type == OPTION_DURATION ||
		      row->type == OPTION_SIZE;

	if (row->initial != NULL)
		return row->initial;
	if (row->type == OPTION_BOOL)
		return "false";
	return number && !(row->flags & OPTION_OPTIONAL) ? "0" : "";
}

static bool add_reference(const char *path, const struct option *row, enum option_status status,
			  void *user)
{
	struct str *out = user;

	if (status == REMOVED)
		return row->status != REMOVED;
	if (!has_value(row))
		return true;
	str_format(out, "| `%s` | %s | ", path, option_type_name(row->type));
	if (shown_default(row)[0] != '\0') {
		str_add_char(out, '`');
		add_cell(out, shown_default(row));
		str_add_char(out, '`');
	}
	str_format(out, " | %s | ", status_text(status));
	add_cell(out, row->doc);
	add_names(out, row);
	if (row->hint != NULL) {
		str_add_char(out, ' ');
		add_cell(out, row->hint);
		str_add_char(out, '.');
	}
	str_add(out, SLICE(" |\n"));
	return true;
}

void option_reference(struct str *out, const struct option *table, const char *prefix)
{
	for (; table->name != NULL; table++) {
		struct option single[2] = {*table, OPT_END};

		if (table->status == REMOVED)
			continue;
		str_format(out,
			   "## %s%s%s\n\n| Option | Type | Default | In weir | Meaning "
			   "|\n|---|---|---|---|---|\n",
			   prefix, *prefix != '\0' ? "." : "", table->name);
		option_visit(single, prefix, add_reference, out);
		str_add_char(out, '\n');
	}
}
