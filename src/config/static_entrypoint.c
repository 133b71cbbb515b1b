#include <errno.h>
#include <string.h>

#include "config/static.h"
#include "config/static_rows.h"
#include "net/unix_socket.h"

static int check_address(const void *value, struct weir_error *error)
{
	struct listen_address address;
	int r = listen_address_parse(*(const slice *)value, &address, error);

	if (r < 0 && !listen_address_is_path(*(const slice *)value))
		error_suffix(error, strstr(error->text, ", expected ") != NULL
					    ? "; an address is [host]:port[/tcp] or unix:///path"
					    : ", expected [host]:port[/tcp] or unix:///path");
	return r;
}

static int check_mode(const void *value, struct weir_error *error)
{
	slice text = *(const slice *)value;
	mode_t mode;

	if (unix_socket_parse_mode(text, &mode))
		return 0;
	return error_set(error, -EINVAL,
			 "found \"%.*s\", expected octal digits of at most 0777, such as 0660",
			 SLICE_ARG(slice_first(text, 100)));
}

static int check_networks(const void *value, struct weir_error *error)
{
	const struct option_list *list = value;

	for (size_t i = 0; i < list->count; i++) {
		struct address_set *set = NULL;
		int r = address_set_new(&list->items[i], 1, &set, NULL);

		address_set_free(&set);
		if (r < 0)
			return error_set(error, r,
					 "found \"%.*s\", expected an address such as 10.0.0.1 or "
					 "a network such "
					 "as 10.0.0.0/8",
					 SLICE_ARG(slice_first(list->items[i], 100)));
	}
	return 0;
}

static const struct option life_cycle_rows[] = {
	OPT_DURATION("requestAcceptGraceTimeout", struct transport_config, request_accept_grace_ns,
		     NULL, "Go on accepting connections for so long after SIGTERM."),
	OPT_DURATION("graceTimeOut", struct transport_config, grace_ns, "10s",
		     "Then give requests in progress so much time to end."),
	OPT_END,
};

static const struct option responding_timeouts_rows[] = {
	OPT_DURATION("readTimeout", struct transport_config, read_timeout_ns, "60s",
		     "Longest time for a whole request with its body; 0: none."),
	OPT_DURATION("writeTimeout", struct transport_config, write_timeout_ns, NULL,
		     "Longest time for a response; 0: none."),
	OPT_DURATION("idleTimeout", struct transport_config, idle_timeout_ns, "180s",
		     "Longest time between two requests of a connection; 0: none."),
	OPT_END,
};

/* Both groups are kept in the structure of `transport` itself. */
#define GROUP(key, rows, text) \
	{ \
		.name = (key), .type = OPTION_OBJECT, .offset = 0, \
		.size = sizeof(struct transport_config), .table = (rows), .doc = (text) \
	}

static const struct option transport_rows[] = {
	GROUP("lifeCycle", life_cycle_rows, "How the entry point ends."),
	GROUP("respondingTimeouts", responding_timeouts_rows, "Time limits of connections."),
	OPT_DURATION("keepAliveMaxTime", struct transport_config, keep_alive_max_ns, NULL,
		     "Close a connection after its current request once it is so old; 0: never."),
	OPT_INT("keepAliveMaxRequests", struct transport_config, keep_alive_max_requests, NULL,
		"Close a connection after so many requests; 0: never."),
	OPT_END,
};

static const struct option forwarded_headers_rows[] = {
	OPT_BOOL("insecure", struct forwarded_headers_config, insecure, NULL,
		 "Trust the `X-Forwarded-*` headers of every client."),
	OPT_LIST("trustedIPs", struct forwarded_headers_config, trusted_ips, NULL,
		 "Addresses and networks whose `X-Forwarded-*` headers are trusted.",
		 .check = check_networks),
	OPT_LIST("connection", struct forwarded_headers_config, connection, NULL,
		 "Headers that a client's `Connection` header may name without having them "
		 "removed."),
	OPT_BOOL("notAppendXForwardedFor", struct forwarded_headers_config,
		 not_append_x_forwarded_for, NULL, "Leave `X-Forwarded-For` as it came."),
	OPT_BOOL("addXForwardedSchemeHeaders", struct forwarded_headers_config,
		 add_x_forwarded_scheme_headers, NULL,
		 "Also set `X-Forwarded-Scheme` and `X-Scheme`."),
	OPT_END,
};

#define CHARACTER(key, member_, what) \
	OPT_BOOL(key, struct encoded_characters_config, member_, "true", \
		 "Allow " what " in paths; else 400.")

static const struct option encoded_characters_rows[] = {
	CHARACTER("allowEncodedSlash", allow_slash, "`%2F`"),
	CHARACTER("allowEncodedBackSlash", allow_back_slash, "`%5C`"),
	CHARACTER("allowEncodedNullCharacter", allow_null, "`%00`"),
	CHARACTER("allowEncodedSemicolon", allow_semicolon, "`%3B`"),
	CHARACTER("allowEncodedPercent", allow_percent, "`%25`"),
	CHARACTER("allowEncodedQuestionMark", allow_question_mark, "`%3F`"),
	CHARACTER("allowEncodedHash", allow_hash, "`%23`"),
	OPT_END,
};

static const struct option redirection_rows[] = {
	OPT_STRING("to", struct redirection_config, to, NULL,
		   "Name of the entry point whose port the requests are sent to, or `:port`. "
		   "Required."),
	OPT_STRING("scheme", struct redirection_config, scheme, "https",
		   "Scheme that they are sent to."),
	OPT_BOOL("permanent", struct redirection_config, permanent, "true",
		 "Answer 301 or 308 instead of 302 or 307."),
	OPT_INT("priority", struct redirection_config, priority, "9223372036854775806",
		"Priority of the router, `<name>-to-<to>@internal`, that does it."),
	OPT_END,
};

static const struct option redirections_rows[] = {
	OPT_POINTER("entryPoint", struct redirections_config, entry_point, redirection_rows,
		    "Redirect all requests of the entry point."),
	OPT_END,
};

static const struct option domain_rows[] = {
	ROW("main", STRING, NULL),
	ROW("sans", LIST, NULL),
	OPT_END,
};

static const struct option tls_rows[] = {
	OPT_STRING("options", struct entry_point_tls_config, options, NULL,
		   "Name of the TLS options; empty: `default`."),
	OPT_NOWHERE("certResolver", STRING, ACCEPTED, NULL,
		    "Resolver that gets certificates for the routers' hosts.",
		    .hint = "weir gets no certificates; it uses those of tls.certificates"),
	OPT_NOWHERE_TABLE("domains", ARRAY, ACCEPTED, domain_rows, 0,
			  "Names to get certificates for.",
			  .hint = "weir gets no certificates; it uses those of tls.certificates"),
	OPT_END,
};

static const char *const alias_names[] = {"", "keep", "delete", "reject"};
static const struct option_names alias_headers_names = {alias_names, ARRAY_LEN(alias_names)};

static const struct option http_rows[] = {
	OPT_LIST("middlewares", struct entry_point_http_config, middlewares, NULL,
		 "Middlewares (`name@provider`) in front of those of every router."),
	OPT_BOOL("encodeQuerySemicolons", struct entry_point_http_config, encode_query_semicolons,
		 NULL, "Turn `;` in queries into `%3B` instead of `&`."),
	OPT_BOOL("sanitizePath", struct entry_point_http_config, sanitize_path, "true",
		 "Collapse `//` and resolve `.` and `..` before routing.", .flags = OPTION_SHOWN),
	OPT_INT("maxHeaderBytes", struct entry_point_http_config, max_header_bytes, "1048576",
		"Longest request head in bytes; a longer one gets 431. 0 or less: the default."),
	OPT_ENUM("aliasHeadersStrategy", struct entry_point_http_config, alias_strategy,
		 alias_headers_names, "",
		 "What to do with request headers whose name passes for another one in CGI-like "
		 "servers, such as `X_Real_Ip`; "
		 "`keep` if absent."),
	OPT_ENUM("underscoreHeadersStrategy", struct entry_point_http_config, underscore_strategy,
		 alias_headers_names, "", "Older name of `aliasHeadersStrategy`."),
	OPT_OBJECT("encodedCharacters", struct entry_point_http_config, encoded_characters,
		   encoded_characters_rows, "Which characters may be percent-encoded in paths.",
		   .flags = OPTION_SHOWN_SET),
	OPT_OBJECT("redirections", struct entry_point_http_config, redirections, redirections_rows,
		   "Redirections.", .flags = OPTION_SHOWN_SET),
	OPT_POINTER("tls", struct entry_point_http_config, tls, tls_rows,
		    "Routers take TLS connections, and no others, unless they have a `tls` of "
		    "their own.",
		    .flags = OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option proxy_protocol_rows[] = {
	OPT_BOOL("insecure", struct proxy_protocol_config, insecure, NULL,
		 "Believe the headers of all peers."),
	OPT_LIST("trustedIPs", struct proxy_protocol_config, trusted_ips, NULL,
		 "Addresses and networks whose headers are believed; those of others are removed.",
		 .check = check_networks),
	OPT_END,
};

static const struct option http2_rows[] = {
	OPT_INT("maxConcurrentStreams", struct http2_config, max_concurrent_streams, "250",
		"Most requests of one connection at the same time.", .min = 1, .max = INT32_MAX),
	OPT_INT("maxDecoderHeaderTableSize", struct http2_config, decoder_table_bytes, "4096",
		"Bytes of the table for the headers of requests.", .min = 0, .max = 65536),
	OPT_INT("maxEncoderHeaderTableSize", struct http2_config, encoder_table_bytes, "4096",
		"Bytes of the table for the headers of responses.", .min = 0, .max = 65536),
	OPT_END,
};

static const struct option http3_rows[] = {
	ROW("advertisedPort", INT, NULL),
	OPT_END,
};

static const struct option udp_rows[] = {
	ROW("timeout", DURATION, "3s"),
	OPT_END,
};

static const struct option observability_rows[] = {
	OPT_BOOL("accessLogs", struct observability_config, access_logs, "true",
		 "Write requests to the access log.", .flags = OPTION_SHOWN),
	OPT_BOOL("metrics", struct observability_config, metrics, "true", "Count requests.",
		 .flags = OPTION_SHOWN),
	{.name = "tracing",
	 .type = OPTION_BOOL,
	 .status = ACCEPTED,
	 .flags = OPTION_NOWHERE | OPTION_SHOWN,
	 .initial = "true"},
	ROW("traceVerbosity", STRING, "minimal"),
	OPT_END,
};

const struct option unix_socket_rows[] = {
	OPT_STRING("mode", struct unix_socket_config, mode, "0660",
		   "Permissions of its file: who may write may connect. Octal digits "
		   "in quotes: YAML reads 0660 as the number 432.",
		   .flags = OPTION_QUOTED, .check = check_mode),
	OPT_STRING("user", struct unix_socket_config, user, NULL,
		   "Name or number of the user that the file is given to; weir must run as root."),
	OPT_STRING("group", struct unix_socket_config, group, NULL,
		   "Name or number of the group that the file is given to; weir must be in it, or "
		   "run as root."),
	OPT_END,
};

const struct option entry_point_rows[] = {
	OPT_STRING("address", struct entry_point_config, address, NULL,
		   "`[host]:port[/tcp]`, or, in weir, `unix:///path` for a Unix socket. Required.",
		   .check = check_address),
	OPT_POINTER("unixSocket", struct entry_point_config, unix_socket, unix_socket_rows,
		    "The file of the Unix socket. weir only.", .flags = OPTION_ALLOW_EMPTY),
	OPT_BOOL("allowACMEByPass", struct entry_point_config, acme_bypass, NULL,
		 "Leave what is below `/.well-known/acme-challenge/` to routers also where the "
		 "entry "
		 "point redirects."),
	OPT_BOOL("reusePort", struct entry_point_config, reuse_port, NULL,
		 "Let other processes listen on the same address (SO_REUSEPORT)."),
	OPT_BOOL("asDefault", struct entry_point_config, as_default, NULL,
		 "Routers without `entryPoints` use the entry points that have this set, or all if "
		 "none has."),
	OPT_OBJECT("transport", struct entry_point_config, transport, transport_rows,
		   "Connections."),
	OPT_POINTER("proxyProtocol", struct entry_point_config, proxy_protocol, proxy_protocol_rows,
		    "Connections may begin with a header of the PROXY protocol, version 1 or 2, by "
		    "which a load balancer says for whom it connects.",
		    .flags = OPTION_ALLOW_EMPTY),
	OPT_OBJECT("forwardedHeaders", struct entry_point_config, forwarded_headers,
		   forwarded_headers_rows, "Which clients may say for whom they ask."),
	OPT_OBJECT("http", struct entry_point_config, http, http_rows, "HTTP."),
	OPT_OBJECT("http2", struct entry_point_config, http2, http2_rows, "HTTP/2."),
	OPT_NOWHERE_TABLE("http3", POINTER, REFUSED, http3_rows, OPTION_ALLOW_EMPTY, "HTTP/3."),
	OPT_NOWHERE_TABLE("udp", POINTER, ACCEPTED, udp_rows, OPTION_SHOWN, "UDP."),
	OPT_OBJECT("observability", struct entry_point_config, observability, observability_rows,
		   "Defaults of the routers' `observability`.", .flags = OPTION_SHOWN_SET),
	OPT_END,
};
