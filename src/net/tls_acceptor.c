#include "net/tls_acceptor.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/address.h"
#include "net/tls_ocsp.h"
#include "net/tls_private.h"

/* What a client may show of certificates; goes into its ticket, for which there are 64 KiB. */
#define CLIENT_CHAIN_BYTES_MAX (32 << 10)

/* What can be agreed on: no protocol that nobody here speaks. */
static bool is_spoken(const struct tls_acceptor *a, slice protocol)
{
	return slice_equal(protocol, SLICE("http/1.1")) ||
	       (a->http2 && slice_equal(protocol, SLICE("h2")));
}

/* Cuts off the first of a list in ALPN's notation. */
static bool next_protocol(slice *list, slice *protocol)
{
	size_t n = list->n > 0 ? (unsigned char)list->p[0] : 0;

	if (list->n == 0 || n >= list->n)
		return false;
	*protocol = slice_of(list->p + 1, n);
	*list = slice_from_at(*list, n + 1);
	return true;
}

static bool has_protocol(slice list, slice wanted)
{
	slice protocol;

	while (next_protocol(&list, &protocol)) {
		if (slice_equal(protocol, wanted))
			return true;
	}
	return false;
}

/* As in Go: who offers HTTP/1.1 to a server that has HTTP/2 alone gets it. */
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_n,
			   const unsigned char *offered, unsigned offered_n, void *user)
{
	const struct tls_profile *profile = tls_of(ssl)->profile;
	slice client = slice_of((const char *)offered, offered_n), ours, protocol;
	bool has_http2;

	if (profile == NULL)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	ours = tls_profile_protocols(profile);
	has_http2 = has_protocol(ours, SLICE("h2"));
	while (next_protocol(&ours, &protocol)) {
		if (is_spoken(user, protocol) && has_protocol(client, protocol)) {
			*chosen = (const unsigned char *)protocol.p;
			*chosen_n = (unsigned char)protocol.n;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	if (has_http2 && has_protocol(client, SLICE("http/1.1")))
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A name that is acknowledged becomes the session's, which is then taken up under that name only.
 */
static int acknowledge_name(SSL *ssl, int *alert, void *user)
{
	(void)ssl;
	(void)alert;
	(void)user;
	return SSL_TLSEXT_ERR_OK;
}

/* In place of those of the context: one with a key of another kind would stay beside it. */
static bool use_certificate(const struct tls_certificate *c, SSL *ssl)
{
	SSL_certs_clear(ssl);
	return SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1;
}

static int set_up(struct tls_acceptor *a, struct weir_error *e)
{
	const struct tls_certificate *c = a->store->list[0];

	a->context = SSL_CTX_new(TLS_server_method());
	if (a->context == NULL)
		return error_set(e, -ENOMEM, "TLS: %s", tls_last_error());
	SSL_CTX_set_mode(a->context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(a->context, 1);
	SSL_CTX_set_session_cache_mode(a->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(a->context, (long)TLS_TICKET_KEY_SECONDS);
	SSL_CTX_set_max_cert_list(a->context, CLIENT_CHAIN_BYTES_MAX);
	SSL_CTX_set_app_data(a->context, a);
	SSL_CTX_set_client_hello_cb(a->context, tls_acceptor_choose, a);
	SSL_CTX_set_tlsext_servername_callback(a->context, acknowledge_name);
	SSL_CTX_set_alpn_select_cb(a->context, choose_protocol, a);
	if (SSL_CTX_set_tlsext_ticket_key_evp_cb(a->context, tls_tickets_key) != 1 ||
	    SSL_CTX_set_tlsext_status_cb(a->context, tls_ocsp_staple) != 1 ||
	    SSL_CTX_set_session_ticket_cb(a->context, tls_tickets_keep_chain, tls_tickets_take_up,
					  NULL) != 1 ||
	    SSL_CTX_use_cert_and_key(a->context, c->leaf, c->key, c->chain, 1) != 1 ||
	    (a->profile != NULL && !tls_profile_apply_to_context(a->profile, a->context)))
		return error_set(e, -EIO, "TLS: %s", tls_last_error());
	return 0;
}

static int copy_hosts(struct tls_acceptor *a, const struct tls_host *hosts, size_t count)
{
	size_t bytes = 0;
	char *to;

	for (size_t i = 0; i < count; i++)
		bytes += hosts[i].name.n;
	a->names = to = malloc(bytes + 1);
	a->hosts = calloc(count + 1, sizeof *a->hosts);
	if (a->names == NULL || a->hosts == NULL)
		return -ENOMEM;
	for (; a->host_count < count; a->host_count++) {
		const struct tls_host *from = &hosts[a->host_count];
		struct tls_host *host = &a->hosts[a->host_count];

		memcpy(to, from->name.p, from->name.n);
		host->name = slice_of(to, from->name.n);
		to += from->name.n;
		if (from->profile != NULL)
			host->profile = tls_profile_ref(from->profile);
		if (map_put(&a->map, host->name, host) < 0) {
			a->host_count++;
			return -ENOMEM;
		}
	}
	return 0;
}

int tls_acceptor_create(struct tls_acceptor **acceptor, struct tls_profile *profile,
			const struct tls_host *hosts, size_t host_count, struct tls_store *store,
			struct tls_tickets *tickets, struct weir_error *e)
{
	struct tls_acceptor *a = calloc(1, sizeof *a);
	int r;

	*acceptor = NULL;
	if (a == NULL)
		return error_set(e, -ENOMEM, "TLS: out of memory");
	a->magic = TLS_ACCEPTOR_MAGIC;
	a->references = 1;
	a->store = tls_store_ref(store);
	a->tickets = tickets;
	a->profile = profile != NULL ? tls_profile_ref(profile) : NULL;
	r = copy_hosts(a, hosts, host_count);
	ERR_clear_error();
	r = r < 0 ? error_set(e, r, "TLS: out of memory") : set_up(a, e);
	ERR_clear_error();
	if (r < 0)
		tls_acceptor_release(&a);
	*acceptor = a;
	return r;
}

struct tls_acceptor *tls_acceptor_ref(struct tls_acceptor *a)
{
	OBJ_CHECK(a, TLS_ACCEPTOR_MAGIC);
	atomic_fetch_add(&a->references, 1);
	return a;
}

void tls_acceptor_release(struct tls_acceptor **acceptor)
{
	struct tls_acceptor *a;

	if (*acceptor == NULL)
		return;
	OBJ_TAKE(a, acceptor, TLS_ACCEPTOR_MAGIC);
	if (atomic_fetch_sub(&a->references, 1) > 1)
		return;
	SSL_CTX_free(a->context);
	map_free(&a->map);
	for (size_t i = 0; i < a->host_count; i++)
		tls_profile_release(&a->hosts[i].profile);
	free(a->hosts);
	free(a->names);
	tls_profile_release(&a->profile);
	tls_store_release(&a->store);
	a->magic = 0;
	free(a);
}

struct tls_acceptor *tls_acceptor_of(const SSL *ssl)
{
	struct tls_acceptor *a = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	OBJ_CHECK(a, TLS_ACCEPTOR_MAGIC);
	return a;
}

/* The name that the client asks for, in lower case; empty if it names none. */
static slice asked_name(SSL *ssl, char text[TLS_NAME_MAX])
{
	const unsigned char *p;
	size_t n, list, size;

	/* RFC 6066 section 3: a list of one name, of the type 0. */
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5)
		return (slice){NULL, 0};
	list = (size_t)p[0] << 8 | p[1];
	size = (size_t)p[3] << 8 | p[4];
	if (list + 2 != n || p[2] != TLSEXT_NAMETYPE_host_name || size + 3 > list ||
	    size > TLS_NAME_MAX)
		return (slice){NULL, 0};
	for (size_t i = 0; i < size; i++)
		text[i] = ascii_lower((char)p[5 + i]);
	return slice_of(text, size);
}

static const struct tls_host *find_host(const struct tls_acceptor *a, slice name)
{
	char wild[TLS_NAME_MAX + 1];
	size_t dot = slice_find(name, '.');
	const struct tls_host *host;

	if (a->host_count == 0 || name.n == 0)
		return NULL;
	host = map_get(&a->map, name);
	if (host != NULL || dot == name.n)
		return host;
	wild[0] = '*';
	memcpy(wild + 1, name.p + dot, name.n - dot);
	return map_get(&a->map, slice_of(wild, name.n - dot + 1));
}

const struct tls_profile *tls_acceptor_profile(const struct tls_acceptor *a, slice host)
{
	char text[TLS_NAME_MAX];
	const struct tls_host *found = NULL;

	OBJ_CHECK(a, TLS_ACCEPTOR_MAGIC);
	while (slice_ends(host, SLICE(".")))
		host.n--;
	if (a->host_count > 0 && host.n <= sizeof text) {
		for (size_t i = 0; i < host.n; i++)
			text[i] = ascii_lower(host.p[i]);
		found = find_host(a, slice_of(text, host.n));
	}
	return found != NULL ? found->profile : a->profile;
}

/* Of a client that asks for no name: the one for the address that it has connected to. */
static struct tls_certificate *find_by_address(const struct tls_acceptor *a, SSL *ssl)
{
	struct sockaddr_storage local;
	socklen_t n = sizeof local;
	char text[ADDRESS_TEXT_BYTES];
	struct address address;

	if (!a->store->has_addresses ||
	    getsockname(tls_of(ssl)->io->fd, (struct sockaddr *)&local, &n) < 0 ||
	    !address_from_sockaddr((struct sockaddr *)&local, &address, NULL))
		return NULL;
	return tls_store_find(a->store, address_format(&address, text));
}

static int refuse(int *alert, int why)
{
	*alert = why;
	return SSL_CLIENT_HELLO_ERROR;
}

/*
 * Whether a name could be read as another one later, by which a client would get past the settings
 * that are chosen by it: with a dot at its end (RFC 6066 section 3 knows none), with a zero in it,
 * or other than in the hello that came before on this connection.
 */
static bool is_ambiguous(const struct tls *tls, slice name)
{
	return slice_ends(name, SLICE(".")) || slice_find(name, '\0') < name.n ||
	       (tls->profile != NULL && !slice_equal(name, tls_server_name(tls)));
}

int tls_acceptor_choose(SSL *ssl, int *alert, void *acceptor)
{
	struct tls_acceptor *a = acceptor;
	char text[TLS_NAME_MAX];
	slice name = asked_name(ssl, text);
	const struct tls_host *host = find_host(a, name);
	const struct tls_profile *profile = host != NULL ? host->profile : a->profile;
	struct tls_certificate *c =
		name.n > 0 ? tls_store_find(a->store, name) : find_by_address(a, ssl);

	if (is_ambiguous(tls_of(ssl), name))
		return refuse(alert, SSL_AD_ILLEGAL_PARAMETER);
	if (!tls_remember_name(tls_of(ssl), name))
		return refuse(alert, SSL_AD_INTERNAL_ERROR);
	if (profile == NULL || (c == NULL && tls_profile_is_strict(profile)))
		return refuse(alert, SSL_AD_UNRECOGNIZED_NAME);
	tls_of(ssl)->profile = profile;
	tls_of(ssl)->certificate = c != NULL ? c : a->store->list[0];
	if (profile != a->profile && !tls_profile_apply(profile, ssl))
		return refuse(alert, SSL_AD_INTERNAL_ERROR);
	if (c != NULL && c != a->store->list[0] && !use_certificate(c, ssl))
		return refuse(alert, SSL_AD_INTERNAL_ERROR);
	return SSL_CLIENT_HELLO_SUCCESS;
}
