#include <errno.h>

#include "config/static.h"
#include "config/static_rows.h"

static int check_buckets(const void *value, struct weir_error *error)
{
	const struct option_floats *buckets = value;

	for (size_t i = 0; i < buckets->count; i++) {
		if (!(buckets->items[i] > (i > 0 ? buckets->items[i - 1] : -1e9)) ||
		    buckets->items[i] > 1e9)
			return error_set(error, -EINVAL,
					 "found %g in place %zu, expected ascending numbers of "
					 "seconds",
					 buckets->items[i], i + 1);
	}
	return 0;
}

static const struct option metrics_prometheus_rows[] = {
	OPT_FLOATS("buckets", struct prometheus_config, buckets, "0.1,0.3,1.2,5",
		   "Bounds of the histograms of durations, in seconds.", .check = check_buckets),
	OPT_BOOL("addEntryPointsLabels", struct prometheus_config, add_entry_points_labels, "true",
		 "Count requests by entry point."),
	OPT_BOOL("addRoutersLabels", struct prometheus_config, add_routers_labels, NULL,
		 "Count requests by router."),
	OPT_BOOL("addServicesLabels", struct prometheus_config, add_services_labels, "true",
		 "Count requests by service."),
	OPT_STRING("entryPoint", struct prometheus_config, entry_point, "traefik",
		   "Entry point that answers `/metrics`."),
	OPT_BOOL("manualRouting", struct prometheus_config, manual_routing, NULL,
		 "Answer only where a router names the service `prometheus@internal`."),
	OPT_PAIRS("headerLabels", struct prometheus_config, header_labels,
		  "Labels of `requests_total` whose values are those of request headers."),
	OPT_END,
};

static const struct option metrics_datadog_rows[] = {
	ROW("address", STRING, "localhost:8125"),
	ROW("pushInterval", DURATION, "10s"),
	ROW("addEntryPointsLabels", BOOL, "true"),
	ROW("addRoutersLabels", BOOL, NULL),
	ROW("addServicesLabels", BOOL, "true"),
	ROW("prefix", STRING, "traefik"),
	OPT_END,
};

static const struct option metrics_stats_d_rows[] = {
	ROW("address", STRING, "localhost:8125"),
	ROW("pushInterval", DURATION, "10s"),
	ROW("addEntryPointsLabels", BOOL, "true"),
	ROW("addRoutersLabels", BOOL, NULL),
	ROW("addServicesLabels", BOOL, "true"),
	ROW("prefix", STRING, "traefik"),
	OPT_END,
};

static const struct option metrics_influx_db2_rows[] = {
	ROW("address", STRING, "http://localhost:8086"),
	ROW_SECRET("token", CONTENT),
	ROW("pushInterval", DURATION, "10s"),
	ROW("org", STRING, NULL),
	ROW("bucket", STRING, NULL),
	ROW("addEntryPointsLabels", BOOL, "true"),
	ROW("addRoutersLabels", BOOL, NULL),
	ROW("addServicesLabels", BOOL, "true"),
	ROW("additionalLabels", PAIRS, NULL),
	OPT_END,
};

static const struct option otlp_grpc_rows[] = {
	ROW("endpoint", STRING, "localhost:4317"),
	ROW("insecure", BOOL, NULL),
	ROW_SECRET("headers", PAIRS),
	TABLE("tls", POINTER, client_tls_rows, 0),
	OPT_END,
};

static const struct option otlp_http_rows[] = {
	ROW("endpoint", STRING, "https://localhost:4318"),
	ROW_SECRET("headers", PAIRS),
	TABLE("tls", POINTER, client_tls_rows, 0),
	OPT_END,
};

static const struct option metrics_otlp_rows[] = {
	ROW("addEntryPointsLabels", BOOL, "true"),
	ROW("addRoutersLabels", BOOL, NULL),
	ROW("addServicesLabels", BOOL, "true"),
	ROW("explicitBoundaries", FLOATS,
	    "0.005,0.01,0.025,0.05,0.075,0.1,0.25,0.5,0.75,1,2.5,5,7.5,10"),
	ROW("pushInterval", DURATION, "10s"),
	ROW("serviceName", STRING, "traefik"),
	ROW("resourceAttributes", PAIRS, NULL),
	TABLE("grpc", POINTER, otlp_grpc_rows, OPTION_ALLOW_EMPTY),
	TABLE("http", POINTER, otlp_http_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

const struct option metrics_rows[] = {
	OPT_BOOL("addInternals", struct metrics_config, add_internals, NULL,
		 "Count requests for internal services, too."),
	OPT_POINTER("prometheus", struct metrics_config, prometheus, metrics_prometheus_rows,
		    "Metrics at `/metrics` in the text format of Prometheus.",
		    .flags = OPTION_ALLOW_EMPTY),
	OPT_NOWHERE_TABLE("datadog", POINTER, ACCEPTED, metrics_datadog_rows, OPTION_ALLOW_EMPTY,
			  "Metrics sent to Datadog."),
	OPT_NOWHERE_TABLE("statsD", POINTER, ACCEPTED, metrics_stats_d_rows, OPTION_ALLOW_EMPTY,
			  "Metrics sent to StatsD."),
	OPT_NOWHERE_TABLE("influxDB2", POINTER, ACCEPTED, metrics_influx_db2_rows,
			  OPTION_ALLOW_EMPTY, "Metrics sent to InfluxDB."),
	OPT_NOWHERE_TABLE("otlp", POINTER, ACCEPTED, metrics_otlp_rows, OPTION_ALLOW_EMPTY,
			  "Metrics sent to OpenTelemetry."),
	OPT_END,
};

static const struct option tracing_otlp_rows[] = {
	TABLE("grpc", POINTER, otlp_grpc_rows, OPTION_ALLOW_EMPTY),
	TABLE("http", POINTER, otlp_http_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

#define REMOVED_TRACING(key) \
	ROW_REMOVED(key, "this tracing back-end was removed in Traefik v3, use tracing.otlp")

const struct option tracing_rows[] = {
	TABLE("otlp", POINTER, tracing_otlp_rows, OPTION_ALLOW_EMPTY),
	ROW("serviceName", STRING, "traefik"),
	ROW("resourceAttributes", PAIRS, NULL),
	ROW("capturedRequestHeaders", LIST, NULL),
	ROW("capturedResponseHeaders", LIST, NULL),
	ROW("safeQueryParams", LIST, NULL),
	ROW("sampleRate", FLOAT, "1"),
	ROW("addInternals", BOOL, NULL),
	ROW("globalAttributes", PAIRS, NULL),
	REMOVED_TRACING("jaeger"),
	REMOVED_TRACING("zipkin"),
	REMOVED_TRACING("datadog"),
	REMOVED_TRACING("instana"),
	REMOVED_TRACING("haystack"),
	REMOVED_TRACING("elastic"),
	ROW_REMOVED("spanNameLimit", "removed in Traefik v3, names of spans have a fixed length"),
	OPT_END,
};

static const struct option access_log_filters_rows[] = {
	OPT_LIST("statusCodes", struct access_log_filters_config, status_codes, NULL,
		 "Write requests with these statuses, such as `200` or `400-499`."),
	OPT_BOOL("retryAttempts", struct access_log_filters_config, retry_attempts, NULL,
		 "Write requests that were tried more than once."),
	OPT_DURATION("minDuration", struct access_log_filters_config, min_duration_ns, NULL,
		     "Write requests that took longer."),
	OPT_END,
};

static const struct option access_log_fields_headers_rows[] = {
	OPT_STRING("defaultMode", struct access_log_headers_config, default_mode, "drop",
		   "`keep`, `drop` or `redact` header fields."),
	OPT_PAIRS("names", struct access_log_headers_config, names,
		  "The mode of single header fields."),
	OPT_END,
};

static const struct option access_log_fields_query_parameters_rows[] = {
	OPT_STRING("defaultMode", struct access_log_query_config, default_mode, "keep",
		   "`drop`: paths are written without their query."),
	OPT_END,
};

static const struct option access_log_fields_rows[] = {
	OPT_STRING("defaultMode", struct access_log_fields_config, default_mode, "keep",
		   "`keep` or `drop` fields."),
	OPT_PAIRS("names", struct access_log_fields_config, names, "The mode of single fields."),
	OPT_OBJECT("headers", struct access_log_fields_config, headers,
		   access_log_fields_headers_rows, "Header fields."),
	OPT_OBJECT("queryParameters", struct access_log_fields_config, query,
		   access_log_fields_query_parameters_rows, "Queries."),
	OPT_END,
};

const struct option log_otlp_rows[] = {
	ROW("serviceName", STRING, "traefik"),
	ROW("resourceAttributes", PAIRS, NULL),
	TABLE("grpc", POINTER, otlp_grpc_rows, OPTION_ALLOW_EMPTY),
	TABLE("http", POINTER, otlp_http_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

const struct option access_log_rows[] = {
	OPT_STRING("filePath", struct access_log_config, file_path, NULL,
		   "File instead of standard output.", .flags = OPTION_PATH),
	OPT_STRING("format", struct access_log_config, format_name, "common",
		   "`common`, `genericCLF` or `json`."),
	OPT_INT("bufferingSize", struct access_log_config, buffering_size, NULL,
		"Lines that Traefik keeps before requests wait. Requests of weir never wait: see "
		"`weir.limits.accessLogQueue`."),
	OPT_BOOL("addInternals", struct access_log_config, add_internals, NULL,
		 "Write requests for internal services, too."),
	OPT_NOWHERE("dualOutput", BOOL, ACCEPTED, NULL, "Write lines also with `otlp`.",
		    .hint = "weir does not send logs to OpenTelemetry"),
	OPT_OBJECT("filters", struct access_log_config, filters, access_log_filters_rows,
		   "Which requests are written; all without any."),
	OPT_OBJECT("fields", struct access_log_config, fields, access_log_fields_rows,
		   "What is written of a request."),
	OPT_NOWHERE_TABLE("otlp", POINTER, ACCEPTED, log_otlp_rows, OPTION_ALLOW_EMPTY,
			  "Lines sent to OpenTelemetry."),
	OPT_END,
};
