/*
 * Configurations that the supervisor keeps for the next server: sealed files in memory, one for a
 * provider. It knows nothing about them but their names.
 */
#ifndef CLI_KEPT_H
#define CLI_KEPT_H

#include "core/slice.h"
#include "provider/provider.h"

#define KEPT_MAX 8
#define KEPT_NAME 16

/** Owns its descriptors, which are close-on-exec. All zero is none. */
struct kept {
	size_t count;
	struct {
		char name[KEPT_NAME];
		int fd;
	} list[KEPT_MAX];
};

/** Takes `fd` over, in the place of what there was; -1: forgets that. What cannot be kept is
 * closed.
 */
void kept_put(struct kept *k, slice name, int fd);

/** For a program that runs in this process: puts copies at descriptors from `first` on and names
 * them in the environment. Returns 0 or a negative errno value. */
int kept_export(const struct kept *k, int first);

/** Takes over what the environment names, and removes the name. Before there are threads. */
void kept_inherit(struct kept *k);

/** Offers what there is for that provider to the aggregator. */
void kept_offer(const struct kept *k, struct aggregator *a, const char *provider);

/** Closes all of them. */
void kept_free(struct kept *k);

/** Of the server: sends a file to the supervisor to keep, or, with -1, to forget. */
void kept_send(const char *provider, int fd);

/** Of the supervisor: takes what was sent, if the notice is such a one; `fd` came with it, or is
 * -1, and is taken over. */
bool kept_take(struct kept *k, const char *notice, int fd);

#endif
