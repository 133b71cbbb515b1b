/*
 * Host names to addresses, off the loop.
 */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include <sys/socket.h>

#include "net/address.h"
#include "net/loop.h"

/** Addresses of one name that are kept at most. */
#define RESOLVED_MAX 16u

/** One answer. Plain value. */
struct resolved {
	size_t count;
	struct sockaddr_storage addresses[RESOLVED_MAX];
};

struct lookup;

/** `status` is 0 or a libuv error (`uv_strerror` explains it); `answer` is valid during the call.
 */
typedef void lookup_done_fn(void *owner, int status, const struct resolved *answer);

/** If `host` is an address itself (IPv6 without brackets), or the path of a Unix socket, which
 * begins with "/" and has at most `ADDRESS_PATH_MAX` bytes, fills in `answer` and returns true. */
bool resolver_is_address(const char *host, uint16_t port, struct resolved *answer);

/** Moves the address to the front, if it is among them. */
void resolved_prefer(struct resolved *r, const struct sockaddr_storage *address);

/**
 * Asks the system (hosts file, DNS, as nsswitch says) in libuv's thread pool. Returns 0, or a
 * negative errno value without a call of `done`. `*lookup` is nulled by `lookup_cancel` or invalid
 * once `done` was called.
 */
int resolver_start(struct lookup **lookup, struct loop *loop, const char *host, uint16_t port,
		   lookup_done_fn *done, void *owner);

/** `done` will not be called. The lookup's memory goes when the system has answered. */
void lookup_cancel(struct lookup **lookup);

static inline socklen_t sockaddr_size(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_UNIX ? 110 : a->ss_family == AF_INET6 ? 28 : 16;
}

#endif
