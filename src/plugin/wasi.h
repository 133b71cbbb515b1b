/*
 * WASI preview 1 (`wasi_snapshot_preview1`) for guests, without an engine: a table of functions
 * over a piece of linear memory. A guest gets the environment and the mounts that it was given,
 * clocks, entropy and somewhere to write lines; nothing else exists for it.
 *
 * A `struct wasi` belongs to one instance and is used by one thread at a time. Clones share only
 * immutable settings and open files, which they reach through offsets of their own, so each may run
 * on its own thread.
 */
#ifndef PLUGIN_WASI_H
#define PLUGIN_WASI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/slice.h"

struct budget;
struct wasi;

/** A guest's linear memory as it is now; read it anew for every call, since it grows and moves. */
struct guest_memory {
	uint8_t *base;
	size_t size_bytes;
};

struct wasi_mount {
	const char *host_path;
	const char *guest_path; /* the preopen's name; ".", "/" and the like become "/" */
	bool read_only;
};

/** What a guest is given. Everything is copied. A limit of 0 means its default. */
struct wasi_options {
	const char *const *envs; /* "NAME=value" */
	size_t env_count;
	const struct wasi_mount *mounts; /* descriptors 3, 4, ... in this order */
	size_t mount_count;

	/**
	 * Takes one line, without its end, that the guest wrote to descriptor 1 or 2. The bytes are
	 * whatever the guest wrote and are valid during the call only. Must not call into this
	 * module. NULL drops the lines.
	 */
	void (*output)(void *ctx, int fd, slice line);
	void *ctx;

	size_t line_max_bytes;      /* longer lines come in pieces; default 4 KiB */
	uint64_t sleep_max_ns;      /* longest sleep of one poll_oneoff; default 30 s */
	size_t files_max;           /* descriptors that the guest opens itself; default 64 */
	size_t transfer_max_bytes;  /* one read or write; more is a short one; default 1 MiB */
	size_t random_max_bytes;    /* one random_get; more is EINVAL; default 16 MiB */
	uint32_t subscriptions_max; /* of one poll_oneoff; more is EINVAL; default 1024 */

	/**
	 * Descriptors of the host that this guest and others may hold together, mounts and second
	 * openings of directories that are listed included. Must outlive the guest and its clones.
	 * Its refusals count those by `files_max`, too. NULL: any number.
	 */
	struct budget *files;

	/** Resolve paths one component at a time and refuse symbolic links: no openat2(2). */
	bool walk_paths;
};

/* What a call asks of the host. */
enum wasi_outcome {
	WASI_DONE,  /* `*result` is the guest's result (an errno of preview 1), if the function has
		       one */
	WASI_EXIT,  /* the guest called proc_exit: unwind it and never run it again; see
		       wasi_exit_code */
	WASI_SLEEP, /* suspend the guest until wasi_wake_at_ns, then call wasi_poll_finish */
	WASI_FAULT, /* the guest ran on after proc_exit, or called while asleep: trap it */
};

struct wasi_function {
	const char *name;
	const char *params; /* one character per parameter: 'i' is i32, 'I' is i64 */
	bool has_result;    /* one i32 */

	/** `args` holds one value per parameter; the upper half of an i32's is ignored. */
	enum wasi_outcome (*call)(struct wasi *w, struct guest_memory memory, const uint64_t *args,
				  uint32_t *result);
};

/** The import module's name. */
#define WASI_MODULE "wasi_snapshot_preview1"

/** The functions of preview 1, sorted by name, all of them. */
const struct wasi_function *wasi_functions(size_t *count);

/**
 * Makes the state of one guest and opens its mounts. On error returns a negative errno value, with
 * `*out` NULL and text that begins with "mounts: " or "envs: " where one of those is to blame;
 * -ENFILE where `files` has no room.
 */
int wasi_create(struct wasi **out, const struct wasi_options *options, struct weir_error *error);

/**
 * Makes a copy with descriptors and offsets of its own: same numbers, files, rights and flags.
 * Lines that `from` has begun and not ended stay with it. Returns 0, -ENOMEM, or -EINVAL if the
 * guest has exited or sleeps. `from` may be cloned by several threads at once if nobody uses it
 * otherwise.
 */
int wasi_clone(struct wasi **out, const struct wasi *from, struct weir_error *error);

/** Whether two guests have the same descriptors: numbers, files, offsets, rights and flags. */
bool wasi_same(const struct wasi *a, const struct wasi *b);

/** Replaces the `ctx` that `output` gets: a clone begins with its original's. */
void wasi_set_output_ctx(struct wasi *w, void *ctx);

/** Hands out what the guest wrote since its last line end, as lines. */
void wasi_flush(struct wasi *w);

/** Flushes and closes everything. NULL is allowed. */
void wasi_destroy(struct wasi **pointer);

/** The code given to proc_exit; only after WASI_EXIT. */
uint32_t wasi_exit_code(const struct wasi *w);

/** When to wake the guest, on the clock of `clock_mono_ns`; only after WASI_SLEEP. */
uint64_t wasi_wake_at_ns(const struct wasi *w);

/**
 * Ends a poll_oneoff that returned WASI_SLEEP, with the same `args`: the guest finds its nearest
 * timer expired, be it because time has passed or because the host will not wait longer.
 */
enum wasi_outcome wasi_poll_finish(struct wasi *w, struct guest_memory memory, const uint64_t *args,
				   uint32_t *result);

/** Whether the guest, or the one that it was cloned from, has called random_get. */
bool wasi_drew_entropy(const struct wasi *w);

/** Descriptors that the guest has opened itself and not closed. */
size_t wasi_open_files(const struct wasi *w);

/**
 * Whether an import from WASI_MODULE belongs to one of the socket extensions (WasmEdge's,
 * wasi-go's) and not to preview 1, whose own sock_accept has three parameters.
 */
bool wasi_is_socket_extension(slice function_name, size_t param_count);

#endif
