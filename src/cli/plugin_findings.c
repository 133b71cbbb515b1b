#include <stdio.h>

#include "cli/plugin_inspect.h"
#include "plugin/link.h"
#include "plugin/rewrite.h"
#include "plugin/wasm_code.h"

#define LABEL "  %-19s "
#define NAME_COLUMNS 42
#define WRAP_COLUMNS ((size_t)80)

/* Whether the host has the import; else the reason is in `error`. */
static bool is_known(const struct survey_entry *e, struct weir_error *error)
{
	return link_check(e->module, e->name, e->params, e->results, error) == 0;
}

static void add_signature(struct str *out, const struct survey_entry *e)
{
	if (e->params != NULL)
		link_describe_signature(out, e->params, e->results);
}

static const struct weir_plugin_facts *facts_of(const struct plugin_findings *f)
{
	return plugin_starts(f) ? weir_plugin_facts(f->session->plugin) : NULL;
}

/* Compiled earlier, and in the cache. */
static bool was_found(const struct plugin_findings *f)
{
	struct weir_host_stats stats;

	weir_host_stats(f->session->host, &stats);
	return stats.cache_hits > 0;
}

static bool exports(const struct plugin_findings *f, const char *name)
{
	for (size_t i = 0; i < f->survey.exports.count; i++) {
		const struct survey_entry *e = &f->survey.exports.entries[i];

		if (e->kind == WASM_EXTERNAL_FUNCTION && slice_equal(e->name, slice_from(name)))
			return true;
	}
	return false;
}

/* ---- for programs ---- */

static json_t *entry_json(const struct survey_entry *e, bool import)
{
	struct str signature = {0};
	struct weir_error error;
	json_t *object = json_object();

	add_signature(&signature, e);
	if (import)
		json_put(object, "module", json_slice(e->module));
	json_put(object, "name", json_slice(e->name));
	json_put(object, "kind", json_string(survey_kind_text(e->kind)));
	json_put(object, "signature",
		 e->params != NULL ? json_slice(str_slice(&signature)) : json_null());
	if (import) {
		bool known = is_known(e, &error);

		json_put(object, "known", json_boolean(known));
		json_put(object, "why", known ? json_null() : json_slice(slice_from(error.text)));
	}
	str_free(&signature);
	return object;
}

static json_t *list_json(const struct survey_list *list, bool imports)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_append(array, entry_json(&list->entries[i], imports));
	return array;
}

static json_t *memory_json(const struct survey *v)
{
	json_t *object = json_object();

	json_put(object, "minBytes", json_count(v->memory_min_bytes));
	json_put(object, "maxBytes",
		 v->memory_bounded ? json_count(v->memory_max_bytes) : json_null());
	json_put(object, "dataSegments", json_count(v->data_segments));
	json_put(object, "dataBytes", json_count(v->data_bytes));
	json_put(object, "passiveSegments", json_count(v->passive_segments));
	json_put(object, "passiveBytes", json_count(v->passive_bytes));
	return object;
}

static json_t *obstacles_json(uint32_t obstacles)
{
	json_t *list = json_array();

	for (unsigned bit = 0; bit < REWRITE_OBSTACLE_COUNT; bit++) {
		if (obstacles & 1u << bit)
			json_append(list, json_string(rewrite_obstacle_text(1u << bit)));
	}
	return list;
}

static json_t *code_json(const struct plugin_findings *f)
{
	const struct survey *v = &f->survey;
	json_t *object = json_object();

	json_put(object, "functions", json_count(v->functions));
	json_put(object, "tables", json_count(v->tables));
	json_put(object, "mutableGlobals", json_count(v->mutable_globals));
	json_put(object, "responseEmpty", json_boolean(f->response_empty));
	json_put(object, "changesTables", json_boolean(v->code & WASM_CODE_CHANGES_TABLES));
	json_put(object, "dropsSegments", json_boolean(v->code & WASM_CODE_DROPS));
	json_put(object, "startSection", json_boolean(v->starts_by_section));
	json_put(object, "start", json_boolean(exports(f, "_start")));
	json_put(object, "initialize", json_boolean(exports(f, "_initialize")));
	json_put(object, "obstacles",
		 f->rewrite != NULL ? obstacles_json(f->rewrite->obstacles) : json_null());
	return object;
}

static json_t *start_json(const struct plugin_findings *f)
{
	const struct weir_plugin_facts *facts = facts_of(f);
	const struct weir_error *e =
		f->compile_error.code != 0 ? &f->compile_error : &f->start_error;
	json_t *object = json_object();

	json_put(object, "ok", json_boolean(facts != NULL));
	json_put(object, "error", facts != NULL ? json_null() : json_slice(slice_from(e->text)));
	json_put(object, "compiles", json_boolean(f->compile_error.code == 0));
	json_put(object, "compileNs", json_count(f->session->compile_ns));
	json_put(object, "found", json_boolean(was_found(f)));
	json_put(object, "log", plugin_lines_json(f->session));
	if (facts == NULL)
		return object;
	json_put(object, "initNs", json_count(f->session->init_ns));
	json_put(object, "init", json_string(weir_init_text(facts->init)));
	json_put(object, "imageBytes", json_count(facts->image_bytes));
	json_put(object, "drewEntropy", json_boolean(facts->init_drew_entropy));
	json_put(object, "openFiles", json_count(facts->init_open_files));
	return object;
}

static json_t *costs_json(const struct plugin_findings *f)
{
	const struct plugin_costs *c = &f->costs;
	uint64_t n = MAX(f->rate.exchanges, (uint64_t)1);
	json_t *object = json_object();

	if (f->costs_error.code != 0) {
		json_put(object, "error", json_slice(slice_from(f->costs_error.text)));
		return object;
	}
	json_put(object, "makeNs", json_count(c->make_ns));
	json_put(object, "cloned", json_boolean(c->cloned));
	json_put(object, "restoreNs", c->restore_ns > 0 ? json_count(c->restore_ns) : json_null());
	json_put(object, "restoredBy",
		 json_string(weir_restore_text(weir_host_restore(f->session->host))));
	json_put(object, "callNs", json_count(f->rate.guest_cpu_ns / n));
	json_put(object, "exchangeNs", json_count(f->rate.cpu_ns / n));
	json_put(object, "changedBytes", json_count(c->changed_bytes));
	json_put(object, "keepsState", json_boolean(c->keeps_state));
	return object;
}

static json_t *advice_json(const struct plugin_findings *f)
{
	json_t *object = json_object();

	json_put(object, "isolation", json_string(weir_isolation_text(f->advice.isolation)));
	json_put(object, "why", json_string(f->advice.why));
	return object;
}

json_t *plugin_findings_json(const struct plugin_findings *f)
{
	const struct plugin_args *a = f->session->args;
	json_t *object = json_object();
	bool starts = plugin_starts(f);

	json_put(object, "file", json_slice(slice_from(a->path)));
	json_put(object, "bytes", json_count(f->session->wasm.n));
	json_put(object, "sha256", json_string(f->hash));
	json_put(object, "imports", list_json(&f->survey.imports, true));
	json_put(object, "exports", list_json(&f->survey.exports, false));
	json_put(object, "memory", memory_json(&f->survey));
	json_put(object, "code", code_json(f));
	json_put(object, "start", start_json(f));
	json_put(object, "costs", starts ? costs_json(f) : json_null());
	json_put(object, "advice", starts ? advice_json(f) : json_null());
	return object;
}

/* ---- for people ---- */

static void print_entry(const struct survey_entry *e, bool import)
{
	struct str name = {0}, signature = {0};
	struct weir_error error;

	if (import)
		str_format(&name, "%.*s.", SLICE_ARG(e->module));
	str_add(&name, e->name);
	add_signature(&signature, e);
	(void)printf("  %-6s %-*.*s%s%.*s\n", survey_kind_text(e->kind),
		     signature.n > 0 ? NAME_COLUMNS : 0, SLICE_ARG(str_slice(&name)),
		     signature.n > 0 ? " " : "", SLICE_ARG(str_slice(&signature)));
	if (import && !is_known(e, &error))
		(void)printf("         not known here: %s\n", error.text);
	str_free(&name);
	str_free(&signature);
}

static void print_list(const char *title, const struct survey_list *list, bool imports)
{
	(void)printf("\n%s (%zu)\n", title, list->count);
	for (size_t i = 0; i < list->count; i++)
		print_entry(&list->entries[i], imports);
}

static void print_memory(const struct survey *v)
{
	(void)printf("\nmemory\n" LABEL "%llu bytes at first, ", "size",
		     (unsigned long long)v->memory_min_bytes);
	if (v->memory_bounded)
		(void)printf("%llu at most\n", (unsigned long long)v->memory_max_bytes);
	else
		(void)printf("as many as it gets at most\n");
	(void)printf(LABEL "%u segments of %llu bytes", "data", v->data_segments,
		     (unsigned long long)v->data_bytes);
	(void)printf(", %u of them passive (%llu bytes)\n", v->passive_segments,
		     (unsigned long long)v->passive_bytes);
}

static const char *yes_or_no(bool yes)
{
	return yes ? "yes" : "no";
}

static void print_starts(const struct plugin_findings *f)
{
	const struct {
		bool there;
		const char *name;
	} ways[] = {
		{f->survey.starts_by_section, "start section"},
		{exports(f, "_start"), "_start"},
		{exports(f, "_initialize"), "_initialize"},
	};
	const char *between = "";

	(void)printf(LABEL, "starts by");
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (!ways[i].there)
			continue;
		(void)printf("%s%s", between, ways[i].name);
		between = ", ";
	}
	(void)puts(between[0] == '\0' ? "nothing" : "");
}

static void print_code(const struct plugin_findings *f)
{
	const struct survey *v = &f->survey;
	const char *obstacle =
		f->rewrite != NULL ? rewrite_obstacle_text(f->rewrite->obstacles) : NULL;

	(void)printf("\ncode\n" LABEL "%u, %u tables, %u mutable globals\n", "functions",
		     v->functions, v->tables, v->mutable_globals);
	(void)printf(LABEL "%s\n", "handle_response",
		     f->response_empty ? "empty: it is not called, and the instance is free while "
					 "the server works"
				       : "not empty: an instance is kept for each request until "
					 "its response");
	(void)printf(LABEL "%s\n", "changes tables", yes_or_no(v->code & WASM_CODE_CHANGES_TABLES));
	(void)printf(LABEL "%s\n", "drops segments", yes_or_no(v->code & WASM_CODE_DROPS));
	print_starts(f);
	if (f->rewrite != NULL)
		(void)printf(LABEL "%s%s\n", "can be copied", obstacle != NULL ? "no: it " : "yes",
			     obstacle != NULL ? obstacle : "");
}

static void print_start(const struct plugin_findings *f)
{
	const struct weir_plugin_facts *facts = facts_of(f);

	(void)printf("\nstart\n");
	if (f->compile_error.code != 0) {
		(void)printf(LABEL "%s\n", "cannot be loaded", f->compile_error.text);
		return;
	}
	(void)printf(LABEL "%.1f ms\n", was_found(f) ? "found compiled in" : "compiled in",
		     (double)f->session->compile_ns / 1e6);
	plugin_lines_print(f->session, "  log                 ");
	if (facts == NULL) {
		(void)printf(LABEL "%s\n", "cannot start", f->start_error.text);
		return;
	}
	(void)printf(LABEL "%.3f ms%s\n", "initialised in", (double)f->session->init_ns / 1e6,
		     facts->init == WEIR_INIT_OWN ? ", by each instance" : "");
	(void)printf(LABEL "%llu bytes, kept once for all instances\n", "image",
		     (unsigned long long)facts->image_bytes);
	(void)printf(LABEL "%s\n", "drew random numbers", yes_or_no(facts->init_drew_entropy));
	(void)printf(LABEL "%u\n", "files left open", facts->init_open_files);
}

static void print_costs(const struct plugin_findings *f)
{
	const struct plugin_costs *c = &f->costs;
	uint64_t n = MAX(f->rate.exchanges, (uint64_t)1);

	(void)printf("\ncosts on this machine\n");
	if (f->costs_error.code != 0) {
		(void)printf(LABEL "%s\n", "cannot be told", f->costs_error.text);
		return;
	}
	(void)printf(LABEL "%.2f us, %s\n", "new instance", (double)c->make_ns / 1000,
		     c->cloned ? "a copy of the first one" : "which initialises itself");
	if (c->restore_ns > 0)
		(void)printf(LABEL "%.2f us, by %s\n", "put back", (double)c->restore_ns / 1000,
			     weir_restore_text(weir_host_restore(f->session->host)));
	else if (c->cloned)
		(void)printf(LABEL "no: its memory has grown; a new instance takes its place\n",
			     "put back");
	(void)printf(LABEL "%.2f us of CPU, %.2f us of them in the guest\n", "exchange",
		     (double)f->rate.cpu_ns / (double)n / 1000,
		     (double)f->rate.guest_cpu_ns / (double)n / 1000);
	(void)printf(LABEL "%llu bytes\n", "changes", (unsigned long long)c->changed_bytes);
	(void)printf(LABEL "%s\n", "keeps state",
		     c->keeps_state ? "yes: its memory differs after each request"
				    : "no, as far as such requests show");
}

static void print_wrapped(slice text)
{
	size_t column = 0;
	slice word;

	while (slice_next(&text, ' ', &word)) {
		bool fits = column > 0 && column + 1 + word.n <= WRAP_COLUMNS;

		(void)printf("%s%.*s", fits ? " " : column == 0 ? "  " : "\n  ", SLICE_ARG(word));
		column = fits ? column + 1 + word.n : 2 + word.n;
	}
	(void)putchar('\n');
}

void plugin_findings_print(const struct plugin_findings *f)
{
	(void)printf("%s\n" LABEL "%zu bytes\n" LABEL "%s\n", f->session->args->path, "size",
		     f->session->wasm.n, "sha256", f->hash);
	print_list("imports", &f->survey.imports, true);
	print_list("exports", &f->survey.exports, false);
	print_memory(&f->survey);
	print_code(f);
	print_start(f);
	if (!plugin_starts(f))
		return;
	print_costs(f);
	(void)printf("\nisolation advised: %s\n", weir_isolation_text(f->advice.isolation));
	print_wrapped(slice_from(f->advice.why));
}
