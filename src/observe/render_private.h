/*
 * Private to render*.c.
 */
#ifndef OBSERVE_RENDER_PRIVATE_H
#define OBSERVE_RENDER_PRIVATE_H

#include "net/tls_certificate.h"
#include "observe/families.h"
#include "observe/render.h"
#include "proxy/series.h"

/* While one text is made. */
struct rendering {
	struct str *out;
	struct str name; /* of the family at hand */
	const struct family *family;
};

/** Begins family number `i` of a group. */
const struct family_group *render_begin(struct rendering *r, enum family_group_id id, size_t i);

/** Requests over TLS, of all that are counted. Returns 0 or -ENOMEM. */
int render_tls_requests(struct rendering *r, struct series_registry *series);

/** The certificates of a store (NULL: none) but those that nobody has configured. Returns 0 or
 * -ENOMEM. */
int render_certificates(struct rendering *r, struct tls_store *store);

#endif
