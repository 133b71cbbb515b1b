#include "proxy/internal.h"

#include "http/exchange.h"

const slice internal_service_names[INTERNAL_SERVICE_COUNT] = {
#define X(name, text, rule) {text, sizeof(text) - 1},
	INTERNAL_SERVICES(X)
#undef X
};

slice internal_service_rule(enum internal_service which)
{
	static const slice rules[] = {
#define X(name, text, rule) {rule, sizeof(rule) - 1},
		INTERNAL_SERVICES(X)
#undef X
	};

	return rules[which];
}

bool internal_service_wanted(enum internal_service which, const struct static_config *c)
{
	return which == INTERNAL_PING ? c->ping != NULL : static_prometheus(c) != NULL;
}

slice internal_service_entry_point(enum internal_service which, const struct static_config *c)
{
	const struct prometheus_config *p = static_prometheus(c);

	if (which == INTERNAL_PING && c->ping != NULL && !c->ping->manual_routing)
		return c->ping->entry_point;
	if (which == INTERNAL_PROMETHEUS && p != NULL && !p->manual_routing)
		return p->entry_point;
	return (slice){NULL, 0};
}

static void start(struct service *s, struct exchange *x)
{
	struct ping_service *p = container_of(s, struct ping_service, service);
	int status = atomic_load_explicit(p->terminating, memory_order_relaxed)
			     ? p->terminating_status
			     : 200;

	OBJ_CHECK(s, SERVICE_MAGIC);
	exchange_reply(x, status, slice_from(status_text(status)), false);
}

static void cancel(struct service *s, struct exchange *x)
{
	(void)s;
	(void)x;
}

static const struct service_class ping_class = {.name = "ping", .start = start, .cancel = cancel};

void ping_service_init(struct ping_service *p, const _Atomic bool *terminating,
		       int terminating_status)
{
	*p = (struct ping_service){
		.service = {SERVICE_MAGIC, &ping_class, internal_service_names[INTERNAL_PING]},
		.terminating = terminating,
		.terminating_status = terminating_status};
}

static void never_start(struct service *s, struct exchange *x)
{
	(void)s;
	(void)x;
	must_not_reach("a service is called that was made to be looked at");
}

static const struct service_class unused_class = {
	.name = "unused", .start = never_start, .cancel = never_start};

void internal_service_init_unused(struct service *s, enum internal_service which)
{
	*s = (struct service){SERVICE_MAGIC, &unused_class, internal_service_names[which]};
}
