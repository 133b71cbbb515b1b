/*
 * Private to src/plugin/wasi*.c: paths that cannot leave the directory that they are relative to,
 * whatever they, the symbolic links on their way and other processes do.
 */
#ifndef PLUGIN_WASI_BENEATH_H
#define PLUGIN_WASI_BENEATH_H

#include <stdbool.h>

/* Whether the kernel lets us use openat2(2); `dir` is any directory. */
bool beneath_supported(int dir);

/*
 * Opens `path` beneath `dir` with flags of open(2); new files get mode 0666. Never waits for the
 * other end of a FIFO. With `walk` it does so one component after the other and refuses symbolic
 * links (ELOOP), else they may point anywhere beneath `dir`. Returns a descriptor or a negative
 * errno value, -EPERM for a path that leads out.
 */
int beneath_open(int dir, const char *path, int flags, bool walk);

/*
 * Opens the directory that holds the last component of `path`, which it cuts in two; `*last` is
 * that component, perhaps with slashes after it. Returns a descriptor, which is `dir` itself for a
 * single component, or a negative errno value: -EINVAL if the last component is "." or "..".
 */
int beneath_parent(int dir, char *path, const char **last, bool walk);

/* Closes what `beneath_parent` returned, unless it is `dir`. */
void beneath_parent_close(int dir, int parent);

#endif
