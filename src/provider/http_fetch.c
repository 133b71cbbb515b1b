#include <errno.h>
#include <stdlib.h>

#include "config/tree.h"
#include "core/clock.h"
#include "core/log.h"
#include "http/credentials.h"
#include "http/location.h"
#include "middleware/client_tls.h"
#include "provider/http_private.h"

#define QUEUE_BYTES ((size_t)64 * 1024)
#define HEAD_BYTES_MAX ((size_t)64 * 1024)
#define HEAD_FIELDS_MAX 200u
#define IDLE_MS 90000u
/* As Go's client. */
#define CONNECT_MS 30000u
#define HANDSHAKE_MS 10000u
#define REQUESTS_MAX 10u

#define FETCHER_MAGIC 0x66657463u

struct http_fetcher {
	uint32_t magic;
	struct loop *loop;
	const struct http_provider_config *config;
	http_fetched_fn *fetched;
	void *context;
	struct arena arena; /* of what all attempts have in common */
	struct url url;
	slice target;
	const char *name;
	struct request request;
	struct client *client;
	bool from_user; /* Authorization is made of user information */
	bool renews;    /* files of certificates are read again before the next attempt */

	/* One attempt. */
	bool active;
	uint64_t until_ms; /* monotonic; 0: it may take any time */
	struct arena hops; /* of what redirects make */
	struct url at;     /* what is asked now, and its name in messages */
	const char *at_name;
	unsigned requests;
	bool is_elsewhere;         /* a redirect has left the endpoint's host */
	bool names_host;           /* a redirect was no path only, which keeps user information */
	struct client *other;      /* of a server that a redirect leads to; NULL: none */
	struct weir_error refusal; /* why the TLS handshake failed */
	struct arena attempt;      /* of the response's head */
	struct inquiry inquiry;
};

static size_t bytes_max(const struct http_fetcher *f)
{
	const size_t most = tree_default_limits.file_bytes;

	return f->config->body_bytes_max > 0 ? (size_t)MIN(f->config->body_bytes_max, (int64_t)most)
					     : most;
}

static void end_request(struct http_fetcher *f)
{
	inquiry_stop(&f->inquiry);
	f->inquiry = (struct inquiry){0};
	arena_reset(&f->attempt);
	if (f->other != NULL)
		client_destroy(&f->other);
}

static void end_attempt(struct http_fetcher *f)
{
	f->active = false;
	end_request(f);
	arena_reset(&f->hops);
}

/* Returns 0 with the whole body, for `free`, or a negative errno value. */
static int read_body(const struct inquiry *q, char **text)
{
	size_t n = (size_t)q->body.n;

	*text = malloc(n + 1);
	if (*text == NULL)
		return -ENOMEM;
	return spool_read(&q->body, 0, *text, n) == (ssize_t)n ? 0 : -EIO;
}

/* Returns 0, or a negative errno value with `e` filled in. */
static int judge(const struct http_fetcher *f, char **text, struct weir_error *e)
{
	const struct inquiry *q = &f->inquiry;
	int r = q->code;

	if (r == -EFBIG)
		return error_set(e, r, "%s: the answer is too long (maxResponseBodySize)",
				 f->at_name);
	if (f->refusal.text[0] != '\0')
		return error_set(e, r, "%s: %s", f->at_name, f->refusal.text);
	if (r == -ETIMEDOUT && f->config->poll_timeout_ns > 0)
		return error_set(e, r, "%s: no complete answer within pollTimeout", f->at_name);
	if (r == 0 && q->response.status != 200)
		return error_set(e, -EPROTO, "%s: received non-ok response code: %d", f->at_name,
				 q->response.status);
	if (r == 0)
		r = read_body(q, text);
	return r < 0 ? error_set(e, r, "%s: %s", f->at_name, strerror(-r)) : 0;
}

static bool is_https(const struct url *url)
{
	return slice_equal_nocase(url->scheme, SLICE("https"));
}

/* What `tls` says must be right also where it is not needed. */
static int make_client(struct http_fetcher *f, const struct url *url, struct client **client,
		       struct weir_error *e)
{
	struct client_options options = {
		.connect_timeout_ms = CONNECT_MS,
		.handshake_timeout_ms = HANDSHAKE_MS,
		.idle_timeout_ms = IDLE_MS,
		.idle_max = 1,
		.connections_max = 4, /* those that close included */
		.head = {.head_bytes_max = HEAD_BYTES_MAX, .fields_max = HEAD_FIELDS_MAX},
	};
	struct tls_connector *connector = NULL;
	int r = 0;

	if (is_https(url) || f->config->tls != NULL)
		r = client_tls_connector(f->config->tls, &connector, e);
	if (r < 0) {
		error_prefix(e, "providers.http.");
		return r;
	}
	options.tls = is_https(url) ? connector : NULL;
	r = client_create(client, f->loop, url->host, url->port, &options, NULL);
	tls_connector_release(&connector);
	if (r == 0)
		(*client)->refusal = &f->refusal;
	return r;
}

static void on_answered(struct inquiry *q);

static void send_request(struct http_fetcher *f, const struct request *request, slice target,
			 struct client *client)
{
	uint64_t now_ms = clock_mono_ms();

	f->requests++;
	f->refusal = (struct weir_error){0};
	f->inquiry = (struct inquiry){.loop = f->loop,
				      .arena = &f->attempt,
				      .request = *request,
				      .target = target,
				      .body_bytes_max = bytes_max(f),
				      .queue_bytes = QUEUE_BYTES,
				      .answered = on_answered};
	if (f->until_ms > 0)
		f->inquiry.timeout_ms = f->until_ms > now_ms ? f->until_ms - now_ms : 1;
	inquiry_start(&f->inquiry, client);
}

static slice target_of(struct arena *arena, const struct url *url)
{
	return arena_format(arena, "%.*s%s%.*s",
			    SLICE_ARG(url->path.n > 0 ? url->path : SLICE("/")),
			    url->has_query ? "?" : "", SLICE_ARG(url->query));
}

/* Without what may be secret. */
static const char *name_of(struct arena *arena, const struct url *url)
{
	return arena_format(arena, "%.*s://%.*s%.*s", SLICE_ARG(url->scheme),
			    SLICE_ARG(url->authority), SLICE_ARG(url->path))
		.p;
}

/* --- redirects, as Go's client follows them */

static bool is_redirect(const struct inquiry *q)
{
	unsigned status = (unsigned)q->response.status;

	return q->code == 0 &&
	       ((status >= 301 && status <= 303) || status == 307 || status == 308) &&
	       fields_value_id(&q->response.fields, FIELD_LOCATION).n > 0;
}

/* Whether a host is the endpoint's, or a part of that domain. */
static bool is_below(slice host, slice parent)
{
	size_t n = host.n - parent.n;

	return host.n >= parent.n && slice_equal_nocase(slice_from_at(host, n), parent) &&
	       (n == 0 || host.p[n - 1] == '.');
}

static bool has_host(slice location)
{
	size_t colon = slice_find(location, ':');

	if (colon < slice_find(location, '/'))
		location = slice_from_at(location, colon + 1);
	return slice_starts(location, SLICE("//"));
}

/* Where the answer sends us. */
static int take_location(struct http_fetcher *f, struct weir_error *e)
{
	slice text = fields_value_id(&f->inquiry.response.fields, FIELD_LOCATION), location;
	int r = location_resolve(text, &f->at, &f->hops, &location);

	if (r == 0)
		r = url_parse(location, &f->at, e);
	else
		(void)error_set(e, r, "the Location cannot be parsed");
	if (r == 0 && !slice_equal_nocase(f->at.scheme, SLICE("http")) && !is_https(&f->at))
		r = error_set(e, -EINVAL,
			      "found scheme \"%.*s\" in the Location, expected http or "
			      "https",
			      SLICE_ARG(f->at.scheme));
	f->names_host |= has_host(text);
	if (r == 0)
		f->is_elsewhere |= !is_below(f->at.host, f->url.host);
	return r;
}

/* What is meant for the endpoint alone stays behind. */
static bool goes_along(const struct http_fetcher *f, const struct field *field)
{
	const uint64_t secrets = FIELD_BIT(FIELD_AUTHORIZATION) | FIELD_BIT(FIELD_COOKIE) |
				 FIELD_BIT(FIELD_WWW_AUTHENTICATE);
	uint64_t bit = field->id < FIELD_ID_COUNT ? FIELD_BIT(field->id) : 0;

	if (field->id == FIELD_AUTHORIZATION && f->from_user && f->names_host)
		return false;
	return !f->is_elsewhere || (bit & secrets) == 0;
}

static int fill_redirected(struct http_fetcher *f, struct request *request)
{
	const struct fields *from = &f->request.fields;
	bool same = slice_equal_nocase(f->at.authority, f->url.authority);
	slice own;
	int r = credentials_basic(f->at.userinfo, &f->hops, &own);

	*request = f->request;
	fields_init(&request->fields, &f->hops);
	for (size_t i = 0; r == 0 && i < from->count; i++) {
		if (goes_along(f, &from->list[i]))
			r = fields_add_field(&request->fields, &from->list[i]);
	}
	if (r == 0 && !same)
		r = fields_set_id(&request->fields, FIELD_HOST, f->at.authority);
	if (r == 0 && own.n > 0 && fields_find_id(&request->fields, FIELD_AUTHORIZATION) == NULL)
		r = fields_add_id(&request->fields, FIELD_AUTHORIZATION, own);
	return r;
}

/* Returns 0 if the next request is on its way. */
static int follow(struct http_fetcher *f, struct weir_error *e)
{
	struct request request;
	slice target;
	int r;

	if (f->requests == REQUESTS_MAX)
		return error_set(e, -ELOOP, "%s: stopped after %u redirects", f->at_name,
				 REQUESTS_MAX);
	r = take_location(f, e);
	if (r < 0) {
		error_prefix(e, "%s: ", f->at_name);
		return r;
	}
	f->at_name = name_of(&f->hops, &f->at);
	target = target_of(&f->hops, &f->at);
	r = fill_redirected(f, &request);
	if (r < 0 || f->at_name == NULL || target.p == NULL)
		return error_set(e, -ENOMEM, "%s: out of memory", f->name);
	end_request(f);
	r = make_client(f, &f->at, &f->other, e);
	if (r < 0)
		return r;
	send_request(f, &request, target, f->other);
	return 0;
}

static void on_answered(struct inquiry *q)
{
	struct http_fetcher *f = container_of(q, struct http_fetcher, inquiry);
	struct weir_error e = {0};
	char *text = NULL;
	bool redirect = is_redirect(q);
	int r = redirect ? follow(f, &e) : judge(f, &text, &e);
	size_t n = (size_t)q->body.n;

	if (redirect && r == 0)
		return;

	if (r < 0) {
		free(text);
		text = NULL;
	}
	f->renews |= r < 0;
	end_attempt(f);
	f->fetched(f->context, r, text, n, &e);
}

/* Certificates may have been replaced. If they cannot be used, what there was goes on. */
static void renew_client(struct http_fetcher *f)
{
	struct client *old = f->client;
	struct weir_error e = {0};

	f->renews = false;
	if (!is_https(&f->url))
		return;
	if (make_client(f, &f->url, &f->client, &e) == 0) {
		client_destroy(&old);
		return;
	}
	log_warn_with((LOG_STRING("providerName", "http"), LOG_CAUSE(&e)),
		      "Certificates cannot be read again; those that there were are used");
	f->client = old;
}

void http_fetcher_renew(struct http_fetcher *f)
{
	OBJ_CHECK(f, FETCHER_MAGIC);
	f->renews = true;
}

void http_fetcher_start(struct http_fetcher *f)
{
	uint64_t timeout_ms = clock_ns_to_ms(f->config->poll_timeout_ns);

	OBJ_CHECK(f, FETCHER_MAGIC);
	if (f->active)
		return;
	if (f->renews)
		renew_client(f);
	f->active = true;
	f->until_ms = timeout_ms > 0 ? clock_mono_ms() + timeout_ms : 0;
	f->at = f->url;
	f->at_name = f->name;
	f->requests = 0;
	f->is_elsewhere = f->names_host = false;
	send_request(f, &f->request, f->target, f->client);
}

/* As Go's client: the user information of the URL, unless the configuration has the field itself.
 */
static int add_authorization(struct http_fetcher *f)
{
	slice value;

	if (credentials_basic(f->url.userinfo, &f->arena, &value) < 0)
		return -ENOMEM;
	f->from_user = value.n > 0;
	return f->from_user ? fields_add_id(&f->request.fields, FIELD_AUTHORIZATION, value) : 0;
}

static int add_configured(struct http_fetcher *f, slice name, slice value, struct weir_error *e)
{
	slice canonical = field_canonical(&f->arena, name);

	if (!field_is_token(name) || !field_is_value(value))
		return error_set(e, -EINVAL,
				 "providers.http.headers: found \"%.*s\", expected a header's name "
				 "and a value without control characters",
				 SLICE_ARG(name));
	f->from_user &= !slice_equal(canonical, SLICE("Authorization"));
	return canonical.p != NULL ? fields_set(&f->request.fields, canonical, value) : -ENOMEM;
}

static int fill_request(struct http_fetcher *f, struct weir_error *e)
{
	const struct option_pairs *headers = &f->config->headers;
	int r;

	f->request = (struct request){.method = SLICE("GET"),
				      .method_id = METHOD_GET,
				      .version = HTTP_1_1,
				      .framing = FRAMING_NONE,
				      .keep_alive = true};
	fields_init(&f->request.fields, &f->arena);
	f->target = target_of(&f->arena, &f->url);
	f->name = name_of(&f->arena, &f->url);
	if (f->target.p == NULL || f->name == NULL)
		return -ENOMEM;
	r = fields_add_id(&f->request.fields, FIELD_HOST, f->url.authority);
	r = r < 0 ? r : fields_add(&f->request.fields, SLICE("User-Agent"), SLICE("weir"));
	r = r < 0 ? r : add_authorization(f);
	for (size_t i = 0; r == 0 && i < headers->count; i++)
		r = add_configured(f, headers->items[i].key, headers->items[i].value, e);
	return r;
}

static int read_endpoint(struct http_fetcher *f, struct weir_error *e)
{
	int r = url_parse(f->config->endpoint, &f->url, e);

	if (r < 0) {
		error_prefix(e, "providers.http.endpoint: ");
		return r;
	}
	if (!slice_equal_nocase(f->url.scheme, SLICE("http")) && !is_https(&f->url))
		return error_set(e, -EINVAL,
				 "providers.http.endpoint: found scheme \"%.*s\", expected http or "
				 "https",
				 SLICE_ARG(f->url.scheme));
	return 0;
}

int http_fetcher_create(struct http_fetcher **fetcher, struct loop *loop,
			const struct http_provider_config *config, http_fetched_fn *fetched,
			void *context, struct weir_error *e)
{
	struct http_fetcher *f = calloc(1, sizeof *f);
	int r;

	*fetcher = f;
	if (f == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	f->magic = FETCHER_MAGIC;
	f->loop = loop;
	f->config = config;
	f->fetched = fetched;
	f->context = context;
	arena_init(&f->arena, 4096, (size_t)1 << 20);
	arena_init(&f->attempt, 4096, HEAD_BYTES_MAX * 4);
	arena_init(&f->hops, 4096, HEAD_BYTES_MAX * 4 * REQUESTS_MAX);
	r = read_endpoint(f, e);
	if (r == 0)
		r = fill_request(f, e);
	if (r == 0)
		r = make_client(f, &f->url, &f->client, e);
	if (r == -ENOMEM)
		(void)error_set(e, r, "providers.http: out of memory");
	if (r < 0)
		http_fetcher_destroy(fetcher);
	return r;
}

void http_fetcher_destroy(struct http_fetcher **fetcher)
{
	struct http_fetcher *f;

	if (*fetcher == NULL)
		return;
	OBJ_TAKE(f, fetcher, FETCHER_MAGIC);
	end_attempt(f);
	if (f->client != NULL)
		client_destroy(&f->client);
	arena_free(&f->attempt);
	arena_free(&f->hops);
	arena_free(&f->arena);
	f->magic = 0;
	free(f);
}

const char *http_fetcher_name(const struct http_fetcher *f)
{
	OBJ_CHECK(f, FETCHER_MAGIC);
	return f->name;
}
