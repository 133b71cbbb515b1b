#include <stdio.h>

#include "api/api_private.h"
#include "config/source.h"
#include "observe/memory.h"

/* What Go programs have below /debug, as far as it makes sense. */

#define COMMAND_BYTES_MAX ((size_t)64 << 10)

static void begin_text(struct api_call *c, int status)
{
	c->answer->status = status;
	c->answer->content_type = "text/plain; charset=utf-8";
	c->answer->no_sniffing = true;
}

/* Arguments, each with a NUL at its end; to be freed. */
static void read_command_line(struct str *out)
{
	FILE *f = fopen("/proc/self/cmdline", "re");
	char *room = str_reserve(out, COMMAND_BYTES_MAX);

	if (f != NULL && room != NULL)
		str_commit(out, fread(room, 1, COMMAND_BYTES_MAX, f));
	if (f != NULL)
		(void)fclose(f);
}

/* Calls `add` for each argument, with what is secret hidden, and its number from 0. */
static void add_command_line(struct str *out,
			     void (*add)(struct str *out, slice argument, size_t i))
{
	struct str line = {0};
	bool secret = false;
	slice rest, argument;

	read_command_line(&line);
	rest = str_slice(&line);
	for (size_t i = 0; slice_next(&rest, '\0', &argument); i++) {
		struct str shown = {0};

		source_add_hidden(&shown, argument, static_options, &secret);
		add(out, str_slice(&shown), i);
		out->failed |= shown.failed;
		str_free(&shown);
	}
	str_free(&line);
}

static void add_with_nul(struct str *out, slice argument, size_t i)
{
	if (i > 0)
		str_add_char(out, '\0');
	str_add(out, argument);
}

void api_show_command_line(struct api_call *c)
{
	begin_text(c, 200);
	add_command_line(c->out, add_with_nul);
}

static void add_json(struct str *out, slice argument, size_t i)
{
	if (i > 0)
		str_add_char(out, ',');
	tree_add_json_string(out, argument);
}

/* The names that Go's runtime.MemStats has for the same. */
void api_show_vars(struct api_call *c)
{
	struct memory_numbers m;

	memory_read(&m);
	api_begin_json(c);
	str_add(c->out, SLICE("{\n\"cmdline\": ["));
	add_command_line(c->out, add_json);
	str_format(c->out,
		   "],\n\"memstats\": {\"Alloc\":%llu,\"HeapAlloc\":%llu,\"HeapInuse\":%llu,"
		   "\"HeapSys\":%llu,\"Sys\":%llu}\n}\n",
		   (unsigned long long)m.allocated_bytes, (unsigned long long)m.allocated_bytes,
		   (unsigned long long)m.allocator_active_bytes,
		   (unsigned long long)m.allocator_mapped_bytes,
		   (unsigned long long)m.allocator_mapped_bytes);
}

void api_list_profiles(struct api_call *c)
{
	c->answer->status = 200;
	c->answer->content_type = "text/html; charset=utf-8";
	c->answer->no_sniffing = true;
	str_add(c->out,
		SLICE("<!DOCTYPE html><html><head><title>weir: /debug/pprof/</title></head><body>\n"
		      "<p>Profiles for <code>go tool pprof</code>:</p>\n<ul>\n"
		      "<li><a href=\"heap\">heap</a>: memory of plugins, configurations, "
		      "connections</li>\n"
		      "<li><a href=\"profile?seconds=10\">profile</a>: where CPU time goes, "
		      "functions of plugins included; <code>seconds</code> is how long</li>\n"
		      "<li><a href=\"cmdline\">cmdline</a>: the command line</li>\n</ul>\n"
		      "<p><a href=\"../memory\">/debug/memory</a> says more about memory.</p>\n"
		      "</body></html>\n"));
}

void api_refuse_profile(struct api_call *c)
{
	begin_text(c, 501);
	str_format(c->out,
		   "weir is no Go program and has no profile \"%.*s\": there are heap and "
		   "profile\n",
		   SLICE_ARG(c->id));
}
