/*
 * What `weir plugin inspect` has found out, to be printed.
 */
#ifndef CLI_PLUGIN_INSPECT_H
#define CLI_PLUGIN_INSPECT_H

#include "cli/plugin_advice.h"
#include "plugin/survey.h"

struct plugin_findings {
	struct plugin_session *session;
	char hash[65];
	struct survey survey;
	const struct rewrite *rewrite; /* NULL: the module was not understood */
	bool response_empty;
	struct weir_error compile_error; /* code 0: it compiles */
	struct weir_error start_error;   /* code 0: it starts, or does not even compile */
	struct plugin_costs costs;
	struct weir_error costs_error; /* code 0: `costs` are known, if it starts */
	struct plugin_rate rate;
	struct plugin_advice advice; /* if it starts */
};

/** Whether it can serve as a plugin. */
static inline bool plugin_starts(const struct plugin_findings *f)
{
	return f->compile_error.code == 0 && f->start_error.code == 0;
}

/** Prints all that was found, for people. */
void plugin_findings_print(const struct plugin_findings *f);

/** The same for programs. */
json_t *plugin_findings_json(const struct plugin_findings *f);

#endif
