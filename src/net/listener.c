#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/counter.h"
#include "core/log.h"

#define LAST_BURST 65536u /* at the end: all that waits */
#define EXHAUSTED_RETRY_MS 100u
#define BIND_PATIENCE_MS 300
#define BIND_PAUSE_MS 10

static int set_flag(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

/* One bound socket; `share` lets others be bound to the same address. Returns the descriptor or a
 * negative errno. */
static int bind_one(const struct sockaddr *address, socklen_t size, bool share)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r == 0 && share)
		r = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r == 0 && address->sa_family == AF_INET6)
		r = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (r == 0 && bind(fd, address, size) < 0)
		r = -errno;
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

int listener_set_options(int fd)
{
	return set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

static int listen_on(int fd)
{
	int r = listener_set_options(fd);

	if (r == 0 && listen(fd, LISTENER_BACKLOG) < 0)
		r = -errno;
	return r;
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
}

static int bind_all(struct sockaddr_storage *address, socklen_t size, bool shared, int *fds,
		    size_t count)
{
	struct sockaddr *sa = (struct sockaddr *)address;
	size_t made = 0;
	int r = 0;

	if (!shared) {
		/* SO_REUSEPORT alone would silently share the port with another process of the same
		 * user. */
		int probe = bind_one(sa, size, false);

		if (probe < 0)
			return probe;
		(void)getsockname(probe, sa, &size);
		(void)close(probe);
	}
	for (; made < count; made++) {
		r = bind_one(sa, size, shared || count > 1);
		if (r < 0)
			break;
		fds[made] = r;
		(void)getsockname(r, sa, &size);
		r = listen_on(r);
		if (r < 0) {
			made++;
			break;
		}
	}
	if (r < 0)
		close_all(fds, made);
	return MIN(r, 0);
}

static int bind_patiently(struct sockaddr_storage *address, socklen_t size, bool shared, int *fds,
			  size_t count)
{
	int r = bind_all(address, size, shared, fds, count);

	for (int waited = 0; r == -EADDRINUSE && waited < BIND_PATIENCE_MS;
	     waited += BIND_PAUSE_MS) {
		(void)poll(NULL, 0, BIND_PAUSE_MS);
		r = bind_all(address, size, shared, fds, count);
	}
	return r;
}

static int resolve(const struct listen_address *address, struct addrinfo **found)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	char host[256], port[8];

	if (address->host.n >= sizeof host)
		return EAI_NONAME;
	(void)snprintf(host, sizeof host, "%.*s", SLICE_ARG(address->host));
	(void)snprintf(port, sizeof port, "%u", address->port);
	return getaddrinfo(host, port, &hints, found);
}

static socklen_t any_address(struct sockaddr_storage *to, int family, uint16_t port)
{
	*to = (struct sockaddr_storage){.ss_family = (sa_family_t)family};
	if (family == AF_INET6) {
		((struct sockaddr_in6 *)to)->sin6_port = htons(port);
		return sizeof(struct sockaddr_in6);
	}
	((struct sockaddr_in *)to)->sin_port = htons(port);
	return sizeof(struct sockaddr_in);
}

/* As Go's net.Listen: the unspecified address of either family is all addresses of both. */
static bool is_everywhere(const struct listen_address *address)
{
	struct address v4;

	return address->host.n == 0 ||
	       (address->is_ip &&
		(address_is_none(&address->ip) ||
		 (address_parse(SLICE("0.0.0.0"), &v4) && address_equal(&address->ip, &v4))));
}

/* As Go's net.Listen: of a name's addresses the first one of IPv4, if it has any. */
static const struct addrinfo *preferred(const struct addrinfo *found)
{
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
		if (a->ai_family == AF_INET)
			return a;
	}
	return found;
}

int listener_bind(const struct listen_address *address, bool shared, int *fds, size_t count,
		  struct weir_error *e)
{
	struct sockaddr_storage at;
	struct addrinfo *found;
	socklen_t size;
	int r;

	if (is_everywhere(address)) {
		size = any_address(&at, AF_INET6, address->port);
		r = bind_patiently(&at, size, shared, fds, count);
		if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) {
			size = any_address(&at, AF_INET, address->port);
			r = bind_patiently(&at, size, shared, fds, count);
		}
	} else {
		r = resolve(address, &found);
		if (r != 0)
			return error_set(e, -EADDRNOTAVAIL, "listen %.*s:%u: %s",
					 SLICE_ARG(address->host), address->port, gai_strerror(r));
		size = preferred(found)->ai_addrlen;
		memcpy(&at, preferred(found)->ai_addr, size);
		freeaddrinfo(found);
		r = bind_patiently(&at, size, shared, fds, count);
	}
	if (r < 0)
		return error_set(e, r, "listen %.*s:%u: %s", SLICE_ARG(address->host),
				 address->port,
				 r == -EADDRINUSE ? "address already in use" : strerror(-r));
	return 0;
}

static void exhausted_is_over(struct timer *timer)
{
	struct listener *l = container_of(timer, struct listener, retry);

	if (!l->paused)
		transport_watch(&l->socket, TRANSPORT_READABLE);
}

static void note_exhausted(struct listener *l, int problem)
{
	counter_add(l->exhausted, 1);
	if (loop_may_report(l->loop, &l->report_ms))
		log_warn_with((LOG_STRING("error", strerror(problem))),
			      "Clients wait or are turned away: no connection can be accepted");
}

bool listener_turn_away(struct listener *l, int fd)
{
	(void)close(fd);
	note_exhausted(l, ENOMEM);
	return true;
}

/* The backlog holds the clients meanwhile; spinning on a readable listener would help nobody. */
static void pause_exhausted(struct listener *l, int problem)
{
	note_exhausted(l, problem);
	transport_watch(&l->socket, 0);
	loop_arm(l->loop, &l->retry, EXHAUSTED_RETRY_MS, exhausted_is_over);
}

static void on_ready(struct transport *t, int events)
{
	struct listener *l = container_of(t, struct listener, socket);

	(void)events;
	OBJ_CHECK(l, LISTENER_MAGIC);
	for (unsigned i = 0; i < l->burst && !l->paused && !t->closing; i++) {
		struct sockaddr_storage peer;
		socklen_t size = sizeof peer;
		int fd = accept4(t->fd, (struct sockaddr *)&peer, &size,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			if (!l->accept(l, fd, &peer)) {
				l->paused = true;
				transport_watch(t, 0);
			}
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			pause_exhausted(l, errno);
			return;
		}
		/* Anything else concerns one connection that is already gone (RFC 9293, accept(2)).
		 */
	}
}

int listener_start(struct listener *l, struct loop *loop, int fd, unsigned burst,
		   listener_accept_fn *accept, _Atomic uint64_t *exhausted)
{
	int r;

	*l = (struct listener){
		.loop = loop, .accept = accept, .burst = burst, .exhausted = exhausted};
	r = transport_open(&l->socket, loop, fd, on_ready);
	if (r < 0)
		return r;
	l->magic = LISTENER_MAGIC;
	transport_watch(&l->socket, TRANSPORT_READABLE);
	return 0;
}

void listener_pause(struct listener *l)
{
	OBJ_CHECK(l, LISTENER_MAGIC);
	l->paused = true;
	transport_watch(&l->socket, 0);
}

void listener_resume(struct listener *l)
{
	OBJ_CHECK(l, LISTENER_MAGIC);
	if (!l->paused)
		return;
	l->paused = false;
	if (!timer_armed(&l->retry))
		transport_watch(&l->socket, TRANSPORT_READABLE);
}

static void on_closed(struct transport *t)
{
	struct listener *l = container_of(t, struct listener, socket);

	OBJ_CHECK(l, LISTENER_MAGIC);
	l->magic = 0;
	l->stopped(l);
}

void listener_stop(struct listener *l, void (*stopped)(struct listener *))
{
	OBJ_CHECK(l, LISTENER_MAGIC);
	l->stopped = stopped;
	l->burst = LAST_BURST;
	on_ready(&l->socket, TRANSPORT_READABLE);
	loop_disarm(l->loop, &l->retry);
	transport_close(&l->socket, on_closed);
}
