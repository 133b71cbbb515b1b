#include "plugin/artefact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/engine.h"

#define TRAILER_MAGIC "weir/1\n"

/** The last bytes of the file. Only machines of its own kind read it. */
struct trailer {
	char magic[8];
	uint64_t code_bytes;
	struct artefact_key key;
	unsigned char digest[SHA256_DIGEST_BYTES]; /* of the code and of the trailer so far */
};

static void digest(unsigned char out[SHA256_DIGEST_BYTES], slice code, const struct trailer *t)
{
	struct sha256 h;

	sha256_begin(&h);
	sha256_add(&h, code);
	sha256_add(&h, slice_of((const char *)t, offsetof(struct trailer, digest)));
	sha256_end(&h, out);
}

bool artefact_fingerprint(struct artefact_key *key, wasm_engine_t *engine)
{
	static const uint8_t nothing[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
	wasm_byte_vec_t bytes = {0, NULL};
	wasmtime_module_t *module = NULL;
	wasmtime_error_t *e = wasmtime_module_new(engine, nothing, sizeof nothing, &module);
	struct sha256 h;

	if (e == NULL) {
		e = wasmtime_module_serialize(module, &bytes);
		wasmtime_module_delete(module);
	}
	if (e != NULL) {
		wasmtime_error_delete(e);
		return false;
	}
	sha256_begin(&h);
	sha256_add(&h, SLICE(TRAILER_MAGIC WASMTIME_VERSION));
	sha256_add(&h, slice_of(bytes.data, bytes.size));
	sha256_end(&h, key->bytes);
	wasm_byte_vec_delete(&bytes);
	return true;
}

void artefact_key(struct artefact_key *key, const struct artefact_key *fingerprint,
		  const char original[SHA256_HEX], slice rewritten)
{
	struct sha256 h;

	sha256_begin(&h);
	sha256_add(&h, slice_of((const char *)fingerprint->bytes, sizeof fingerprint->bytes));
	sha256_add(&h, slice_of(original, SHA256_HEX));
	sha256_add(&h, rewritten);
	sha256_end(&h, key->bytes);
}

int artefact_create(void)
{
	int fd = memfd_create("weir-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

int artefact_append(int fd, slice bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes = slice_from_at(bytes, (size_t)n);
	}
	return 0;
}

int artefact_write(int fd, const wasmtime_module_t *module, const struct artefact_key *key)
{
	struct trailer t = {.magic = TRAILER_MAGIC, .key = *key};
	wasm_byte_vec_t bytes;
	wasmtime_error_t *e = wasmtime_module_serialize(module, &bytes);
	int r;

	if (e != NULL) {
		wasmtime_error_delete(e);
		return -ENOMEM;
	}
	t.code_bytes = bytes.size;
	digest(t.digest, slice_of(bytes.data, bytes.size), &t);
	r = artefact_append(fd, slice_of(bytes.data, bytes.size));
	if (r == 0)
		r = artefact_append(fd, slice_of((const char *)&t, sizeof t));
	wasm_byte_vec_delete(&bytes);
	return r;
}

int artefact_copy(int to, int from, uint64_t limit)
{
	off_t at = 0;

	while (limit > 0) {
		ssize_t n = sendfile(to, from, &at, MIN(limit, (uint64_t)1 << 30));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		limit -= (uint64_t)n;
	}
	return 0;
}

/* The whole file, or an empty slice. */
static slice map(int fd)
{
	struct stat s;
	void *view;

	if (fstat(fd, &s) < 0 || (size_t)s.st_size < sizeof(struct trailer))
		return (slice){NULL, 0};
	view = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
	return view != MAP_FAILED ? slice_of(view, (size_t)s.st_size) : (slice){NULL, 0};
}

static void unmap(slice file)
{
	(void)munmap((void *)(uintptr_t)file.p, file.n);
}

static int verify(slice file, const struct artefact_key *key, struct weir_error *error)
{
	unsigned char found[SHA256_DIGEST_BYTES];
	struct trailer t;

	memcpy(&t, file.p + file.n - sizeof t, sizeof t);
	if (memcmp(t.magic, TRAILER_MAGIC, sizeof t.magic) != 0 ||
	    t.code_bytes != file.n - sizeof t)
		return error_set(error, -EBADMSG, "does not end as it should");
	if (memcmp(&t.key, key, sizeof *key) != 0)
		return error_set(error, -EBADMSG, "belongs to another module or engine");
	digest(found, slice_first(file, file.n - sizeof t), &t);
	if (memcmp(found, t.digest, sizeof found) != 0)
		return error_set(error, -EBADMSG, "is damaged");
	return 0;
}

int artefact_check(int fd, const struct artefact_key *key, struct weir_error *error)
{
	slice file;
	int r;

	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return error_set(error, -EBADMSG, "cannot be sealed: %s", strerrordesc_np(errno));
	file = map(fd);
	if (file.n == 0)
		return error_set(error, -EBADMSG, "is too short, or cannot be mapped");
	r = verify(file, key, error);
	unmap(file);
	return r;
}

/* The engine maps the file itself, so that its code is there once, and only what is used of it;
 * where there is no /proc to name it by, the code is copied. */
static wasmtime_error_t *deserialize(wasmtime_module_t **module, wasm_engine_t *engine, int fd)
{
	wasmtime_error_t *e;
	char path[32];
	slice file;

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (access(path, R_OK) == 0)
		return wasmtime_module_deserialize_file(engine, path, module);
	file = map(fd);
	e = wasmtime_module_deserialize(engine, (const uint8_t *)file.p, file.n, module);
	if (file.n > 0)
		unmap(file);
	return e;
}

int artefact_load(wasmtime_module_t **module, wasm_engine_t *engine, int fd,
		  struct weir_error *error)
{
	struct str why = {0};
	wasmtime_error_t *e = deserialize(module, engine, fd);

	if (e == NULL)
		return 0;
	*module = NULL;
	engine_explain(&why, SLICE(""), 0, NULL, e);
	(void)error_set(error, -EINVAL, "is refused by the engine: %s",
			why.p != NULL ? why.p : "not enough memory");
	str_free(&why);
	return -EINVAL;
}
