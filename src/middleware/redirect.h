/*
 * What redirectRegex and redirectScheme share: the request's URL, and the answer.
 */
#ifndef MIDDLEWARE_REDIRECT_H
#define MIDDLEWARE_REDIRECT_H

#include "http/exchange.h"

/**
 * Answers with a redirect to `url`: 302, or 301 if `permanent`; 307 and 308 for methods other than
 * GET, so that the method stays. 502 for text that is no URL, as Traefik has it. For hooks that
 * then return what this returns.
 */
enum middleware_verdict redirect_answer(struct exchange *x, slice url, bool permanent);

#endif
