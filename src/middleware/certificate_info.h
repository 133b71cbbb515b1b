/*
 * A client's certificate as text for servers, in the form of Traefik's `passTLSClientCert`.
 */
#ifndef MIDDLEWARE_CERTIFICATE_INFO_H
#define MIDDLEWARE_CERTIFICATE_INFO_H

#include <openssl/x509.h>

#include "config/dynamic_middleware.h"
#include "core/str.h"

/** Adds the certificate in base64, without lines. Returns 0 or -ENOMEM. */
int certificate_add_base64(struct str *to, X509 *certificate);

/**
 * Adds the parts of the certificate that are wanted: `Subject="C=DE,CN=x";NB="1700000000"`. What is
 * missing in it is left out. Returns 0 or -ENOMEM.
 */
int certificate_add_info(struct str *to, const X509 *certificate,
			 const struct dynamic_client_cert_info *wanted);

/** Adds `s` as Go's url.QueryEscape makes it. */
void certificate_add_escaped(struct str *to, slice s);

#endif
