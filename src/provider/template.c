#include "provider/template.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "provider/template_private.h"

/* Lines and columns count from 1; columns are bytes. */
static void position(slice source, size_t offset, size_t *line, size_t *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < offset && i < source.n; i++) {
		(*column)++;
		if (source.p[i] == '\n') {
			(*line)++;
			*column = 1;
		}
	}
}

static bool fail_with(struct template_run *t, int code, size_t offset, const char *text)
{
	size_t line, column;

	if (t->code != 0)
		return false;
	t->code = code;
	position(t->source, offset, &line, &column);
	(void)error_set(t->error, code, "%s:%zu:%zu: %s",
			t->input->file != NULL ? t->input->file : "template", line, column, text);
	return false;
}

bool template_fail(struct template_run *t, size_t offset, const char *format, ...)
{
	char text[WEIR_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return fail_with(t, -EINVAL, offset, text);
}

bool template_call_fail(struct template_call *c, const char *format, ...)
{
	char text[WEIR_ERROR_TEXT];
	va_list args;
	int n = snprintf(text, sizeof text, "%s: ", c->function->name);

	va_start(args, format);
	(void)vsnprintf(text + n, sizeof text - (size_t)n, format, args);
	va_end(args);
	return fail_with(c->run, -EINVAL, c->offset, text);
}

bool template_fail_memory(struct template_run *t, size_t offset)
{
	char text[160];

	(void)snprintf(
		text, sizeof text,
		"the template makes too much, expected at most %zu bytes of output and %zu bytes "
		"of values",
		t->limits.output_bytes_max, t->limits.memory_bytes_max);
	return fail_with(t, -E2BIG, offset, text);
}

bool template_step(struct template_run *t, size_t offset, uint64_t steps)
{
	char text[80];

	t->steps += steps;
	if (t->steps <= t->limits.steps_max)
		return true;
	(void)snprintf(text, sizeof text,
		       "the template works too long, expected at most %llu steps",
		       (unsigned long long)t->limits.steps_max);
	return fail_with(t, -E2BIG, offset, text);
}

const struct template_function *template_function_find(slice name)
{
	static const struct template_function *const tables[] = {
		template_basic_functions,  template_string_functions, template_list_functions,
		template_number_functions, template_map_functions,    template_json_functions,
		template_regex_functions,  template_other_functions,
	};

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct template_function *f = tables[i]; f->name != NULL; f++)
			if (slice_equal(name, slice_from(f->name)))
				return f;
	return NULL;
}

static struct template_limits limits_of(const struct template_input *input)
{
	struct template_limits l = input->limits;

	if (l.output_bytes_max == 0)
		l.output_bytes_max = (size_t)16 << 20;
	if (l.memory_bytes_max == 0)
		l.memory_bytes_max = (size_t)64 << 20;
	if (l.steps_max == 0)
		l.steps_max = 10000000;
	if (l.depth_max == 0)
		l.depth_max = 250;
	return l;
}

static int render(slice text, const struct template_input *input, struct str *out,
		  struct weir_error *e)
{
	struct template_run t = {
		.source = text,
		.input = input,
		.limits = limits_of(input),
		.error = e,
		.lexer = {.source = text},
		.out = out,
		.out_start = out->n,
	};

	arena_init(&t.arena, 16 * 1024, t.limits.memory_bytes_max);
	if (template_parse(&t)) {
		t.depth = 0;
		(void)template_eval(&t);
	}
	arena_free(&t.arena);
	return t.code;
}

int template_render(slice text, const struct template_input *input, struct str *out,
		    struct weir_error *e)
{
	if (slice_search(text, SLICE("{{")) < text.n)
		return render(text, input, out, e);
	str_add(out, text);
	return out->failed ? error_set(e, -ENOMEM, "no memory for a file of %zu bytes", text.n) : 0;
}
