#include "proxy/internal.h"

#include "http/exchange.h"

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
		.service = {SERVICE_MAGIC, &ping_class, SLICE(PING_SERVICE_NAME)},
		.terminating = terminating,
		.terminating_status = terminating_status};
}
