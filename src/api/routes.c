#include "api/api_private.h"

/* Of TCP and UDP nothing is served: their lists are empty. */
#define LISTS(protocol, many, kind_, list, item) \
	{"/api/" protocol "/" many, .handler = (list), .kind = API_##kind_}, \
	{ \
		"/api/" protocol "/" many "/*", .handler = (item), .kind = API_##kind_ \
	}

const struct api_route api_routes[] = {
	{"/api/version", .handler = api_show_version},
	{"/api/overview", .handler = api_show_overview},
	{"/api/rawdata", .handler = api_show_raw_data},
	{"/api/certificates", .handler = api_list_certificates},
	{"/api/certificates/*", .handler = api_show_certificate},
	{"/api/support-dump", .handler = api_dump},
	{"/api/entrypoints", .handler = api_list_entry_points},
	{"/api/entrypoints/*", .handler = api_show_entry_point},
	LISTS("http", "routers", ROUTER, api_list, api_show_item),
	LISTS("http", "services", SERVICE, api_list, api_show_item),
	LISTS("http", "middlewares", MIDDLEWARE, api_list, api_show_item),
	LISTS("tcp", "routers", ROUTER, api_list_nothing, api_show_nothing),
	LISTS("tcp", "services", SERVICE, api_list_nothing, api_show_nothing),
	LISTS("tcp", "middlewares", MIDDLEWARE, api_list_nothing, api_show_nothing),
	LISTS("udp", "routers", ROUTER, api_list_nothing, api_show_nothing),
	LISTS("udp", "services", SERVICE, api_list_nothing, api_show_nothing),
	{"/debug/memory", .handler = api_show_memory, .debug = true},
	{"/debug/vars", .handler = api_show_vars, .debug = true},
	{"/debug/pprof/", .handler = api_list_profiles, .debug = true},
	{"/debug/pprof/cmdline", .handler = api_show_command_line, .debug = true},
	{"/debug/pprof/heap", .handler = api_show_heap, .debug = true},
	{"/debug/pprof/profile", .handler = api_show_profile, .begin = api_begin_profile,
	 .debug = true},
	{"/debug/pprof/*", .handler = api_refuse_profile, .debug = true},
	{.path = NULL},
};
