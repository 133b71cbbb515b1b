/*
 * Inside of the http provider; only src/provider/http*.c include this.
 */
#ifndef PROVIDER_HTTP_PRIVATE_H
#define PROVIDER_HTTP_PRIVATE_H

#include "http/inquiry.h"
#include "net/url.h"
#include "provider/provider.h"

/** GETs one URL again and again over kept-alive connections, one at a time. */
struct http_fetcher;

/** Called on the loop when an attempt is over: 0 with the body of `n` bytes, which is the callee's
 * to free; or a negative errno value with the reason. May destroy the fetcher. */
typedef void http_fetched_fn(void *context, int code, char *body, size_t n,
			     const struct weir_error *e);

/**
 * Checks endpoint and header fields. `config` and `loop` outlive the fetcher. Returns 0 or a
 * negative errno value with `e` filled in.
 */
int http_fetcher_create(struct http_fetcher **fetcher, struct loop *loop,
			const struct http_provider_config *config, http_fetched_fn *fetched,
			void *context, struct weir_error *e);

/** A fetch in progress is given up. NULL is allowed. */
void http_fetcher_destroy(struct http_fetcher **fetcher);

/** Begins, unless a fetch is in progress. `fetched` may be called within. */
void http_fetcher_start(struct http_fetcher *f);

/** Files of certificates are read again before the next attempt, as they are after one that has
 * failed. */
void http_fetcher_renew(struct http_fetcher *f);

/** The endpoint without user information and query, for messages. Lives as long as the fetcher. */
const char *http_fetcher_name(const struct http_fetcher *f);

#endif
