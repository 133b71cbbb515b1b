/*
 * What the configuration says about a plugin, as the plugin host wants it.
 */
#ifndef MIDDLEWARE_PLUGIN_SETTINGS_H
#define MIDDLEWARE_PLUGIN_SETTINGS_H

#include "config/static.h"
#include "core/arena.h"
#include "weir/plugin.h"

/** Options of the host but for its log. Texts are borrowed from the configuration. */
struct weir_host_options plugin_host_options(const struct weir_plugins_config *config);

/** The limits that `weir.plugins.defaults` or one of `perPlugin` states. */
struct weir_limits plugin_limits(const struct weir_plugin_config *config);

/**
 * Reads "HOST[:GUEST][:ro]", with Traefik's grammar. The paths are copied to the arena. Returns 0,
 * -EINVAL or -ENOMEM.
 */
int plugin_mount_parse(struct weir_mount *mount, slice text, struct arena *arena,
		       struct weir_error *e);

#endif
