#include "proxy/forwarded.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base.h"
#include "http/hops.h"

#define MAGIC 0x66777264u /* "fwrd" */

struct forwarded {
	uint32_t magic;
	bool insecure;
	bool not_append_for;
	bool add_scheme_headers;
	enum forwarded_underscores underscores;
	uint64_t managed; /* known names that only trusted peers may send */
	struct address_set *trusted;
	slice server_name;
	slice *connection; /* canonical spelling */
	size_t connection_count;
	struct arena arena;
};

#define MANAGED \
	(FIELD_BIT(FIELD_X_FORWARDED_PROTO) | FIELD_BIT(FIELD_X_FORWARDED_FOR) | \
	 FIELD_BIT(FIELD_X_FORWARDED_HOST) | FIELD_BIT(FIELD_X_FORWARDED_PORT) | \
	 FIELD_BIT(FIELD_X_FORWARDED_SERVER) | FIELD_BIT(FIELD_X_FORWARDED_URI) | \
	 FIELD_BIT(FIELD_X_FORWARDED_METHOD) | FIELD_BIT(FIELD_X_FORWARDED_PREFIX) | \
	 FIELD_BIT(FIELD_X_FORWARDED_TLS_CLIENT_CERT) | \
	 FIELD_BIT(FIELD_X_FORWARDED_TLS_CLIENT_CERT_INFO) | FIELD_BIT(FIELD_X_REAL_IP))

#define SCHEMES (FIELD_BIT(FIELD_X_FORWARDED_SCHEME) | FIELD_BIT(FIELD_X_SCHEME))

static bool has_bit(uint64_t set, enum field_id id)
{
	return (set & FIELD_BIT(id)) != 0 && id != FIELD_OTHER;
}

/* The number of a name whose "_" are read as "-". */
static enum field_id id_without_underscores(slice name)
{
	char copy[64];

	if (name.n > sizeof copy || ascii_lower(name.p[0]) != 'x' ||
	    slice_find(name, '_') == name.n)
		return FIELD_OTHER;
	for (size_t i = 0; i < name.n; i++)
		copy[i] = name.p[i] == '_' ? '-' : name.p[i];
	return field_id_of(slice_of(copy, name.n));
}

static bool is_managed(uint64_t managed, enum field_id id, slice name)
{
	if (id == FIELD_OTHER && name.n > 0)
		id = id_without_underscores(name);
	return has_bit(managed, id);
}

bool forwarded_is_managed(slice name)
{
	return is_managed(MANAGED | SCHEMES, field_id_of(name), name);
}

static int fill(struct forwarded *f, const struct forwarded_options *options, struct weir_error *e)
{
	char host[256] = "localhost";
	int r = address_set_new(options->trusted_ips, options->trusted_ips_count, &f->trusted, e);

	if (r < 0)
		return r;
	if (options->server_name.n == 0 && gethostname(host, sizeof host) < 0)
		(void)memcpy(host, "localhost", sizeof "localhost");
	host[sizeof host - 1] = '\0';
	f->server_name = arena_copy(&f->arena, options->server_name.n > 0 ? options->server_name
									  : slice_from(host));
	f->connection = ARENA_ARRAY(&f->arena, slice, options->connection_count + 1);
	if (f->server_name.p == NULL || f->connection == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < options->connection_count; i++) {
		f->connection[i] = field_canonical(&f->arena, options->connection[i]);
		if (f->connection[i].p == NULL)
			return error_set(e, -ENOMEM, "out of memory");
	}
	f->connection_count = options->connection_count;
	return 0;
}

int forwarded_new(const struct forwarded_options *options, struct forwarded **f,
		  struct weir_error *e)
{
	struct forwarded *made = calloc(1, sizeof *made);
	int r;

	*f = NULL;
	if (made == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	made->magic = MAGIC;
	made->insecure = options->insecure;
	made->not_append_for = options->not_append_for;
	made->add_scheme_headers = options->add_scheme_headers;
	made->managed = MANAGED | (options->add_scheme_headers ? SCHEMES : 0);
	made->underscores = options->underscores;
	arena_init(&made->arena, 512, SIZE_MAX);
	r = fill(made, options, e);
	if (r < 0)
		forwarded_free(&made);
	*f = made;
	return r;
}

void forwarded_free(struct forwarded **f)
{
	struct forwarded *o;

	if (*f == NULL)
		return;
	OBJ_TAKE(o, f, MAGIC);
	address_set_free(&o->trusted);
	arena_free(&o->arena);
	o->magic = 0;
	free(o);
}

static bool has_no_underscore(const void *context, const struct field *f)
{
	(void)context;
	return slice_find(f->name, '_') == f->name.n;
}

int forwarded_underscores(const struct forwarded *f, struct fields *fields)
{
	OBJ_CHECK(f, MAGIC);
	if (f->underscores == FORWARDED_DELETE)
		hops_filter(fields, has_no_underscore, NULL);
	for (size_t i = 0; f->underscores == FORWARDED_REJECT && i < fields->count; i++) {
		if (!has_no_underscore(NULL, &fields->list[i]))
			return 400;
	}
	return 0;
}

static bool is_unmanaged(const void *context, const struct field *f)
{
	return !is_managed(((const struct forwarded *)context)->managed, f->id, f->name);
}

static bool list_has(slice list, slice token)
{
	slice part;

	while (slice_next(&list, ',', &part)) {
		if (slice_equal_nocase(slice_trim(part), token))
			return true;
	}
	return false;
}

/* Traefik looks at the first line of either field only. */
static bool is_websocket(const struct fields *fields)
{
	return list_has(fields_value_id(fields, FIELD_CONNECTION), SLICE("upgrade")) &&
	       list_has(fields_value_id(fields, FIELD_UPGRADE), SLICE("websocket"));
}

static slice port_of(const struct request *r, bool tls)
{
	slice host, port, proto = fields_value_id(&r->fields, FIELD_X_FORWARDED_PROTO);

	if (slice_find(r->authority, ':') < r->authority.n &&
	    address_split(r->authority, &host, &port, NULL) == 0 && port.n > 0)
		return port;
	if (tls || slice_equal(proto, SLICE("https")) || slice_equal(proto, SLICE("wss")))
		return SLICE("443");
	return SLICE("80");
}

static int set_if_empty(struct fields *fields, enum field_id id, slice value)
{
	return fields_value_id(fields, id).n > 0 ? 0 : fields_set_id(fields, id, value);
}

/* All lines of `id` and, unless it is `{NULL, 0}`, `last` as one value; `p` is NULL when memory is
 * short. */
static slice join(const struct fields *fields, enum field_id id, slice last)
{
	const struct field *first = fields_find_id(fields, id);
	size_t n = last.n + 2, at = 0;
	char *to;

	for (const struct field *f = first; f != NULL; f = fields_find_next(fields, f))
		n += f->value.n + 2;
	to = arena_alloc(fields->arena, n);
	if (to == NULL)
		return (slice){NULL, 0};
	for (const struct field *f = first; f != NULL; f = fields_find_next(fields, f)) {
		if (f->value.n > 0)
			memcpy(to + at, f->value.p, f->value.n);
		at += f->value.n;
		memcpy(to + at, ", ", 2);
		at += 2;
	}
	if (last.p != NULL) {
		memcpy(to + at, last.p, last.n);
		return slice_of(to, at + last.n);
	}
	return slice_of(to, at > 2 ? at - 2 : 0);
}

static int fold_for(struct fields *fields)
{
	const struct field *first = fields_find_id(fields, FIELD_X_FORWARDED_FOR);
	slice folded;

	if (first == NULL || fields_find_next(fields, first) == NULL)
		return 0;
	folded = join(fields, FIELD_X_FORWARDED_FOR, (slice){NULL, 0});
	return folded.p != NULL ? fields_set_id(fields, FIELD_X_FORWARDED_FOR, folded) : -ENOMEM;
}

static int set_schemes(const struct forwarded *f, struct fields *fields)
{
	slice proto = fields_value_id(fields, FIELD_X_FORWARDED_PROTO);
	int r;

	if (!f->add_scheme_headers)
		return 0;
	r = fields_set_id(fields, FIELD_X_FORWARDED_SCHEME, proto);
	return r == 0 ? fields_set_id(fields, FIELD_X_SCHEME, proto) : r;
}

static int set_managed(const struct forwarded *f, struct request *r,
		       const struct forwarded_peer *peer)
{
	struct fields *fields = &r->fields;
	slice proto = peer->tls ? SLICE("https") : SLICE("http");
	int code = 0;

	if (!address_is_none(peer->address))
		code = set_if_empty(fields, FIELD_X_REAL_IP,
				    slice_first(peer->text, slice_find(peer->text, '%')));
	if (fields_have(fields, FIELD_UPGRADE) && is_websocket(fields))
		proto = peer->tls ? SLICE("wss") : SLICE("ws");
	if (code == 0)
		code = set_if_empty(fields, FIELD_X_FORWARDED_PROTO, proto);
	if (code == 0 && fields_value_id(fields, FIELD_X_FORWARDED_PORT).n == 0)
		code = fields_set_id(fields, FIELD_X_FORWARDED_PORT, port_of(r, peer->tls));
	if (code == 0)
		code = set_schemes(f, fields);
	if (code == 0 && r->authority.n > 0)
		code = set_if_empty(fields, FIELD_X_FORWARDED_HOST, r->authority);
	if (code == 0)
		code = fold_for(fields);
	return code == 0 ? fields_set_id(fields, FIELD_X_FORWARDED_SERVER, f->server_name) : code;
}

/* The allowed name that `token` spells, or NULL. */
static const slice *allowed(const struct forwarded *f, slice token)
{
	for (size_t i = 0; f != NULL && i < f->connection_count; i++) {
		if (slice_equal_nocase(f->connection[i], token))
			return &f->connection[i];
	}
	return NULL;
}

/* Appends "name," to `list`, which has room. */
static void list_add(slice *list, slice name)
{
	char *to = (char *)(uintptr_t)list->p;

	memcpy(to + list->n, name.p, name.n);
	to[list->n + name.n] = ',';
	list->n += name.n + 1;
}

/* What Connection may carry on, while its tokens are looked at. */
struct reduction {
	const struct forwarded *forwarded;
	slice kept; /* "name,name," with room for all tokens */
};

static bool spare(void *context, enum field_id id, slice token)
{
	struct reduction *r = context;
	const slice *name;

	if (is_managed(r->forwarded->managed, id, token))
		return true;
	name = allowed(r->forwarded, token);
	if (name != NULL)
		list_add(&r->kept, *name);
	return name != NULL;
}

/* Room for all tokens of Connection and "Upgrade", each with a comma. */
static bool make_room(struct reduction *red, const struct fields *fields)
{
	const struct field *line = fields_find_id(fields, FIELD_CONNECTION);
	size_t room = sizeof "Upgrade,";

	for (; line != NULL; line = fields_find_next(fields, line))
		room += line->value.n + 1;
	red->kept.p = arena_alloc(fields->arena, room);
	return red->kept.p != NULL;
}

/* Connection becomes the list of what may go on, or goes away. */
static int reduce_connection(const struct forwarded *f, struct request *r)
{
	struct fields *fields = &r->fields;
	struct reduction red = {.forwarded = f};
	struct hops hops;
	slice upgrade = {NULL, 0};
	int code;

	r->upgrade = false;
	if (!fields_have(fields, FIELD_CONNECTION))
		return 0;
	if (fields_has_token(fields, FIELD_CONNECTION, SLICE("Upgrade")))
		upgrade = fields_value_id(fields, FIELD_UPGRADE);
	if (!make_room(&red, fields))
		return -ENOMEM;
	code = hops_collect(&hops, fields, spare, &red);
	if (code < 0)
		return code;
	hops_remove_named(&hops, fields);
	if (upgrade.n > 0) {
		r->upgrade = true;
		list_add(&red.kept, SLICE("Upgrade"));
		code = fields_set_id(fields, FIELD_UPGRADE, upgrade);
	}
	if (red.kept.n == 0)
		(void)fields_remove_id(fields, FIELD_CONNECTION);
	else if (code == 0)
		code = fields_set_id(fields, FIELD_CONNECTION,
				     slice_first(red.kept, red.kept.n - 1));
	return code;
}

int forwarded_receive(const struct forwarded *f, struct request *r,
		      const struct forwarded_peer *peer)
{
	int code;

	OBJ_CHECK(f, MAGIC);
	if (!f->insecure && !address_set_has_peer(f->trusted, peer->address))
		hops_filter(&r->fields, is_unmanaged, f);
	code = set_managed(f, r, peer);
	return code == 0 ? reduce_connection(f, r) : code;
}

/* Some servers want these names in exactly this case (RFC 6455). */
static void spell_websocket(struct fields *fields)
{
	static const slice names[] = {
		{"Sec-WebSocket-Key", 17},     {"Sec-WebSocket-Extensions", 24},
		{"Sec-WebSocket-Accept", 20},  {"Sec-WebSocket-Protocol", 22},
		{"Sec-WebSocket-Version", 21},
	};

	for (size_t i = 0; i < fields->count; i++) {
		struct field *f = &fields->list[i];

		for (size_t j = 0; f->id == FIELD_OTHER && j < ARRAY_LEN(names); j++) {
			if (slice_equal_nocase(f->name, names[j]))
				f->name = names[j];
		}
	}
}

static int restore_upgrade(struct request *r, slice upgrade)
{
	int code;

	r->upgrade = upgrade.n > 0;
	if (!r->upgrade)
		return 0;
	if (slice_equal_nocase(upgrade, SLICE("websocket")))
		spell_websocket(&r->fields);
	code = fields_add_id(&r->fields, FIELD_CONNECTION, SLICE("Upgrade"));
	return code == 0 ? fields_add_id(&r->fields, FIELD_UPGRADE, upgrade) : code;
}

static int append_for(struct fields *fields, slice peer)
{
	slice all = peer;

	if (fields_have(fields, FIELD_X_FORWARDED_FOR)) {
		all = join(fields, FIELD_X_FORWARDED_FOR, peer);
		if (all.p == NULL)
			return -ENOMEM;
	}
	return fields_set_id(fields, FIELD_X_FORWARDED_FOR, all);
}

int forwarded_send(const struct forwarded *f, struct request *r, const struct forwarded_peer *peer,
		   bool for_was_deleted)
{
	struct fields *fields = &r->fields;
	bool trailers = fields_has_token(fields, FIELD_TE, SLICE("trailers"));
	struct hops hops;
	slice upgrade = {NULL, 0};
	int code = hops_collect(&hops, fields, NULL, NULL);

	OBJ_CHECK(f, MAGIC);
	if (code < 0)
		return code;
	if (fields_has_token(fields, FIELD_CONNECTION, SLICE("Upgrade")))
		upgrade = fields_value_id(fields, FIELD_UPGRADE);
	/* RFC 9113 dropped h2c by upgrade, and a backend must not be talked into it. From 1.0
	 * senders Upgrade does not count (RFC 9110 section 7.8). */
	if (r->version == HTTP_1_0 || list_has(upgrade, SLICE("h2c")))
		upgrade.n = 0;
	hops_remove_all(&hops, fields);
	(void)fields_remove(fields, SLICE("HTTP2-Settings"));
	if (r->framing != FRAMING_CHUNKED)
		(void)fields_remove_id(fields, FIELD_TRAILER);
	if (trailers)
		code = fields_add_id(fields, FIELD_TE, SLICE("trailers"));
	if (code == 0)
		code = restore_upgrade(r, upgrade);
	if (code == 0 && !f->not_append_for && !for_was_deleted && !address_is_none(peer->address))
		code = append_for(fields, peer->text);
	return code;
}

int forwarded_answer(struct response *r)
{
	struct hops hops;
	int code;

	if (r->status == 101)
		return 0;
	code = hops_collect(&hops, &r->fields, NULL, NULL);
	if (code < 0)
		return code;
	hops_remove_all(&hops, &r->fields);
	if (r->framing != FRAMING_CHUNKED)
		(void)fields_remove_id(&r->fields, FIELD_TRAILER);
	return 0;
}
