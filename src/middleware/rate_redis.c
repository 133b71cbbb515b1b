#include "middleware/rate_redis.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/static.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/sha1.h"
#include "middleware/client_tls.h"
#include "redis/cluster.h"

#define NS_PER_US 1000u

/* As Traefik's client: for one of the two time-outs that is 0. */
#define IO_TIMEOUT_MS 3000u
#define DIAL_TIMEOUT_MS 5000u
#define CONNECTIONS_PER_WORKER 10

/* Servers of a cluster that one question is sent to. */
#define MOVES_MAX 6u

/*
 * Traefik's fields, arguments and answer: the commands are those that it uses, too, so that one
 * access list serves both. A bucket that is not known is full. A request that would have to wait
 * for too long takes nothing.
 */
static const char script[] =
	"local rate, burst, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])\n"
	"local now, patience = tonumber(ARGV[4]), tonumber(ARGV[5])\n"
	"local known, bucket = redis.call('hgetall', KEYS[1]), {}\n"
	"for i = 1, #known, 2 do bucket[known[i]] = tonumber(known[i + 1]) end\n"
	"local tokens = burst\n"
	"if bucket.last and bucket.tokens then\n"
	"  local since = math.max(now - bucket.last, 0)\n"
	"  tokens = math.min(bucket.tokens + since * rate, burst)\n"
	"end\n"
	"local left, wait = tokens - 1, 0\n"
	"if left < 0 then\n"
	"  wait = -left / rate\n"
	"  if wait > patience then left = tokens end\n"
	"end\n"
	"redis.call('hset', KEYS[1], 'last', now, 'tokens', left)\n"
	"redis.call('expire', KEYS[1], ttl)\n"
	"return {'true', tostring(wait), tostring(left)}\n";

struct rate_redis {
	slice name; /* of the middleware */
	struct redis_cluster *servers;
	uint64_t wait_max_us;
	char hash[2 * SHA1_DIGEST_BYTES + 1]; /* of the script */
	/* Arguments of the script. */
	char rate[32], burst[32], ttl[32], patience[32];
	_Atomic uint64_t reported_s; /* when a failure was last logged */
};

static void fill_arguments(struct rate_redis *r, const struct rate_terms *t)
{
	unsigned char digest[SHA1_DIGEST_BYTES];

	r->wait_max_us = t->wait_max_ns / NS_PER_US;
	(void)snprintf(r->rate, sizeof r->rate, "%.17g", t->per_second / 1e6);
	(void)snprintf(r->burst, sizeof r->burst, "%.0f", t->burst);
	(void)snprintf(r->ttl, sizeof r->ttl, "%llu", (unsigned long long)t->keep_s);
	(void)snprintf(r->patience, sizeof r->patience, "%llu", (unsigned long long)r->wait_max_us);
	sha1(slice_from(script), digest);
	for (size_t i = 0; i < sizeof digest; i++)
		(void)snprintf(r->hash + 2 * i, 3, "%02x", digest[i]);
}

/* At most one line a second of each middleware; the rest is for those that debug. */
static void report(struct rate_redis *r, slice why)
{
	uint64_t now_s = clock_mono_ms() / 1000 + 1;
	bool first = atomic_exchange_explicit(&r->reported_s, now_s, memory_order_relaxed) != now_s;

	LOG_WITH(first ? LOG_ERROR : LOG_DEBUG,
		 (LOG_TEXT("middlewareName", r->name), LOG_TEXT("error", why)),
		 "Could not insert/update bucket");
}

static void answer(struct rate_question *q, int how)
{
	redis_server_release(&q->server);
	q->answer = how;
	q->answered(q);
}

static void fail(struct rate_question *q, int code, slice why)
{
	report(q->redis, why);
	answer(q, code);
}

/* Microseconds. Returns false where that is no number, or none that a wait can be. */
static bool read_wait(const struct redisReply *reply, double *us)
{
	slice text = redis_reply_text(reply);
	char *end;

	*us = strtod(text.p, &end);
	return text.n > 0 && end == text.p + text.n && isfinite(*us) && *us >= 0;
}

static void take_answer(struct rate_question *q, const struct redisReply *reply)
{
	double us;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
	    !slice_equal(redis_reply_text(reply->element[0]), SLICE("true")) ||
	    !read_wait(reply->element[1], &us)) {
		fail(q, -EPROTO, SLICE("the answer of Redis is not one to the script"));
		return;
	}
	q->wait_ns = us < (double)(INT64_MAX / NS_PER_US) ? (uint64_t)(us * NS_PER_US) : INT64_MAX;
	if (us > (double)q->redis->wait_max_us)
		answer(q, RATE_REFUSE);
	else
		answer(q, q->wait_ns > 0 ? RATE_WAIT : RATE_PASS);
}

static void send_question(struct rate_question *q);

/* Whether the question goes to another server, whose reference is taken; NULL: there is none. */
static bool move(struct rate_question *q, struct redis_server *to)
{
	if (to == NULL || ++q->moves >= MOVES_MAX) {
		redis_server_release(&to);
		return false;
	}
	redis_server_release(&q->server);
	q->server = to;
	send_question(q);
	return true;
}

static void on_done(struct redis_query *query, int code, const struct redisReply *reply)
{
	struct rate_question *q = container_of(query, struct rate_question, query);
	slice text = redis_reply_text(reply);

	if (code < 0) {
		struct redis_server *other =
			code == -EBUSY
				? NULL
				: redis_cluster_instead(q->redis->servers, q->key, q->server);

		q->query.asking = false;
		/* Time is for one server. */
		if (code == -ETIMEDOUT || !move(q, other))
			fail(q, code, slice_from(strerror(-code)));
	} else if (reply->type != REDIS_REPLY_ERROR) {
		take_answer(q, reply);
	} else if (slice_starts(text, SLICE("NOSCRIPT")) && !q->with_script) {
		q->with_script = true;
		send_question(q);
	} else if (!move(q, redis_cluster_redirected(q->redis->servers, text, &q->query.asking))) {
		fail(q, -EIO, text);
	}
}

static void send_question(struct rate_question *q)
{
	const struct rate_redis *r = q->redis;
	struct redis_client *client = redis_server_client(q->server, q->loop);
	char now[32];
	const slice parts[] = {
		q->with_script ? SLICE("EVAL") : SLICE("EVALSHA"),
		slice_from(q->with_script ? script : r->hash),
		SLICE("1"),
		q->key,
		slice_from(r->rate),
		slice_from(r->burst),
		slice_from(r->ttl),
		slice_of(now, (size_t)snprintf(now, sizeof now, "%llu",
					       (unsigned long long)(clock_wall_ns() / NS_PER_US))),
		slice_from(r->patience),
	};

	q->query.command = redis_command(q->arena, parts, ARRAY_LEN(parts));
	q->query.done = on_done;
	if (client == NULL || q->query.command.p == NULL)
		fail(q, -ENOMEM, SLICE("out of memory"));
	else
		redis_query_start(&q->query, client);
}

void rate_redis_ask(struct rate_redis *r, struct rate_question *q, struct loop *loop,
		    struct arena *arena, slice source)
{
	q->redis = r;
	q->loop = loop;
	q->arena = arena;
	q->key = arena_format(arena, "rate:%.*s:%.*s", SLICE_ARG(r->name), SLICE_ARG(source));
	if (q->key.p == NULL) {
		fail(q, -ENOMEM, SLICE("out of memory"));
		return;
	}
	q->server = redis_cluster_find(r->servers, q->key);
	send_question(q);
}

void rate_question_stop(struct rate_question *q)
{
	redis_query_cancel(&q->query);
	redis_server_release(&q->server);
}

static void prepare(void *loop, struct redis_server *server)
{
	struct redis_client *client = redis_server_client(server, loop);

	if (client != NULL)
		redis_client_prepare(client);
}

void rate_redis_prepare(struct rate_redis *r, struct loop *loop)
{
	redis_cluster_visit(r->servers, prepare, loop);
}

void rate_redis_destroy(struct rate_redis **r)
{
	struct rate_redis *taken = *r;

	if (taken == NULL)
		return;
	*r = NULL;
	redis_cluster_destroy(&taken->servers);
	free(taken);
}

static int check_number(int64_t value, const char *option, struct weir_error *e)
{
	if (value >= 0 && value <= INT32_MAX)
		return 0;
	return error_set(e, -EINVAL, "redis.%s: found %lld, expected 0 to %d", option,
			 (long long)value, INT32_MAX);
}

static int check_timeout(int64_t ns, const char *option, uint64_t usual_ms, uint64_t *ms,
			 struct weir_error *e)
{
	if (ns < 0)
		return error_set(e, -EINVAL, "redis.%s: found a negative time, expected a limit",
				 option);
	*ms = ns > 0 ? clock_ns_to_ms(ns) : usual_ms;
	return 0;
}

/* What all workers may have together, as a share that is at least 1; 0 stays. */
static size_t share(int64_t all, size_t workers)
{
	return all > 0 ? ((size_t)all + workers - 1) / workers : 0;
}

static int fill_numbers(struct redis_options *to, const struct dynamic_redis *o, size_t workers,
			struct weir_error *e)
{
	int r = check_number(o->db, "db", e);

	if (r == 0)
		r = check_number(o->pool_size, "poolSize", e);
	if (r == 0)
		r = check_number(o->min_idle_conns, "minIdleConns", e);
	if (r == 0)
		r = check_number(o->max_active_conns, "maxActiveConns", e);
	if (r == 0)
		r = check_timeout(o->dial_timeout_ns, "dialTimeout", DIAL_TIMEOUT_MS,
				  &to->dial_timeout_ms, e);
	if (r == 0)
		r = check_timeout(o->read_timeout_ns, "readTimeout", IO_TIMEOUT_MS,
				  &to->read_timeout_ms, e);
	if (r == 0)
		r = check_timeout(o->write_timeout_ns, "writeTimeout", IO_TIMEOUT_MS,
				  &to->write_timeout_ms, e);
	to->db = o->db;
	to->connections_max =
		o->pool_size > 0 ? share(o->pool_size, workers) : CONNECTIONS_PER_WORKER;
	if (o->max_active_conns > 0)
		to->connections_max = MIN(to->connections_max, share(o->max_active_conns, workers));
	to->idle_min = MIN(share(o->min_idle_conns, workers), to->connections_max);
	return r;
}

static int fill_options(struct redis_options *to, const struct dynamic_redis *o,
			const struct middleware_world *world, struct weir_error *e)
{
	int r;

	to->username = o->username;
	to->password = o->password;
	to->queries_max = (size_t)world->limits->redis_queries;
	to->keep_alive_s = clock_ns_to_s(world->limits->tcp_keep_alive_ns);
	r = fill_numbers(to, o, MAX(redis_registry_loops(world->redis), 1), e);
	if (r == 0 && o->tls != NULL) {
		r = client_tls_connector(o->tls, &to->tls, e);
		if (r < 0 && r != -ENOMEM)
			error_prefix(e, "redis.");
	}
	return r;
}

int rate_redis_create(struct rate_redis **r, const struct dynamic_middleware *config,
		      const struct middleware_world *world, const struct rate_terms *terms,
		      struct weir_error *e)
{
	const struct dynamic_redis *o = config->rate_limit->redis;
	struct redis_options options = {.tls = NULL};
	struct rate_redis *made = NULL;
	int code = fill_options(&options, o, world, e);

	if (code == 0) {
		made = calloc(1, sizeof *made);
		if (made == NULL)
			code = error_set(e, -ENOMEM, "out of memory");
	}
	if (code == 0) {
		made->name = config->object.name;
		fill_arguments(made, terms);
		code = redis_cluster_create(&made->servers, world->redis, &options,
					    o->endpoints.items, o->endpoints.count, e);
		if (code < 0 && code != -ENOMEM)
			error_prefix(e, "redis.endpoints: ");
	}
	if (code < 0)
		rate_redis_destroy(&made);
	tls_connector_release(&options.tls);
	*r = made;
	return code;
}
