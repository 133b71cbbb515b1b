#include <stdlib.h>

#include "cli/cli.h"
#include "weir/plugin.h"

static const char *const compiler[] = {"/proc/self/exe", CLI_COMPILER, NULL};

int cli_compiler(const struct cli_args *args)
{
	(void)args;
	return weir_compiler_main();
}

/* A variable that is set, or NULL. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Relative paths in these variables are to be ignored (XDG Base Directory Specification). */
static const char *usual_place(struct arena *arena)
{
	const char *systemd = variable("CACHE_DIRECTORY"), *cache = variable("XDG_CACHE_HOME");
	const char *home = variable("HOME");

	/* Several directories of a unit are separated by colons. */
	if (systemd != NULL && systemd[0] == '/')
		return arena_format(arena, "%.*s/plugins", (int)strcspn(systemd, ":"), systemd).p;
	if (cache != NULL && cache[0] == '/')
		return arena_format(arena, "%s/weir/plugins", cache).p;
	if (home != NULL && home[0] == '/' && home[1] != '\0')
		return arena_format(arena, "%s/.cache/weir/plugins", home).p;
	return NULL;
}

void cli_place_compiler(struct weir_plugins_config *c, struct arena *arena)
{
	slice wanted = c->cache_directory;

	c->compiler = compiler;
	if (slice_equal(wanted, SLICE("auto")))
		c->cache_path = usual_place(arena);
	else if (wanted.n > 0 && !slice_equal(wanted, SLICE("none")))
		c->cache_path = wanted.p;
}
