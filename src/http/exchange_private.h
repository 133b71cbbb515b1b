/*
 * Private to exchange*.c: what the parts call of each other.
 *
 *   exchange.c         the walk along the chain, the beginning and the end
 *   exchange_detach.c  going on without the generation
 *   exchange_again.c   what a repeated request was, and chains that it goes to instead
 *   exchange_tunnel.c  what follows a 101
 */
#ifndef HTTP_EXCHANGE_PRIVATE_H
#define HTTP_EXCHANGE_PRIVATE_H

#include "http/exchange.h"

/** Lets every middleware do what comes after the response, then frees the exchange, or has a tunnel
 * leave its chain. May wait for a hook. */
void exchange_finish(struct exchange *x);

/** The middlewares of a tunnel are through: nothing of the generation is needed any more, and the
 * route is let go if memory allows. */
void exchange_leave_chain(struct exchange *x);

/** Neither end of the tunnel, if there is one, is the connection's any more. */
void exchange_cut_tunnel(struct exchange *x);

/** Frees what a tunnel, if there is one, has left, and counts its end. */
void exchange_free_tunnel(struct exchange *x);

/** The states of a chain's middlewares, cleared, into `states`, which has room for them. Returns 0
 * or -ENOMEM. */
int exchange_make_states(struct exchange *x, const struct chain *chain, void **states);

/** Before the middleware at `x->at` is asked again: branches that it or those that have ended made
 * are left, and that of `exchange_divert` is entered. */
void exchange_switch_branch(struct exchange *x);

/** What takes the service's place when its generation goes: its class, for the hooks, and its name.
 * NULL when the arena is full. */
struct service *exchange_stand_in(struct exchange *x);

/** Copies into the exchange's arena what heads may borrow from the configuration. Returns 0 or
 * -ENOMEM. */
int exchange_own_heads(struct exchange *x);

#endif
