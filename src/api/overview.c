#include <stdlib.h>

#include "api/api_private.h"
#include "config/static_rows.h"

/* What there is altogether. */

static const char *plural(enum api_kind kind)
{
	static const char *const names[] = {
#define X(name, one, many) many,
		API_KINDS(X)
#undef X
	};

	return names[kind];
}

void api_add_numbers(struct str *out, const char *key, size_t total, size_t warnings, size_t errors)
{
	str_format(out, "\"%s\":{\"total\":%zu,\"warnings\":%zu,\"errors\":%zu}", key, total,
		   warnings, errors);
}

static void count_kind(struct api_call *c, enum api_kind kind)
{
	size_t warnings = 0, errors = 0;
	struct api_item *items;
	ssize_t count = api_items(c, kind, &items);

	if (count < 0) {
		c->out->failed = true;
		return;
	}
	for (ssize_t i = 0; i < count; i++) {
		const struct view_state *s = items[i].state;

		errors += s != NULL && s->notes != NULL && s->disabled;
		warnings += s != NULL && s->notes != NULL && !s->disabled;
	}
	api_add_numbers(c->out, plural(kind), (size_t)count, warnings, errors);
}

/* Nothing is served by it. */
static void add_empty(struct str *out, const char *protocol, int kinds)
{
	str_format(out, ",\"%s\":{", protocol);
	for (int kind = 0; kind < kinds; kind++) {
		if (kind > 0)
			str_add_char(out, ',');
		api_add_numbers(out, plural((enum api_kind)kind), 0, 0, 0);
	}
	str_add_char(out, '}');
}

/* As the fields of Traefik's structure are called. */
static void add_provider_name(struct str *out, const char *key)
{
	if (strcmp(key, "http") == 0) {
		str_add(out, SLICE("\"HTTP\""));
		return;
	}
	str_format(out, "\"%c%s\"", ascii_upper(key[0]), key + 1);
}

static void add_providers(struct str *out, const struct static_config *s)
{
	bool any = false;

	for (const struct option *row = providers_rows; row->name != NULL; row++) {
		const void *pointer;

		if (row->type != OPTION_POINTER || (row->flags & OPTION_NOWHERE))
			continue;
		memcpy(&pointer, (const char *)&s->providers + row->offset, sizeof pointer);
		if (pointer == NULL)
			continue;
		str_add(out, any ? SLICE(",") : SLICE(",\"providers\":["));
		add_provider_name(out, row->name);
		any = true;
	}
	if (any)
		str_add_char(out, ']');
}

static void add_weir(struct api_call *c, struct proxy *p)
{
	struct proxy_stats stats;

	proxy_stats(p, &stats);
	str_format(c->out,
		   ",\"weir\":{\"version\":\"%s\",\"generation\":%llu,\"generationsLive\":%llu,"
		   "\"workers\":%llu}",
		   WEIR_VERSION, (unsigned long long)c->view->number,
		   (unsigned long long)counter_get(&stats.proxy.generations_live),
		   (unsigned long long)stats.workers);
}

void api_show_overview(struct api_call *c)
{
	const struct static_config *s = c->api->config;

	api_begin_json(c);
	str_add(c->out, SLICE("{\"http\":{"));
	for (int kind = 0; kind < API_KIND_COUNT; kind++) {
		if (kind > 0)
			str_add_char(c->out, ',');
		count_kind(c, (enum api_kind)kind);
	}
	str_add_char(c->out, '}');
	add_empty(c->out, "tcp", API_KIND_COUNT);
	add_empty(c->out, "udp", API_MIDDLEWARE);
	str_add_char(c->out, ',');
	api_count_certificates(c);
	str_format(c->out, ",\"features\":{\"tracing\":\"\",\"metrics\":\"%s\",\"accessLog\":%s}",
		   static_prometheus(s) != NULL ? "Prometheus" : "",
		   s->access_log != NULL ? "true" : "false");
	add_providers(c->out, s);
	add_weir(c, c->api->proxy);
	str_add(c->out, SLICE("}\n"));
}

static void add_objects(struct api_call *c, enum api_kind kind, const struct api_uses *uses)
{
	struct api_item *items;
	ssize_t count = api_items(c, kind, &items);

	c->out->failed |= count < 0;
	for (ssize_t i = 0; i < count && !c->out->failed; i++) {
		if (i == 0)
			str_format(c->out, "\"%s\":{", plural(kind));
		else
			str_add_char(c->out, ',');
		tree_add_json_string(c->out, items[i].name);
		str_add_char(c->out, ':');
		api_add_item(c, kind, &items[i], uses, false);
	}
	if (count > 0)
		str_add(c->out, SLICE("},"));
}

void api_add_raw_data(struct api_call *c)
{
	struct api_uses uses;

	if (api_uses_read(c, &uses) < 0)
		c->out->failed = true;
	str_add_char(c->out, '{');
	add_objects(c, API_ROUTER, &uses);
	add_objects(c, API_MIDDLEWARE, &uses);
	add_objects(c, API_SERVICE, &uses);
	str_format(c->out, "\"weir\":{\"version\":\"%s\",\"generation\":%llu}}\n", WEIR_VERSION,
		   (unsigned long long)c->view->number);
	api_uses_free(&uses);
}

void api_show_raw_data(struct api_call *c)
{
	api_begin_json(c);
	api_add_raw_data(c);
}

void api_add_start(struct api_call *c, const char *version_key, const char *codename_key)
{
	const uint64_t started_ns = c->api->started_ns;

	str_format(c->out,
		   "{\"%s\":\"" WEIR_VERSION "\",\"%s\":\"weir\",\"startDate\":", version_key,
		   codename_key);
	api_add_time(c->out, (int64_t)(started_ns / 1000000000u),
		     (uint32_t)(started_ns % 1000000000u));
}

void api_show_version(struct api_call *c)
{
	const struct api_config *a = c->api->config->api;

	c->answer->status = 200;
	c->answer->content_type = "application/json; charset=UTF-8";
	api_add_start(c, "Version", "Codename");
	if (a->disable_dashboard_ad)
		str_add(c->out, SLICE(",\"disableDashboardAd\":true"));
	if (a->dashboard_name.n > 0) {
		str_add(c->out, SLICE(",\"dashboardName\":"));
		tree_add_json_string(c->out, a->dashboard_name);
	}
	str_add_char(c->out, '}');
}
