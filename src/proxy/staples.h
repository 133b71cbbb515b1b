/*
 * Keeps the answers of OCSP responders at hand that clients get with certificates (OCSP stapling).
 * Asks one responder at a time, on the control loop; handshakes never wait for it.
 */
#ifndef PROXY_STAPLES_H
#define PROXY_STAPLES_H

#include "config/static.h"
#include "net/loop.h"
#include "net/tls_certificate.h"
#include "proxy/stats.h"

struct staples;

/**
 * `config` (`ocsp`) and `counters` outlive it. Returns 0 or a negative errno value with `e` filled
 * in. Control thread, as all that follow.
 */
int staples_create(struct staples **staples, struct loop *control, const struct ocsp_config *config,
		   struct proxy_counters *counters, struct weir_error *e);

/** From now on the certificates of this store are looked after, and no others. Those that stay keep
 * what is known of them. */
void staples_use(struct staples *s, const struct tls_store *store);

/** Gives up what is in progress. NULL is allowed in `*staples`. */
void staples_destroy(struct staples **staples);

#endif
