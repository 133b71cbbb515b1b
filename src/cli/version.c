#include <stdio.h>
#include <sys/utsname.h>
#include <uv.h>
#include <wasmtime.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "plugin/restore.h"

/** One way to put memory back. */
struct method {
	enum weir_restore restore;
	bool works;
	struct weir_error why_not;
};

/* In the order in which a start tries them. */
static size_t try_methods(struct method *methods)
{
	size_t count = 0;

	for (int restore = WEIR_RESTORE_AUTO + 1; restore <= WEIR_RESTORE_DROP; restore++) {
		struct method *m = &methods[count++];
		struct restorer restorer;

		m->restore = (enum weir_restore)restore;
		m->works = restorer_open(&restorer, m->restore, &m->why_not) == 0;
		if (m->works)
			restorer_close(&restorer);
	}
	return count;
}

static const struct method *first_that_works(const struct method *methods, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (methods[i].works)
			return &methods[i];
	}
	return NULL;
}

/* The one in use, then the others and why not them. */
static void print_methods(const struct method *methods, size_t count)
{
	const struct method *chosen = first_that_works(methods, count);

	(void)printf("Restore:      %s\n",
		     chosen != NULL ? weir_restore_text(chosen->restore) : "impossible");
	for (const struct method *m = methods; m < methods + count; m++) {
		if (m != chosen)
			(void)printf("              %s: %s\n", weir_restore_text(m->restore),
				     m->works ? "works, but is slower" : m->why_not.text);
	}
}

static json_t *methods_json(const struct method *methods, size_t count)
{
	json_t *list = json_array();

	for (const struct method *m = methods; m < methods + count; m++) {
		json_t *object = json_object();

		json_put(object, "method", json_string(weir_restore_text(m->restore)));
		json_put(object, "works", json_boolean(m->works));
		json_put(object, "error",
			 m->works ? json_null() : json_slice(slice_from(m->why_not.text)));
		json_append(list, object);
	}
	return list;
}

static int print_json(const struct utsname *system, const struct method *methods, size_t count)
{
	const struct method *chosen = first_that_works(methods, count);
	json_t *object = json_object();

	json_put(object, "version", json_string(WEIR_VERSION));
	json_put(object, "engine", json_string("Wasmtime " WASMTIME_VERSION));
	json_put(object, "loop", json_sprintf("libuv %s", uv_version_string()));
	json_put(object, "system", json_sprintf("%s %s", system->sysname, system->release));
	json_put(object, "machine", json_string(system->machine));
	json_put(object, "restore",
		 chosen != NULL ? json_string(weir_restore_text(chosen->restore)) : json_null());
	json_put(object, "restoreMethods", methods_json(methods, count));
	return json_finish(object) == 0 ? 0 : 1;
}

int cli_version(const struct cli_args *args)
{
	struct method methods[WEIR_RESTORE_DROP + 1];
	struct utsname system = {.sysname = ""};
	bool json = args->count == 1 && strcmp(args->list[0], "--json") == 0;
	size_t count;

	if (args->count > 0 && !json) {
		(void)fprintf(stderr, "weir: version: found \"%s\", expected nothing or --json\n",
			      args->list[0]);
		return 1;
	}
	count = try_methods(methods);
	(void)uname(&system);
	if (json)
		return print_json(&system, methods, count);
	(void)printf("Version:      %s\n", WEIR_VERSION);
	(void)printf("Engine:       Wasmtime %s\n", WASMTIME_VERSION);
	(void)printf("Loop:         libuv %s\n", uv_version_string());
	(void)printf("OS/Arch:      %s %s/%s\n", system.sysname, system.release, system.machine);
	print_methods(methods, count);
	return 0;
}

int cli_help(const struct cli_args *args)
{
	struct str text = {0};

	(void)args;
	str_add(&text, SLICE("weir: an HTTP edge proxy that reads Traefik's configuration and runs "
			     "its WebAssembly plugins\n\n"
			     "Usage:\n"
			     "  weir [flags]              serve until SIGTERM; SIGHUP reads the "
			     "dynamic files again\n"
			     "  weir check [flags]        validate both configurations and print "
			     "the effective ones\n"
			     "  weir healthcheck [flags]  ask the ping entry point of the running "
			     "process\n"
			     "  weir upgrade [flags]      have the running process replaced by the "
			     "program that now has its name\n"
			     "  weir plugin COMMAND FILE  inspect, run and measure a "
			     "plugin: see weir plugin help\n"
			     "  weir verify [options]     run this and other proxies "
			     "through what makes proxies lose memory\n"
			     "  weir version [--json]     versions, and how memory of plugins is "
			     "put back here\n\n"
			     "A configuration file (--configFile), else flags, else TRAEFIK_ "
			     "variables give the static\n"
			     "configuration; options below weir lie on top: file, WEIR_ variables, "
			     "--weir flags.\n\n"
			     "Flags:\n"));
	source_add_help(&text);
	if (!text.failed)
		(void)fputs(text.p, stdout);
	str_free(&text);
	return 0;
}
