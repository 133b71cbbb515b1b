/*
 * Private to the API: what its handlers get, and what they share.
 */
#ifndef API_API_PRIVATE_H
#define API_API_PRIVATE_H

#include "api/api.h"
#include "api/desk.h"
#include "config/option.h"
#include "http/middleware.h"
#include "middleware/plugin_totals.h"
#include "proxy/internal.h"
#include "proxy/proxy.h"
#include "proxy/view.h"

#define API_MAGIC 0x61706920u

struct api {
	uint32_t magic;
	struct service service;
	struct service dashboard;
	struct proxy *proxy;
	const struct static_config *config;
	uint64_t started_ns; /* since 1970 */
	struct desk *desk;
};

/* X(NAME, in messages, in paths): what lists hold. */
#define API_KINDS(X) \
	X(ROUTER, "router", "routers") \
	X(SERVICE, "service", "services") \
	X(MIDDLEWARE, "middleware", "middlewares")

enum api_kind {
#define X(name, one, many) API_##name,
	API_KINDS(X)
#undef X
		API_KIND_COUNT
};

/** One request. All of it lives as long as the handler runs. */
struct api_call {
	struct api *api;
	const struct view *view;
	enum api_kind kind; /* of the route */
	slice id;           /* decoded; of a route that ends in one */
	slice query;
	slice accept; /* the field of the request, if it is not too long */
	struct arena arena;
	struct desk_answer *answer;
	struct str *out; /* the answer's body */
	bool hide;       /* "xxxx" for secrets of objects */
};

typedef void api_handler(struct api_call *c);

/** One row for each path; "*" at the end stands for an id. */
struct api_route {
	const char *path; /* below the base path */
	api_handler *handler;
	/* Asks the desk in time, instead of at once; NULL: nothing of the kind. */
	void (*begin)(struct api *api, struct exchange *x);
	enum api_kind kind;
	bool debug; /* only with api.debug */
};

/** The paths that there are; the last one has no path. */
extern const struct api_route api_routes[];

api_handler api_show_version, api_show_overview, api_show_raw_data;
api_handler api_list, api_show_item, api_list_nothing, api_show_nothing;
api_handler api_list_entry_points, api_show_entry_point;
api_handler api_list_certificates, api_show_certificate, api_dump;
api_handler api_show_memory, api_show_heap, api_show_profile, api_list_profiles;
api_handler api_refuse_profile, api_show_command_line, api_show_vars;

/** Adds it in the format of gzip. */
void api_add_compressed(struct str *out, slice in);

struct pprof;

/** The profile as the answer, with that name for the file that it is saved in. */
void api_answer_profile(struct api_call *c, const struct pprof *p, const char *name);

/** Begins a CPU profile for as long as the query says: sends the desk, asks it when the time is
 * over, or answers. The exchange's loop. */
void api_begin_profile(struct api *api, struct exchange *x);

/** Ends one that is being taken. False: the exchange is none of these. */
bool api_cancel_profile(struct exchange *x);

/** Ends the one whose time is over, unseen. The desk's thread. */
void api_drop_profile(void);

/** Status and content type of an answer in JSON, with nothing in its body yet. */
void api_begin_json(struct api_call *c);

/** An answer in Traefik's form of errors: {"message": ...} as text. */
void api_fail(struct api_call *c, int status, const char *format, ...) PRINTF_LIKE(3, 4);

/** The first value of that name in the query, decoded; empty if there is none. */
slice api_parameter(struct api_call *c, slice name);

/**
 * Takes the page that the query asks for out of `*count` things: from `*from` on, `*count` of them,
 * and sets the field for the next page. False if there is no such page: the answer says so then.
 */
bool api_take_page(struct api_call *c, size_t *from, size_t *count);

/** A time since 1970 in quotes, as Go writes it: nanoseconds without zeros at the end. */
void api_add_time(struct str *out, int64_t seconds, uint32_t ns);

/** How many there are of something, with the key. */
void api_add_numbers(struct str *out, const char *key, size_t total, size_t warnings,
		     size_t errors);

/** All objects, as one JSON object. */
void api_add_raw_data(struct api_call *c);

/** The name of the program, its version and its start, with the keys. */
void api_add_start(struct api_call *c, const char *version_key, const char *codename_key);

/** How many certificates there are. */
void api_count_certificates(struct api_call *c);

/** Whether `part` is in `text`; letter case of ASCII does not matter. */
bool api_holds(slice text, slice part);

/** A router, service or middleware of the configuration, or an internal service. */
struct api_item {
	slice name;
	const void *object;             /* of the configuration; NULL: an internal service */
	const struct view_state *state; /* NULL: nothing is wrong */
	slice text;                     /* what it is sorted by, if not by name alone */
	int64_t number;
};

/** All objects of that kind, in the order of their names. Returns how many, or -ENOMEM. */
ssize_t api_items(struct api_call *c, enum api_kind kind, struct api_item **items);

/** "disabled", "warning" or "enabled". */
const char *api_status(const struct api_item *item);

/** What follows the "@" of a name. */
slice api_provider(slice name);

/** Traefik's word for the type of a service or middleware, in the case of the configuration. */
slice api_type(enum api_kind kind, const struct api_item *item);

/** The priority that a router has; 0 if it is on no entry point. */
int64_t api_priority(const struct api_call *c, const struct dynamic_router *r);

/** The service of a router as it was written. */
slice api_written_service(const struct dynamic_router *r);

/** Who uses what: pairs sorted by name. */
struct api_use {
	slice used;
	slice by;
};

struct api_uses {
	struct api_use *services;
	struct api_use *middlewares;
	size_t service_count;
	size_t middleware_count;
	struct plugin_totals *plugins; /* what is known of plugins */
	size_t plugin_count;
};

/** Looks at all routers. Returns 0 or -ENOMEM; `api_uses_free` in both cases. */
int api_uses_read(struct api_call *c, struct api_uses *u);
void api_uses_free(struct api_uses *u);

/** Appends the item's JSON; `listed`: with its name, provider and what else only lists have. */
void api_add_item(struct api_call *c, enum api_kind kind, const struct api_item *item,
		  const struct api_uses *uses, bool listed);

#endif
