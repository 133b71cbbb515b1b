#include "core/pipe_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base.h"

/* More than these would only be kept for the next flood of long bodies. */
#define IDLE_MAX 16u

/* Of one pipe, if the system allows it; less only takes more calls. */
#define PIPE_BYTES (256 * 1024)

void pipe_pool_init(struct pipe_pool *pool, unsigned max)
{
	*pool = (struct pipe_pool){.max = max};
	list_init(&pool->idle);
}

static void close_pipe(struct pipe *p)
{
	struct pipe_pool *pool = p->pool;

	(void)close(p->in);
	(void)close(p->out);
	pool->count--;
	counter_sub(&pool->counters.open, 1);
	free(p);
}

void pipe_pool_free(struct pipe_pool *pool)
{
	must(pool->idle_count == pool->count);
	while (!list_empty(&pool->idle)) {
		struct pipe *p = container_of(pool->idle.next, struct pipe, link);

		list_remove(&p->link);
		close_pipe(p);
	}
	pool->idle_count = 0;
}

static struct pipe *open_pipe(struct pipe_pool *pool)
{
	struct pipe *p = calloc(1, sizeof *p);
	int ends[2];

	if (p == NULL)
		return NULL;
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(p);
		return NULL;
	}
	(void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	*p = (struct pipe){.pool = pool, .out = ends[0], .in = ends[1]};
	pool->count++;
	counter_add(&pool->counters.open, 1);
	return p;
}

struct pipe *pipe_take(struct pipe_pool *pool)
{
	struct pipe *p = NULL;

	if (!list_empty(&pool->idle)) {
		p = container_of(pool->idle.next, struct pipe, link);
		list_remove(&p->link);
		pool->idle_count--;
		return p;
	}
	if (pool->count < pool->max)
		p = open_pipe(pool);
	if (p == NULL && pool->max > 0)
		counter_add(&pool->counters.refused, 1);
	return p;
}

void pipe_give(struct pipe **giver)
{
	struct pipe *p = *giver;
	struct pipe_pool *pool;

	if (p == NULL)
		return;
	*giver = NULL;
	pool = p->pool;
	if (p->bytes > 0 || pool->idle_count == IDLE_MAX) {
		close_pipe(p);
		return;
	}
	list_push(&pool->idle, &p->link);
	pool->idle_count++;
}

ssize_t pipe_fill(struct pipe *p, int fd, size_t n)
{
	ssize_t moved;

	do {
		moved = splice(fd, NULL, p->in, NULL, n, SPLICE_F_NONBLOCK);
	} while (moved < 0 && errno == EINTR);
	if (moved < 0)
		return -errno;
	p->bytes += (size_t)moved;
	return moved;
}

ssize_t pipe_drain(struct pipe *p, int fd, size_t n)
{
	ssize_t moved;

	must(p->bytes > 0);
	do {
		moved = splice(p->out, NULL, fd, NULL, MIN(n, p->bytes), SPLICE_F_NONBLOCK);
	} while (moved < 0 && errno == EINTR);
	if (moved <= 0)
		return moved < 0 ? -errno : -EPIPE;
	p->bytes -= (size_t)moved;
	counter_add(&p->pool->counters.bytes, (uint64_t)moved);
	return moved;
}
