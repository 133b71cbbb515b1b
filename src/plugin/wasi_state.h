/*
 * Private to src/plugin/wasi*.c: the state of one guest, its descriptors, and how guest memory is
 * reached.
 */
#ifndef PLUGIN_WASI_STATE_H
#define PLUGIN_WASI_STATE_H

#include <stdatomic.h>

#include "plugin/wasi.h"
#include "plugin/wasi_types.h"

#define WASI_IOVECS_MAX 1024
#define WASI_PATH_MAX 4096

/* X(name, parameters, has a result), sorted by name. */
#define WASI_FUNCTIONS(X) \
	X(args_get, "ii", true) \
	X(args_sizes_get, "ii", true) \
	X(clock_res_get, "ii", true) \
	X(clock_time_get, "iIi", true) \
	X(environ_get, "ii", true) \
	X(environ_sizes_get, "ii", true) \
	X(fd_advise, "iIIi", true) \
	X(fd_allocate, "iII", true) \
	X(fd_close, "i", true) \
	X(fd_datasync, "i", true) \
	X(fd_fdstat_get, "ii", true) \
	X(fd_fdstat_set_flags, "ii", true) \
	X(fd_fdstat_set_rights, "iII", true) \
	X(fd_filestat_get, "ii", true) \
	X(fd_filestat_set_size, "iI", true) \
	X(fd_filestat_set_times, "iIIi", true) \
	X(fd_pread, "iiiIi", true) \
	X(fd_prestat_dir_name, "iii", true) \
	X(fd_prestat_get, "ii", true) \
	X(fd_pwrite, "iiiIi", true) \
	X(fd_read, "iiii", true) \
	X(fd_readdir, "iiiIi", true) \
	X(fd_renumber, "ii", true) \
	X(fd_seek, "iIii", true) \
	X(fd_sync, "i", true) \
	X(fd_tell, "ii", true) \
	X(fd_write, "iiii", true) \
	X(path_create_directory, "iii", true) \
	X(path_filestat_get, "iiiii", true) \
	X(path_filestat_set_times, "iiiiIIi", true) \
	X(path_link, "iiiiiii", true) \
	X(path_open, "iiiiiIIii", true) \
	X(path_readlink, "iiiiii", true) \
	X(path_remove_directory, "iii", true) \
	X(path_rename, "iiiiii", true) \
	X(path_symlink, "iiiii", true) \
	X(path_unlink_file, "iii", true) \
	X(poll_oneoff, "iiii", true) \
	X(proc_exit, "i", false) \
	X(proc_raise, "i", true) \
	X(random_get, "ii", true) \
	X(sched_yield, "", true) \
	X(sock_accept, "iii", true) \
	X(sock_recv, "iiiiii", true) \
	X(sock_send, "iiiii", true) \
	X(sock_shutdown, "ii", true)

/* Each function takes its arguments as they came and returns an errno of preview 1. */
#define X(name, params, has_result) \
	uint32_t wasi_fn_##name(struct wasi *w, struct guest_memory m, const uint64_t *a);
WASI_FUNCTIONS(X)
#undef X

/* What all clones of a guest share; immutable but for the count. */
struct wasi_settings {
	atomic_uint refs;
	char *envs; /* `env_count` terminated strings, one after the other */
	size_t env_bytes;
	size_t env_count;
	char **preopens; /* names */
	size_t preopen_count;
	struct wasi_options options; /* limits filled in; only `output` and `files` are kept */
	bool walk_paths;
};

/* A file or directory of the host; shared by clones, so nobody uses its offset. */
struct wasi_file {
	atomic_uint refs;
	int fd;
	bool read_only;       /* it lies in a read-only mount */
	struct budget *files; /* that its descriptor counts in; or NULL */
};

enum descriptor_kind {
	DESCRIPTOR_FREE,
	DESCRIPTOR_INPUT,  /* always at its end */
	DESCRIPTOR_OUTPUT, /* lines to the host */
	DESCRIPTOR_DIRECTORY,
	DESCRIPTOR_REGULAR
};

struct descriptor {
	enum descriptor_kind kind;
	uint8_t stream; /* of OUTPUT: 1 or 2, whatever the number it goes by now */
	bool opened;    /* by the guest */
	uint16_t flags; /* enum wasi_fdflags */
	int list_fd; /* of DIRECTORY: a second opening, which fd_readdir moves in; -1 until then */
	const char *preopen; /* name of a mount, or NULL */
	struct wasi_file *file;
	uint64_t offset;
	uint64_t rights;
	uint64_t inheriting;
};

/* A begun line of output. */
struct wasi_line {
	char *bytes; /* NULL until needed */
	size_t used;
};

struct wasi {
	uint32_t magic;
	struct wasi_settings *settings;
	void *output_ctx;
	struct descriptor *table;
	size_t table_size;
	size_t opened; /* descriptors with `opened` */
	struct wasi_line lines[2];
	bool exited;
	bool asleep;
	bool drew_entropy;
	uint32_t exit_code;
	uint64_t wake_at_ns;        /* monotonic, as the next two when asleep */
	uint64_t sleep_mono_ns;     /* when the sleep began, */
	uint64_t sleep_wall_ns;     /* the same moment on the wall clock, */
	uint64_t sleep_deadline_ns; /* and when its nearest timer is due */
};

#define WASI_MAGIC 0x69736177u

/* The errno of preview 1 for one of Linux; EIO for those that it does not know. */
uint32_t wasi_errno_of(int host_errno);

/* The descriptor of that number, or NULL. */
struct descriptor *wasi_descriptor(struct wasi *w, uint32_t fd);

/*
 * Finds an open descriptor that has all of `rights`. Returns 0, or the errno that says best why
 * such a descriptor cannot do that.
 */
uint32_t wasi_need(struct wasi *w, uint32_t fd, uint64_t rights, struct descriptor **out);

/* As `wasi_need`, for changes: EROFS in a read-only mount. */
uint32_t wasi_need_change(struct wasi *w, uint32_t fd, uint64_t rights, struct descriptor **out);

/* A free place in the table, with EMFILE in `*error` and NULL when the limit is reached. */
struct descriptor *wasi_descriptor_new(struct wasi *w, uint32_t *fd, uint32_t *error);

/* Takes the place of one more descriptor of the host; false: there is none left. */
bool wasi_place_take(struct wasi *w);

/* Returns a place that no file took over. */
void wasi_place_give(struct wasi *w);

/* Takes over `fd` and its place, which are given up if memory is short (NULL). */
struct wasi_file *wasi_file_new(struct wasi *w, int fd, bool read_only);

/* Closes what the descriptor holds and frees its place. */
void wasi_descriptor_close(struct wasi *w, struct descriptor *d);

/* Makes a free place a directory or regular file with the rights that its kind allows. */
void wasi_descriptor_set(struct descriptor *d, enum descriptor_kind kind, struct wasi_file *file);

struct stat;
struct timespec;

/* The file type of preview 1 for a mode of stat(2). */
uint8_t wasi_filetype_of(uint32_t mode);

/* Writes a filestat. Returns 0 or EFAULT. */
uint32_t wasi_put_filestat(struct guest_memory m, uint32_t address, const struct stat *st);

/* The times for utimensat(2), access then modification. Returns 0 or EINVAL. */
uint32_t wasi_times(uint32_t fst_flags, uint64_t atim_ns, uint64_t mtim_ns, struct timespec out[2]);

/* Adds what a guest wrote to an OUTPUT descriptor, and hands out the lines that are whole. */
void wasi_output(struct wasi *w, uint8_t stream, slice bytes);

/* The address of guest bytes, or NULL if not all of them lie in its memory. */
static inline void *guest_at(struct guest_memory m, uint32_t address, uint64_t size_bytes)
{
	if (m.base == NULL || size_bytes > m.size_bytes || address > m.size_bytes - size_bytes)
		return NULL;
	return m.base + address;
}

/* Copies `n` bytes into guest memory. Returns 0 or EFAULT. */
static inline uint32_t guest_put(struct guest_memory m, uint32_t address, const void *from,
				 size_t n)
{
	void *to = guest_at(m, address, n);

	if (to == NULL)
		return WASI_EFAULT;
	memcpy(to, from, n);
	return WASI_ESUCCESS;
}

static inline uint32_t guest_put_u32(struct guest_memory m, uint32_t address, uint32_t value)
{
	return guest_put(m, address, &value, sizeof value);
}

static inline uint32_t guest_put_u64(struct guest_memory m, uint32_t address, uint64_t value)
{
	return guest_put(m, address, &value, sizeof value);
}

/* The nth argument as the i32 that it is. */
static inline uint32_t arg32(const uint64_t *a, size_t nth)
{
	return (uint32_t)a[nth];
}

static inline uint64_t saturating_add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

#endif
