#include "cli/plugin_inspect.h"

#include <stdio.h>

#include "core/sha256.h"
#include "plugin/rewrite.h"
#include "plugin/scan.h"

#define RATE_NS 50000000u

/* Everything that can be told without running it. */
static int look(struct plugin_findings *f, struct rewrite *rewrite, struct weir_error *error)
{
	struct plugin_session *s = f->session;
	struct scan_facts scan;
	int r;

	sha256_hex(s->wasm, f->hash);
	r = survey_module(&f->survey, s->wasm, &s->args->arena, error);
	if (r == 0)
		r = scan_module(&scan, s->wasm, error);
	if (r < 0)
		return r;
	f->response_empty = scan.response_empty;
	/* A name that is reserved, say, is an error that compiling reports. */
	if (rewrite_module(rewrite, s->wasm, NULL) == 0)
		f->rewrite = rewrite;
	return 0;
}

static void measure(struct plugin_findings *f, const struct plugin_requests *requests)
{
	struct plugin_session *s = f->session;
	int r = plugin_measure_costs(&f->costs, s, &requests->list[0], &f->costs_error);

	if (r == 0)
		(void)plugin_measure_rate(&f->rate, s, requests, RATE_NS, 0, &f->costs_error);
	f->advice = plugin_advise(weir_plugin_facts(s->plugin), r == 0 ? &f->costs : NULL);
}

static void try_it(struct plugin_findings *f, const struct plugin_requests *requests)
{
	struct plugin_session *s = f->session;

	if (plugin_session_compile(s, &f->compile_error) < 0)
		return;
	if (plugin_session_start(s, WEIR_ISOLATION_REUSE, s->args->plugins.defaults.init,
				 &f->start_error) == 0)
		measure(f, requests);
}

static int tell(const struct plugin_findings *f)
{
	bool printed = true;

	if (f->session->args->json)
		printed = json_finish(plugin_findings_json(f)) == 0;
	else
		plugin_findings_print(f);
	return printed && plugin_starts(f) ? 0 : 1;
}

int plugin_inspect(struct plugin_args *a)
{
	struct plugin_requests requests = {.list = NULL};
	struct plugin_session s;
	struct plugin_findings f = {.session = &s};
	struct rewrite rewrite = {.segments = NULL};
	struct weir_error error = {0};
	int r = plugin_session_open(&s, a, &error), status;

	if (r == 0)
		r = plugin_requests_read(&requests, a, &error);
	if (r == 0)
		r = look(&f, &rewrite, &error);
	if (r == 0) {
		try_it(&f, &requests);
		status = tell(&f);
	} else {
		status = plugin_complain(a, &error);
	}
	rewrite_free(&rewrite);
	plugin_session_close(&s);
	return status;
}
