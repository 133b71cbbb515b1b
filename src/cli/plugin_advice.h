/*
 * Which isolation suits a plugin, and why.
 */
#ifndef CLI_PLUGIN_ADVICE_H
#define CLI_PLUGIN_ADVICE_H

#include "cli/plugin_measure.h"

struct plugin_advice {
	enum weir_isolation isolation;
	const char *why; /* static */
};

/** `costs` is NULL if the plugin failed at the request that was to measure them. */
struct plugin_advice plugin_advise(const struct weir_plugin_facts *facts,
				   const struct plugin_costs *costs);

#endif
