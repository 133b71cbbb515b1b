#include "plugin/output.h"

#include <stdarg.h>
#include <stdio.h>

#include "plugin/exchange.h"
#include "plugin/plugin.h"

void output_flatten(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
	}
}

static bool enabled(const struct weir_host_options *o, enum weir_log_level level)
{
	return o->log != NULL && (o->log_enabled == NULL || o->log_enabled(o->log_context, level));
}

bool output_enabled(const struct instance *i, enum weir_log_level level)
{
	return enabled(&i->plugin->host->options, level);
}

static void emit_for(const struct weir_plugin *p, void *x, enum weir_log_source source,
		     enum weir_log_level level, slice text)
{
	const struct weir_host_options *o = &p->host->options;
	const struct weir_log_line line = {
		.plugin = slice_from(p->facts.name),
		.source = source,
		.level = level,
		.text = text,
		.x = x,
	};

	if (enabled(o, level))
		o->log(o->log_context, &line);
}

static void emit(const struct instance *i, enum weir_log_source source, enum weir_log_level level,
		 slice text)
{
	emit_for(i->plugin, i->exchange != NULL ? i->exchange->x : NULL, source, level, text);
}

void output_note(const struct weir_plugin *p, enum weir_log_level level, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	emit_for(p, NULL, WEIR_LOG_HOST, level, slice_from(text));
}

void output_host(const struct weir_host_options *o, enum weir_log_level level, const char *format,
		 ...)
{
	char text[512];
	struct weir_log_line line = {.source = WEIR_LOG_HOST, .level = level};
	va_list args;

	if (!enabled(o, level))
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	line.text = slice_from(text);
	o->log(o->log_context, &line);
}

/* The newest lines, for the error if the start fails: whole lines go from the front. */
static void keep(struct instance *i, slice line)
{
	struct str *s = &i->start_output;

	line = slice_first(line, s->limit / 2);
	while (s->n > 0 && s->n + line.n + 2 > s->limit) {
		size_t first = MIN(slice_find(str_slice(s), '\n') + 1, s->n);

		memmove(s->p, s->p + first, s->n - first);
		s->n -= first;
	}
	str_add(s, line);
	str_add_char(s, '\n');
}

void output_line(struct instance *i, enum weir_log_source source, enum weir_log_level level,
		 slice line)
{
	line = slice_first(line, OUTPUT_LINE_MAX_BYTES);
	if (i->state == INSTANCE_STARTING)
		keep(i, line);
	if (i->log_lines_left == 0) {
		i->log_lines_dropped++;
		return;
	}
	i->log_lines_left--;
	emit(i, source, level, line);
}

void output_restart(struct instance *i)
{
	i->log_lines_left = i->plugin->facts.limits.log_lines;
	i->log_lines_dropped = 0;
}

void output_finish(struct instance *i)
{
	char text[96];
	int n;

	if (i->log_lines_dropped == 0)
		return;
	n = snprintf(text, sizeof text, "%llu lines of the plugin were left out (limit %u)",
		     (unsigned long long)i->log_lines_dropped, i->plugin->facts.limits.log_lines);
	emit(i, WEIR_LOG_HOST, WEIR_LOG_WARN, slice_of(text, (size_t)n));
	counter_add(&i->counters->log_lines_dropped, i->log_lines_dropped);
	i->log_lines_dropped = 0;
}
