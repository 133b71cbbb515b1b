/*
 * Private to plugin*.c: the commands for plugins.
 *
 *   plugin.c           the commands below `weir plugin`, and their help
 *   plugin_args.c      their options
 *   plugin_requests.c  requests from options and files
 *   plugin_message.c   a message in memory, and one exchange through a guest
 *   plugin_session.c   a plugin that is loaded, its pool and what it says
 *   plugin_measure.c   what instances cost
 */
#ifndef CLI_PLUGIN_CLI_H
#define CLI_PLUGIN_CLI_H

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/plugin_message.h"
#include "config/static.h"

/* Commands, as bits: which options they have. */
#define PLUGIN_INSPECT 1u
#define PLUGIN_RUN 2u
#define PLUGIN_BENCH 4u
#define PLUGIN_COMPILE 8u
/* Those that run guests. */
#define PLUGIN_ALL (PLUGIN_INSPECT | PLUGIN_RUN | PLUGIN_BENCH)

/** A request on the command line: its parts as they were given. */
struct plugin_request_args {
	slice line;        /* "METHOD TARGET" */
	struct str fields; /* lines, each with its end */
	slice body;
	bool has_body;
};

/** Options of a command. Texts live in the arena or with the process. */
struct plugin_args {
	struct arena arena;
	const char **paths; /* of modules: several for PLUGIN_COMPILE only */
	size_t path_count;
	const char *path; /* of the module that is worked on */
	bool json;
	bool help;
	slice config; /* as it was given */
	const char **envs;
	size_t env_count;
	struct weir_mount *mounts;
	size_t mount_count;
	struct plugin_request_args *requests;
	size_t request_count;
	const char *requests_path;
	slice response_status;
	struct str response_fields;
	slice response_body;
	size_t piece_bytes;
	int64_t for_ns;
	uint64_t count;
	struct tree settings; /* of `weir.plugins` */
	struct weir_plugins_config plugins;
	bool isolation_given;
};

/** Reads the options of `command`. After any return `plugin_args_free` is needed. Returns 0, or a
 * negative errno value with the reason. */
int plugin_args_read(struct plugin_args *a, unsigned command, const struct cli_args *args,
		     struct weir_error *error);

/** Frees everything. */
void plugin_args_free(struct plugin_args *a);

/** Appends what options `command` has. */
void plugin_args_help(struct str *out, unsigned command);

/** `text`, or the content of the file if it begins with "@". Returns 0 or a negative errno value.
 */
int plugin_args_content(struct plugin_args *a, slice text, slice *content,
			struct weir_error *error);

/** The requests that the options name: one at least. They live in the arguments' arena. Returns 0,
 * or a negative errno value with the reason. */
int plugin_requests_read(struct plugin_requests *requests, struct plugin_args *a,
			 struct weir_error *error);

/** The same from the text of a file: messages in sequence, or JSON. `text` must live as long as the
 * requests. */
int plugin_requests_parse(struct plugin_requests *requests, struct plugin_args *a, slice text,
			  struct weir_error *error);

/** A line that a guest has logged. */
struct plugin_line {
	enum weir_log_source source;
	enum weir_log_level level;
	slice text;
};

/** A loaded plugin. Lifetime: `plugin_session_open` to `plugin_session_close`. */
struct plugin_session {
	struct plugin_args *args;
	slice wasm;
	struct str config; /* what the guest gets */
	struct weir_host *host;
	struct weir_module *module;
	struct weir_plugin *plugin; /* NULL: not started (yet) */
	struct weir_pool *pool;
	uint64_t compile_ns;
	uint64_t init_ns;
	struct arena arena; /* of the lines */
	struct plugin_line *lines;
	size_t line_count;
	size_t line_capacity;
	bool quiet; /* lines are dropped */
};

/** Reads the file and the configuration; nothing runs yet. Returns 0, or a negative errno value
 * with the reason; `plugin_session_close` is needed after both. */
int plugin_session_open(struct plugin_session *s, struct plugin_args *a, struct weir_error *error);

/** Compiles, unless that was done. Returns as `weir_module_load`. */
int plugin_session_compile(struct plugin_session *s, struct weir_error *error);

/** Starts the plugin and makes a pool, in place of those that there were. Returns as
 * `weir_plugin_create`. */
int plugin_session_start(struct plugin_session *s, enum weir_isolation isolation,
			 enum weir_init init, struct weir_error *error);

/** Ends the plugin and its pool. */
void plugin_session_stop(struct plugin_session *s);

/** Forgets the lines. */
void plugin_session_forget_lines(struct plugin_session *s);

/** Frees everything. */
void plugin_session_close(struct plugin_session *s);

/** Prints "weir: FILE: error" to standard error. Returns 1, the exit status. */
int plugin_complain(const struct plugin_args *a, const struct weir_error *error);

/** The lines as JSON, and as text behind a label. */
json_t *plugin_lines_json(const struct plugin_session *s);
void plugin_lines_print(const struct plugin_session *s, const char *label);

/** Prints bytes as text with escapes, at most `most` of them, in quotes. */
void plugin_print_quoted(slice bytes, size_t most);

/** The commands. Return the exit status. */
int plugin_inspect(struct plugin_args *a);
int plugin_run(struct plugin_args *a);
int plugin_bench(struct plugin_args *a);
int plugin_compile(struct plugin_args *a);

#endif
