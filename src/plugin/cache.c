#include "plugin/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/str.h"
#include "plugin/cache_evict.h"

/** A key's digits and what follows them. */
#define NAME_BYTES (2 * SHA256_DIGEST_BYTES + sizeof CACHE_SUFFIX)

static int make_directories(const char *path)
{
	struct str s = {0};
	int r = 0;

	for (const char *p = path; *p != '\0' && r == 0; p++) {
		str_add_char(&s, *p);
		if (p[1] != '/' && p[1] != '\0')
			continue;
		if (s.failed)
			r = -ENOMEM;
		else if (mkdir(s.p, 0700) < 0 && errno != EEXIST)
			r = -errno;
	}
	str_free(&s);
	return r;
}

/* Only this user may have written what is there. */
static int check_owner(const struct stat *s, struct weir_error *error)
{
	if (s->st_uid != geteuid())
		return error_set(error, -EACCES, "belongs to user %u, expected %u",
				 (unsigned)s->st_uid, (unsigned)geteuid());
	if ((s->st_mode & 022) != 0)
		return error_set(error, -EACCES,
				 "has mode %04o, expected that only its owner may write",
				 (unsigned)(s->st_mode & 07777));
	return 0;
}

int cache_open(struct cache *c, const char *path, uint64_t bytes_max, struct weir_error *error)
{
	struct stat s;
	int r;

	*c = (struct cache){.directory = -1, .bytes_max = bytes_max};
	c->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->directory < 0 && errno == ENOENT) {
		r = make_directories(path);
		if (r == 0)
			c->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		else
			errno = -r;
	}
	if (c->directory < 0 || fstat(c->directory, &s) < 0) {
		r = error_set(error, -errno, "%s: %s", path, strerrordesc_np(errno));
	} else {
		r = check_owner(&s, error);
		if (r < 0)
			error_prefix(error, "%s ", path);
	}
	if (r < 0)
		cache_close(c);
	return r;
}

void cache_close(struct cache *c)
{
	if (c->directory >= 0)
		(void)close(c->directory);
	c->directory = -1;
}

static void name_of(char name[NAME_BYTES], const struct artefact_key *key)
{
	for (size_t i = 0; i < sizeof key->bytes; i++)
		(void)snprintf(name + 2 * i, 3, "%02x", key->bytes[i]);
	(void)memcpy(name + 2 * sizeof key->bytes, CACHE_SUFFIX, sizeof CACHE_SUFFIX);
}

static int check_file(int file, const struct cache *c, struct weir_error *error)
{
	struct stat s;

	if (fstat(file, &s) < 0)
		return error_set(error, -errno, "%s", strerrordesc_np(errno));
	if (!S_ISREG(s.st_mode))
		return error_set(error, -EBADMSG, "is not a regular file");
	if ((uint64_t)s.st_size > c->bytes_max)
		return error_set(error, -E2BIG, "has %lld bytes, expected at most %llu",
				 (long long)s.st_size, (unsigned long long)c->bytes_max);
	return check_owner(&s, error);
}

/* A copy of the file that nobody can change any more. */
static int read_file(int *fd, int file, const struct cache *c, const struct artefact_key *key,
		     struct weir_error *error)
{
	int r = check_file(file, c, error);

	if (r < 0)
		return r;
	*fd = artefact_create();
	if (*fd < 0)
		return error_set(error, *fd, "%s", strerrordesc_np(-*fd));
	r = artefact_copy(*fd, file, c->bytes_max);
	r = r < 0 ? error_set(error, r, "cannot be read: %s", strerrordesc_np(-r))
		  : artefact_check(*fd, key, error);
	if (r < 0)
		(void)close(*fd);
	return r;
}

enum cache_find cache_get(struct cache *c, const struct artefact_key *key, int *fd,
			  struct weir_error *error)
{
	char name[NAME_BYTES];
	int file, r;

	if (c->directory < 0)
		return CACHE_MISS;
	name_of(name, key);
	/* Nothing that has to be waited for, nothing by way of a link. */
	file = openat(c->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file < 0 && errno == ENOENT)
		return CACHE_MISS;
	if (file < 0)
		r = error_set(error, -errno, "%s",
			      errno == ELOOP ? "is a symbolic link" : strerrordesc_np(errno));
	else
		r = read_file(fd, file, c, key, error);
	/* Used now, which is what decides who goes first. */
	if (r == 0)
		(void)futimens(file, NULL);
	if (file >= 0)
		(void)close(file);
	if (r == 0)
		return CACHE_HIT;
	error_prefix(error, "%s ", name);
	return r == -EBADMSG || r == -EACCES || r == -ELOOP ? CACHE_CORRUPT : CACHE_MISS;
}

/* Whole on disk before it gets its name: also a crash leaves no half file behind. */
static int write_file(const struct cache *c, const char *temporary, const char *name, int fd)
{
	int r = 0;
	int file = openat(c->directory, temporary,
			  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (file < 0)
		return -errno;
	r = artefact_copy(file, fd, UINT64_MAX);
	if (r == 0 && (fchmod(file, 0600) < 0 || fsync(file) < 0))
		r = -errno;
	(void)close(file);
	if (r == 0 && renameat(c->directory, temporary, c->directory, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(c->directory, temporary, 0);
	return r;
}

int cache_put(struct cache *c, const struct artefact_key *key, int fd, uint64_t *evicted,
	      struct weir_error *error)
{
	char name[NAME_BYTES], temporary[64];
	uint64_t number;
	struct stat s;
	int r;

	*evicted = 0;
	if (c->directory < 0)
		return 0;
	if (fstat(fd, &s) < 0 || (uint64_t)s.st_size > c->bytes_max)
		return error_set(error, -E2BIG,
				 "%lld bytes of code are more than all may have, %llu",
				 (long long)s.st_size, (unsigned long long)c->bytes_max);
	name_of(name, key);
	/* Writers may be in other containers, where process numbers are the same. */
	if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
		return error_set(error, -errno, "no random number for a name: %s",
				 strerrordesc_np(errno));
	(void)snprintf(temporary, sizeof temporary, CACHE_TEMPORARY "%016llx",
		       (unsigned long long)number);
	r = write_file(c, temporary, name, fd);
	if (r < 0)
		return error_set(error, r, "%s", strerrordesc_np(-r));
	*evicted = cache_evict(c->directory, c->bytes_max, name);
	return 0;
}
