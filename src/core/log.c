#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/str.h"

/* A line longer than this is cut; guests and peers choose what is in it. */
#define LINE_MAX_BYTES ((size_t)16 * 1024)

static const struct {
	const char *name, *tag;
} levels[LOG_LEVEL_COUNT] = {
#define X(level, text, label) [LOG_##level] = {text, label},
	LOG_LEVELS(X)
#undef X
};

/* `change` guards the path and changes of all; writers read the others without it. */
static pthread_mutex_t change = PTHREAD_MUTEX_INITIALIZER;
static char *path;
static _Atomic int fd = STDERR_FILENO;
static _Atomic int threshold = LOG_ERROR;
static _Atomic int format_in_use = LOG_COMMON;
static _Atomic bool color_in_use;
static _Atomic uint64_t lost;

static int open_file(const char *name)
{
	int f = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	return f >= 0 ? f : -errno;
}

/* Puts `next` in the place of the descriptor in use, under the same number once a file is open: a
 * writer in another thread never meets a closed or foreign descriptor. */
static int replace_fd(int next)
{
	int current = atomic_load(&fd);

	if (next > STDERR_FILENO && current > STDERR_FILENO) {
		int r = dup3(next, current, O_CLOEXEC) < 0 ? -errno : 0;

		(void)close(next);
		return r;
	}
	atomic_store(&fd, next);
	return 0;
}

int log_configure(const struct log_options *options)
{
	char *name = options->file_path != NULL ? slice_dup(slice_from(options->file_path)) : NULL;
	int r = STDOUT_FILENO;

	if (options->file_path != NULL)
		r = name != NULL ? open_file(name) : -ENOMEM;
	if (r < 0) {
		free(name);
		return r;
	}
	(void)pthread_mutex_lock(&change);
	r = replace_fd(r);
	if (r == 0) {
		free(path);
		path = name;
		name = NULL;
		atomic_store(&threshold, (int)options->level);
		atomic_store(&format_in_use, (int)options->format);
		atomic_store(&color_in_use, options->color);
	}
	(void)pthread_mutex_unlock(&change);
	free(name);
	return r;
}

int log_reopen(void)
{
	int r = 0;

	(void)pthread_mutex_lock(&change);
	if (path != NULL) {
		r = open_file(path);
		if (r >= 0)
			r = replace_fd(r);
	}
	(void)pthread_mutex_unlock(&change);
	return r;
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

uint64_t log_lost_lines(void)
{
	return atomic_load(&lost);
}

int log_level_from(slice name)
{
	for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (slice_equal_nocase(name, slice_from(levels[i].name)))
			return i;
	}
	return -1;
}

static void add_time(struct str *line)
{
	time_t now = (time_t)(clock_wall_ns() / 1000000000u);
	struct tm local;
	char text[40];
	size_t n;

	if (localtime_r(&now, &local) == NULL)
		return;
	n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &local);
	if (n < 5)
		return;
	if (local.tm_gmtoff == 0) {
		str_add(line, (slice){text, n - 5});
		str_add_char(line, 'Z');
		return;
	}
	str_add(line, (slice){text, n - 2});
	str_add_char(line, ':');
	str_add(line, (slice){text + n - 2, 2});
}

/* Of ASCII and of its extension, which terminals obey too. */
static bool is_control(int32_t rune)
{
	return rune < 0x20 || (rune >= 0x7f && rune < 0xa0);
}

/* The inside of a JSON string, valid whatever the bytes are. */
static void add_escaped(struct str *line, slice s)
{
	for (size_t i = 0, from = 0; i < s.n && line->n < LINE_MAX_BYTES; from = i) {
		int32_t rune = slice_rune(s, &i);

		if (rune < 0)
			str_add(line, SLICE("\\ufffd"));
		else if (rune == '"' || rune == '\\')
			str_format(line, "\\%c", (char)rune);
		else if (rune == '\n')
			str_add(line, SLICE("\\n"));
		else if (is_control(rune))
			str_format(line, "\\u%04x", (unsigned)rune);
		else
			str_add(line, slice_of(s.p + from, i - from));
	}
}

/* Text outside of quotes: what could do something to a terminal is shown as numbers. */
static void add_plain(struct str *line, slice s)
{
	for (size_t i = 0, from = 0; i < s.n && line->n < LINE_MAX_BYTES; from = i) {
		int32_t rune = slice_rune(s, &i);

		/* Negative: not UTF-8. */
		if (rune < 0x20 || rune == 0x7f)
			str_format(line, "\\x%02x", (unsigned char)s.p[from]);
		else if (is_control(rune))
			str_format(line, "\\u%04x", (unsigned)rune);
		else
			str_add(line, slice_of(s.p + from, i - from));
	}
}

static bool needs_quotes(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == '"' || c == '\\' || c >= 0x7f)
			return true;
	}
	return false;
}

static void add_value(struct str *line, const struct log_field *f, bool always_quote)
{
	if (f->type == LOG_FIELD_INTEGER) {
		str_format(line, "%lld", (long long)f->integer);
		return;
	}
	if (!always_quote && !needs_quotes(f->text)) {
		str_add(line, slice_first(f->text, LINE_MAX_BYTES));
		return;
	}
	str_add_char(line, '"');
	add_escaped(line, f->text);
	str_add_char(line, '"');
}

static void add_common(struct str *line, enum log_level level, slice message,
		       const struct log_field *fields, size_t count)
{
	bool color = atomic_load_explicit(&color_in_use, memory_order_relaxed);

	add_time(line);
	if (color)
		str_format(line, " \x1b[%dm%s\x1b[0m ", level >= LOG_ERROR ? 31 : 32,
			   levels[level].tag);
	else
		str_format(line, " %s ", levels[level].tag);
	add_plain(line, message);
	for (size_t i = 0; i < count; i++) {
		str_format(line, " %s=", fields[i].key);
		add_value(line, &fields[i], false);
	}
}

static void add_json(struct str *line, enum log_level level, slice message,
		     const struct log_field *fields, size_t count)
{
	str_format(line, "{\"level\":\"%s\"", levels[level].name);
	for (size_t i = 0; i < count; i++) {
		str_format(line, ",\"%s\":", fields[i].key);
		add_value(line, &fields[i], true);
	}
	str_add(line, SLICE(",\"time\":\""));
	add_time(line);
	str_add(line, SLICE("\",\"message\":\""));
	add_escaped(line, message);
	str_add(line, SLICE("\"}"));
}

void log_write(enum log_level level, const struct log_field *fields, size_t count,
	       const char *format, ...)
{
	char text[4096];
	struct str line = {0};
	va_list args;
	ssize_t written = -1;
	int n;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (n < 0)
		text[0] = '\0';
	if (atomic_load_explicit(&format_in_use, memory_order_relaxed) == LOG_JSON)
		add_json(&line, level, slice_from(text), fields, count);
	else
		add_common(&line, level, slice_from(text), fields, count);
	str_add_char(&line, '\n');
	if (!line.failed) {
		do {
			written = write(atomic_load(&fd), line.p, line.n);
		} while (written < 0 && errno == EINTR);
	}
	if (written != (ssize_t)line.n)
		atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
	str_free(&line);
}
