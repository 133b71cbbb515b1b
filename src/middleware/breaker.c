#include "middleware/breaker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base.h"

#define NS_PER_S UINT64_C(1000000000)

/* X(NAME, name in conditions, type, number of arguments, their type) */
#define FUNCTIONS(X) \
	X(LATENCY, "LatencyAtQuantileMS", PREDICATE_INTEGER, 1, PREDICATE_REAL) \
	X(NETWORK, "NetworkErrorRatio", PREDICATE_REAL, 0, PREDICATE_INTEGER) \
	X(STATUSES, "ResponseCodeRatio", PREDICATE_REAL, 4, PREDICATE_INTEGER)

enum function {
#define X(id, name, result, count, parameters) FUNCTION_##id,
	FUNCTIONS(X)
#undef X
};

static const struct predicate_function functions[] = {
#define X(id, name, result, count, parameters) \
	{{name, sizeof(name) - 1}, result, count, parameters},
	FUNCTIONS(X)
#undef X
};

static const struct predicate_language language = {"cbreaker", true, functions,
						   ARRAY_LEN(functions)};

static int get_memory(struct breaker *b)
{
	if (predicate_calls(b->condition, FUNCTION_LATENCY)) {
		b->times_taken = calloc(1, sizeof *b->times_taken);
		if (b->times_taken == NULL)
			return -ENOMEM;
	}
	if (!predicate_calls(b->condition, FUNCTION_STATUSES))
		return 0;
	b->statuses = calloc((size_t)BREAKER_SECONDS * BREAKER_STATUSES, sizeof *b->statuses);
	if (b->statuses == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < BREAKER_SECONDS; i++)
		b->seconds[i].statuses = b->statuses + i * BREAKER_STATUSES;
	return 0;
}

int breaker_init(struct breaker *b, slice condition, const struct breaker_times *times,
		 struct weir_error *e)
{
	int r = predicate_compile(&b->condition, condition, &language, e);

	b->times = *times;
	atomic_store(&b->state, BREAKER_CLOSED);
	if (r == 0 && get_memory(b) < 0)
		r = error_set(e, -ENOMEM, "out of memory");
	return r;
}

void breaker_free(struct breaker *b)
{
	predicate_free(&b->condition);
	free(b->statuses);
	free(b->times_taken);
	b->statuses = NULL;
	b->times_taken = NULL;
}

bool breaker_is_closed(const struct breaker *b)
{
	return atomic_load_explicit(&b->state, memory_order_relaxed) == BREAKER_CLOSED;
}

static void set_state(struct breaker *b, enum breaker_state state, uint64_t until_ns)
{
	atomic_store_explicit(&b->state, state, memory_order_relaxed);
	b->until_ns = until_ns;
}

/* The share that may have passed grows to 0.5, where as many pass as do not: closing comes next. */
static bool allows(struct breaker *b, uint64_t now_ns)
{
	double passed_ns = (double)(MAX(now_ns, b->recovering_since_ns) - b->recovering_since_ns),
	       target = 0.5 * passed_ns / (double)b->times.recovery_ns,
	       share = (double)(b->allowed + 1) / (double)(b->allowed + 1 + b->denied);
	bool yes = share < target;

	b->allowed += yes;
	b->denied += !yes;
	return yes;
}

bool breaker_passes(struct breaker *b, uint64_t now_ns)
{
	if (breaker_is_closed(b))
		return true;
	if (b->state == BREAKER_OPEN) {
		if (now_ns < b->until_ns)
			return false;
		set_state(b, BREAKER_RECOVERING, now_ns + b->times.recovery_ns);
		b->recovering_since_ns = now_ns;
		b->allowed = b->denied = 0;
	}
	if (now_ns > b->until_ns) {
		set_state(b, BREAKER_CLOSED, now_ns);
		return true;
	}
	return allows(b, now_ns);
}

static void clear_second(struct breaker_second *s, uint64_t second)
{
	s->second = second;
	s->total = s->network_errors = 0;
	if (s->statuses != NULL)
		memset(s->statuses, 0, BREAKER_STATUSES * sizeof *s->statuses);
}

static bool is_recent(const struct breaker_second *s, uint64_t now_ns)
{
	return s->second != 0 && now_ns / NS_PER_S - s->second < BREAKER_SECONDS;
}

static void add(struct breaker *b, int status, uint64_t now_ns)
{
	/* 0 is kept for seconds without requests. */
	uint64_t second = now_ns / NS_PER_S + (now_ns < NS_PER_S);
	struct breaker_second *s = &b->seconds[second % BREAKER_SECONDS];

	if (s->second != second)
		clear_second(s, second);
	s->total++;
	s->network_errors += status == 502 || status == 504;
	if (s->statuses != NULL && status >= 0 && status < BREAKER_STATUSES)
		s->statuses[status]++;
}

static double ratio(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (double)part / (double)whole;
}

static double network_error_ratio(const struct breaker *b)
{
	uint64_t errors = 0, total = 0;

	for (size_t i = 0; i < BREAKER_SECONDS; i++) {
		if (is_recent(&b->seconds[i], b->now_ns)) {
			errors += b->seconds[i].network_errors;
			total += b->seconds[i].total;
		}
	}
	return ratio(errors, total);
}

static uint64_t count_statuses(const struct breaker *b, int64_t from, int64_t to)
{
	uint64_t count = 0;

	for (size_t i = 0; i < BREAKER_SECONDS; i++) {
		if (!is_recent(&b->seconds[i], b->now_ns))
			continue;
		for (int64_t status = MAX(from, 0); status < MIN(to, BREAKER_STATUSES); status++)
			count += b->seconds[i].statuses[status];
	}
	return count;
}

static void look(void *context, unsigned function, const struct predicate_value *a,
		 struct predicate_value *value)
{
	const struct breaker *b = context;

	switch ((enum function)function) {
	case FUNCTION_LATENCY:
		value->integer = (int64_t)(latency_window_at(b->times_taken, a[0].real) / 1000);
		break;
	case FUNCTION_NETWORK:
		value->real = network_error_ratio(b);
		break;
	case FUNCTION_STATUSES:
		value->real = ratio(count_statuses(b, a[0].integer, a[1].integer),
				    count_statuses(b, a[2].integer, a[3].integer));
		break;
	}
}

static void forget(struct breaker *b, uint64_t now_ns)
{
	for (size_t i = 0; i < BREAKER_SECONDS; i++)
		clear_second(&b->seconds[i], 0);
	if (b->times_taken != NULL)
		latency_window_reset(b->times_taken, now_ns);
}

bool breaker_record(struct breaker *b, int status, uint64_t latency_ns, uint64_t now_ns)
{
	add(b, status, now_ns);
	if (b->times_taken != NULL)
		latency_window_add(b->times_taken, latency_ns, now_ns);
	if (now_ns <= b->next_check_ns)
		return false;
	b->next_check_ns = now_ns + b->times.check_ns;
	b->now_ns = now_ns;
	if (b->state == BREAKER_OPEN || !predicate_holds(b->condition, look, b))
		return false;
	set_state(b, BREAKER_OPEN, now_ns + b->times.fallback_ns);
	forget(b, now_ns);
	return true;
}
