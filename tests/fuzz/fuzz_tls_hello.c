/*
 * Whatever a client says first, the handshake ends or waits: nothing is established by it, nothing
 * leaks, and a name that is remembered is a name.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_acceptor *acceptor;
static struct tls_tickets *tickets;
static struct loop loop;

static void on_ready(struct transport *t, int events)
{
	(void)t;
	(void)events;
}

static void on_closed(struct transport *t)
{
	(void)t;
}

static void set_up(void)
{
	const struct tls_settings settings = {.name = SLICE("default")},
				  other = {.name = SLICE("other"),
					   .min_version = SLICE("VersionTLS10"),
					   .sni_strict = true};
	struct tls_profile *profile, *second;
	struct tls_certificate *c;
	struct tls_store *store;

	must(loop_init(&loop, (size_t)8 << 20) == 0);
	must(tls_tickets_create(&tickets, NULL) == 0);
	must(tls_certificate_generate(&c, NULL) == 0);
	must(tls_store_create(&store, c) == 0);
	must(tls_profile_create(&profile, &settings, NULL) == 0);
	must(tls_profile_create(&second, &other, NULL) == 0);
	const struct tls_host hosts[] = {{SLICE("a.example"), second},
					 {SLICE("*.b.example"), NULL}};
	must(tls_acceptor_create(&acceptor, profile, hosts, ARRAY_LEN(hosts), store, tickets,
				 NULL) == 0);
	tls_certificate_release(&c);
	tls_store_release(&store);
	tls_profile_release(&profile);
	tls_profile_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct transport t;
	struct weir_error e = {0};
	struct tls *tls;
	int fds[2], r;

	if (acceptor == NULL)
		set_up();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	must(transport_open(&t, &loop, fds[1], on_ready) == 0);
	must(tls_accept(&tls, acceptor, &t, slice_of((const char *)data, size)) == 0);
	r = tls_handshake(tls, &e);
	must(r < 0 && (r == -EAGAIN || e.text[0] != '\0'));
	must(tls_server_name(tls).n <= 255);
	transport_close(&t, on_closed);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	(void)close(fds[0]);
	return 0;
}
