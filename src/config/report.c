#include "config/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void config_report_init(struct config_report *r, struct arena *arena)
{
	*r = (struct config_report){.arena = arena};
}

static void keep(struct config_report *r, enum config_severity severity, const void *about,
		 slice text)
{
	slice copy;

	if (severity == CONFIG_ERROR)
		r->errors++;
	copy = r->count < CONFIG_REPORT_MAX ? arena_copy(r->arena, text) : slice_of(NULL, 0);
	if (copy.p == NULL) {
		r->dropped++;
		return;
	}
	r->messages[r->count++] = (struct config_message){severity, about, copy};
}

static void add_formatted(struct str *out, const char *format, va_list args)
{
	char text[WEIR_ERROR_TEXT];

	(void)vsnprintf(text, sizeof text, format, args);
	str_add(out, slice_from(text));
}

int config_error(struct config_report *r, struct tree_place place, const char *format, ...)
{
	struct str out = {0};
	va_list args;

	tree_add_place(&out, place);
	str_add(&out, SLICE(": "));
	va_start(args, format);
	add_formatted(&out, format, args);
	va_end(args);
	keep(r, CONFIG_ERROR, NULL, str_slice(&out));
	str_free(&out);
	return -EINVAL;
}

/* A flag's or variable's name is its path already, as long as it is about the value itself. */
static void add_place_and_path(struct str *out, const struct tree_node *node)
{
	struct str path = {0};

	tree_add_place(out, node->place);
	tree_add_path(&path, node);
	if (path.n > 0 && !(node->place.line == 0 && out->n > path.n &&
			    slice_equal_nocase(slice_from_at(str_slice(out), out->n - path.n),
					       str_slice(&path)))) {
		str_add(out, SLICE(": "));
		str_add(out, str_slice(&path));
	}
	str_add(out, SLICE(": "));
	str_free(&path);
}

int config_error_at(struct config_report *r, const struct tree_node *node, const char *format, ...)
{
	struct str out = {0};
	va_list args;

	add_place_and_path(&out, node);
	va_start(args, format);
	add_formatted(&out, format, args);
	va_end(args);
	keep(r, CONFIG_ERROR, NULL, str_slice(&out));
	str_free(&out);
	return -EINVAL;
}

void config_warn(struct config_report *r, const void *about, struct tree_place place,
		 const char *format, ...)
{
	struct str out = {0};
	va_list args;

	for (size_t i = 0; about != NULL && i < r->count; i++)
		if (r->messages[i].about == about)
			return;
	tree_add_place(&out, place);
	str_add(&out, SLICE(": "));
	va_start(args, format);
	add_formatted(&out, format, args);
	va_end(args);
	keep(r, CONFIG_WARNING, about, str_slice(&out));
	str_free(&out);
}

int config_error_from(struct config_report *r, const struct weir_error *error)
{
	keep(r, CONFIG_ERROR, NULL, slice_from(error->text));
	return error->code < 0 ? error->code : -EINVAL;
}

void config_report_add(struct str *out, const struct config_report *r)
{
	for (size_t i = 0; i < r->count; i++) {
		str_add(out, r->messages[i].severity == CONFIG_ERROR ? SLICE("error: ")
								     : SLICE("warning: "));
		str_add(out, r->messages[i].text);
		str_add_char(out, '\n');
	}
	if (r->dropped > 0)
		str_format(out, "and %zu more\n", r->dropped);
}
