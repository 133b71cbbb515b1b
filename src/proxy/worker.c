#include "proxy/worker_private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/sampler.h"
#include "proxy/access.h"
#include "proxy/account.h"

#define DRAIN_POLL_MS 20u

static void count_refused(struct exchange *x)
{
	const struct worker_entry *entry = x->route;

	account_end(x, entry->entry_point, NULL);
	access_end(x);
}

static int negative_to_status(int r)
{
	return r < 0 ? 503 : r;
}

/* Requests to the server itself, which Go's answers before Traefik sees them. */
static int answer_of_server(const struct request *q)
{
	if (q->method_id == METHOD_CONNECT)
		return 501;
	return q->method_id == METHOD_OPTIONS && slice_equal(q->path, SLICE("*")) ? 200 : 0;
}

/* What the entry point does before routing, in Traefik's order. Returns 0 or the status to refuse
 * with. */
static int prepare(const struct entry_point *p, struct exchange *x, struct rule_input *in)
{
	struct request *q = &x->request;
	const struct forwarded_peer peer = {
		.address = &x->peer_address, .text = x->peer_host, .tls = x->tls};
	int r = answer_of_server(q);

	if (r == 0)
		r = path_prepare(q, &p->path, &x->arena);
	if (r == 0)
		r = forwarded_receive(p->forwarded, q, &peer);
	if (r == 0)
		r = path_host(q->authority, &x->arena, &in->host);
	if (r == 0)
		r = path_routing(q->path, &x->arena, &in->path);
	return negative_to_status(r);
}

/* A connection was made under the options of the name that its client asked for; it must not carry
 * requests for hosts with others, whose clients may have to show who they are. */
static bool is_misdirected(const struct generation *g, const struct entry_point *p,
			   const struct exchange *x, slice host)
{
	const struct tls_acceptor *a = g->tls.acceptors != NULL ? g->tls.acceptors[p->index] : NULL;

	return a != NULL && !slice_equal_nocase(host, x->server_name) &&
	       tls_acceptor_profile(a, host) != tls_acceptor_profile(a, x->server_name);
}

/* Routers say whether their requests are counted; entry points say it for those of none. */
static void settle_account(struct exchange *x, const struct entry_point *p,
			   const struct route *route)
{
	if (route != NULL ? !route->counted : !p->config->observability.metrics)
		account_drop(x);
}

/* The router's generation is not held for it. */
static void refuse_unpinned(struct exchange *x, int status, slice body, bool as_error)
{
	if (access_detach(x) < 0)
		access_drop(x);
	exchange_refuse(x, status, body, as_error);
}

static void handle(struct h1_server *s, struct exchange *x)
{
	struct worker_entry *entry = s->owner;
	struct worker *w = entry->worker;
	const struct entry_point *p = entry->entry_point;
	struct rule_input in = {
		.request = &x->request, .peer = &x->peer_address, .arena = &x->arena};
	struct route *route = NULL;
	int status;

	/* Neither does Traefik count what Go's server answers before it. */
	if (answer_of_server(&x->request) == 0)
		account_begin(x, p);
	x->route = entry;
	x->on_release = count_refused;
	if (forwarded_underscores(p->forwarded, &x->request.fields) != 0) {
		settle_account(x, p, NULL);
		exchange_refuse(x, 400, SLICE("Bad Request\n"), true);
		return;
	}
	status = prepare(p, x, &in);
	if (status == 0 && w->generation != NULL)
		route = router_find(generation_routers(w->generation, p, x->tls), &in);
	if (status == 0 && in.failed)
		status = 503;
	settle_account(x, p, route);
	if (status == 0 && p->access != NULL)
		access_begin(x, p, route);
	if (status == 0 && route != NULL && p->encoded_denied != 0 &&
	    path_is_denied(x->request.path, p->encoded_denied)) {
		refuse_unpinned(x, 400, (slice){NULL, 0}, false);
		return;
	}
	if (status == 0 && route != NULL && x->tls &&
	    is_misdirected(w->generation, p, x, in.host)) {
		refuse_unpinned(x, 421, SLICE("Misdirected Request\n"), true);
		return;
	}
	if (status != 0) {
		/* Traefik refuses without a body. */
		exchange_refuse(x, status, (slice){NULL, 0}, false);
		return;
	}
	if (route == NULL) {
		exchange_refuse(x, 404, SLICE("404 page not found\n"), true);
		return;
	}
	worker_pin(w, x, route);
	exchange_start(x, &route->chain);
}

static struct tls_acceptor *find_acceptor(struct h1_server *s)
{
	const struct worker_entry *entry = s->owner;
	const struct generation *g = entry->worker->generation;

	return g != NULL && g->tls.acceptors != NULL ? g->tls.acceptors[entry->entry_point->index]
						     : NULL;
}

static int start_entry(struct worker_entry *entry, struct worker *w, struct entry_point *p)
{
	struct h1_server_options options = p->server;
	int r;

	entry->worker = w;
	entry->entry_point = p;
	options.room = &w->room;
	r = h1_server_start(&entry->server, &w->loop, &w->exchanges, p->fds[w->index], &options,
			    handle, entry);
	if (r < 0)
		return r;
	entry->server.acceptor = find_acceptor;
	p->fds[w->index] = -1;
	entry->started = true;
	listener_pause(&entry->server.listener);
	return 0;
}

int worker_create(struct worker **worker, unsigned index, struct entry_point *entry_points,
		  size_t count, const struct static_config *config,
		  const struct worker_events *events)
{
	const struct weir_limits_config *limits = &config->weir.limits;
	const struct exchange_limits exchange = {
		.arena_bytes_max = (size_t)limits->exchange_bytes,
		.body_queue_bytes = (size_t)limits->body_queue_bytes,
		.repetitions_max = (unsigned)limits->request_repetitions};
	struct worker *w = calloc(1, sizeof *w);
	int r;

	if (w == NULL)
		return -ENOMEM;
	r = loop_init(&w->loop, (size_t)limits->buffer_bytes_per_worker);
	if (r < 0) {
		free(w);
		return r;
	}
	w->loop.pipes.max = (unsigned)limits->pipes_per_worker;
	w->magic = WORKER_MAGIC;
	w->index = w->loop.index = index;
	w->events = events;
	w->drain_timeout_ms = clock_ns_to_ms(config->weir.generations.drain_timeout_ns);
	w->generations_max = (uint64_t)config->weir.generations.max;
	exchange_pool_init(&w->exchanges, &w->loop, &exchange);
	h1_room_init(&w->room, (size_t)limits->connections_per_worker);
	w->entries = calloc(MAX(count, 1), sizeof *w->entries);
	*worker = w;
	for (size_t i = 0; w->entries != NULL && i < count; i++) {
		w->entry_count = i + 1;
		r = start_entry(&w->entries[i], w, &entry_points[i]);
		if (r < 0)
			return r;
	}
	return w->entries != NULL ? 0 : -ENOMEM;
}

static void *run(void *argument)
{
	struct worker *w = argument;

	(void)pthread_setname_np(pthread_self(), "weir-worker");
	loop_run(&w->loop);
	return NULL;
}

int worker_start(struct worker *w)
{
	sigset_t all, before;
	int r;

	/* Signals are the control thread's, but for the sampler's. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SAMPLER_SIGNAL);
	/* Faults belong to the thread that makes them; the engine turns a guest's into traps. */
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGILL);
	(void)sigdelset(&all, SIGFPE);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&w->thread, NULL, run, w);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	w->running = r == 0;
	return r;
}

static void accept_connections(struct worker *w)
{
	for (size_t i = 0; i < w->entry_count && !w->draining; i++)
		listener_resume(&w->entries[i].server.listener);
}

static void on_accept_order(struct message *m)
{
	accept_connections(container_of(m, struct worker, accept_order));
}

static void on_handover(struct message *m)
{
	struct generation_share *share = container_of(m, struct generation_share, handover);

	bool first = share->worker->generation == NULL;

	worker_take(share->worker, share->generation);
	if (first)
		accept_connections(share->worker);
}

static void on_withdrawal(struct message *m)
{
	worker_take(container_of(m, struct worker, withdrawal), NULL);
}

static void poll_drained(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, drain_poll);

	if (w->exchanges.live_count > 0) {
		loop_arm(&w->loop, t, DRAIN_POLL_MS, poll_drained);
		return;
	}
	w->events->drained(w);
}

static void maybe_drained(struct worker *w)
{
	for (size_t i = 0; i < w->entry_count; i++) {
		if (!w->entries[i].stopped)
			return;
	}
	poll_drained(&w->drain_poll);
}

static void on_server_stopped(struct h1_server *s)
{
	struct worker_entry *entry = s->owner;

	loop_disarm(&entry->worker->loop, &entry->grace);
	entry->stopped = true;
	maybe_drained(entry->worker);
}

static void grace_is_over(struct timer *t)
{
	struct worker_entry *entry = container_of(t, struct worker_entry, grace);

	h1_server_abort(&entry->server);
}

static void stop_accepting(struct timer *t)
{
	struct worker_entry *entry = container_of(t, struct worker_entry, grace);
	uint64_t ms = clock_ns_to_ms(entry->entry_point->config->transport.grace_ns);

	loop_arm(&entry->worker->loop, &entry->grace, MAX(ms, 1), grace_is_over);
	h1_server_drain(&entry->server, on_server_stopped);
}

/* Traefik: lifeCycle.requestAcceptGraceTimeout, then lifeCycle.graceTimeOut. */
static void drain_entry(struct worker_entry *entry)
{
	uint64_t ms = clock_ns_to_ms(entry->entry_point->config->transport.request_accept_grace_ns);

	if (ms > 0)
		loop_arm(&entry->worker->loop, &entry->grace, ms, stop_accepting);
	else
		stop_accepting(&entry->grace);
}

static void abort_entry(struct worker_entry *entry)
{
	if (entry->stopped)
		return;
	loop_disarm(&entry->worker->loop, &entry->grace);
	if (!entry->server.draining)
		h1_server_drain(&entry->server, on_server_stopped);
	h1_server_abort(&entry->server);
}

static void end_entries(struct worker *w, void (*end)(struct worker_entry *))
{
	bool first = !w->draining;

	w->draining = true;
	for (size_t i = 0; i < w->entry_count; i++)
		end(&w->entries[i]);
	if (w->entry_count == 0 && first)
		maybe_drained(w);
}

static void on_drain(struct message *m)
{
	end_entries(container_of(m, struct worker, drain_order), drain_entry);
}

static void on_abort(struct message *m)
{
	end_entries(container_of(m, struct worker, abort_order), abort_entry);
}

static void on_stop(struct message *m)
{
	loop_stop(&container_of(m, struct worker, stop_order)->loop);
}

static void order(struct worker *w, struct message *m, void (*obey)(struct message *))
{
	OBJ_CHECK(w, WORKER_MAGIC);
	must(m->run == NULL);
	m->run = obey;
	must(loop_post(&w->loop, m));
}

void worker_publish(struct worker *w, struct generation *g)
{
	struct generation_share *share = &g->shares[w->index];

	OBJ_CHECK(g, GENERATION_MAGIC);
	share->worker = w;
	share->generation = g;
	order(w, &share->handover, on_handover);
}

void worker_accept(struct worker *w)
{
	order(w, &w->accept_order, on_accept_order);
}

void worker_withdraw(struct worker *w)
{
	order(w, &w->withdrawal, on_withdrawal);
}

void worker_drain(struct worker *w)
{
	order(w, &w->drain_order, on_drain);
}

void worker_abort(struct worker *w)
{
	order(w, &w->abort_order, on_abort);
}

void worker_stop(struct worker *w)
{
	OBJ_CHECK(w, WORKER_MAGIC);
	if (!w->running)
		return;
	order(w, &w->stop_order, on_stop);
	must(pthread_join(w->thread, NULL) == 0);
	w->running = false;
}

static void note_stopped(struct h1_server *s)
{
	struct worker_entry *entry = s->owner;

	entry->stopped = true;
}

/* Of a worker that never ran: clients may wait all the same, and draining accepts them. */
static void end_entry(struct worker_entry *entry)
{
	h1_server_drain(&entry->server, note_stopped);
	h1_server_abort(&entry->server);
	while (!entry->stopped)
		(void)uv_run(&entry->worker->loop.uv, UV_RUN_ONCE);
}

void worker_destroy(struct worker **worker)
{
	struct worker *w;

	if (*worker == NULL)
		return;
	OBJ_TAKE(w, worker, WORKER_MAGIC);
	must(!w->running && w->generation == NULL && w->old_pins == 0);
	loop_disarm(&w->loop, &w->old_look);
	for (size_t i = 0; i < w->entry_count; i++) {
		if (w->entries[i].started && !w->entries[i].stopped)
			end_entry(&w->entries[i]);
	}
	loop_close(&w->loop);
	exchange_pool_free(&w->exchanges);
	free(w->entries);
	w->magic = 0;
	free(w);
}
