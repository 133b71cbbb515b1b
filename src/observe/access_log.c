#include "observe/access_log.h"

#include <errno.h>
#include <stdlib.h>

#include "observe/access_format.h"
#include "proxy/proxy.h"

#define ACCESS_LOG_MAGIC 0x61636c67u

/** Of one worker. */
struct pen {
	struct str line; /* keeps its memory */
	struct access_clock clock;
};

struct access_log {
	uint32_t magic;
	struct access_sink sink;
	struct access_settings settings;
	struct line_writer *writer;
	struct pen *pens;
	size_t count;
};

/* A line that is longer than the queue goes there all the same, to be counted as lost. */
static void write_line(struct access_sink *sink, struct exchange *x, const struct access_record *r)
{
	struct access_log *log = container_of(sink, struct access_log, sink);
	const size_t worker = x->loop->index;
	struct pen *pen;

	OBJ_CHECK(log, ACCESS_LOG_MAGIC);
	must(worker < log->count);
	if (!access_settings_pass(&log->settings, r))
		return;
	pen = &log->pens[worker];
	str_clear(&pen->line);
	access_format(&pen->line, &pen->clock, &log->settings, x, r);
	if (pen->line.failed)
		line_writer_lose(log->writer, worker);
	else
		line_writer_put(log->writer, worker, str_slice(&pen->line));
}

int access_log_create(struct access_log **log, struct proxy *proxy,
		      const struct static_config *config, struct weir_error *e)
{
	const struct access_log_config *c = config->access_log;
	const size_t workers = (size_t)MAX(config->weir.workers, 1);
	const size_t bytes = (size_t)config->weir.limits.access_log_bytes;
	struct access_log *l = calloc(1, sizeof *l);
	int r = -ENOMEM;

	if (l == NULL)
		return error_set(e, r, "out of memory");
	l->magic = ACCESS_LOG_MAGIC;
	l->pens = calloc(workers, sizeof *l->pens);
	if (l->pens != NULL)
		r = access_settings_create(&l->settings, c);
	if (r == 0)
		r = line_writer_create(&l->writer, c->file_path, workers, bytes, e);
	else
		(void)error_set(e, r, "out of memory");
	if (r < 0) {
		access_log_destroy(&l);
		return r;
	}
	l->count = workers;
	for (size_t i = 0; i < workers; i++)
		l->pens[i].line.limit = bytes;
	l->sink.write = write_line;
	l->sink.internals = c->add_internals;
	l->sink.fields = access_settings_want_headers(&l->settings);
	proxy_set_access(proxy, &l->sink);
	*log = l;
	return 0;
}

void access_log_reopen(struct access_log *log)
{
	if (log == NULL)
		return;
	OBJ_CHECK(log, ACCESS_LOG_MAGIC);
	line_writer_reopen(log->writer);
}

void access_log_counters(const struct access_log *log, struct line_writer_counters *sums)
{
	OBJ_CHECK(log, ACCESS_LOG_MAGIC);
	line_writer_counters(log->writer, sums);
}

void access_log_destroy(struct access_log **log)
{
	struct access_log *l;

	if (*log == NULL)
		return;
	OBJ_TAKE(l, log, ACCESS_LOG_MAGIC);
	line_writer_destroy(&l->writer);
	access_settings_free(&l->settings);
	for (size_t i = 0; i < l->count; i++)
		str_free(&l->pens[i].line);
	free(l->pens);
	l->magic = 0;
	free(l);
}
