#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/dynamic.h"

/* Everything that one decoding leaves behind. */
struct reading {
	struct arena *arena;
	struct config_report report;
	struct dynamic_config *config;
	int result;
	struct str messages;
};

static struct reading read_as(const char *text, enum tree_format format)
{
	struct reading r = {0};

	r.arena = calloc(1, sizeof *r.arena);
	assert_non_null(r.arena);
	arena_init(r.arena, 4096, 1 << 20);
	config_report_init(&r.report, r.arena);
	r.result = dynamic_parse(slice_from(text), format,
				 format == TREE_TOML ? "dyn.toml" : "dyn.yml", NULL, &r.report,
				 &r.config);
	return r;
}

static void finish(struct reading *r)
{
	dynamic_destroy(&r->config);
	str_free(&r->messages);
	arena_free(r->arena);
	free(r->arena);
}

static const char *messages(struct reading *r)
{
	str_clear(&r->messages);
	config_report_add(&r->messages, &r->report);
	return r->messages.p != NULL ? r->messages.p : "";
}

static struct dynamic_config *linked(struct reading *r, const char *provider)
{
	static const slice internal[] = {{"ping@internal", 13}, {"noop@internal", 13}};
	struct dynamic_part part = {r->config, provider};
	struct dynamic_config *merged;

	assert_int_equal(dynamic_merge(&part, 1, &r->report, &merged), 0);
	assert_int_equal(dynamic_link(merged, internal, ARRAY_LEN(internal)), 0);
	return merged;
}

static const char full_yaml[] = "http:\n"
				"  routers:\n"
				"    web:\n"
				"      rule: Host(`example.org`)\n"
				"      entryPoints: web, other\n"
				"      middlewares:\n"
				"      - auth\n"
				"      - log@else\n"
				"      service: app\n"
				"      priority: '7'\n"
				"  services:\n"
				"    app:\n"
				"      loadBalancer:\n"
				"        passHostHeader: false\n"
				"        serversTransport: slow\n"
				"        servers:\n"
				"        - url: http://127.0.0.1:8080\n"
				"        - url: http://127.0.0.1:8081\n"
				"          weight: 3\n"
				"  middlewares:\n"
				"    auth:\n"
				"      plugin:\n"
				"        demo:\n"
				"          Key: 1\n"
				"  serversTransports:\n"
				"    slow:\n"
				"      maxIdleConnsPerHost: 9\n"
				"      forwardingTimeouts:\n"
				"        dialTimeout: 5\n"
				"        responseHeaderTimeout: 1m30s\n";

static const char full_toml[] = "[http.serversTransports.slow]\n"
				"maxIdleConnsPerHost = 9\n"
				"[http.serversTransports.slow.forwardingTimeouts]\n"
				"responseHeaderTimeout = \"90s\"\n"
				"dialTimeout = \"5s\"\n"
				"[http.middlewares.auth.plugin.demo]\n"
				"Key = 1\n"
				"[http.services.app.loadBalancer]\n"
				"serversTransport = \"slow\"\n"
				"passHostHeader = false\n"
				"[[http.services.app.loadBalancer.servers]]\n"
				"url = \"http://127.0.0.1:8080\"\n"
				"[[http.services.app.loadBalancer.servers]]\n"
				"weight = 3\n"
				"url = \"http://127.0.0.1:8081\"\n"
				"[http.routers.web]\n"
				"priority = 7\n"
				"service = \"app\"\n"
				"middlewares = [\"auth\", \"log@else\"]\n"
				"entryPoints = [\"web\", \"other\"]\n"
				"rule = \"Host(`example.org`)\"\n";

static void check_full(struct reading *r)
{
	const struct dynamic_router *router;
	const struct dynamic_load_balancer *lb;
	const struct dynamic_server *server;
	const struct dynamic_servers_transport *transport;

	assert_string_equal(messages(r), "");
	assert_int_equal(r->result, 0);
	router = dynamic_router_find(r->config, SLICE("web"));
	assert_non_null(router);
	assert_int_equal(router->object.disabled.n, 0);
	assert_int_equal(router->priority, 7);
	assert_int_equal(router->entry_points.count, 2);
	assert_string_equal(router->entry_points.items[1].p, "other");
	assert_string_equal(router->middlewares.items[1].p, "log@else");
	lb = dynamic_service_find(r->config, SLICE("app"))->load_balancer;
	assert_false(lb->pass_host_header);
	assert_string_equal(lb->strategy.p, "wrr");
	assert_int_equal(lb->servers.count, 2);
	server = lb->servers.items[0];
	assert_int_equal(server->weight, 1);
	server = lb->servers.items[1];
	assert_int_equal(server->weight, 3);
	assert_string_equal(server->url.p, "http://127.0.0.1:8081");
	transport = dynamic_servers_transport_find(r->config, SLICE("slow"));
	assert_int_equal(transport->max_idle_conns_per_host, 9);
	assert_int_equal(transport->forwarding_timeouts.dial_ns, 5000000000);
	assert_int_equal(transport->forwarding_timeouts.response_header_ns, 90000000000);
	assert_int_equal(transport->forwarding_timeouts.idle_conn_ns, 90000000000);
	assert_string_equal(dynamic_middleware_find(r->config, SLICE("auth"))->plugin_alias.p,
			    "demo");
}

static void yaml_and_toml_give_the_same(void **state)
{
	struct reading yaml = read_as(full_yaml, TREE_YAML), toml = read_as(full_toml, TREE_TOML);

	(void)state;
	check_full(&yaml);
	check_full(&toml);
	assert_true(dynamic_hash_equal(&yaml.config->hash, &toml.config->hash));
	finish(&yaml);
	finish(&toml);
}

static void the_hash_follows_values_only(void **state)
{
	static const char same
		[] = "http:\n  services: {app: {loadBalancer: {strategy: wrr, servers: [{url: x, "
		     "weight: 1}]}}, b: {loadBalancer: {servers: [{url: y}]}}}\n",
	    order[] =
		    "# comment\nhttp:\n  services:\n    b: {loadBalancer: {servers: [{url: y}]}}\n"
		    "    app: {loadBalancer: {servers: [{url: x}]}}\n",
	    other[] = "http:\n  services: {app: {loadBalancer: {servers: [{url: x}]}}, b: "
		      "{loadBalancer: {servers: [{url: z}]}}}\n";
	struct reading a = read_as(same, TREE_YAML), b = read_as(order, TREE_YAML),
		       c = read_as(other, TREE_YAML);

	(void)state;
	assert_true(dynamic_hash_equal(&a.config->hash, &b.config->hash));
	assert_false(dynamic_hash_equal(&a.config->hash, &c.config->hash));
	assert_true(dynamic_hash_equal(&a.config->services[0]->object.hash,
				       &c.config->services[0]->object.hash));
	assert_false(dynamic_hash_equal(&a.config->services[1]->object.hash,
					&c.config->services[1]->object.hash));
	finish(&a);
	finish(&b);
	finish(&c);
}

/* What makes the whole file useless, with the exact text. */
static const struct {
	const char *text;
	const char *message;
} errors[] = {
	{"http: {routers: {r: {rule: x, service: s, foo: 1}}}",
	 "error: dyn.yml:1:43: http.routers.r.foo: unknown option, expected "
	 "entryPoints, middlewares, service, rule, parentRefs, ruleSyntax, priority, tls, "
	 "observability\n"},
	{"http: {routers: {r: {rule: x, servise: s}}}",
	 "error: dyn.yml:1:31: http.routers.r.servise: unknown option, did you mean "
	 "\"service\"?\n"},
	{"http:\n  routers: {}\n",
	 "error: dyn.yml:2:12: http.routers: found an empty object, expected at "
	 "least one option in it\n"},
	{"http: {}",
	 "error: dyn.yml:1:7: http: found an empty object, expected at least one option in it\n"},
	{"http: {services: {s: {loadBalancer: {}}}}",
	 "error: dyn.yml:1:37: http.services.s.loadBalancer: found an empty object, expected at "
	 "least one "
	 "option in it\n"},
	{"http: {routers: {r: {rule: x, priority: abc}}}",
	 "error: dyn.yml:1:41: http.routers.r.priority: found \"abc\", expected an integer\n"},
	{"http: {routers: {r: {rule: {a: b}}}}",
	 "error: dyn.yml:1:28: http.routers.r.rule: found an object, expected a string\n"},
	{"http: {routers: [a, b]}", "error: dyn.yml:1:17: http.routers: found a list, expected an "
				    "object with named objects\n"},
	{"http: {middlewares: {m: {addPrefix: {prefx: /a}}}}",
	 "error: dyn.yml:1:38: http.middlewares.m.addPrefix.prefx: unknown option, did you mean "
	 "\"prefix\"?\n"},
	{"http: {middlewares: {m: {plugin: {}}}}",
	 "error: dyn.yml:1:34: http.middlewares.m.plugin: found an empty object, expected at least "
	 "one "
	 "option in it\n"},
	{"tcp: {routers: {r: {rul: x}}}",
	 "error: dyn.yml:1:21: tcp.routers.r.rul: unknown option, did you mean \"rule\"?\n"},
};

static void bad_files_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		struct reading r = read_as(errors[i].text, TREE_YAML);
		const char *text = messages(&r);
		const char *first = strstr(text, "error: ");

		assert_int_equal(r.result, -EINVAL);
		assert_null(r.config);
		assert_non_null(first);
		assert_string_equal(first, errors[i].message);
		finish(&r);
	}
}

/* What is wrong with one object leaves the others alone. */
static const struct {
	const char *text;
	const char *reason; /* of the router "r" */
} disabled[] = {
	{"r: {rule: x, service: ok}", ""},
	{"r: {rule: x, service: ok, tls: {}}", ""},
	{"r: {rule: x, service: ok, tls: true}", ""},
	{"r: {rule: x, service: ok, parentRefs: [a]}",
	 "parentRefs is not supported by weir: routers in layers are not served yet"},
	{"r: {rule: x, service: ok, observability: {accessLogs: false}}", ""},
	{"r: {rule: x}", "router has no service and no child routers"},
	{"r: {rule: x, service: nope}", "the service \"nope@file\" does not exist"},
	{"r: {rule: x, service: ping@internal}", ""},
	{"r: {rule: x, service: api@internal}", "unknown internal service api@internal"},
	{"r: {rule: x, service: ok@other}", "the service \"ok@other\" does not exist"},
	{"r: {rule: x, service: empty}", "the service \"empty@file\" is disabled: the service "
					 "\"empty@file\" does not have any type defined"},
	{"r: {rule: x, service: sticky}",
	 "the service \"sticky@file\" is disabled: loadBalancer.sticky is not "
	 "supported by weir: clients would move between the servers"},
	{"r: {rule: x, service: weighted}",
	 "the service \"weighted@file\" is disabled: weighted is not "
	 "supported by weir: weighted services come later"},
	{"r: {rule: x, service: two}", "the service \"two@file\" is disabled: cannot create "
				       "service: multi-types service not supported, consider "
				       "declaring two different pieces of service instead"},
	{"r: {rule: x, service: strategy}",
	 "the service \"strategy@file\" is disabled: unsupported load-balancer strategy \"foo\""},
	{"r: {rule: x, service: hrw}",
	 "the service \"hrw@file\" is disabled: loadBalancer.strategy hrw is not "
	 "supported by weir yet, expected wrr"},
	{"r: {rule: x, service: path}", ""},
	{"r: {rule: x, service: nopath}", ""},
	{"r: {rule: x, service: health}", ""},
	{"r: {rule: x, service: transport}",
	 "the service \"transport@file\" is disabled: servers transport not found nope@file"},
	{"r: {rule: x, service: ok, middlewares: [nope]}",
	 "middleware \"nope@file\" does not exist"},
	{"r: {rule: x, service: ok, middlewares: [plug]}", ""},
	{"r: {rule: x, service: ok, middlewares: [later]}",
	 "middleware \"later@file\" is disabled: grpcWeb is not supported by weir: this type of "
	 "middleware is "
	 "not available yet"},
	{"r: {rule: x, service: ok, middlewares: [prefix]}", ""},
	{"r: {rule: x, service: ok, middlewares: [chain]}", ""},
	{"r: {rule: x, service: ok, middlewares: [a-loop]}",
	 "middleware \"a-loop@file\" is disabled: could not instantiate middleware a-loop@file: "
	 "recursion "
	 "detected in middleware:a-loop@file->middleware:b-loop@file->middleware:a-loop@file"},
	{"r: {rule: x, service: ok, middlewares: [prefix, lame]}",
	 "middleware \"lame@file\" is disabled: middleware \"nope@file\" does not exist"},
	{"r: {rule: x, service: ok, middlewares: [none]}",
	 "middleware \"none@file\" is disabled: invalid middleware \"none\" configuration: invalid "
	 "middleware "
	 "type or middleware does not exist"},
	{"r: {rule: x, service: ok, middlewares: [both]}",
	 "middleware \"both@file\" is disabled: cannot create middleware: multi-types middleware "
	 "not supported, "
	 "consider declaring two different pieces of middleware instead"},
	{"r: {rule: x, service: ok, middlewares: [plugs]}",
	 "middleware \"plugs@file\" is disabled: plugin: invalid configuration: no configuration "
	 "or too many "
	 "plugin definition"},
	{"r: {rule: x, service: ok, priority: 9223372036854775800}",
	 "the router priority 9223372036854775800 exceeds the max user-defined priority "
	 "9223372036854774807"},
	{"r: {rule: x, service: ok, ruleSyntax: v9}",
	 "ruleSyntax: found \"v9\", expected v2 or v3"},
	{"r: {rule: x, service: ok, parentRefs: [a]}",
	 "parentRefs is not supported by weir: routers in layers are not served yet"},
};

static const char others[] =
	"  services:\n"
	"    ok: {loadBalancer: {servers: [{url: http://a}]}}\n"
	"    empty: {}\n"
	"    sticky: {loadBalancer: {servers: [{url: http://a}], sticky: {cookie: {name: c}}}}\n"
	"    weighted: {weighted: {services: [{name: ok}]}}\n"
	"    two: {loadBalancer: {servers: [{url: http://a}]}, weighted: {services: [{name: "
	"ok}]}}\n"
	"    strategy: {loadBalancer: {servers: [{url: http://a}], strategy: foo}}\n"
	"    hrw: {loadBalancer: {servers: [{url: http://a}], strategy: hrw}}\n"
	"    path: {loadBalancer: {servers: [{url: http://a, preservePath: true}]}}\n"
	"    nopath: {loadBalancer: {servers: [{url: http://a, preservePath: false}]}}\n"
	"    health: {loadBalancer: {servers: [{url: http://a}], healthCheck: {path: /h}}}\n"
	"    transport: {loadBalancer: {servers: [{url: http://a}], serversTransport: nope}}\n"
	"  middlewares:\n"
	"    plug: {plugin: {demo: {a: 1}}}\n"
	"    plugs: {plugin: {demo: {a: 1}, more: {}}}\n"
	"    prefix: {addPrefix: {prefix: /a}}\n"
	"    later: {grpcWeb: {allowOrigins: [a]}}\n"
	"    chain: {chain: {middlewares: [prefix, inner]}}\n"
	"    inner: {chain: {middlewares: [prefix@file]}}\n"
	"    a-loop: {chain: {middlewares: [prefix, b-loop]}}\n"
	"    b-loop: {chain: {middlewares: [a-loop]}}\n"
	"    lame: {chain: {middlewares: [prefix, nope]}}\n"
	"    none: {}\n"
	"    both: {addPrefix: {prefix: /a}, plugin: {demo: {a: 1}}}\n";

static void wrong_objects_are_disabled(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(disabled); i++) {
		struct str text = {0};
		struct reading r;
		struct dynamic_config *c;
		const struct dynamic_router *router;

		str_format(&text, "http:\n  routers:\n    %s\n%s", disabled[i].text, others);
		r = read_as(text.p, TREE_YAML);
		if (r.result != 0)
			fail_msg("%s: %s", disabled[i].text, messages(&r));
		c = linked(&r, "file");
		router = dynamic_router_find(c, SLICE("r@file"));
		assert_non_null(router);
		assert_string_equal(router->object.provider.p, "file");
		assert_string_equal(router->object.disabled.n > 0 ? router->object.disabled.p : "",
				    disabled[i].reason);
		dynamic_destroy(&c);
		finish(&r);
		str_free(&text);
	}
}

static void warnings_name_the_place(void **state)
{
	struct reading r =
		read_as("http:\n"
			"  services:\n"
			"    a: {loadBalancer: {servers: [{url: x}], healthCheck: {path: /}}}\n"
			"    b: {weighted: {services: [{name: a}]}}\n"
			"    c: {loadBalancer: {servers: [{url: x}]}}\n"
			"tls:\n"
			"  options: {default: {preferServerCipherSuites: true}}\n"
			"unknown: 1\n",
			TREE_YAML);

	(void)state;
	assert_int_equal(r.result, 0);
	assert_string_equal(
		messages(&r),
		"warning: dyn.yml:3:58: http.services.a.loadBalancer.healthCheck: accepted without "
		"effect; all "
		"servers count as healthy\n"
		"warning: dyn.yml:7:49: tls.options.default.preferServerCipherSuites: accepted "
		"without effect\n"
		"warning: dyn.yml:4:5: service \"b\" is disabled: weighted is not supported by "
		"weir: weighted "
		"services come later\n");
	finish(&r);
}

static void references_get_the_provider(void **state)
{
	struct reading r = read_as(full_yaml, TREE_YAML);
	struct dynamic_config *c;
	const struct dynamic_router *router;

	(void)state;
	c = linked(&r, "file");
	dynamic_destroy(&r.config); /* the merged one keeps what it needs */
	router = dynamic_router_find(c, SLICE("web@file"));
	assert_string_equal(router->service.p, "app@file");
	assert_string_equal(router->middlewares.items[0].p, "auth@file");
	assert_string_equal(router->middlewares.items[1].p, "log@else");
	assert_string_equal(router->object.disabled.p, "middleware \"log@else\" does not exist");
	assert_string_equal(
		dynamic_service_find(c, SLICE("app@file"))->load_balancer->servers_transport.p,
		"slow@file");
	assert_non_null(dynamic_servers_transport_find(c, SLICE("slow@file")));
	assert_null(dynamic_router_find(c, SLICE("web")));
	dynamic_destroy(&c);
	finish(&r);
}

static void the_first_of_a_name_wins(void **state)
{
	struct reading a = read_as("http: {services: {s: {loadBalancer: {servers: [{url: one}]}}}}",
				   TREE_YAML);
	struct reading b =
		read_as("http: {services: {s: {loadBalancer: {servers: [{url: two}]}}, t: "
			"{loadBalancer: {servers: [{url: three}]}}}}",
			TREE_YAML);
	struct dynamic_part parts[] = {{a.config, NULL}, {b.config, NULL}};
	struct dynamic_config *c;
	const struct dynamic_server *server;

	(void)state;
	assert_int_equal(dynamic_merge(parts, 2, &a.report, &c), 0);
	assert_int_equal(c->service_count, 2);
	server = dynamic_service_find(c, SLICE("s"))->load_balancer->servers.items[0];
	assert_string_equal(server->url.p, "one");
	assert_string_equal(
		messages(&a),
		"warning: dyn.yml:1:19: HTTP service already configured, skipping: \"s\"\n");
	assert_false(dynamic_is_empty(c));
	dynamic_destroy(&c);
	finish(&a);
	finish(&b);
}

static void the_dump_decodes_to_the_same(void **state)
{
	struct reading r = read_as(full_yaml, TREE_YAML), again;
	struct str dump = {0};

	(void)state;
	dynamic_dump(&dump, r.config, &(struct option_dump){.defaults = true, .secrets = true});
	again = read_as(dump.p, TREE_YAML);
	if (again.result != 0)
		fail_msg("%s\n%s", messages(&again), dump.p);
	assert_true(dynamic_hash_equal(&r.config->hash, &again.config->hash));
	str_free(&dump);
	finish(&r);
	finish(&again);
}

static void chains_are_followed(void **state)
{
	struct reading r =
		read_as("http: {middlewares: {a: {chain: {middlewares: [b]}}, b: {chain: "
			"{middlewares: [a]}}, c: {chain: {middlewares: [gone]}}}}",
			TREE_YAML);
	struct dynamic_config *c;

	(void)state;
	assert_int_equal(r.result, 0);
	c = linked(&r, "file");
	for (size_t i = 0; i < c->middleware_count; i++)
		assert_true(c->middlewares[i]->object.disabled.n > 0);
	assert_string_equal(c->middlewares[0]->chain->middlewares.items[0].p, "b@file");
	dynamic_destroy(&c);
	finish(&r);
}

static bool count_rows(const char *path, const struct option *row, enum option_status status,
		       void *user)
{
	(void)path;
	(void)row;
	(void)status;
	(*(size_t *)user)++;
	return true;
}

/* All keys of Traefik 3.7 and the objects that they are in: none may vanish. */
static void the_table_is_complete(void **state)
{
	size_t count = 0;

	(void)state;
	option_visit(dynamic_options, "", count_rows, &count);
	assert_int_equal(count, 437);
}

/* One option of a plugin as it is written, as Traefik's file provider gives it, and with the types
 * of the file. */
static const struct {
	const char *yaml;
	const char *stringified;
	const char *typed;
} plugin_values[] = {
	{"a: hello", "{\"a\":\"hello\"}", "{\"a\":\"hello\"}"},
	{"a: 10", "{\"a\":\"10\"}", "{\"a\":10}"},
	{"a: -3", "{\"a\":\"-3\"}", "{\"a\":-3}"},
	{"a: 010", "{\"a\":\"8\"}", "{\"a\":8}"},
	{"a: 1.5", "{\"a\":\"1.500000\"}", "{\"a\":1.5}"},
	{"a: 2.0", "{\"a\":\"2\"}", "{\"a\":2}"},
	{"a: true", "{\"a\":\"true\"}", "{\"a\":true}"},
	{"a: ''", "{\"a\":\"\"}", "{\"a\":\"\"}"},
	{"a: null, b: x", "{\"b\":\"x\"}", "{\"a\":null,\"b\":\"x\"}"},
	{"a: {}", "{\"a\":\"\"}", "{\"a\":{}}"},
	{"a: []", "{\"a\":\"\"}", "{\"a\":[]}"},
	{"a: [1, 2]", "{\"a\":[1,2]}", "{\"a\":[1,2]}"},
	{"a: [true, false]", "{\"a\":[true,false]}", "{\"a\":[true,false]}"},
	{"a: [1, 2.6]", "{\"a\":[1,2.6]}", "{\"a\":[1,2.6]}"},
	{"a: [1, a, true]", "{\"a\":[\"1\",\"a\",\"true\"]}", "{\"a\":[1,\"a\",true]}"},
	{"a: [x, y]", "{\"a\":[\"x\",\"y\"]}", "{\"a\":[\"x\",\"y\"]}"},
	{"a: [{b: 1}, {b: true}]", "{\"a\":[{\"b\":\"1\"},{\"b\":\"true\"}]}",
	 "{\"a\":[{\"b\":1},{\"b\":true}]}"},
	{"a: [{}, {b: {}}]", "{\"a\":[\"\",{\"b\":\"\"}]}", "{\"a\":[{},{\"b\":{}}]}"},
	{"a: [{b: [1, 2]}]", "{\"a\":[{\"b\":[1,2]}]}", "{\"a\":[{\"b\":[1,2]}]}"},
	{"z: 1, A: 2, y: {z: 2.5}", "{\"A\":\"2\",\"y\":{\"z\":\"2.500000\"},\"z\":\"1\"}",
	 "{\"A\":2,\"y\":{\"z\":2.5},\"z\":1}"},
	{"a: \"x\\\"<>&\\u2028\\xe9\"", "{\"a\":\"x\\\"\\u003c\\u003e\\u0026\\u2028\303\251\"}",
	 "{\"a\":\"x\\\"\\u003c\\u003e\\u0026\\u2028\303\251\"}"},
	{"", "{}", "{}"},
};

static void plugins_get_what_traefik_gives(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plugin_values); i++) {
		struct str text = {0}, json = {0};
		struct reading r;
		const struct dynamic_middleware *m;

		str_format(&text, "http: {middlewares: {m: {plugin: {demo: {%s}}}}}",
			   plugin_values[i].yaml);
		r = read_as(text.p, TREE_YAML);
		if (r.result != 0)
			fail_msg("%s: %s", text.p, messages(&r));
		m = dynamic_middleware_find(r.config, SLICE("m"));
		assert_string_equal(m->type.p, "plugin");
		dynamic_plugin_json(m->plugin_config, true, &json);
		assert_string_equal(json.p, plugin_values[i].stringified);
		str_clear(&json);
		dynamic_plugin_json(m->plugin_config, false, &json);
		assert_string_equal(json.p, plugin_values[i].typed);
		str_free(&json);
		str_free(&text);
		finish(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml_and_toml_give_the_same),
		cmocka_unit_test(the_hash_follows_values_only),
		cmocka_unit_test(bad_files_are_refused),
		cmocka_unit_test(wrong_objects_are_disabled),
		cmocka_unit_test(warnings_name_the_place),
		cmocka_unit_test(references_get_the_provider),
		cmocka_unit_test(the_first_of_a_name_wins),
		cmocka_unit_test(the_dump_decodes_to_the_same),
		cmocka_unit_test(chains_are_followed),
		cmocka_unit_test(the_table_is_complete),
		cmocka_unit_test(plugins_get_what_traefik_gives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
