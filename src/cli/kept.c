#include "cli/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/notify.h"

#define VARIABLE "WEIR_KEPT"
#define NOTICE "WEIR_KEEP="
/* What nobody can change while it is read. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static size_t find(const struct kept *k, slice name)
{
	size_t i = 0;

	while (i < k->count && !slice_equal(name, slice_from(k->list[i].name)))
		i++;
	return i;
}

static bool is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS;
}

void kept_put(struct kept *k, slice name, int fd)
{
	size_t i = find(k, name);

	if (i < k->count) {
		(void)close(k->list[i].fd);
		k->list[i] = k->list[--k->count];
	}
	if (fd < 0)
		return;
	if (k->count == KEPT_MAX || name.n == 0 || name.n >= KEPT_NAME || !is_sealed(fd)) {
		(void)close(fd);
		return;
	}
	(void)snprintf(k->list[k->count].name, KEPT_NAME, "%.*s", SLICE_ARG(name));
	k->list[k->count++].fd = fd;
}

int kept_export(const struct kept *k, int first)
{
	char text[KEPT_MAX * (KEPT_NAME + 16)] = "";
	int copies[KEPT_MAX], r = 0;
	size_t count = 0, n = 0;

	for (; count < k->count; count++) {
		copies[count] = fcntl(k->list[count].fd, F_DUPFD, first);
		if (copies[count] < 0) {
			r = -errno;
			break;
		}
		n += (size_t)snprintf(text + n, sizeof text - n, "%s=%d ", k->list[count].name,
				      copies[count]);
	}
	if (r == 0 && setenv(VARIABLE, text, 1) < 0)
		r = -ENOMEM;
	/* Nothing may stay that whoever is started next would inherit. */
	while (r < 0 && count > 0)
		(void)close(copies[--count]);
	return r;
}

void kept_inherit(struct kept *k)
{
	const char *text = getenv(VARIABLE);
	slice rest = slice_from(text), one;

	while (text != NULL && slice_next(&rest, ' ', &one)) {
		size_t at = slice_find(one, '=');
		uint64_t fd;

		if (at == one.n || !slice_to_u64(slice_from_at(one, at + 1), &fd) || fd > INT32_MAX)
			continue;
		(void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
		if (is_sealed((int)fd))
			kept_put(k, slice_first(one, at), (int)fd);
	}
	(void)unsetenv(VARIABLE);
}

void kept_offer(const struct kept *k, struct aggregator *a, const char *provider)
{
	size_t i = find(k, slice_from(provider));
	struct stat st;
	void *at;

	if (i == k->count || fstat(k->list[i].fd, &st) < 0 || st.st_size <= 0)
		return;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, k->list[i].fd, 0);
	if (at == MAP_FAILED)
		return;
	aggregator_offer(a, provider, slice_of(at, (size_t)st.st_size));
	(void)munmap(at, (size_t)st.st_size);
}

void kept_free(struct kept *k)
{
	for (size_t i = 0; i < k->count; i++)
		(void)close(k->list[i].fd);
	k->count = 0;
}

void kept_send(const char *provider, int fd)
{
	char text[sizeof NOTICE + KEPT_NAME];

	(void)snprintf(text, sizeof text, NOTICE "%s", provider);
	notify_send_file(text, fd);
}

bool kept_take(struct kept *k, const char *notice, int fd)
{
	slice text = slice_from(notice), name;

	if (slice_starts(text, SLICE(NOTICE))) {
		name = slice_from_at(text, sizeof NOTICE - 1);
		kept_put(k, name, fd);
		return true;
	}
	if (fd >= 0)
		(void)close(fd);
	return false;
}
