#include "config/static.h"

#include <errno.h>
#include <stdlib.h>

#include "config/static_private.h"
#include "config/static_rows.h"
#include "net/address.h"

#define DEFAULT_HEADER_BYTES INT64_C(1048576)

const struct weir_plugin_config *static_plugin_limits(const struct static_config *c,
						      const char *alias)
{
	const struct option_map *own = &c->weir.plugins.per_plugin;

	OPTION_MAP_FOR_EACH (e, own)
		if (slice_equal_nocase(e->name, slice_from(alias)))
			return e->value;
	return &c->weir.plugins.defaults;
}

struct entry_point_config *static_entry_point(const struct static_config *c, slice name)
{
	OPTION_MAP_FOR_EACH (e, &c->entry_points)
		if (slice_equal(e->name, name))
			return e->value;
	return NULL;
}

static int no_memory(struct config_report *report)
{
	(void)config_error(report, (struct tree_place){"configuration", 0, 0}, "out of memory");
	return -ENOMEM;
}

static int add_entry_point(struct static_config *c, slice name, slice address,
			   struct config_report *report)
{
	struct option_map *map = &c->entry_points;
	struct entry_point_config *ep = ARENA_NEW(&c->arena, struct entry_point_config);
	struct option_entry *items = ARENA_ARRAY(&c->arena, struct option_entry, map->count + 1);

	if (ep == NULL || items == NULL || option_defaults(entry_point_rows, ep, &c->arena) < 0)
		return no_memory(report);
	if (map->count > 0)
		memcpy(items, map->items, map->count * sizeof *items);
	ep->address = address;
	items[map->count] = (struct option_entry){name, ep, NULL};
	map->items = items;
	map->count++;
	return 0;
}

static bool is_true(const struct tree_node *node)
{
	bool value;

	return node != NULL && node->kind == TREE_SCALAR &&
	       option_parse_bool(node->text, &value) == 0 && value;
}

static bool is_enabled(const struct tree_node *node)
{
	return node != NULL && node->kind != TREE_NULL &&
	       !slice_equal_nocase(node->text, SLICE("false"));
}

/* Whether something is served on the internal entry point without the user having declared it. */
static bool needs_internal(const struct static_config *c)
{
	const struct prometheus_config *prometheus = static_prometheus(c);

	if ((c->api != NULL && c->api->insecure) ||
	    (c->providers.rest != NULL && c->providers.rest->insecure))
		return true;
	if (prometheus != NULL && !prometheus->manual_routing &&
	    slice_equal(prometheus->entry_point, STATIC_INTERNAL_ENTRY_POINT))
		return true;
	return c->ping != NULL && !c->ping->manual_routing &&
	       slice_equal(c->ping->entry_point, STATIC_INTERNAL_ENTRY_POINT);
}

static int imply_entry_points(struct static_config *c, struct config_report *report)
{
	int r = 0;

	if (c->entry_points.count == 0)
		r = add_entry_point(c, SLICE("http"), SLICE(":80"), report);
	if (r == 0 && needs_internal(c) &&
	    static_entry_point(c, STATIC_INTERNAL_ENTRY_POINT) == NULL)
		r = add_entry_point(c, STATIC_INTERNAL_ENTRY_POINT, SLICE(":8080"), report);
	return r;
}

static bool is_udp(const struct entry_point_config *ep)
{
	struct listen_address address;

	return listen_address_parse(ep->address, &address, NULL) == 0 &&
	       address.protocol == ADDRESS_UDP;
}

/* As if they were not there: nothing listens, and no HTTP router can be on them. */
static void drop_udp(struct static_config *c, struct config_report *report)
{
	struct option_map *map = &c->entry_points;
	size_t kept = 0;

	for (size_t i = 0; i < map->count; i++) {
		struct option_entry *e = &map->items[i];

		if (!is_udp(e->value)) {
			map->items[kept++] = *e;
			continue;
		}
		config_warn(report, NULL, e->node->place,
			    "entryPoints.%.*s: accepted without effect; UDP is not served yet",
			    SLICE_ARG(e->name));
	}
	map->count = kept;
}

static int by_name(const void *a, const void *b)
{
	return slice_compare(*(const slice *)a, *(const slice *)b);
}

static int find_defaults(struct static_config *c, struct config_report *report)
{
	slice *names = ARENA_ARRAY(&c->arena, slice, c->entry_points.count + 1);
	bool flagged = false;
	size_t count = 0;

	if (names == NULL)
		return no_memory(report);
	OPTION_MAP_FOR_EACH (e, &c->entry_points)
		flagged |= ((const struct entry_point_config *)e->value)->as_default;
	OPTION_MAP_FOR_EACH (e, &c->entry_points) {
		const struct entry_point_config *ep = e->value;

		if ((!flagged || ep->as_default) &&
		    !slice_equal(e->name, STATIC_INTERNAL_ENTRY_POINT))
			names[count++] = e->name;
	}
	qsort(names, count, sizeof *names, by_name);
	c->default_entry_points = (struct option_list){names, count};
	return 0;
}

static void settle_alias_headers(struct entry_point_http_config *http, const struct tree_node *node,
				 struct config_report *report)
{
	enum alias_headers alias = http->alias_strategy, underscore = http->underscore_strategy;

	if (alias != ALIAS_HEADERS_UNSET && underscore != ALIAS_HEADERS_UNSET &&
	    alias != underscore)
		(void)config_error_at(report, node,
				      "found different values of http.aliasHeadersStrategy and "
				      "http.underscoreHeadersStrategy, expected one of them");
	if (alias == ALIAS_HEADERS_UNSET)
		alias = underscore;
	http->alias_headers = alias != ALIAS_HEADERS_UNSET ? alias : ALIAS_HEADERS_KEEP;
}

static bool is_port(slice text)
{
	uint16_t port;

	return text.n > 1 && text.p[0] == ':' && address_port_parse(slice_from_at(text, 1), &port);
}

/* Traefik starts without the redirection, and says so in its log. */
static void check_redirection(const struct static_config *c, const struct option_entry *e,
			      struct config_report *report)
{
	const struct entry_point_config *ep = e->value;
	const struct redirection_config *to = ep->http.redirections.entry_point;
	const struct entry_point_config *target = to != NULL ? static_entry_point(c, to->to) : NULL;

	if (target != NULL && listen_address_is_path(target->address))
		(void)config_error_at(report, e->node,
				      "http.redirections.entryPoint.to: found \"%.*s\", which is a "
				      "Unix socket, expected an entry point that has a port",
				      SLICE_ARG(slice_first(to->to, 100)));
	if (to != NULL && !is_port(to->to) && target == NULL)
		(void)config_error_at(report, e->node,
				      "http.redirections.entryPoint.to: found \"%.*s\", expected "
				      "the name of an entry point or \":port\"",
				      SLICE_ARG(slice_first(to->to, 100)));
}

static void no_negative(int64_t *ns)
{
	*ns = MAX(*ns, INT64_C(0));
}

/* A client without an address is in no list of addresses. */
static void warn_of_networks(const struct option_entry *e, const char *key,
			     const struct option_list *trusted, struct config_report *report)
{
	if (trusted->count > 0)
		config_warn(report, NULL, e->node->place,
			    "entryPoints.%.*s.%s.trustedIPs holds no client of a Unix socket, "
			    "which has no address; insecure trusts all that may connect",
			    SLICE_ARG(e->name), key);
}

static void settle_unix_socket(struct static_config *c, const struct option_entry *e,
			       struct config_report *report)
{
	struct entry_point_config *ep = e->value;

	if (e->node == NULL)
		return;
	if (!listen_address_is_path(ep->address)) {
		if (ep->unix_socket != NULL)
			(void)config_error_at(report, tree_child(e->node, SLICE("unixSocket")),
					      "found address \"%.*s\", expected unix:///path",
					      SLICE_ARG(slice_first(ep->address, 100)));
		return;
	}
	if (ep->unix_socket == NULL) {
		ep->unix_socket = ARENA_NEW(&c->arena, struct unix_socket_config);
		if (ep->unix_socket == NULL ||
		    option_defaults(unix_socket_rows, ep->unix_socket, &c->arena) < 0)
			(void)no_memory(report);
	}
	if (ep->reuse_port)
		config_warn(report, NULL, e->node->place,
			    "entryPoints.%.*s.reusePort has no effect on a Unix socket",
			    SLICE_ARG(e->name));
	if (!ep->forwarded_headers.insecure && ep->proxy_protocol == NULL)
		warn_of_networks(e, "forwardedHeaders", &ep->forwarded_headers.trusted_ips, report);
	if (ep->proxy_protocol != NULL && !ep->proxy_protocol->insecure)
		warn_of_networks(e, "proxyProtocol", &ep->proxy_protocol->trusted_ips, report);
}

static void settle_entry_point(struct option_entry *e, struct config_report *report)
{
	struct entry_point_config *ep = e->value;

	ep->name = e->name;
	if (ep->address.n == 0 && e->node != NULL)
		(void)config_error_at(report, e->node,
				      "found no address, expected [host]:port or unix:///path");
	settle_alias_headers(&ep->http, e->node, report);
	if (ep->proxy_protocol != NULL && !ep->proxy_protocol->insecure &&
	    ep->proxy_protocol->trusted_ips.count == 0)
		(void)config_error_at(report, e->node,
				      "proxyProtocol: found neither trustedIPs nor insecure, "
				      "expected one of them");
	if (ep->http.max_header_bytes <= 0)
		ep->http.max_header_bytes = DEFAULT_HEADER_BYTES;
	no_negative(&ep->transport.read_timeout_ns);
	no_negative(&ep->transport.write_timeout_ns);
	no_negative(&ep->transport.idle_timeout_ns);
	no_negative(&ep->transport.grace_ns);
	no_negative(&ep->transport.request_accept_grace_ns);
	no_negative(&ep->transport.keep_alive_max_ns);
	no_negative(&ep->transport.keep_alive_max_requests);
}

static struct tree_place place_below(const struct tree_node *root, slice object, slice key)
{
	const struct tree_node *node = tree_child(tree_child(root, object), key);

	return node != NULL ? node->place : (struct tree_place){"configuration", 0, 0};
}

/* As Traefik: a name that it does not know is not fatal. */
static void settle_log(struct log_config *log, const struct tree_node *root,
		       struct config_report *report)
{
	int level = log_level_from(log->level_name);

	log->level = level >= 0 ? (enum log_level)level : LOG_ERROR;
	if (level < 0)
		config_warn(report, NULL, place_below(root, SLICE("log"), SLICE("level")),
			    "log.level: found \"%.*s\", expected TRACE, DEBUG, INFO, WARN, ERROR, "
			    "FATAL or PANIC; "
			    "ERROR is used",
			    SLICE_ARG(log->level_name));
	log->format = slice_equal(log->format_name, SLICE("json")) ? LOG_JSON : LOG_COMMON;
	if (log->format == LOG_COMMON && !slice_equal(log->format_name, SLICE("common")))
		config_warn(report, NULL, place_below(root, SLICE("log"), SLICE("format")),
			    "log.format: found \"%.*s\", expected common or json; common is used",
			    SLICE_ARG(log->format_name));
}

/* As Traefik: a name that it does not know is not fatal. */
static void settle_access_log(struct access_log_config *c, const struct tree_node *root,
			      struct config_report *report)
{
	static const char *const names[] = {[ACCESS_LOG_COMMON] = "common",
					    [ACCESS_LOG_GENERIC] = "genericCLF",
					    [ACCESS_LOG_JSON] = "json"};

	for (size_t i = 0; c != NULL && i < ARRAY_LEN(names); i++) {
		if (!slice_equal(c->format_name, slice_from(names[i])))
			continue;
		c->format = (enum access_log_format)i;
		return;
	}
	if (c != NULL)
		config_warn(
			report, NULL, place_below(root, SLICE("accessLog"), SLICE("format")),
			"accessLog.format: found \"%.*s\", expected common, genericCLF or json; "
			"common is used",
			SLICE_ARG(c->format_name));
}

static void check_providers(const struct static_config *c, const struct tree_node *root,
			    struct config_report *report)
{
	const struct providers_config *p = &c->providers;
	const struct tree_node *node = tree_child(root, SLICE("providers"));

	if (p->file != NULL && p->file->filename.n == 0 && p->file->directory.n == 0)
		(void)config_error_at(report, tree_child(node, SLICE("file")),
				      "found neither filename nor directory, expected one of them");
	if (p->http != NULL && p->http->endpoint.n == 0)
		(void)config_error_at(report, tree_child(node, SLICE("http")),
				      "found no endpoint, expected one such as "
				      "http://config.internal/traefik.yml");
	if (p->file != NULL && p->file->filename.n > 0 && p->file->directory.n > 0)
		config_warn(report, NULL, place_below(node, SLICE("file"), SLICE("filename")),
			    "providers.file.filename is ignored, as in Traefik, because there is a "
			    "directory");
	for (size_t i = 0; i < p->precedence.count; i++) {
		slice name = p->precedence.items[i];

		if (!static_is_provider(name))
			(void)config_error_at(report, tree_child(node, SLICE("precedence")),
					      "found \"%.*s\", expected the name of a provider",
					      SLICE_ARG(name));
	}
}

/* Limits of a plugin that nobody declares are a slip of the pen. */
static void check_plugin_limits(const struct static_config *c, struct config_report *report)
{
	OPTION_MAP_FOR_EACH (e, &c->weir.plugins.per_plugin) {
		if (e->node != NULL &&
		    option_map_get(&c->experimental.local_plugins, e->name.p) == NULL)
			config_warn(
				report, NULL, e->node->place,
				"weir.plugins.perPlugin: found \"%.*s\", expected the name of a "
				"plugin in experimental.localPlugins; these limits have no effect",
				SLICE_ARG(e->name));
	}
}

const struct prometheus_config *static_prometheus(const struct static_config *c)
{
	return c->metrics != NULL ? c->metrics->prometheus : NULL;
}

static bool is_label(slice name)
{
	static const slice taken[] = {{"code", 4},     {"entrypoint", 10}, {"method", 6},
				      {"protocol", 8}, {"router", 6},      {"service", 7}};

	if (name.n == 0 || ascii_digit(name.p[0]) || slice_starts(name, SLICE("__")))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = ascii_lower(name.p[i]);

		if ((c < 'a' || c > 'z') && !ascii_digit(c) && c != '_')
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		if (slice_equal(name, taken[i]))
			return false;
	}
	return true;
}

static void check_header_labels(const struct option_pairs *labels, const struct tree_node *node,
				struct config_report *report)
{
	if (labels->count > HEADER_LABELS_MAX)
		(void)config_error_at(report, node, "found %zu labels, expected at most %d",
				      labels->count, HEADER_LABELS_MAX);
	for (size_t i = 0; i < labels->count; i++) {
		const struct option_pair *l = &labels->items[i];

		if (!is_label(l->key))
			(void)config_error_at(
				report, node,
				"found label \"%.*s\", expected letters, digits and _, "
				"and none that the metrics have already",
				SLICE_ARG(l->key));
		else if (l->value.n == 0)
			(void)config_error_at(
				report, node,
				"label \"%.*s\": found nothing, expected the name of a "
				"header",
				SLICE_ARG(l->key));
	}
}

static void check_prometheus(const struct static_config *c, const struct tree_node *root,
			     struct config_report *report)
{
	const struct prometheus_config *p = static_prometheus(c);
	const struct tree_node *node =
		tree_child(tree_child(root, SLICE("metrics")), SLICE("prometheus"));

	if (p != NULL)
		check_header_labels(&p->header_labels, tree_child(node, SLICE("headerLabels")),
				    report);
	if (p != NULL && !p->manual_routing && static_entry_point(c, p->entry_point) == NULL)
		config_warn(report, NULL,
			    place_below(tree_child(root, SLICE("metrics")), SLICE("prometheus"),
					SLICE("entryPoint")),
			    "metrics.prometheus.entryPoint: found \"%.*s\", expected the name of "
			    "an entry point; nothing answers scrapes",
			    SLICE_ARG(p->entry_point));
}

static void check_ping(const struct static_config *c, const struct tree_node *root,
		       struct config_report *report)
{
	const struct ping_config *ping = c->ping;

	if (ping != NULL && !ping->manual_routing &&
	    static_entry_point(c, ping->entry_point) == NULL)
		config_warn(report, NULL, place_below(root, SLICE("ping"), SLICE("entryPoint")),
			    "ping.entryPoint: found \"%.*s\", expected the name of an entry point; "
			    "nothing answers pings",
			    SLICE_ARG(ping->entry_point));
}

/* Once, and not where it was switched off. */
static void check_api(const struct static_config *c, const struct tree_node *root,
		      struct config_report *report)
{
	const struct tree_node *api = tree_child(root, SLICE("api"));
	const struct tree_node *node = tree_child(api, SLICE("dashboard"));

	if (c->api == NULL || !c->api->dashboard || api == NULL)
		return;
	config_warn(report, NULL, node != NULL ? node->place : api->place,
		    "api.dashboard: weir has no dashboard, only the API that it would use; false "
		    "says that none is expected");
}

static void check_otlp(const struct tree_node *owner, bool log, bool allowed,
		       struct config_report *report)
{
	const struct tree_node *otlp = tree_child(owner, SLICE("otlp"));
	const struct tree_node *grpc = tree_child(otlp, SLICE("grpc"));

	if (log && is_enabled(otlp) && !allowed)
		(void)config_error_at(
			report, otlp,
			"found OpenTelemetry logs, expected experimental.otlplogs with them");
	if (is_true(tree_child(grpc, SLICE("insecure"))) &&
	    is_enabled(tree_child(grpc, SLICE("tls"))))
		(void)config_error_at(report, grpc, "found insecure and tls, expected one of them");
}

/* What Traefik refuses although nothing is wrong with the single options. */
static void check_combinations(const struct tree_node *root, struct config_report *report)
{
	bool logs = is_true(tree_child(tree_child(root, SLICE("experimental")), SLICE("otlplogs")));
	const struct tree_node *overrides =
		tree_child(tree_child(root, SLICE("ocsp")), SLICE("responderOverrides"));

	check_otlp(tree_child(root, SLICE("log")), true, logs, report);
	check_otlp(tree_child(root, SLICE("accessLog")), true, logs, report);
	check_otlp(tree_child(root, SLICE("metrics")), false, logs, report);
	check_otlp(tree_child(root, SLICE("tracing")), false, logs, report);
	for (const struct tree_node *o = overrides != NULL ? overrides->first : NULL; o != NULL;
	     o = o->next)
		if (o->kind == TREE_SCALAR && o->text.n == 0)
			(void)config_error_at(report, o,
					      "found nothing, expected the URL of a responder");
}

/* What a plugin's own limits do not say is as in the defaults. */
static void inherit_limits(struct static_config *c, struct config_report *report)
{
	struct config_report again;
	struct option_context context = {.arena = &c->arena, .report = &again};

	config_report_init(&again, report->arena);
	OPTION_MAP_FOR_EACH (e, &c->weir.plugins.per_plugin) {
		struct weir_plugin_config *own = e->value;

		*own = c->weir.plugins.defaults;
		(void)option_apply(weir_plugin_options, e->node, own, &context);
	}
}

int static_decode(struct static_config *c, const struct tree *tree, struct config_report *report)
{
	struct option_context context = {
		.arena = &c->arena, .report = report, .skip_unknown = true};
	const struct tree_node *root = tree->root;

	if (option_decode(static_options, root, c, &context) == -ENOMEM)
		return no_memory(report);
	inherit_limits(c, report);
	if (imply_entry_points(c, report) < 0)
		return -ENOMEM;
	drop_udp(c, report);
	if (find_defaults(c, report) < 0)
		return -ENOMEM;
	OPTION_MAP_FOR_EACH (e, &c->entry_points) {
		settle_entry_point(e, report);
		settle_unix_socket(c, e, report);
	}
	OPTION_MAP_FOR_EACH (e, &c->entry_points)
		check_redirection(c, e, report);
	settle_log(&c->log, root, report);
	settle_access_log(c->access_log, root, report);
	check_providers(c, root, report);
	check_ping(c, root, report);
	check_api(c, root, report);
	check_prometheus(c, root, report);
	check_plugin_limits(c, report);
	check_combinations(root, report);
	return report->errors > 0 ? -EINVAL : 0;
}

struct static_config *static_config_new(void)
{
	struct static_config *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->magic = STATIC_CONFIG_MAGIC;
	arena_init(&c->arena, (size_t)64 * 1024, (size_t)256 << 20);
	c->source = c->file = SLICE("");
	return c;
}

void static_config_free(struct static_config **config)
{
	struct static_config *c = *config;

	if (c == NULL)
		return;
	OBJ_CHECK(c, STATIC_CONFIG_MAGIC);
	*config = NULL;
	c->magic = 0;
	arena_free(&c->arena);
	free(c);
}
