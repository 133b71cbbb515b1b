#include "proxy/load_balancer.h"

#include <errno.h>

#include "core/clock.h"
#include "core/log.h"
#include "proxy/access.h"
#include "proxy/account.h"
#include "proxy/entry_point.h"
#include "proxy/generation.h"

/* One exchange on its way to one server. In the exchange's arena. */
struct forwarding {
	struct client_call call;
	struct exchange *x;
	struct upstream *upstream;
	const struct server *server; /* until there is a response: the generation's */
	struct series_group *series;
	uint64_t begun_ns; /* 0: not counted */
	uint16_t code;     /* 0: no response yet */
	bool detached;     /* has references of its own to `upstream` and `series` */
};

static struct load_balancer *self(struct service *s)
{
	struct load_balancer *b = container_of(s, struct load_balancer, service);

	OBJ_CHECK(b, LOAD_BALANCER_MAGIC);
	return b;
}

/* RFC 9110 section 15.6, with the statuses that Traefik chooses (section "Errors" of its proxy). */
static int status_of(int code)
{
	switch (code) {
	case -ETIMEDOUT:
		return 504;
	case -EBUSY:
	case -ENOBUFS:
		return 503;
	case -ENOMEM:
	case -EKEYREJECTED: /* not as other faults of servers, as in Traefik */
		return 500;
	default:
		return 502;
	}
}

static void count(const struct forwarding *f, uint16_t code, uint64_t response_bytes)
{
	struct exchange *x = f->x;
	const struct series_request request = {
		.request_bytes = f->call.request_body->taken_bytes,
		.response_bytes = response_bytes,
		.duration_ns = clock_mono_ns() - f->begun_ns,
	};

	account_service(x, f->series, code, &request);
}

static void count_response(const struct forwarding *f)
{
	const struct body *b = f->call.response_body;

	if (f->begun_ns != 0)
		count(f, f->code != 0 ? f->code : 499, b->taken_bytes + b->bytes);
	access_origin_end(f->x, b);
}

static uint16_t code_of(const struct exchange *x)
{
	const struct account *a = x->account;

	return a != NULL ? series_code_of((enum series_protocol)a->key.protocol, &x->response) : 0;
}

static void note(const struct forwarding *f, int code)
{
	struct exchange *x = f->x;
	int64_t changed = upstream_note(f->upstream, x->loop, code, f->call.sent);

	if (changed > 0)
		log_warn_with((LOG_TEXT("serviceName", x->service->name),
			       LOG_TEXT("serverURL", f->server->url),
			       LOG_STRING("error", strerror(-code)),
			       LOG_INTEGER("milliseconds", changed)),
			      "Server cannot be reached and is left out if others can serve");
	else if (changed < 0)
		log_info_with((LOG_TEXT("serviceName", x->service->name),
			       LOG_TEXT("serverURL", f->server->url)),
			      "Server answers again");
}

static void on_responded(struct client_call *call)
{
	struct forwarding *f = container_of(call, struct forwarding, call);
	struct exchange *x = f->x;

	note(f, 0);
	f->code = code_of(x);
	x->request_sent = true;
	access_origin_status(x, x->response.status);
	if (call->complete) {
		count_response(f);
		exchange_service_done(x);
	}
	if (forwarded_answer(&x->response) < 0)
		exchange_answer(x, 500, slice_from(status_text(500)), false);
	exchange_respond(x);
}

/* It has no body whose length could be told (RFC 9110 section 8.6). */
static void on_informed(struct client_call *call, struct response *interim)
{
	if (forwarded_answer(interim) < 0)
		return;
	(void)fields_remove_id(&interim->fields, FIELD_CONTENT_LENGTH);
	exchange_inform(container_of(call, struct forwarding, call)->x, interim);
}

static void on_failed(struct client_call *call, int code)
{
	struct forwarding *f = container_of(call, struct forwarding, call);
	struct exchange *x = f->x;
	const struct body *b = x->request_body;
	int status = status_of(code);

	note(f, code);
	x->request_sent = call->sent;
	/* The client's own fault: its body was malformed. */
	if (b->state == BODY_ABORTED && b->abort_code == -EPROTO)
		status = 400;
	log_debug_with((LOG_TEXT("serviceName", x->service->name),
			LOG_STRING("error", strerror(-code)), LOG_INTEGER("status", status)),
		       "Request could not be forwarded");
	if (f->begun_ns != 0)
		count(f, (uint16_t)status, strlen(status_text(status)));
	access_origin_failed(x, status);
	exchange_fail(x, status);
}

static void release(struct forwarding *f)
{
	if (!f->detached)
		return;
	f->detached = false;
	series_release(&f->series);
	upstream_release(&f->upstream);
}

static void on_done(struct client_call *call)
{
	struct forwarding *f = container_of(call, struct forwarding, call);

	count_response(f);
	release(f);
	exchange_service_done(f->x);
}

/* The request target for the upstream: with preservePath behind the path of the server's URL,
 * joined by exactly one slash. */
static slice make_target(struct exchange *x, const struct server *s)
{
	slice target = exchange_target(x), base = s->path;

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	if (base.n == 0 || target.p == NULL || target.p[0] != '/')
		return target;
	return arena_format(&x->arena, "%.*s%.*s", SLICE_ARG(base), SLICE_ARG(target));
}

/* Servers may answer 411 to these without a length (RFC 9110 section 8.6). */
static bool expects_a_body(enum method m)
{
	return m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH;
}

/* What this hop says for itself: Host, and how long the body is. Returns 0 or -ENOMEM. */
static int set_hop_fields(struct exchange *x, const struct load_balancer *b, const struct server *s)
{
	struct request *q = &x->request;
	const struct route *route = x->route;
	struct forwarded_peer peer = {
		.address = &x->peer_address, .text = x->peer_host, .tls = x->tls};
	bool keep_host = b->pass_host_header && q->authority.n > 0;
	int r = forwarded_send(route->entry_point->forwarded, q, &peer, x->forwarded_for_dropped);

	if (r == 0)
		r = fields_set_id(&q->fields, FIELD_HOST, keep_host ? q->authority : s->host);
	if (r == 0 && q->framing == FRAMING_CHUNKED)
		r = fields_set_id(&q->fields, FIELD_TRANSFER_ENCODING, SLICE("chunked"));
	if (r == 0 && q->framing == FRAMING_NONE && expects_a_body(q->method_id))
		r = fields_set_id(&q->fields, FIELD_CONTENT_LENGTH, SLICE("0"));
	return r;
}

/* Whose turn it is, unless that one cannot be reached and somebody else can; -1: there is none. */
static int choose(struct load_balancer *b, const struct loop *loop)
{
	uint32_t place;
	int chosen = balancer_next(&b->balancer, &place), other;

	if (chosen < 0 || b->count == 1 || !upstream_is_held(b->servers[chosen].upstream, loop))
		return chosen;
	for (uint32_t i = 1; (other = balancer_after(&b->balancer, place, i)) >= 0; i++) {
		struct upstream *u = b->servers[other].upstream;

		if (other != chosen && !upstream_is_held(u, loop)) {
			upstream_count_passed_over(u, loop);
			return other;
		}
	}
	return chosen;
}

static void start(struct service *service, struct exchange *x)
{
	struct load_balancer *b = self(service);
	int chosen = choose(b, x->loop);
	struct forwarding *f;
	struct server *s;
	struct client *c;
	slice target;

	/* Only a plugin can have made it one: the entry point answers CONNECT itself. */
	if (x->request.method_id == METHOD_CONNECT) {
		exchange_fail(x, 501);
		return;
	}
	if (chosen < 0) {
		exchange_reply(x, 503, SLICE("no available server\n"), true);
		return;
	}
	s = &b->servers[chosen];
	c = upstream_client(s->upstream, x->loop);
	f = ARENA_NEW(&x->arena, struct forwarding);
	target = make_target(x, s);
	access_keep_request(x);
	if (c == NULL || f == NULL || target.p == NULL || set_hop_fields(x, b, s) < 0) {
		exchange_fail(x, 500);
		return;
	}
	if (x->request.upgrade &&
	    !protocol_is_printable(fields_value_id(&x->request.fields, FIELD_UPGRADE))) {
		exchange_fail(x, 400);
		return;
	}
	f->x = x;
	x->reached_server = true;
	f->upstream = s->upstream;
	f->server = s;
	f->series = b->series;
	access_origin_begin(x, service->name, s);
	if (b->series != NULL && x->account != NULL)
		f->begun_ns = clock_mono_ns();
	if (b->series != NULL && x->repetitions > 0)
		counter_add(&b->series->workers[x->loop->index].retries, 1);
	f->call = (struct client_call){.magic = CALL_MAGIC,
				       .request = &x->request,
				       .target = target,
				       .request_body = x->request_body,
				       .arena = &x->arena,
				       .response = &x->response,
				       .response_body = x->response_body,
				       .response_trailers = &x->response_trailers,
				       .responded = on_responded,
				       .informed = on_informed,
				       .failed = on_failed,
				       .done = on_done};
	x->service_state = f;
	client_start(c, &f->call);
}

static void cancel(struct service *service, struct exchange *x)
{
	struct forwarding *f = x->service_state;

	(void)service;
	count_response(f);
	client_cancel(&f->call);
	release(f);
}

/* The connection belongs to the endpoint, which goes with its last reference. */
static int detach(struct service *service, struct exchange *x)
{
	struct forwarding *f = x->service_state;

	(void)service;
	if (f->detached)
		return 0;
	f->detached = true;
	(void)upstream_ref(f->upstream);
	(void)series_ref(f->series);
	return 0;
}

static void tunnel(struct exchange *x, struct tunnel *t)
{
	struct forwarding *f = x->service_state;

	client_tunnel(&f->call, &t->up, &t->down);
}

const struct service_class load_balancer_class = {.name = "loadBalancer",
						  .start = start,
						  .cancel = cancel,
						  .detach = detach,
						  .tunnel = tunnel};

void load_balancer_release(struct load_balancer *b)
{
	OBJ_CHECK(b, LOAD_BALANCER_MAGIC);
	/* First: the addresses of the endpoints are its key. */
	turn_release(&b->turn);
	for (size_t i = 0; i < b->count; i++)
		upstream_release(&b->servers[i].upstream);
	series_release(&b->series);
	b->magic = 0;
}
