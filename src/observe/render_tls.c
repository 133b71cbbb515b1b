#include <errno.h>

#include "net/tls_certificate_facts.h"
#include "observe/render_private.h"
#include "proxy/stats.h"

/* What is counted of TLS, and which certificates there are. */

struct requests {
	struct rendering *r;
	enum series_kind kind;
};

static void on_requests(void *context, const struct series_group *g, const struct series_tls *sum)
{
	const struct requests *q = context;
	struct label labels[4];
	size_t n = 0;

	if (g->kind != q->kind)
		return;
	if (g->kind == SERIES_ENTRY_POINT)
		labels[n++] = (struct label){"entrypoint", g->name};
	if (g->kind == SERIES_ROUTER)
		labels[n++] = (struct label){"router", g->name};
	if (g->kind != SERIES_ENTRY_POINT)
		labels[n++] =
			(struct label){"service", g->kind == SERIES_ROUTER ? g->service : g->name};
	labels[n++] = (struct label){"tls_cipher", slice_from(sum->cipher)};
	labels[n++] = (struct label){"tls_version", slice_from(sum->version)};
	exposition_number(q->r->out, str_slice(&q->r->name), labels, n,
			  counter_get(&sum->requests));
}

int render_tls_requests(struct rendering *r, struct series_registry *series)
{
	const struct series_shape *shape = series_registry_shape(series);
	const struct {
		bool counted;
		enum series_kind kind;
		enum family_group_id id;
	} rows[] = {
		{shape->entry_points, SERIES_ENTRY_POINT, FAMILIES_ENTRY_POINT_REQUESTS_TLS},
		{shape->routers, SERIES_ROUTER, FAMILIES_ROUTER_REQUESTS_TLS},
		{shape->services, SERIES_SERVICE, FAMILIES_SERVICE_REQUESTS_TLS},
	};
	int result = 0;

	for (size_t i = 0; result == 0 && i < ARRAY_LEN(rows); i++) {
		struct requests q = {r, rows[i].kind};

		if (!rows[i].counted)
			continue;
		(void)render_begin(r, rows[i].id, 0);
		result = series_visit_tls(series, on_requests, &q);
	}
	return result;
}

static int add_certificate(struct rendering *r, const struct tls_certificate *c)
{
	struct tls_certificate_facts facts;
	struct arena arena;
	int result;

	arena_init(&arena, 4096, (size_t)64 << 20);
	result = tls_certificate_describe(c, &arena, &facts);
	if (result == 0) {
		const struct label labels[] = {{"cn", facts.common_name},
					       {"sans", facts.dns_names},
					       {"serial", facts.serial}};

		exposition_number(r->out, str_slice(&r->name), labels, ARRAY_LEN(labels),
				  facts.not_after_s > 0 ? (uint64_t)facts.not_after_s : 0);
	}
	arena_free(&arena);
	return result;
}

int render_certificates(struct rendering *r, struct tls_store *store)
{
	int result = 0;

	(void)render_begin(r, FAMILIES_CERTIFICATES, 0);
	for (size_t i = 0; result == 0 && store != NULL && i < store->count; i++) {
		if (!store->list[i]->generated)
			result = add_certificate(r, store->list[i]);
	}
	return result;
}
