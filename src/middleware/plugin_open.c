#include <errno.h>

#include "middleware/plugin_private.h"

static bool is_open(const struct plugin_visit *v)
{
	return v->use->fails_open;
}

/* A body that is too long for the plugin must not be a way around it, and one that broke off is
 * nobody's to send on. */
bool plugin_passes(const struct plugin_visit *v, enum weir_cause cause)
{
	return is_open(v) && cause != WEIR_CAUSE_TOO_LARGE && cause != WEIR_CAUSE_BODY;
}

int plugin_keep_request(struct plugin_visit *v)
{
	struct plugin_original *o = &v->original;
	int r;

	if (!is_open(v) || o->has_request)
		return 0;
	o->request = v->x->request;
	r = fields_copy(&o->request.fields, &v->x->request.fields);
	o->has_request = r == 0;
	return r;
}

void plugin_restore_request(struct plugin_visit *v)
{
	struct exchange *x = v->x;

	if (v->original.has_request)
		x->request = v->original.request;
	x->early_fields = v->fields_before;
	plugin_replay_request(v);
}

/* Whether there may be a response to go back to. */
static bool may_fail_in_response(const struct plugin_visit *v)
{
	return is_open(v) && v->facts.response_wanted &&
	       v->facts.features & WEIR_FEATURE_BUFFER_RESPONSE;
}

int plugin_keep_early(struct plugin_visit *v)
{
	return fields_copy(&v->original.early, &v->x->early_fields);
}

int plugin_keep_response(struct plugin_visit *v)
{
	struct plugin_original *o = &v->original;

	if (!may_fail_in_response(v))
		return 0;
	o->response = v->x->response;
	o->merged = v->x->early_fields.count > 0;
	return fields_copy(&o->response.fields, &v->x->response.fields);
}

/* The very same line, not one that says the same. */
static bool has_line(const struct fields *f, const struct field *line)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->list[i].name.p == line->name.p && f->list[i].value.p == line->value.p)
			return true;
	}
	return false;
}

/* What the guest had set early has been joined to the response, which those further inside had. */
static bool is_of_guest(const struct plugin_visit *v, const struct field *line)
{
	return has_line(&v->original.early, line) && !has_line(&v->fields_before, line);
}

int plugin_restore_response(struct plugin_visit *v)
{
	struct exchange *x = v->x;
	const struct plugin_original *o = &v->original;
	int r = 0;

	x->response = o->response;
	fields_init(&x->response.fields, &x->arena);
	for (size_t i = 0; r == 0 && i < o->response.fields.count; i++) {
		const struct field *line = &o->response.fields.list[i];

		if (!is_of_guest(v, line))
			r = fields_add_field(&x->response.fields, line);
	}
	if (r == 0 && o->merged) {
		x->early_fields = v->fields_before;
		r = plugin_merge_head(v);
	}
	if (r == 0)
		plugin_send_kept(v, o->response_prefix);
	return r;
}
