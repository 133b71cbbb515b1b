/*
 * The types of middlewares that weir has: one row each, and a file of its own.
 */
#ifndef MIDDLEWARE_CLASSES_H
#define MIDDLEWARE_CLASSES_H

#include "middleware/registry.h"

/* X(type as in the configuration, prefix of its function) */
#define MIDDLEWARE_CLASSES(X) \
	X("addPrefix", add_prefix) \
	X("basicAuth", basic_auth) \
	X("buffering", buffering) \
	X("circuitBreaker", circuit_breaker) \
	X("compress", compress) \
	X("contentType", content_type) \
	X("digestAuth", digest_auth) \
	X("encodedCharacters", encoded_characters) \
	X("errors", errors) \
	X("forwardAuth", forward_auth) \
	X("headers", headers) \
	X("inFlightReq", in_flight_req) \
	X("ipAllowList", ip_allow_list) \
	X("ipWhiteList", ip_white_list) \
	X("passTLSClientCert", pass_tls_client_cert) \
	X("plugin", plugin_middleware) \
	X("rateLimit", rate_limit) \
	X("redirectRegex", redirect_regex) \
	X("redirectScheme", redirect_scheme) \
	X("replacePath", replace_path) \
	X("replacePathRegex", replace_path_regex) \
	X("retry", retry) \
	X("stripPrefix", strip_prefix) \
	X("stripPrefixRegex", strip_prefix_regex)

/**
 * Makes one: returns 0, -ENOMEM if the proxy lacks memory, or another negative errno value with the
 * reason; then `*m` is NULL or untouched. `config` outlives the middleware. May block.
 */
typedef int middleware_create_fn(struct middleware **m, const struct dynamic_middleware *config,
				 const struct middleware_world *world, struct weir_error *e);

/** The function of each row. */
#define X(type, prefix) middleware_create_fn prefix##_create;
MIDDLEWARE_CLASSES(X)
#undef X

#endif
