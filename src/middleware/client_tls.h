/*
 * The options `tls` of middlewares that speak to servers of their own.
 */
#ifndef MIDDLEWARE_CLIENT_TLS_H
#define MIDDLEWARE_CLIENT_TLS_H

#include "config/dynamic.h"
#include "net/tls_connector.h"

/**
 * Makes the connector that `options` describe; NULL: the system's authorities, no certificate.
 * Returns 0 or a negative errno value with `e` filled in. Reads files: may block.
 */
int client_tls_connector(const struct dynamic_client_tls *options, struct tls_connector **connector,
			 struct weir_error *e);

#endif
