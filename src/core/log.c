#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/folders.h"
#include "core/log_backups.h"
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
static _Atomic uint64_t rotate_bytes; /* 0: never */
static unsigned backups_max;
static uint64_t backup_age_s;

/* The folders are made as well, as in Traefik. */
static int open_file(char *name)
{
	int f;

	folders_make(name);
	f = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

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
		atomic_store(&rotate_bytes, path != NULL ? options->rotate_bytes : 0);
		backups_max = options->backups_max;
		backup_age_s = options->backup_age_s;
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

/* Several processes may write to the file, and each of them may have moved it. */
static bool is_moved(const struct stat *open_file)
{
	struct stat named;

	return stat(path, &named) < 0 || named.st_ino != open_file->st_ino ||
	       named.st_dev != open_file->st_dev;
}

static void move_aside(void)
{
	uint64_t now_ns = clock_wall_ns();
	struct str name = {0};

	log_backup_name(&name, path, now_ns);
	if (!name.failed && rename(path, name.p) == 0)
		log_backups_prune(path, backups_max, backup_age_s, now_ns);
	str_free(&name);
}

/* Before `n` bytes are written. */
static void rotate(size_t n)
{
	uint64_t max = atomic_load_explicit(&rotate_bytes, memory_order_relaxed);
	struct stat st;
	int next = -1;

	if (max == 0)
		return;
	(void)pthread_mutex_lock(&change);
	if (path != NULL && fstat(atomic_load(&fd), &st) == 0 && S_ISREG(st.st_mode)) {
		bool moved = is_moved(&st);

		if (!moved && st.st_size > 0 && (uint64_t)st.st_size + n > max) {
			move_aside();
			moved = true;
		}
		if (moved)
			next = open_file(path);
		if (next >= 0)
			(void)replace_fd(next);
	}
	(void)pthread_mutex_unlock(&change);
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

/* As Traefik's console writes them: the error first, the others by name. */
static bool comes_before(const struct log_field *a, const struct log_field *b)
{
	bool a_is_error = strcmp(a->key, "error") == 0, b_is_error = strcmp(b->key, "error") == 0;

	return a_is_error != b_is_error ? a_is_error : strcmp(a->key, b->key) < 0;
}

#define SORTED_MAX 16

/* Indexes of the fields in the order in which they are written; those beyond SORTED_MAX are left
 * out. Returns how many. */
static size_t sort_fields(const struct log_field *fields, size_t count, size_t sorted[SORTED_MAX])
{
	count = MIN(count, SORTED_MAX);
	for (size_t i = 0; i < count; i++) {
		size_t at = i;

		for (; at > 0 && comes_before(&fields[i], &fields[sorted[at - 1]]); at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = i;
	}
	return count;
}

/* Select Graphic Rendition: begins, and ends again. "" is no colour. */
static const char *paint(bool color, const char *parameters)
{
	return color ? parameters : "";
}

#define RESET "\x1b[0m"
#define GREY "\x1b[90m"
#define CYAN "\x1b[36m"
#define BOLD "\x1b[1m"
#define RED "\x1b[31m"

static void add_common(struct str *line, enum log_level level, slice message,
		       const struct log_field *fields, size_t count)
{
	static const char *const colors[LOG_LEVEL_COUNT] = {
		[LOG_TRACE] = "\x1b[34m", [LOG_DEBUG] = "",  [LOG_INFO] = "\x1b[32m",
		[LOG_WARN] = "\x1b[33m",  [LOG_ERROR] = RED, [LOG_FATAL] = RED,
		[LOG_PANIC] = RED};
	bool color = atomic_load_explicit(&color_in_use, memory_order_relaxed);
	bool tagged = color && colors[level][0] != '\0', bold = color && level >= LOG_INFO;
	size_t sorted[SORTED_MAX];

	str_format(line, "%s", paint(color, GREY));
	add_time(line);
	str_format(line, "%s %s%s%s %s", paint(color, RESET), paint(tagged, colors[level]),
		   levels[level].tag, paint(tagged, RESET), paint(bold, BOLD));
	add_plain(line, message);
	str_format(line, "%s", paint(bold, RESET));
	count = sort_fields(fields, count, sorted);
	for (size_t i = 0; i < count; i++) {
		const struct log_field *f = &fields[sorted[i]];
		bool red = color && strcmp(f->key, "error") == 0;

		str_format(line, " %s%s=%s%s", paint(color, CYAN), f->key, paint(color, RESET),
			   paint(red, RED BOLD));
		add_value(line, f, false);
		str_format(line, "%s", paint(red, RESET RESET));
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
		rotate(line.n);
		do {
			written = write(atomic_load(&fd), line.p, line.n);
		} while (written < 0 && errno == EINTR);
	}
	if (written != (ssize_t)line.n)
		atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
	str_free(&line);
}
