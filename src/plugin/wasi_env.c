#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "core/base.h"
#include "plugin/wasi_state.h"

uint32_t wasi_fn_args_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)w;
	if (guest_at(m, arg32(a, 0), 0) == NULL || guest_at(m, arg32(a, 1), 0) == NULL)
		return WASI_EFAULT;
	return WASI_ESUCCESS;
}

static uint32_t put_sizes(struct guest_memory m, const uint64_t *a, size_t count, size_t bytes)
{
	if (guest_at(m, arg32(a, 1), sizeof(uint32_t)) == NULL)
		return WASI_EFAULT;
	if (guest_put_u32(m, arg32(a, 0), (uint32_t)count) != 0)
		return WASI_EFAULT;
	return guest_put_u32(m, arg32(a, 1), (uint32_t)bytes);
}

uint32_t wasi_fn_args_sizes_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)w;
	return put_sizes(m, a, 0, 0);
}

uint32_t wasi_fn_environ_sizes_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	return put_sizes(m, a, w->settings->env_count, w->settings->env_bytes);
}

uint32_t wasi_fn_environ_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	const struct wasi_settings *s = w->settings;
	uint32_t pointers = arg32(a, 0), strings = arg32(a, 1);
	const char *env = s->envs;

	if (guest_at(m, pointers, (uint64_t)s->env_count * sizeof(uint32_t)) == NULL ||
	    guest_at(m, strings, s->env_bytes) == NULL)
		return WASI_EFAULT;
	for (size_t i = 0; i < s->env_count; i++) {
		uint32_t at = strings + (uint32_t)(env - s->envs);

		if (guest_put_u32(m, pointers + (uint32_t)(i * sizeof at), at) != 0)
			return WASI_EFAULT;
		env += strlen(env) + 1;
	}
	return guest_put(m, strings, s->envs, s->env_bytes);
}

static bool host_clock(uint32_t id, clockid_t *host)
{
	static const clockid_t clocks[] = {
		[WASI_CLOCK_REALTIME] = CLOCK_REALTIME,
		[WASI_CLOCK_MONOTONIC] = CLOCK_MONOTONIC,
		[WASI_CLOCK_PROCESS_CPUTIME] = CLOCK_PROCESS_CPUTIME_ID,
		[WASI_CLOCK_THREAD_CPUTIME] = CLOCK_THREAD_CPUTIME_ID,
	};

	if (id >= ARRAY_LEN(clocks))
		return false;
	*host = clocks[id];
	return true;
}

static uint64_t ns_of(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t wasi_fn_clock_res_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct timespec t;
	clockid_t id;

	(void)w;
	if (!host_clock(arg32(a, 0), &id))
		return WASI_EINVAL;
	if (clock_getres(id, &t) != 0)
		return wasi_errno_of(errno);
	return guest_put_u64(m, arg32(a, 1), MAX(ns_of(t), (uint64_t)1));
}

uint32_t wasi_fn_clock_time_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct timespec t;
	clockid_t id;

	(void)w;
	if (!host_clock(arg32(a, 0), &id))
		return WASI_EINVAL;
	if (clock_gettime(id, &t) != 0)
		return wasi_errno_of(errno);
	return guest_put_u64(m, arg32(a, 2), ns_of(t));
}

uint32_t wasi_fn_random_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	size_t n = arg32(a, 1);
	uint8_t *to = guest_at(m, arg32(a, 0), n);

	if (to == NULL)
		return WASI_EFAULT;
	if (n > w->settings->options.random_max_bytes)
		return WASI_EINVAL;
	w->drew_entropy = true;
	while (n > 0) {
		ssize_t r = getrandom(to, MIN(n, (size_t)65536), 0);

		if (r < 0 && errno != EINTR)
			return wasi_errno_of(errno);
		if (r > 0) {
			to += r;
			n -= (size_t)r;
		}
	}
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_sched_yield(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)w;
	(void)m;
	(void)a;
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_proc_exit(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)m;
	w->exit_code = arg32(a, 0);
	w->exited = true;
	wasi_flush(w);
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_proc_raise(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)w;
	(void)m;
	(void)a;
	return WASI_ENOTSUP;
}

/* No descriptor is ever a socket. */
static uint32_t not_a_socket(struct wasi *w, const uint64_t *a)
{
	return wasi_descriptor(w, arg32(a, 0)) == NULL ? WASI_EBADF : WASI_ENOTSOCK;
}

uint32_t wasi_fn_sock_accept(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)m;
	return not_a_socket(w, a);
}

uint32_t wasi_fn_sock_recv(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)m;
	return not_a_socket(w, a);
}

uint32_t wasi_fn_sock_send(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)m;
	return not_a_socket(w, a);
}

uint32_t wasi_fn_sock_shutdown(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	(void)m;
	return not_a_socket(w, a);
}
