#include "provider/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/log.h"

#define KEEPER_MAGIC 0x6b656570u
#define PROVIDERS_MAX 32

struct keeper_numbers keeper_numbers;

struct slot {
	const char *provider;
	struct dynamic_config *pending;
	size_t bytes; /* kept; of the thread */
};

struct keeper {
	uint32_t magic;
	size_t bytes_max;
	void (*hand)(const char *provider, int fd);
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t work;
	bool stop;
	size_t count;
	struct slot slots[PROVIDERS_MAX];
};

static int write_all(int fd, slice text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			text = slice_from_at(text, (size_t)n);
	}
	return 0;
}

/* Returns the file or a negative errno value. */
static int sealed_file(slice text)
{
	int fd = memfd_create("weir-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : write_all(fd, text);

	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return r;
}

static void count(struct slot *s, size_t bytes)
{
	atomic_fetch_add(&keeper_numbers.bytes, bytes);
	atomic_fetch_sub(&keeper_numbers.bytes, s->bytes);
	s->bytes = bytes;
}

static void keep(const struct keeper *k, struct slot *s, struct dynamic_config *config)
{
	struct str text = {.limit = k->bytes_max};
	int fd = dynamic_keep(config, &text);

	if (fd == 0)
		fd = sealed_file(str_slice(&text));
	if (fd < 0) {
		atomic_fetch_add(&keeper_numbers.failures, 1);
		log_warn_with((LOG_STRING("providerName", s->provider),
			       LOG_STRING("error", strerror(-fd))),
			      "The configuration is not kept for a server that is started again: "
			      "it may be longer than weir.supervisor.keepConfiguration");
	}
	count(s, fd < 0 ? 0 : text.n);
	k->hand(s->provider, MAX(fd, -1));
	if (fd >= 0)
		(void)close(fd);
	str_free(&text);
}

/* Under the lock: the next one that waits, or NULL. */
static struct slot *next_slot(struct keeper *k)
{
	for (size_t i = 0; i < k->count; i++) {
		if (k->slots[i].pending != NULL)
			return &k->slots[i];
	}
	return NULL;
}

static void *work(void *context)
{
	struct keeper *k = context;

	(void)pthread_mutex_lock(&k->lock);
	while (!k->stop) {
		struct slot *s = next_slot(k);
		struct dynamic_config *config;

		if (s == NULL) {
			(void)pthread_cond_wait(&k->work, &k->lock);
			continue;
		}
		config = s->pending;
		s->pending = NULL;
		(void)pthread_mutex_unlock(&k->lock);
		keep(k, s, config);
		dynamic_destroy(&config);
		(void)pthread_mutex_lock(&k->lock);
	}
	(void)pthread_mutex_unlock(&k->lock);
	return NULL;
}

int keeper_create(struct keeper **keeper, size_t bytes_max,
		  void (*hand)(const char *provider, int fd), struct weir_error *e)
{
	struct keeper *k = calloc(1, sizeof *k);
	int r;

	*keeper = k;
	if (k == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	k->magic = KEEPER_MAGIC;
	k->bytes_max = bytes_max;
	k->hand = hand;
	must(pthread_mutex_init(&k->lock, NULL) == 0);
	must(pthread_cond_init(&k->work, NULL) == 0);
	r = -pthread_create(&k->thread, NULL, work, k);
	if (r == 0)
		return 0;
	free(k);
	*keeper = NULL;
	return error_set(e, r, "cannot start a thread: %s", strerror(-r));
}

void keeper_take(struct keeper *k, const char *provider, struct dynamic_config *config)
{
	size_t i = 0;

	OBJ_CHECK(k, KEEPER_MAGIC);
	(void)pthread_mutex_lock(&k->lock);
	while (i < k->count && strcmp(k->slots[i].provider, provider) != 0)
		i++;
	must(i < PROVIDERS_MAX);
	if (i == k->count)
		k->slots[k->count++].provider = provider;
	dynamic_destroy(&k->slots[i].pending);
	k->slots[i].pending = dynamic_ref(config);
	(void)pthread_cond_signal(&k->work);
	(void)pthread_mutex_unlock(&k->lock);
}

void keeper_destroy(struct keeper **keeper)
{
	struct keeper *k;

	if (*keeper == NULL)
		return;
	OBJ_TAKE(k, keeper, KEEPER_MAGIC);
	(void)pthread_mutex_lock(&k->lock);
	k->stop = true;
	(void)pthread_cond_signal(&k->work);
	(void)pthread_mutex_unlock(&k->lock);
	must(pthread_join(k->thread, NULL) == 0);
	for (size_t i = 0; i < k->count; i++)
		dynamic_destroy(&k->slots[i].pending);
	(void)pthread_cond_destroy(&k->work);
	(void)pthread_mutex_destroy(&k->lock);
	k->magic = 0;
	free(k);
}
