#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "middleware/classes.h"
#include "middleware/plugin_private.h"

static struct plugin_middleware *self(struct middleware *m)
{
	OBJ_CHECK(m, MIDDLEWARE_MAGIC);
	return container_of(m, struct plugin_middleware, middleware);
}

static void set_stage(struct plugin_visit *v, enum plugin_stage from, enum plugin_stage to)
{
	must(v->stage == from);
	v->stage = to;
}

uint64_t plugin_body_limit(const struct plugin_visit *v)
{
	return weir_plugin_facts(v->use->plugin)->limits.body_bytes;
}

void plugin_resume_later(struct plugin_visit *v)
{
	OBJ_CHECK(v, PLUGIN_VISIT_MAGIC);
	loop_defer(v->x->loop, &v->again);
}

static void on_again(struct task *t)
{
	exchange_resume(container_of(t, struct plugin_visit, again)->x);
}

static void on_wake(struct timer *t)
{
	exchange_resume(container_of(t, struct plugin_visit, wake)->x);
}

void plugin_wake(void *context, struct weir_exchange *guest, void *x)
{
	(void)context;
	(void)guest;
	plugin_resume_later(x);
}

static void arm_wake(struct plugin_visit *v)
{
	uint64_t at = weir_exchange_wake_at_ns(v->guest), now = clock_mono_ns();

	if (at == UINT64_MAX)
		loop_disarm(v->x->loop, &v->wake);
	else
		loop_arm(v->x->loop, &v->wake, at > now ? (at - now) / 1000000u + 1 : 1, on_wake);
}

/* Whether the guest must be stepped again later; arranges for it. */
static bool must_wait(struct plugin_visit *v, enum weir_step step)
{
	switch (step) {
	case WEIR_YIELD:
		plugin_resume_later(v);
		return true;
	case WEIR_WAIT_BODY:
	case WEIR_WAIT_INSTANCE:
	case WEIR_WAIT_TIMER:
		arm_wake(v);
		return true;
	case WEIR_NEXT:
	case WEIR_STOP:
	case WEIR_DONE:
	case WEIR_FAILED:
		break;
	}
	loop_disarm(v->x->loop, &v->wake);
	return false;
}

static void log_failure(const struct plugin_visit *v, const char *consequence)
{
	const struct weir_error *e = weir_exchange_error(v->guest);
	enum weir_cause cause = weir_exchange_cause(v->guest);

	/* Which the opening of the circuit has been told of, once. */
	LOG_WITH(cause == WEIR_CAUSE_CIRCUIT ? LOG_DEBUG : LOG_ERROR,
		 (LOG_TEXT("middlewareName", v->name), LOG_STRING("middlewareType", "wasm"),
		  LOG_STRING("cause", weir_cause_text(cause)), LOG_STRING("error", e->text)),
		 "Plugin failed%s", consequence);
}

/* The client gets the status and nothing of what the guest did or said. */
static enum middleware_verdict fail(struct plugin_visit *v)
{
	enum weir_cause cause = weir_exchange_cause(v->guest);
	uint64_t retry_ms = weir_exchange_retry_ms(v->guest);
	int status = (int)weir_cause_status(cause);
	struct exchange *x = v->x;
	slice text, seconds;

	log_failure(v, "");
	weir_exchange_end(&v->guest);
	v->stage = PLUGIN_OVER;
	x->early_fields = v->fields_before;
	text = arena_format(&x->arena, "%s\n", status_text(status));
	exchange_answer(x, status, text, true);
	seconds = arena_format(&x->arena, "%llu", (unsigned long long)(retry_ms + 999) / 1000);
	if (retry_ms > 0 && seconds.p != NULL)
		(void)fields_add_id(&x->response.fields, FIELD_RETRY_AFTER, seconds);
	return MW_ANSWERED;
}

static void pass_over(struct plugin_visit *v, const char *consequence)
{
	log_failure(v, consequence);
	plugin_use_note_passed(v->use);
	weir_exchange_end(&v->guest);
	v->stage = PLUGIN_OVER;
}

static enum middleware_verdict fail_request(struct plugin_visit *v)
{
	if (!plugin_passes(v, weir_exchange_cause(v->guest)))
		return fail(v);
	pass_over(v, "; the request goes on without it");
	plugin_restore_request(v);
	return MW_CONTINUE;
}

static enum weir_step begin(struct plugin_middleware *m, struct exchange *x, struct plugin_visit *v)
{
	struct plugin_part *part = plugin_use_part(m->use, x->loop);
	struct fields before;

	v->magic = PLUGIN_VISIT_MAGIC;
	v->x = x;
	v->use = m->use;
	v->name = m->middleware.name;
	v->again.run = on_again;
	spool_init(&v->request_kept);
	spool_init(&v->request_new);
	spool_init(&v->response_kept);
	spool_init(&v->response_new);
	set_stage(v, PLUGIN_NEW, PLUGIN_ASKED);
	v->fields_before = x->early_fields;
	if (part == NULL || fields_copy(&before, &x->early_fields) < 0)
		return WEIR_FAILED;
	v->fields_before = before;
	plugin_part_busy(part);
	return weir_exchange_begin(&v->guest, part->pool, &plugin_http, v);
}

static enum middleware_verdict pass_on(struct plugin_visit *v)
{
	v->facts = *weir_exchange_facts(v->guest);
	v->responding = true;
	if (plugin_keep_early(v) < 0 || plugin_settle_request(v) < 0) {
		weir_exchange_end(&v->guest);
		set_stage(v, PLUGIN_ASKED, PLUGIN_OVER);
		return MW_FAILED;
	}
	set_stage(v, PLUGIN_ASKED, PLUGIN_PASSED);
	/* A guest that has nothing to do with the response is free for others while the upstream
	 * works. */
	if (!v->facts.response_wanted)
		weir_exchange_end(&v->guest);
	return MW_CONTINUE;
}

static enum middleware_verdict stop(struct plugin_visit *v)
{
	v->facts = *weir_exchange_facts(v->guest);
	weir_exchange_end(&v->guest);
	set_stage(v, PLUGIN_ASKED, PLUGIN_OVER);
	return plugin_settle_stop(v) < 0 ? MW_FAILED : MW_ANSWERED;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct plugin_visit *v = state;
	enum weir_step step =
		v->stage == PLUGIN_NEW ? begin(self(m), x, v) : weir_exchange_step(v->guest);

	if (must_wait(v, step))
		return MW_PENDING;
	switch (step) {
	case WEIR_NEXT:
		return pass_on(v);
	case WEIR_STOP:
		return stop(v);
	default:
		return fail_request(v);
	}
}

static void on_response_body(struct body *b, void *consumer)
{
	(void)b;
	plugin_resume_later(consumer);
}

/* Takes what has arrived of the response's body. Returns true when it is complete or cannot be. */
static bool collect(struct plugin_visit *v)
{
	struct body *b = v->response_in;

	while (b->bytes > 0 && v->collect_error == 0) {
		slice front = body_front(b);

		v->collect_error = v->response_kept.n + front.n > plugin_body_limit(v)
					   ? -EFBIG
					   : spool_add(&v->response_kept, front);
		body_take(b, front.n);
	}
	if (body_broken(b))
		v->collect_error = b->abort_code;
	return v->collect_error != 0 || body_finished(b);
}

static void start_collecting(struct plugin_visit *v)
{
	struct exchange *x = v->x;

	set_stage(v, PLUGIN_PASSED, PLUGIN_COLLECTING);
	v->response_in = x->response_body;
	v->original.response_prefix = v->response_kept.n;
	if (x->response.framing == FRAMING_NONE && v->response_in->state == BODY_OPEN)
		body_end(v->response_in);
	body_set_consumer(v->response_in, on_response_body, v);
}

static bool is_ours(int error)
{
	return error == -EFBIG || error == -ENOMEM || error == -EDQUOT || error == -ENOSPC;
}

/* The response is too long, or did not arrive. */
static enum middleware_verdict refuse_collected(struct plugin_visit *v)
{
	int error = v->collect_error, status = is_ours(error) ? 500 : 502;

	log_error_with((LOG_TEXT("middlewareName", v->name), LOG_STRING("error", strerror(-error))),
		       "Response could not be collected for the plugin");
	exchange_answer(v->x, status, slice_from(status_text(status)), false);
	return MW_ANSWERED;
}

/* The guest has had its say over the collected response. */
static enum middleware_verdict answered(struct plugin_visit *v)
{
	int error = v->collect_error, r = 0;

	set_stage(v, PLUGIN_ANSWERING, PLUGIN_OVER);
	if (error == 0)
		r = plugin_settle_response(v);
	weir_exchange_end(&v->guest);
	if (error == 0)
		return r < 0 ? MW_FAILED : MW_CONTINUE;
	return refuse_collected(v);
}

static enum middleware_verdict fail_response(struct plugin_visit *v)
{
	if (!plugin_passes(v, weir_exchange_cause(v->guest)))
		return fail(v);
	pass_over(v, "; the response goes on without it");
	if (v->collect_error != 0)
		return refuse_collected(v);
	return plugin_restore_response(v) < 0 ? MW_FAILED : MW_CONTINUE;
}

static enum middleware_verdict on_buffered_response(struct plugin_visit *v)
{
	enum weir_step step;

	if (v->stage == PLUGIN_PASSED)
		start_collecting(v);
	if (v->stage == PLUGIN_COLLECTING) {
		if (!collect(v))
			return MW_PENDING;
		body_set_consumer(v->response_in, NULL, NULL);
		set_stage(v, PLUGIN_COLLECTING, PLUGIN_ANSWERING);
		step = weir_exchange_response(v->guest,
					      v->collect_error != 0 ? WEIR_RESPONSE_ERROR : 0);
	} else {
		step = weir_exchange_step(v->guest);
	}
	if (must_wait(v, step))
		return MW_PENDING;
	return step == WEIR_DONE ? answered(v) : fail_response(v);
}

static bool begins_with(slice s, slice prefix)
{
	return slice_equal_nocase(slice_first(s, prefix.n), prefix);
}

/* What must not wait for its end: another protocol, or messages that come one by one. */
static bool is_stream(const struct response *r)
{
	slice type = fields_value_id(&r->fields, FIELD_CONTENT_TYPE);

	return r->status == 101 || begins_with(type, SLICE("text/event-stream")) ||
	       begins_with(type, SLICE("application/grpc"));
}

static bool collects(const struct plugin_visit *v)
{
	return v->guest != NULL && v->facts.features & WEIR_FEATURE_BUFFER_RESPONSE &&
	       (v->stage != PLUGIN_PASSED || !is_stream(&v->x->response));
}

/* One further inside may have given another response than the one that has what was said early. */
static int take_head(struct plugin_visit *v)
{
	int r;

	if (v->x->early_is_lost)
		v->x->early_fields = v->original.early;
	v->x->early_is_lost = false;
	r = plugin_keep_response(v);
	return r < 0 ? r : plugin_merge_head(v);
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	struct plugin_visit *v = state;

	(void)m;
	(void)x;
	if (v->stage == PLUGIN_OVER)
		return MW_CONTINUE;
	if (v->stage == PLUGIN_PASSED && take_head(v) < 0)
		return MW_FAILED;
	if (collects(v))
		return on_buffered_response(v);
	return plugin_settle_prefix(v) < 0 ? MW_FAILED : MW_CONTINUE;
}

/* The response is out: the guest's last call, for its own books. */
static enum middleware_verdict on_sent(struct middleware *m, struct exchange *x, void *state)
{
	struct plugin_visit *v = state;
	enum weir_step step;

	(void)m;
	if (v->guest == NULL)
		return MW_CONTINUE;
	if (v->stage == PLUGIN_AFTER) {
		step = weir_exchange_step(v->guest);
	} else if (v->stage == PLUGIN_PASSED) {
		set_stage(v, PLUGIN_PASSED, PLUGIN_AFTER);
		step = weir_exchange_response(
			v->guest, WEIR_RESPONSE_SENT | (x->failed ? WEIR_RESPONSE_ERROR : 0));
	} else {
		/* In the middle of a call that nobody waits for any more. */
		weir_exchange_end(&v->guest);
		return MW_CONTINUE;
	}
	if (must_wait(v, step))
		return MW_PENDING;
	if (step == WEIR_FAILED)
		log_failure(v, " after the response");
	weir_exchange_end(&v->guest);
	return MW_CONTINUE;
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct plugin_visit *v = state;

	(void)m;
	if (v->stage == PLUGIN_NEW)
		return;
	OBJ_CHECK(v, PLUGIN_VISIT_MAGIC);
	loop_disarm(x->loop, &v->wake);
	loop_cancel(x->loop, &v->again);
	weir_exchange_end(&v->guest);
	replay_stop(&v->request_replay);
	replay_stop(&v->response_replay);
	if (v->request_out.magic == BODY_MAGIC)
		body_free(&v->request_out);
	if (v->response_out.magic == BODY_MAGIC)
		body_free(&v->response_out);
	spool_free(&v->request_kept);
	spool_free(&v->request_new);
	spool_free(&v->response_kept);
	spool_free(&v->response_new);
	plugin_use_release(&v->kept);
	v->magic = 0;
}

/* A guest that is called once more after the response keeps its plugin, not the generation. */
static int detach(struct middleware *m, struct exchange *x, void *state)
{
	struct plugin_visit *v = state;
	slice name;

	if (v->guest == NULL || v->kept != NULL)
		return 0;
	name = arena_copy(&x->arena, m->name);
	if (name.p == NULL)
		return -ENOMEM;
	v->name = name;
	v->kept = plugin_use_ref(v->use);
	return 0;
}

/* Instances that are to be ready before the first request. */
static void prepare(struct middleware *m, struct loop *loop)
{
	plugin_use_prepare(self(m)->use, loop);
}

static void destroy(struct middleware **m)
{
	struct plugin_middleware *p = self(*m);

	*m = NULL;
	plugin_use_release(&p->use);
	p->middleware.magic = 0;
	free(p->name);
	free(p);
}

static const struct middleware_class class = {
	.name = "plugin",
	.state_bytes = sizeof(struct plugin_visit),
	.on_request = on_request,
	.on_response = on_response,
	.on_sent = on_sent,
	.on_end = on_end,
	.detach = detach,
	.prepare = prepare,
	.destroy = destroy,
};

int plugin_middleware_create(struct middleware **m, const struct dynamic_middleware *config,
			     const struct middleware_world *world, struct weir_error *e)
{
	struct plugin_middleware *p = calloc(1, sizeof *p);
	struct str json = {0};
	int r;

	*m = NULL;
	if (p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	p->middleware = (struct middleware){.magic = MIDDLEWARE_MAGIC, .class = &class};
	p->name = slice_dup(config->object.name);
	p->middleware.name = slice_from(p->name);
	dynamic_plugin_json(config->plugin_config,
			    plugin_registry_stringifies(world->plugins, config->plugin_alias),
			    &json);
	if (p->name == NULL || json.failed)
		r = error_set(e, -ENOMEM, "out of memory");
	else
		r = plugin_use_get(&p->use, world->plugins, config->plugin_alias, str_slice(&json),
				   e);
	str_free(&json);
	*m = &p->middleware;
	if (r < 0)
		destroy(m);
	return r;
}
