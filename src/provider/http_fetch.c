#include <errno.h>
#include <stdlib.h>

#include "config/tree.h"
#include "core/clock.h"
#include "core/log.h"
#include "http/credentials.h"
#include "middleware/client_tls.h"
#include "provider/http_private.h"

#define QUEUE_BYTES ((size_t)64 * 1024)
#define HEAD_BYTES_MAX ((size_t)64 * 1024)
#define HEAD_FIELDS_MAX 200u
#define IDLE_MS 90000u
/* As Go's client. */
#define CONNECT_MS 30000u
#define HANDSHAKE_MS 10000u

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
	bool renews; /* files of certificates are read again before the next attempt */

	/* One attempt. */
	bool active;
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

static void end_attempt(struct http_fetcher *f)
{
	f->active = false;
	inquiry_stop(&f->inquiry);
	f->inquiry = (struct inquiry){0};
	arena_reset(&f->attempt);
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
		return error_set(e, r, "%s: the answer is too long (maxResponseBodySize)", f->name);
	if (f->refusal.text[0] != '\0')
		return error_set(e, r, "%s: %s", f->name, f->refusal.text);
	if (r == -ETIMEDOUT && f->config->poll_timeout_ns > 0)
		return error_set(e, r, "%s: no complete answer within pollTimeout", f->name);
	if (r == 0 && q->response.status != 200)
		return error_set(e, -EPROTO, "%s: received non-ok response code: %d", f->name,
				 q->response.status);
	if (r == 0)
		r = read_body(q, text);
	return r < 0 ? error_set(e, r, "%s: %s", f->name, strerror(-r)) : 0;
}

static void on_answered(struct inquiry *q)
{
	struct http_fetcher *f = container_of(q, struct http_fetcher, inquiry);
	struct weir_error e = {0};
	char *text = NULL;
	int r = judge(f, &text, &e);
	size_t n = (size_t)q->body.n;

	if (r < 0) {
		free(text);
		text = NULL;
	}
	f->renews |= r < 0;
	end_attempt(f);
	f->fetched(f->context, r, text, n, &e);
}

static bool is_https(const struct http_fetcher *f)
{
	return slice_equal_nocase(f->url.scheme, SLICE("https"));
}

/* What `tls` says must be right also where it is not needed. */
static int make_client(struct http_fetcher *f, struct weir_error *e)
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

	if (is_https(f) || f->config->tls != NULL)
		r = client_tls_connector(f->config->tls, &connector, e);
	if (r < 0) {
		error_prefix(e, "providers.http.");
		return r;
	}
	options.tls = is_https(f) ? connector : NULL;
	r = client_create(&f->client, f->loop, f->url.host, f->url.port, &options, NULL);
	tls_connector_release(&connector);
	if (r == 0)
		f->client->refusal = &f->refusal;
	return r;
}

/* Certificates may have been replaced. If they cannot be used, what there was goes on. */
static void renew_client(struct http_fetcher *f)
{
	struct client *old = f->client;
	struct weir_error e = {0};

	f->renews = false;
	if (!is_https(f))
		return;
	if (make_client(f, &e) == 0) {
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
	OBJ_CHECK(f, FETCHER_MAGIC);
	if (f->active)
		return;
	if (f->renews)
		renew_client(f);
	f->active = true;
	f->refusal = (struct weir_error){0};
	f->inquiry = (struct inquiry){.loop = f->loop,
				      .arena = &f->attempt,
				      .request = f->request,
				      .target = f->target,
				      .body_bytes_max = bytes_max(f),
				      .timeout_ms = clock_ns_to_ms(f->config->poll_timeout_ns),
				      .queue_bytes = QUEUE_BYTES,
				      .answered = on_answered};
	inquiry_start(&f->inquiry, f->client);
}

/* As Go's client: the user information of the URL, unless the configuration has the field itself.
 */
static int add_authorization(struct http_fetcher *f)
{
	slice value;

	if (credentials_basic(f->url.userinfo, &f->arena, &value) < 0)
		return -ENOMEM;
	return value.n > 0 ? fields_add_id(&f->request.fields, FIELD_AUTHORIZATION, value) : 0;
}

static int add_configured(struct http_fetcher *f, slice name, slice value, struct weir_error *e)
{
	slice canonical = field_canonical(&f->arena, name);

	if (!field_is_token(name) || !field_is_value(value))
		return error_set(e, -EINVAL,
				 "providers.http.headers: found \"%.*s\", expected a header's name "
				 "and a value without control characters",
				 SLICE_ARG(name));
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
	f->target = arena_format(&f->arena, "%.*s%s%.*s",
				 SLICE_ARG(f->url.path.n > 0 ? f->url.path : SLICE("/")),
				 f->url.has_query ? "?" : "", SLICE_ARG(f->url.query));
	f->name = arena_format(&f->arena, "%.*s://%.*s%.*s", SLICE_ARG(f->url.scheme),
			       SLICE_ARG(f->url.authority), SLICE_ARG(f->url.path))
			  .p;
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
	if (!slice_equal_nocase(f->url.scheme, SLICE("http")) && !is_https(f))
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
	r = read_endpoint(f, e);
	if (r == 0)
		r = fill_request(f, e);
	if (r == 0)
		r = make_client(f, e);
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
	arena_free(&f->arena);
	f->magic = 0;
	free(f);
}

const char *http_fetcher_name(const struct http_fetcher *f)
{
	OBJ_CHECK(f, FETCHER_MAGIC);
	return f->name;
}
