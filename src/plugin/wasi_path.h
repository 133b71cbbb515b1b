/*
 * Private to src/plugin/wasi*.c: paths as guests write them.
 */
#ifndef PLUGIN_WASI_PATH_H
#define PLUGIN_WASI_PATH_H

#include "plugin/wasi_state.h"

/*
 * Copies a path out of guest memory: not empty, at most WASI_PATH_MAX bytes of UTF-8 without NUL,
 * not absolute. Returns 0 and a string for the caller to free, or an errno of preview 1 and NULL.
 */
uint32_t wasi_path_take(struct guest_memory m, uint32_t address, uint32_t n, char **out);

#endif
