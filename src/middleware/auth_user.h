/*
 * What basicAuth and digestAuth share: who somebody turned out to be, and what inner ones learn of
 * it.
 */
#ifndef MIDDLEWARE_AUTH_USER_H
#define MIDDLEWARE_AUTH_USER_H

#include "config/dynamic.h"
#include "http/exchange.h"

/** Whether realm and headerField can be sent. Returns 0 or -EINVAL. */
int auth_check_options(const struct dynamic_auth *options, struct weir_error *e);

/** The request of `user` goes on: headerField gets the name, removeHeader takes Authorization away.
 * `user` lives as long as the exchange. */
enum middleware_verdict auth_pass(struct exchange *x, const struct dynamic_auth *options,
				  slice user);

/** Answers 401 with this challenge, whose bytes live as long as the exchange. */
enum middleware_verdict auth_challenge(struct exchange *x, slice challenge);

#endif
