#include <stdio.h>
#include <stdlib.h>

#include "cli/plugin_cli.h"

#define TEXT_BODY_MAX ((size_t)200)
#define JSON_BODY_MAX ((size_t)64 * 1024)
#define LABEL "  %-10s "

/* X(bit of WEIR_FEATURE_*, name in the ABI) */
#define FEATURES(X) \
	X(WEIR_FEATURE_BUFFER_REQUEST, "buffer_request") \
	X(WEIR_FEATURE_BUFFER_RESPONSE, "buffer_response")

/* ---- for programs ---- */

static json_t *fields_json(const struct fields *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->count; i++) {
		json_t *pair = json_array();

		json_append(pair, json_slice(f->list[i].name));
		json_append(pair, json_slice(f->list[i].value));
		json_append(list, pair);
	}
	return list;
}

static void put_body(json_t *object, slice body)
{
	json_put(object, "bodyBytes", json_count(body.n));
	json_put(object, "body", json_slice(slice_first(body, JSON_BODY_MAX)));
}

static json_t *request_json(slice method, slice target, slice host, const struct fields *f,
			    slice body)
{
	json_t *object = json_object();

	json_put(object, "method", json_slice(method));
	json_put(object, "target", json_slice(target));
	json_put(object, "host", json_slice(host));
	json_put(object, "headers", fields_json(f));
	put_body(object, body);
	return object;
}

static json_t *response_json(const struct plugin_exchange *x)
{
	json_t *object = json_object();

	json_put(object, "by", json_string(plugin_author_text(x->author)));
	json_put(object, "status", json_integer(x->response.status));
	json_put(object, "headers", fields_json(&x->response.fields));
	put_body(object, x->response_body);
	return object;
}

static json_t *features_json(uint32_t features)
{
	json_t *list = json_array();

#define X(bit, name) \
	if (features & (bit)) \
		json_append(list, json_string(name));
	FEATURES(X)
#undef X
	return list;
}

static json_t *exchange_json(const struct plugin_exchange *x, const struct plugin_session *s)
{
	const struct request *q = &x->from->head;
	bool failed = x->cause != WEIR_CAUSE_NONE, called = x->response_step != WEIR_NEXT;
	json_t *object = json_object();

	json_put(object, "request",
		 request_json(q->method, q->target, q->authority, &q->fields, x->from->body));
	json_put(object, "handleRequest", json_string(weir_step_text(x->step)));
	json_put(object, "handleResponse",
		 called ? json_string(weir_step_text(x->response_step)) : json_null());
	json_put(object, "cause", failed ? json_string(weir_cause_text(x->cause)) : json_null());
	json_put(object, "error", failed ? json_slice(slice_from(x->error.text)) : json_null());
	json_put(object, "forwarded",
		 x->step == WEIR_NEXT ? request_json(x->method, x->target, x->authority, &x->fields,
						     x->forwarded_body)
				      : json_null());
	json_put(object, "response", response_json(x));
	json_put(object, "features", features_json(x->facts.features));
	json_put(object, "requestCpuNs", json_count(x->cpu_ns[WEIR_REQUEST]));
	json_put(object, "responseCpuNs", json_count(x->cpu_ns[WEIR_RESPONSE]));
	json_put(object, "changedBytes", json_count(x->facts.changed_bytes));
	json_put(object, "requestBodyReadBytes", json_count(x->facts.request_body_read_bytes));
	json_put(object, "yields", json_count(x->yields));
	json_put(object, "bodyWaits", json_count(x->body_waits));
	json_put(object, "sleeps", json_count(x->sleeps));
	json_put(object, "log", plugin_lines_json(s));
	return object;
}

/* ---- for people ---- */

static void print_body(const char *label, slice body)
{
	(void)printf(LABEL "  body %zu bytes: ", label, body.n);
	plugin_print_quoted(body, TEXT_BODY_MAX);
	(void)putchar('\n');
}

static bool has_line(const struct fields *f, const struct field *line)
{
	for (size_t i = 0; i < f->count; i++) {
		if (slice_equal_nocase(f->list[i].name, line->name) &&
		    slice_equal(f->list[i].value, line->value))
			return true;
	}
	return false;
}

static void print_field(char mark, const struct field *f)
{
	(void)printf(LABEL "%c %.*s: %.*s\n", "", mark, SLICE_ARG(f->name), SLICE_ARG(f->value));
}

/* Lines that are new, those that have gone, and unless `changes_only` those that stayed. */
static void print_fields(const struct fields *before, const struct fields *after, bool changes_only)
{
	for (size_t i = 0; i < after->count; i++) {
		bool stayed = has_line(before, &after->list[i]);

		if (!stayed || !changes_only)
			print_field(stayed ? ' ' : '+', &after->list[i]);
	}
	for (size_t i = 0; i < before->count; i++) {
		if (before->list[i].id != FIELD_HOST && !has_line(after, &before->list[i]))
			print_field('-', &before->list[i]);
	}
}

static void print_forwarded(const struct plugin_exchange *x)
{
	const struct request *q = &x->from->head;

	if (x->step != WEIR_NEXT)
		return;
	(void)printf(LABEL "%.*s %.*s, host %.*s\n", "forwarded", SLICE_ARG(x->method),
		     SLICE_ARG(x->target), SLICE_ARG(x->authority));
	print_fields(&q->fields, &x->fields, true);
	if (x->facts.request_body_written)
		print_body("", x->forwarded_body);
}

static void print_response(const struct plugin_exchange *x)
{
	static const struct fields none;
	const struct fields *before =
		x->author == PLUGIN_BY_UPSTREAM ? &x->from->upstream.fields : &none;

	(void)printf(LABEL "%d %s, by %s\n", "response", x->response.status,
		     status_text(x->response.status), plugin_author_text(x->author));
	print_fields(before, &x->response.fields, false);
	if (x->response_body.n > 0)
		print_body("", x->response_body);
}

static void print_result(const struct plugin_exchange *x)
{
	(void)printf(LABEL "%s", "result", weir_step_text(x->step));
	if (x->response_step != WEIR_NEXT)
		(void)printf(", then %s", weir_step_text(x->response_step));
	if (x->cause != WEIR_CAUSE_NONE)
		(void)printf(": %s: %s", weir_cause_text(x->cause), x->error.text);
	(void)putchar('\n');
}

static void print_cost(const struct plugin_exchange *x)
{
	(void)printf(LABEL "%.1f us in handle_request", "CPU",
		     (double)x->cpu_ns[WEIR_REQUEST] / 1000);
	if (x->response_step != WEIR_NEXT)
		(void)printf(", %.1f us in handle_response",
			     (double)x->cpu_ns[WEIR_RESPONSE] / 1000);
	(void)printf("\n" LABEL "%llu bytes changed\n", "memory",
		     (unsigned long long)x->facts.changed_bytes);
	if (x->yields + x->body_waits + x->sleeps > 0)
		(void)printf(LABEL "%u for the body, %u asleep, %u at the end of a slice\n",
			     "waits", x->body_waits, x->sleeps, x->yields);
	if (x->facts.request_body_read_bytes > 0)
		(void)printf(LABEL "%llu bytes of the request's body\n", "read",
			     (unsigned long long)x->facts.request_body_read_bytes);
}

static void print_exchange(const struct plugin_exchange *x, const struct plugin_session *s)
{
	const struct request *q = &x->from->head;

	(void)printf("\n%.*s %.*s\n", SLICE_ARG(q->method), SLICE_ARG(q->target));
	print_result(x);
	print_cost(x);
#define X(bit, name) \
	if (x->facts.features & (bit)) \
		(void)printf(LABEL name "\n", "feature");
	FEATURES(X)
#undef X
	plugin_lines_print(s, "  log        ");
	print_forwarded(x);
	print_response(x);
}

static void print_start(const struct plugin_session *s)
{
	const struct weir_plugin_facts *f = weir_plugin_facts(s->plugin);

	(void)printf("%s: isolation %s, init %s, configuration %.*s\n", s->args->path,
		     weir_isolation_text(f->isolation), weir_init_text(f->init),
		     SLICE_ARG(str_slice(&s->config)));
	plugin_lines_print(s, "  log        ");
}

static json_t *start_json(const struct plugin_session *s)
{
	const struct weir_plugin_facts *f = weir_plugin_facts(s->plugin);
	json_t *object = json_object();

	json_put(object, "file", json_slice(slice_from(s->args->path)));
	json_put(object, "sha256", json_string(f->hash));
	json_put(object, "config", json_slice(str_slice(&s->config)));
	json_put(object, "isolation", json_string(weir_isolation_text(f->isolation)));
	json_put(object, "init", json_string(weir_init_text(f->init)));
	json_put(object, "log", plugin_lines_json(s));
	return object;
}

/* Returns how many exchanges failed. */
static size_t run_all(struct plugin_session *s, const struct plugin_requests *requests,
		      json_t *exchanges)
{
	struct plugin_exchange x;
	size_t failed = 0;

	plugin_exchange_init(&x, weir_plugin_facts(s->plugin)->limits.body_bytes);
	for (size_t i = 0; i < requests->count; i++) {
		plugin_session_forget_lines(s);
		failed += !plugin_exchange_run(&x, s->pool, s->plugin, &requests->list[i]);
		if (exchanges != NULL)
			json_append(exchanges, exchange_json(&x, s));
		else
			print_exchange(&x, s);
	}
	plugin_exchange_free(&x);
	return failed;
}

static int run(struct plugin_session *s, const struct plugin_requests *requests)
{
	json_t *object, *exchanges;
	size_t failed;

	if (!s->args->json) {
		print_start(s);
		return run_all(s, requests, NULL) > 0;
	}
	object = start_json(s);
	exchanges = json_array();
	failed = run_all(s, requests, exchanges);
	json_put(object, "exchanges", exchanges);
	json_put(object, "failed", json_count(failed));
	return json_finish(object) < 0 || failed > 0;
}

int plugin_run(struct plugin_args *a)
{
	struct plugin_requests requests = {.list = NULL};
	struct plugin_session s;
	struct weir_error error = {0};
	int r = plugin_session_open(&s, a, &error), status;

	if (r == 0)
		r = plugin_requests_read(&requests, a, &error);
	if (r == 0)
		r = plugin_session_start(&s, a->plugins.defaults.isolation,
					 a->plugins.defaults.init, &error);
	status = r == 0 ? run(&s, &requests) : plugin_complain(a, &error);
	plugin_session_close(&s);
	return status;
}
