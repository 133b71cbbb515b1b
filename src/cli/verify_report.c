#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "cli/verify_private.h"
#include "weir/plugin.h"

static json_t *number(double value)
{
	return json_real(value);
}

static json_t *series(const struct verify_result *r)
{
	json_t *all = json_object(), *at = json_array();

	for (size_t i = 0; i < r->sampler.count; i++)
		json_append(at, json_integer((json_int_t)r->sampler.list[i].at_ms));
	json_put(all, "at_ms", at);
#define X(name, doc) \
	{ \
		json_t *list = json_array(); \
\
		for (size_t i = 0; i < r->sampler.count; i++) { \
			int64_t value = r->sampler.list[i].name; \
\
			json_append(list, value < 0 ? json_null() : json_integer(value)); \
		} \
		json_put(all, #name, list); \
	}
	VERIFY_SERIES(X)
#undef X
	return all;
}

/* Times of rewrites, and what else was marked. */
static void add_marks(json_t *to, const struct verify_result *r)
{
	json_t *reloads = json_array(), *phases = json_array();

	for (size_t i = 0; i < r->sampler.mark_count; i++) {
		const struct verify_mark *m = &r->sampler.marks[i];
		json_t *phase;

		if (m->text[0] == '\0') {
			json_append(reloads, json_integer((json_int_t)m->at_ms));
			continue;
		}
		phase = json_object();
		json_put(phase, "at_ms", json_integer((json_int_t)m->at_ms));
		json_put(phase, "text", json_string(m->text));
		json_append(phases, phase);
	}
	json_put(to, "rewrites_at_ms", reloads);
	json_put(to, "phases", phases);
}

static const char *const verdicts[] = {
	[VERIFY_GOOD] = "ok", [VERIFY_BAD] = "fail", [VERIFY_UNKNOWN] = "unknown"};

static json_t *text_json(const char *text)
{
	return text[0] != '\0' ? json_slice(slice_from(text)) : json_null();
}

/* What the log said of each kind of broken file. */
static json_t *messages(const struct verify_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < VERIFY_BREAK_COUNT; i++) {
		json_t *one;

		if (r->said[i][0] == '\0')
			continue;
		one = json_object();
		json_put(one, "file", json_string(verify_breaks[i]));
		json_put(one, "said", json_slice(slice_from(r->said[i])));
		json_append(list, one);
	}
	return list;
}

static json_t *limits(const struct verify_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < verify_limit_count; i++) {
		const struct verify_limit *l = &verify_limits[i];
		json_t *one;

		if (!verify_limit_applies(l, r->scenario))
			continue;
		one = json_object();
		json_put(one, "measure", json_string(verify_measures[l->measure].name));
		json_put(one, "what", json_string(verify_measures[l->measure].doc));
		json_put(one, "unit", json_string(verify_measures[l->measure].unit));
		json_put(one, "most", number(l->most));
		json_put(one, "value",
			 r->known[l->measure] ? number(r->values[l->measure]) : json_null());
		json_put(one, "verdict", json_string(verdicts[verify_judge_limit(r, l)]));
		json_append(list, one);
	}
	return list;
}

static json_t *result_json(const struct verify_result *r)
{
	json_t *one = json_object(), *values = json_object();

	json_put(one, "scenario", json_string(verify_scenarios[r->scenario].name));
	json_put(one, "what", json_string(verify_scenarios[r->scenario].doc));
	json_put(one, "proxy", json_slice(slice_from(r->proxy)));
	json_put(one, "verdict", json_string(verdicts[verify_judge(r)]));
	json_put(one, "error", text_json(r->error.text));
	json_put(one, "not_supported", text_json(r->unsupported));
	json_put(one, "first_failure", text_json(r->failure));
	json_put(one, "note", text_json(r->note));
	json_put(one, "messages", messages(r));
	json_put(one, "counted_by", json_string(r->has_metrics ? "metrics" : "log"));
	json_put(one, "seconds", number(r->seconds));
	json_put(one, "start_bytes", json_integer(r->start_own_bytes));
	for (size_t i = 0; i < VERIFY_MEASURE_COUNT; i++)
		json_put(values, verify_measures[i].name,
			 r->known[i] ? number(r->values[i]) : json_null());
	json_put(one, "measures", values);
	json_put(one, "limits", limits(r));
	json_put(one, "series", series(r));
	add_marks(one, r);
	return one;
}

static json_t *conditions(const struct verify_args *a)
{
	json_t *c = json_object();
	struct utsname system;
	time_t now = time(NULL);
	struct tm utc;
	char text[64] = "";

	if (gmtime_r(&now, &utc) != NULL)
		(void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
	json_put(c, "written", json_string(text));
	json_put(c, "weir", json_string(WEIR_VERSION));
	json_put(c, "processors", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_put(c, "memory_bytes",
		 json_integer((json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)));
	json_put(c, "system", uname(&system) == 0 ? json_string(system.release) : json_null());
	json_put(c, "guest", json_string(a->own_guest ? "built in" : "given"));
	json_put(c, "guest_bytes", json_count(a->guest.n));
	json_put(c, "config", json_deep_copy(a->config));
	json_put(c, "memory_limit_bytes", json_count(a->memory_bytes));
	json_put(c, "settle_ms", json_count(a->settle_ms));
	return c;
}

static json_t *measure_json(const struct verify_measure_row *row)
{
	json_t *one = json_object();

	json_put(one, "what", json_string(row->doc));
	json_put(one, "unit", json_string(row->unit));
	return one;
}

json_t *verify_report_json(const struct verify_report *r)
{
	json_t *all = json_object(), *results = json_array(), *docs = json_object();
	json_t *measures = json_object();
	bool good = true;

	for (size_t i = 0; i < r->count; i++) {
		good = good && verify_judge(&r->results[i]) != VERIFY_BAD;
		json_append(results, result_json(&r->results[i]));
	}
#define X(name, doc) json_put(docs, #name, json_string(doc));
	VERIFY_SERIES(X)
#undef X
	for (size_t i = 0; i < VERIFY_MEASURE_COUNT; i++)
		json_put(measures, verify_measures[i].name, measure_json(&verify_measures[i]));
	json_put(all, "measures", measures);
	json_put(all, "verdict", json_string(good && !verify_is_stopped() ? "ok" : "fail"));
	json_put(all, "conditions", conditions(r->args));
	json_put(all, "series", docs);
	json_put(all, "results", results);
	return all;
}

static int write_in(const char *directory, const char *name, slice content, struct weir_error *e)
{
	struct str path = {0};
	int r;

	str_format(&path, "%s/%s", directory, name);
	r = path.failed ? error_set(e, -ENOMEM, "out of memory")
			: verify_write_file(path.p, content, e);
	str_free(&path);
	return r;
}

int verify_report_write(const struct verify_report *r, struct weir_error *e)
{
	json_t *all = verify_report_json(r);
	char *text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(6));
	struct str page = {0};
	int result = 0;

	json_decref(all);
	if (text == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	if (mkdir(r->args->report, 0755) < 0 && errno != EEXIST)
		result = error_set(e, -errno, "%s: %s", r->args->report, strerror(errno));
	if (result == 0)
		result = write_in(r->args->report, "report.json", slice_from(text), e);
	verify_html_add(&page, slice_from(text));
	if (result == 0 && page.failed)
		result = error_set(e, -ENOMEM, "out of memory");
	if (result == 0)
		result = write_in(r->args->report, "report.html", str_slice(&page), e);
	str_free(&page);
	free(text);
	return result;
}
