/*
 * Writes one page of docs/reference, or the table of a page of docs/middlewares, from the option
 * tables to standard output; scripts/gen-reference runs it.
 */
#include <stdio.h>
#include <string.h>

#include "config/dynamic.h"
#include "config/static.h"

static const char how[] = "Names are matched in any case. Durations are seconds, or as in Go "
			  "(`300ms`, `1m30s`). The column "
			  "*In weir* says whether an option\nis served (`yes`), read and ignored "
			  "with a warning that names it "
			  "(`accepted, no effect`), or an error (`refused`).\n\n";

static void add_title(struct str *out, const char *title, const char *text)
{
	str_format(out,
		   "# %s\n\n<!-- Made by scripts/gen-reference from the option tables. "
		   "-->\n\n%s\n\n%s",
		   title, text, how);
}

static void add_static(struct str *out)
{
	add_title(out, "Static configuration",
		  "What is read once at start: from a file (`--configFile`, or the first of "
		  "`/etc/traefik/traefik`, `$XDG_CONFIG_HOME/traefik`,\n`$HOME/.config/traefik` "
		  "and `./traefik` "
		  "with `.toml`, `.yaml` or `.yml`), else from flags (`--log.level=INFO`), else "
		  "from the\n"
		  "environment (`TRAEFIK_LOG_LEVEL=INFO`). As in Traefik, the first that there is "
		  "excludes the "
		  "others.");
	for (const struct option *row = static_options; row->name != NULL; row++) {
		struct option single[2] = {*row, OPT_END};

		if (row->table != weir_options)
			option_reference(out, single, "");
	}
}

static void add_weir(struct str *out)
{
	add_title(out, "weir's own options",
		  "They stand under the root key `weir` of the static configuration file, which "
		  "Traefik ignores.\nVariables (`WEIR_WORKERS=2`) lie over the file, flags "
		  "(`--weir.workers=2`) over both,\nwhatever source the static configuration "
		  "comes from. Sizes are bytes, or with `KiB`,\n`MiB` or `GiB`. What a plugin in "
		  "`weir.plugins.perPlugin` does not say is as in\n`weir.plugins.defaults`.");
	option_reference(out, weir_options, "weir");
}

static void add_dynamic(struct str *out)
{
	add_title(out, "Dynamic configuration",
		  "Routers, services and middlewares, from the file provider. What is refused "
		  "disables only the "
		  "object that uses it.");
	option_reference(out, dynamic_options, "");
}

/* The options of one type of middleware. */
static void add_middleware(struct str *out, const char *type)
{
	const struct option *row = option_find(dynamic_middleware_options, slice_from(type));
	struct option single[2] = {row != NULL ? *row : (struct option)OPT_END, OPT_END};

	option_reference(out, single, "");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*add)(struct str *out);
	} pages[] = {{"static", add_static}, {"weir", add_weir}, {"dynamic", add_dynamic}};
	struct str out = {0};
	bool written = false;

	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (argc == 2 && strcmp(argv[1], pages[i].name) == 0)
			pages[i].add(&out);
	if (argc == 3 && strcmp(argv[1], "middleware") == 0)
		add_middleware(&out, argv[2]);
	if (out.n > 0 && !out.failed)
		written = fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0;
	else
		(void)fprintf(stderr, "usage: gen_reference static|weir|dynamic, or gen_reference "
				      "middleware TYPE\n");
	str_free(&out);
	return written ? 0 : 1;
}
