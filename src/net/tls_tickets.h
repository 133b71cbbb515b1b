/*
 * The keys of session tickets: one set for all threads, replaced from time to time, so that a key
 * that leaks opens few sessions.
 */
#ifndef NET_TLS_TICKETS_H
#define NET_TLS_TICKETS_H

#include "core/error.h"

/** Between two keys; a ticket can be used for twice as long at most. */
#define TLS_TICKET_KEY_SECONDS (12u * 3600u)

struct tls_tickets;

/** Makes the first key. Outlives the acceptors that use it. Returns 0 or a negative errno value. */
int tls_tickets_create(struct tls_tickets **tickets, struct weir_error *e);
/** NULL is allowed in `*tickets`. */
void tls_tickets_destroy(struct tls_tickets **tickets);

/** Makes a new key now; those of the last two stay good for old tickets. Any thread. */
void tls_tickets_rotate(struct tls_tickets *t);

#endif
