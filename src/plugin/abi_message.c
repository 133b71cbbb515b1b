#include "plugin/abi.h"
#include "plugin/output.h"
#include "plugin/pool.h"
#include "plugin/uri.h"

#define FEATURES_SUPPORTED (WEIR_FEATURE_BUFFER_REQUEST | WEIR_FEATURE_BUFFER_RESPONSE)

bool abi_enable_features(struct abi_call *c)
{
	uint32_t *features =
		c->exchange != NULL ? &c->exchange->features : &c->instance->start_features;

	*features |= abi_arg(c, 0) & FEATURES_SUPPORTED;
	c->v[0].i32 = (int32_t)*features;
	return true;
}

bool abi_get_config(struct abi_call *c)
{
	return abi_give(c, 0, "config", c->instance->plugin->config);
}

/* False for levels above "none", whose lines nobody wants. "None" is as grave as an error. */
static bool level_of(int32_t number, enum weir_log_level *level)
{
	*level = (enum weir_log_level)MAX(WEIR_LOG_DEBUG, MIN(number, (int32_t)WEIR_LOG_ERROR));
	return number <= WEIR_LOG_ERROR + 1;
}

bool abi_log_enabled(struct abi_call *c)
{
	enum weir_log_level level;

	c->v[0].i32 = level_of(c->v[0].i32, &level) && output_enabled(c->instance, level);
	return true;
}

bool abi_log(struct abi_call *c)
{
	uint32_t at = abi_arg(c, 1), n = abi_arg(c, 2);
	enum weir_log_level level;

	if (!level_of(c->v[0].i32, &level))
		return true;
	if (!output_enabled(c->instance, level) && c->exchange != NULL)
		return true;
	if (n == 0 || !abi_in_bounds(c->memory, at, n))
		return true;
	output_line(c->instance, WEIR_LOG_GUEST, level,
		    slice_of((const char *)c->memory.base + at, n));
	return true;
}

static bool request_is_sent(struct abi_call *c, const char *what)
{
	if (c->exchange->after)
		(void)abi_fault(c, "can't set %s after next handler", what);
	return c->exchange->after;
}

bool abi_get_method(struct abi_call *c)
{
	return abi_give(c, 0, "method", c->exchange->http->method(c->exchange->x));
}

bool abi_set_method(struct abi_call *c)
{
	struct weir_exchange *e = c->exchange;
	slice method;
	int r;

	if (request_is_sent(c, "method") || !abi_guest_text(c, 0, "method", &method))
		return false;
	if (method.n == 0)
		return abi_fault(c, "HTTP method cannot be empty");
	if (!abi_is_token(method))
		return abi_fault(c, "HTTP method is not a token, it has %zu bytes", method.n);
	r = e->http->set_method(e->x, method);
	return r == 0 || abi_refused(c, r, "method");
}

bool abi_get_uri(struct abi_call *c)
{
	struct weir_exchange *e = c->exchange;
	struct str *out = &e->pool->scratch;

	str_clear(out);
	uri_show(out, e->http->target(e->x));
	if (out->failed)
		return abi_fault(c, "not enough memory for the URI");
	return abi_give(c, 0, "URI", str_slice(out));
}

bool abi_set_uri(struct abi_call *c)
{
	struct weir_exchange *e = c->exchange;
	struct str *out = &e->pool->scratch;
	const char *wrong;
	slice uri;
	int r;

	if (request_is_sent(c, "URI") || !abi_guest_text(c, 0, "URI", &uri))
		return false;
	str_clear(out);
	wrong = uri_take(out, uri);
	if (wrong != NULL)
		return abi_fault(c, "invalid URI of %zu bytes: %s", uri.n, wrong);
	if (out->failed)
		return abi_fault(c, "not enough memory for the URI");
	r = e->http->set_target(e->x, str_slice(out));
	return r == 0 || abi_refused(c, r, "URI");
}

bool abi_get_protocol_version(struct abi_call *c)
{
	slice version = c->exchange->http->version(c->exchange->x);

	if (version.n == 0)
		return abi_fault(c, "HTTP protocol version cannot be empty");
	return abi_give(c, 0, "protocol version", version);
}

bool abi_get_source_addr(struct abi_call *c)
{
	return abi_give(c, 0, "source address", c->exchange->http->source(c->exchange->x));
}

bool abi_get_status_code(struct abi_call *c)
{
	unsigned status = c->exchange->http->status(c->exchange->x);

	c->v[0].i32 = status != 0 ? (int32_t)status : 200;
	return true;
}

bool abi_set_status_code(struct abi_call *c)
{
	struct weir_exchange *e = c->exchange;
	uint32_t status = abi_arg(c, 0);
	int r;

	if (e->after && (e->facts.features & WEIR_FEATURE_BUFFER_RESPONSE) == 0)
		return abi_fault(c, "can't set status code after next handler unless "
				    "buffer_response is enabled");
	if (status == 0)
		status = 200;
	if (status < 200 || status > 999)
		return abi_fault(c, "invalid status code %u, expected 200 to 999", status);
	if (e->frozen)
		return true;
	r = e->http->set_status(e->x, status);
	return r == 0 || abi_refused(c, r, "status code");
}
