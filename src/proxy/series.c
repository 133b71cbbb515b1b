#include "proxy/series_private.h"

#include <errno.h>
#include <stdlib.h>

struct series_cell {
	struct series_cell *next;
	struct series_key key;
	_Atomic uint64_t requests, request_bytes, response_bytes, duration_ns;
	_Atomic uint64_t buckets[]; /* the last one: longer than all bounds */
};

slice series_method_text(enum method m)
{
	static const slice texts[] = {
		[METHOD_OTHER] = {"EXTENSION_METHOD", sizeof "EXTENSION_METHOD" - 1},
#define X(name) [METHOD_##name] = {#name, sizeof #name - 1},
		METHOD_NAMES(X)
#undef X
	};

	must((size_t)m < ARRAY_LEN(texts));
	return texts[m];
}

slice series_protocol_text(enum series_protocol p)
{
	static const slice texts[] = {
#define X(name, text) {text, sizeof text - 1},
		SERIES_PROTOCOLS(X)
#undef X
	};

	must((size_t)p < ARRAY_LEN(texts));
	return texts[p];
}

/* Traefik looks at the first line only, and at whole elements of its list. */
static bool lists(slice value, slice token)
{
	slice rest = value, part;

	while (slice_next(&rest, ',', &part)) {
		if (slice_equal_nocase(slice_trim(part), token))
			return true;
	}
	return false;
}

enum series_protocol series_protocol_of(const struct request *q)
{
	const struct fields *f = &q->fields;
	slice type = fields_value_id(f, FIELD_CONTENT_TYPE);

	if (q->upgrade && lists(fields_value_id(f, FIELD_UPGRADE), SLICE("websocket")))
		return SERIES_WEBSOCKET;
	if (lists(fields_value_id(f, FIELD_ACCEPT), SLICE("text/event-stream")))
		return SERIES_SSE;
	if (slice_starts(type, SLICE("application/grpc-web")))
		return SERIES_GRPC_WEB;
	if (slice_starts(type, SLICE("application/grpc")))
		return SERIES_GRPC;
	return SERIES_HTTP;
}

uint16_t series_code_of(enum series_protocol protocol, const struct response *r)
{
	const struct field *status;
	uint64_t code;

	if (protocol != SERIES_GRPC && protocol != SERIES_GRPC_WEB)
		return r->status > 0 ? (uint16_t)r->status : 499;
	status = fields_find(&r->fields, SLICE("grpc-status"));
	/* 2 is gRPC's UNKNOWN. */
	return status != NULL && slice_to_u64(status->value, &code) && code <= 999 ? (uint16_t)code
										   : 2;
}

int series_shape_init(struct series_shape *shape, const struct static_config *config)
{
	const struct prometheus_config *p = static_prometheus(config);

	*shape = (struct series_shape){.entry_points = false};
	if (p == NULL)
		return 0;
	shape->entry_points = p->add_entry_points_labels;
	shape->routers = p->add_routers_labels;
	shape->services = p->add_services_labels;
	shape->internals = config->metrics->add_internals;
	shape->bounds_ns = calloc(p->buckets.count + 1, sizeof *shape->bounds_ns);
	if (shape->bounds_ns == NULL)
		return -ENOMEM;
	shape->bound_count = p->buckets.count;
	for (size_t i = 0; i < p->buckets.count; i++)
		shape->bounds_ns[i] = (uint64_t)(MAX(p->buckets.items[i], 0.0) * 1e9);
	shape->labelled_max = (size_t)config->weir.limits.header_label_series;
	return series_read_headers(shape, &p->header_labels);
}

void series_shape_free(struct series_shape *shape)
{
	free(shape->bounds_ns);
	series_free_headers(shape);
	*shape = (struct series_shape){.entry_points = false};
}

static bool same_key(struct series_key a, struct series_key b)
{
	return a.code == b.code && a.method == b.method && a.protocol == b.protocol;
}

static struct series_cell *find_cell(struct series *s, const struct series_shape *shape,
				     struct series_key key)
{
	struct series_cell *_Atomic *list = &s->lists[(key.code + key.method) % SERIES_LISTS];
	struct series_cell *first = atomic_load_explicit(list, memory_order_relaxed), *c;

	for (c = first; c != NULL; c = c->next) {
		if (same_key(c->key, key))
			return c;
	}
	if (s->count >= SERIES_CELLS_MAX)
		return NULL;
	c = calloc(1, sizeof *c + (shape->bound_count + 1) * sizeof c->buckets[0]);
	if (c == NULL)
		return NULL;
	c->next = first;
	c->key = key;
	s->count++;
	atomic_store_explicit(list, c, memory_order_release);
	return c;
}

void series_add(struct series *s, const struct series_shape *shape, struct series_key key,
		const struct series_request *request)
{
	struct series_cell *c = s->last;
	size_t bucket = 0;

	if (c == NULL || !same_key(c->key, key))
		c = find_cell(s, shape, key);
	if (c == NULL) {
		counter_add(&s->refused, 1);
		return;
	}
	s->last = c;
	while (bucket < shape->bound_count && request->duration_ns > shape->bounds_ns[bucket])
		bucket++;
	counter_add(&c->requests, 1);
	counter_add(&c->request_bytes, request->request_bytes);
	counter_add(&c->response_bytes, request->response_bytes);
	counter_add(&c->duration_ns, request->duration_ns);
	counter_add(&c->buckets[bucket], 1);
}

/* The place of a version and a cipher suite, made if it is new; NULL if there is no room. */
static struct series_tls *find_tls(struct series_tls_list *list, const char *version,
				   const char *cipher)
{
	uint32_t count = atomic_load_explicit(&list->count, memory_order_relaxed);

	for (uint32_t i = 0; i < count; i++) {
		if (list->items[i].version == version && list->items[i].cipher == cipher)
			return &list->items[i];
	}
	if (count == SERIES_TLS_MAX)
		return NULL;
	list->items[count].version = version;
	list->items[count].cipher = cipher;
	atomic_store_explicit(&list->count, count + 1, memory_order_release);
	return &list->items[count];
}

void series_add_tls(struct series *s, const char *version, const char *cipher)
{
	struct series_tls_list *list = atomic_load_explicit(&s->tls, memory_order_relaxed);
	struct series_tls *item;

	if (list == NULL) {
		list = calloc(1, sizeof *list);
		atomic_store_explicit(&s->tls, list, memory_order_release);
	}
	item = list != NULL ? find_tls(list, version, cipher) : NULL;
	if (item != NULL)
		counter_add(&item->requests, 1);
	else
		counter_add(&s->refused, 1);
}

void series_sum_tls(struct series_tls_list *all, const struct series *workers, size_t count)
{
	memset(all, 0, sizeof *all);
	for (size_t w = 0; w < count; w++) {
		struct series_tls_list *list =
			atomic_load_explicit(&workers[w].tls, memory_order_acquire);
		uint32_t n =
			list != NULL ? atomic_load_explicit(&list->count, memory_order_acquire) : 0;

		for (uint32_t i = 0; i < n; i++) {
			struct series_tls *to =
				find_tls(all, list->items[i].version, list->items[i].cipher);

			if (to != NULL)
				counter_add(&to->requests, counter_get(&list->items[i].requests));
		}
	}
}

static void add_sum(struct series_sum *to, const struct series_cell *c, size_t bound_count)
{
	to->requests += counter_get(&c->requests);
	to->totals.request_bytes += counter_get(&c->request_bytes);
	to->totals.response_bytes += counter_get(&c->response_bytes);
	to->totals.duration_ns += counter_get(&c->duration_ns);
	for (size_t i = 0; i <= bound_count; i++)
		to->buckets[i] += counter_get(&c->buckets[i]);
}

static uint32_t rank(struct series_key k)
{
	return (uint32_t)k.code << 16 | (uint32_t)k.method << 8 | k.protocol;
}

static int by_key(const void *a, const void *b)
{
	uint32_t x = rank(((const struct series_sum *)a)->key),
		 y = rank(((const struct series_sum *)b)->key);

	return (x > y) - (x < y);
}

static struct series_sum *sum_of(struct series_sums *all, struct series_key key)
{
	struct series_sum *sum;

	for (size_t i = 0; i < all->count; i++) {
		if (same_key(all->sums[i].key, key))
			return &all->sums[i];
	}
	if (all->count >= all->capacity)
		return NULL;
	sum = &all->sums[all->count];
	*sum = (struct series_sum){.key = key,
				   .buckets = &all->buckets[all->count * all->bucket_count]};
	memset(sum->buckets, 0, all->bucket_count * sizeof *sum->buckets);
	all->count++;
	return sum;
}

static void sum_list(struct series_sums *all, struct series_cell *_Atomic *list)
{
	const struct series_cell *c = atomic_load_explicit(list, memory_order_acquire);

	for (; c != NULL; c = c->next) {
		struct series_sum *sum = sum_of(all, c->key);

		if (sum != NULL)
			add_sum(sum, c, all->bucket_count - 1);
	}
}

int series_sums_init(struct series_sums *all, const struct series_shape *shape, size_t workers)
{
	*all = (struct series_sums){.capacity = SERIES_CELLS_MAX * workers,
				    .bucket_count = shape->bound_count + 1};
	all->sums = calloc(all->capacity, sizeof *all->sums);
	all->buckets = calloc(all->capacity * all->bucket_count, sizeof *all->buckets);
	if (all->sums != NULL && all->buckets != NULL)
		return 0;
	series_sums_free(all);
	return -ENOMEM;
}

void series_sums_free(struct series_sums *all)
{
	free(all->sums);
	free(all->buckets);
	*all = (struct series_sums){.count = 0};
}

void series_sum(struct series_sums *all, struct series *workers, size_t count)
{
	all->count = 0;
	for (size_t w = 0; w < count; w++) {
		for (size_t i = 0; i < SERIES_LISTS; i++)
			sum_list(all, &workers[w].lists[i]);
	}
	qsort(all->sums, all->count, sizeof *all->sums, by_key);
}

void series_free(struct series *s)
{
	free(atomic_load(&s->tls));
	series_free_labelled(s);
	for (size_t i = 0; i < SERIES_LISTS; i++) {
		struct series_cell *c = atomic_load(&s->lists[i]);

		while (c != NULL) {
			struct series_cell *next = c->next;

			free(c);
			c = next;
		}
	}
}
