#include <stdio.h>

#include "api/api_private.h"
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

void api_show_command_line(struct api_call *c)
{
	struct str line = {0};

	begin_text(c, 200);
	read_command_line(&line);
	str_add(c->out, slice_first(str_slice(&line), line.n > 0 ? line.n - 1 : 0));
	str_free(&line);
}

static void add_arguments(struct str *out)
{
	struct str line = {0};
	slice rest;
	bool any = false;

	read_command_line(&line);
	rest = str_slice(&line);
	str_add_char(out, '[');
	while (rest.n > 0) {
		slice argument = slice_first(rest, slice_find(rest, '\0'));

		if (any)
			str_add_char(out, ',');
		tree_add_json_string(out, argument);
		rest = slice_from_at(rest, argument.n + 1);
		any = true;
	}
	str_add_char(out, ']');
	str_free(&line);
}

/* The names that Go's runtime.MemStats has for the same. */
void api_show_vars(struct api_call *c)
{
	struct memory_numbers m;

	memory_read(&m);
	api_begin_json(c);
	str_add(c->out, SLICE("{\n\"cmdline\": "));
	add_arguments(c->out);
	str_format(c->out,
		   ",\n\"memstats\": {\"Alloc\":%llu,\"HeapAlloc\":%llu,\"HeapInuse\":%llu,"
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
