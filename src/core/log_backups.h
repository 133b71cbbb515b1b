/*
 * Files that a log has been moved to: named, found and removed as Traefik does it.
 */
#ifndef CORE_LOG_BACKUPS_H
#define CORE_LOG_BACKUPS_H

#include <stdint.h>

#include "core/str.h"

/** Adds the name that the file `path` is moved to at that time: "weir-2006-01-02T15-04-05.000.log".
 */
void log_backup_name(struct str *name, const char *path, uint64_t wall_ns);

/** Removes backups of `path` that are older than `age_s` seconds (0: any age), and the oldest
 * beyond `max` (0: any number). Blocks. */
void log_backups_prune(const char *path, unsigned max, uint64_t age_s, uint64_t wall_ns);

#endif
