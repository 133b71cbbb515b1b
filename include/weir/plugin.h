/* exception: file 800 lines: one header for those who embed the library */
/*
 * The http-wasm plugin host as a library: runs Traefik's WebAssembly plugins (http-wasm
 * "http-handler" ABI, WASI preview 1) for any HTTP server, on any event loop.
 *
 *   host       one per process: the engine, the compiled modules, the defaults of all limits
 *   plugin     one per (module, configuration): immutable, reference-counted, shared by all threads
 *   pool       one per thread and plugin: the idle instances, no locks
 *   exchange   one request and its response on one instance
 *
 * Nothing here blocks except `weir_host_create/destroy` and `weir_plugin_create`. A guest call runs
 * until it ends, its time slice is over, or it must wait; the embedder then does other work and
 * calls `weir_exchange_step` again.
 *
 *   step = weir_exchange_begin(&e, pool, &http, x);
 *   while (step is WEIR_YIELD or WEIR_WAIT_*) { wait as it says; step = weir_exchange_step(e); }
 *   WEIR_STOP    send the response that the guest made
 *   WEIR_NEXT    send the request on, then weir_exchange_response(e, flags) until WEIR_DONE
 *   WEIR_FAILED  answer with the cause's status and a plain text, never with guest text
 *   weir_exchange_end(&e), in any state, exactly once
 *
 * The rules of the ABI (phases, features, encodings, validation, traps) live in the library; the
 * embedder gives plain access to its messages through `struct weir_http`.
 *
 * All integers in options: 0 means the default that is stated; UINT64_MAX and UINT32_MAX mean no
 * limit. Options are structures that begin as zeros: `struct weir_host_options o = {0};`.
 *
 * Compatibility: a program built with one version of this header works with every later library of
 * the same soname. So structures that the embedder provides keep their size: new members take the
 * place of `reserved` ones, which must be 0 (a library that does not know what is set there refuses
 * it with -EINVAL), and their 0 means what was before. Structures that the library provides
 * (facts, log lines) grow at the end. Causes are added at the end; steps are not added.
 * docs/embedding.md has the rules.
 */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header. */
#define WEIR_VERSION "0.1.0"

/** The version of the library that runs, as WEIR_VERSION is written. Any thread. */
const char *weir_version(void);

struct weir_host;
struct weir_plugin;
struct weir_pool;
struct weir_exchange;

/* Results */

/**
 * What an exchange says it needs. X(NAME, text)
 *
 *   NEXT           request phase over: pass the request on
 *   STOP           request phase over: the response is the guest's
 *   DONE           response phase over
 *   WAIT_BODY      step again when request body bytes, their end or an error arrived
 *   WAIT_INSTANCE  step again when the pool's wake callback names it, or at its wake time
 *   WAIT_TIMER     the guest sleeps: step again at `weir_exchange_wake_at_ns`
 *   YIELD          the slice is over: step again after other work
 *   FAILED         see `weir_exchange_cause`; only `weir_exchange_end` may follow
 */
#define WEIR_STEPS(X) \
	X(NEXT, "next") \
	X(STOP, "stop") \
	X(DONE, "done") \
	X(WAIT_BODY, "wait for body") \
	X(WAIT_INSTANCE, "wait for instance") \
	X(WAIT_TIMER, "wait for timer") \
	X(YIELD, "yield") \
	X(FAILED, "failed")

enum weir_step {
#define X(name, text) WEIR_##name,
	WEIR_STEPS(X)
#undef X
};

/**
 * Why an exchange failed. X(NAME, text for metrics and logs, status that suits a client)
 *
 *   TRAP       the guest trapped by itself
 *   ABI        the guest broke a rule of the ABI: a trap raised by a host function
 *   EXIT       the guest called proc_exit
 *   DEADLINE   CPU budget of a call or wall budget of an exchange used up
 *   MEMORY     memory was short
 *   START      an additional instance could not be made or initialised
 *   BUSY       no instance within the queue's length and time
 *   TOO_LARGE  the request's body passed `body_bytes` while the guest read it
 *   BODY       the embedder could not read or write a body
 *   EMBEDDER   another accessor of the embedder failed
 *   CIRCUIT    not tried, because nearly all exchanges, or starts of instances, failed of late
 */
#define WEIR_CAUSES(X) \
	X(NONE, "none", 200) \
	X(TRAP, "trap", 500) \
	X(ABI, "abi", 500) \
	X(EXIT, "exit", 500) \
	X(DEADLINE, "deadline", 500) \
	X(MEMORY, "memory", 500) \
	X(START, "start", 500) \
	X(BUSY, "busy", 503) \
	X(TOO_LARGE, "too large", 413) \
	X(BODY, "body", 502) \
	X(EMBEDDER, "embedder", 500) \
	X(CIRCUIT, "circuit", 503)

enum weir_cause {
#define X(name, text, status) WEIR_CAUSE_##name,
	WEIR_CAUSES(X)
#undef X
		WEIR_CAUSE_COUNT /* of this header */
};

/** Room for the causes of later versions. */
#define WEIR_CAUSES_MAX 24

/** The text or the status of a row of WEIR_CAUSES; "unknown" and 500 for others. Any thread. */
const char *weir_cause_text(enum weir_cause cause);
unsigned weir_cause_status(enum weir_cause cause);

/** The text of a row of WEIR_STEPS. Any thread. */
const char *weir_step_text(enum weir_step step);

/* Host */

/** Levels of guest log lines, as the ABI numbers them. */
enum weir_log_level {
	WEIR_LOG_DEBUG = -1,
	WEIR_LOG_INFO = 0,
	WEIR_LOG_WARN = 1,
	WEIR_LOG_ERROR = 2
};

/**
 * Where a line comes from: the ABI's `log`, the guest's standard streams, or the library (lines
 * left out).
 */
enum weir_log_source { WEIR_LOG_GUEST, WEIR_LOG_STDOUT, WEIR_LOG_STDERR, WEIR_LOG_HOST };

/**
 * One line, at most 4 KiB, raw bytes of the guest: control characters are for the logger to escape.
 * Standard output comes at level debug, standard error at info. Valid during the callback only.
 */
struct weir_log_line {
	struct weir_slice plugin; /* empty: the library about itself */
	enum weir_log_source source;
	enum weir_log_level level;
	struct weir_slice text;
	void *x; /* the exchange's, or NULL while an instance is initialised */
};

/**
 * Limits of a plugin; in the host's options the defaults for all its plugins. The numbers in
 * parentheses apply where both are 0.
 */
struct weir_limits {
	uint64_t memory_bytes;     /* linear memory of one instance (256 MiB) */
	uint64_t init_ms;          /* wall time to make and initialise one instance (30000) */
	uint64_t call_cpu_ms;      /* CPU time of one guest call (1000) */
	uint64_t exchange_wall_ms; /* of an exchange's calls, without waits for bodies (30000) */
	uint64_t idle_ms;          /* then `weir_pool_tick` destroys an instance (10000) */
	uint64_t queue_wait_ms;    /* longest wait for an instance (2000) */
	uint64_t body_bytes;       /* of each body that is read or written in one phase (64 MiB) */
	uint64_t text_bytes; /* of a method, URI, field name or value that a guest passes (1 MiB) */
	uint32_t instances;  /* per pool (256) */
	uint32_t queue_length;   /* exchanges that wait for an instance, per pool (1024) */
	uint32_t log_lines;      /* per exchange, and per initialisation (100) */
	uint32_t tables;         /* of one instance (8) */
	uint32_t table_elements; /* of each table (1000000) */
	uint64_t total_bytes;    /* of all instances of the plugin, and its image (no limit) */
	uint64_t age_ms;         /* of an instance, which is then put back or replaced (no limit) */
	uint32_t requests;       /* after which the same happens (no limit) */
	/*
	 * So many failed exchanges within the window (50), if they are nine of ten or more, open
	 * the plugin's circuit: exchanges fail with WEIR_CAUSE_CIRCUIT at once. After the wait one
	 * is let through as a trial; its success closes the circuit, its failure doubles the wait.
	 * Counted are failures by TRAP, ABI, EXIT, DEADLINE and MEMORY, of all pools. No limit:
	 * never.
	 */
	uint32_t circuit_failures;
	uint32_t start_failures;      /* the same for instances that do not start (5) */
	uint64_t circuit_window_ms;   /* (60000) */
	uint64_t circuit_wait_ms;     /* the first one (1000) */
	uint64_t circuit_wait_max_ms; /* the longest one (30000) */
	/* Memory that an instance has changed for itself, after which it is put back (no limit). */
	uint64_t private_bytes;
	/* Instances that a pool keeps ready (0), if the memory budget has room. */
	uint32_t instances_min;
	/* Files that an instance opens itself and holds at a time, mounts not counted (64). */
	uint32_t open_files;
	uint64_t reserved[12]; /* 0 */
};

/**
 * How long what a guest keeps in its memory lives. X(NAME, text)
 *
 *   REUSE  as long as the instance, which serves one request after the other (as in Traefik)
 *   RESET  for one exchange: then the instance is put back to how it was initialised
 *   FRESH  for one exchange: each gets a new instance
 */
#define WEIR_ISOLATIONS(X) \
	X(REUSE, "reuse") \
	X(RESET, "reset") \
	X(FRESH, "fresh")

enum weir_isolation {
#define X(name, text) WEIR_ISOLATION_##name,
	WEIR_ISOLATIONS(X)
#undef X
};

/** The name of a value, as configurations write it. Any thread. */
const char *weir_isolation_text(enum weir_isolation isolation);

/**
 * How instances come to be initialised. X(NAME, text)
 *
 *   SHARED  once per plugin: all instances begin as copies of the first one, random seeds included
 *   OWN     each one for itself; RESET then works as FRESH
 *
 * Plugins whose state the host cannot copy (because they change tables, say) get OWN whatever was
 * asked for: `weir_plugin_facts` has what is in force and why.
 */
#define WEIR_INITS(X) \
	X(SHARED, "shared") \
	X(OWN, "own")

enum weir_init {
#define X(name, text) WEIR_INIT_##name,
	WEIR_INITS(X)
#undef X
};

/** The name of a value, as configurations write it. Any thread. */
const char *weir_init_text(enum weir_init init);

/**
 * How an instance's memory is put back. X(NAME, text)
 *
 *   AUTO     the first of the others that works here
 *   SCAN     asks the kernel for the changed pages (Linux 6.7), and copies them
 *   PAGEMAP  reads the entries of all pages, and copies those that changed
 *   DROP     drops all pages: they come back from the common copy one by one
 */
#define WEIR_RESTORES(X) \
	X(AUTO, "auto") \
	X(SCAN, "scan") \
	X(PAGEMAP, "pagemap") \
	X(DROP, "drop")

enum weir_restore {
#define X(name, text) WEIR_RESTORE_##name,
	WEIR_RESTORES(X)
#undef X
};

/** The name of a value, for people. Any thread. */
const char *weir_restore_text(enum weir_restore restore);

struct weir_host_options {
	struct weir_limits limits;
	uint32_t slice_us;     /* longest time that a guest runs between other work. 2000 */
	uint64_t module_bytes; /* largest wasm binary. 64 MiB */
	/*
	 * Most memory of all plugins together: images once, and what instances have changed for
	 * themselves, which they reserve beforehand. When it is used up, idle instances go, then
	 * exchanges wait for an instance. Half of the memory of the cgroup or machine.
	 */
	uint64_t memory_bytes;
	enum weir_restore restore;
	/*
	 * The program that compiles modules, and its arguments, ended by NULL: it does nothing but
	 * call `weir_compiler_main`, as `weir compile-module` does. Looked for in PATH unless there
	 * is a slash in its name. NULL: modules are compiled in this process, without these limits.
	 * Borrowed until the host's end.
	 */
	const char *const *compiler;
	uint64_t compile_ms;           /* longest time to compile a module. 300000 */
	uint64_t compile_memory_bytes; /* most memory for that. 1 GiB */
	uint32_t compile_jobs;         /* that many compilers at a time. 2 */
	/*
	 * Where compiled modules are kept for the next start; made if it is not there. Only this
	 * user may be allowed to write it: what is in it is run. What is damaged or of another
	 * owner is compiled anew. NULL: nowhere. Borrowed during `weir_host_create` only.
	 */
	const char *cache_directory;
	uint64_t cache_bytes; /* most bytes of all files; the longest unused go. 512 MiB */
	/* Compare each instance that was put back with what it should be, byte by byte, and end the
	 * process where they differ. */
	bool self_check;
	/* Look how much memory each exchange changes, for its facts: about a microsecond each. */
	bool measure;
	/* Any thread that runs guests; must not call the library. NULL: lines are dropped. */
	void (*log)(void *log_context, const struct weir_log_line *line);
	/* Would a line of that level be written? NULL: yes. */
	bool (*log_enabled)(void *log_context, enum weir_log_level level);
	void *log_context;
	/*
	 * Most descriptors of all plugins' guests together: mounts, files that they open, and one
	 * more for each directory that is listed. Then opening fails for guests, and instances that
	 * have mounts of their own do not start. A quarter of what the process may open.
	 */
	uint64_t open_files;
	uint64_t reserved[17]; /* 0 */
};

/**
 * Makes the engine and its ticker thread (which sleeps while no guest runs). Installs handlers for
 * SIGSEGV, SIGILL and, on x86-64, SIGFPE once per process that pass on what is not the engine's:
 * install your own first. A second host is independent of the first: modules, memory budget and
 * ticker of its own. `options` are copied, NULL gives the defaults. A child of `fork` must
 * not use the host. Returns 0, -EINVAL or another negative errno value.
 */
int weir_host_create(struct weir_host **host, const struct weir_host_options *options,
		     struct weir_error *error);

/**
 * The whole work of a program that is named as `compiler`: compiles what its parent gives it on
 * descriptors 3 and 4, within its parent's limits. To be called first in `main`; returns the exit
 * status.
 */
int weir_compiler_main(void);

/**
 * Before the host's end: ends compilers, so that whoever waits for a module or a plugin need not do
 * so for long, and refuses new ones with -ECANCELED. Any thread.
 */
void weir_host_cancel(struct weir_host *host);

/** All plugins must have gone. NULL is allowed in `*host`. */
void weir_host_destroy(struct weir_host **host);

/** What of `memory_bytes` is reserved now. Any thread. */
uint64_t weir_host_memory_used(const struct weir_host *host);

/** The method in use, never WEIR_RESTORE_AUTO. Any thread. */
enum weir_restore weir_host_restore(const struct weir_host *host);

/** Of all modules since the host was made. */
struct weir_host_stats {
	uint64_t modules;          /* held now */
	uint64_t compiling;        /* now, or waiting for a compiler */
	uint64_t compiled;         /* without an error */
	uint64_t compile_failures; /* binaries that do not compile, and compilers that failed */
	uint64_t compile_ns;       /* wall time of all compilations */
	uint64_t cache_hits;
	uint64_t cache_misses;         /* nothing of use in the cache, corrupt files included */
	uint64_t cache_corrupt;        /* files that were damaged, swapped or not ours */
	uint64_t cache_write_failures; /* artefacts that could not be stored */
	uint64_t cache_evicted;        /* files removed to make room for others */
	uint64_t memory_bytes;         /* budget of all plugins together */
	uint64_t memory_used_bytes;    /* what of it is reserved now */
	uint64_t memory_refusals;      /* reservations that it had no room for */
	uint64_t open_files_max;       /* most descriptors of guests */
	uint64_t open_files;           /* those that are open now */
	uint64_t open_file_refusals;   /* those that were not opened because of their number */
	uint64_t reserved[48];         /* set to 0 */
};

/** Each number is exact, the set is not one moment's. Any thread. */
void weir_host_stats(const struct weir_host *host, struct weir_host_stats *stats);

/**
 * Calls `visit` for each compiled module that is held: `hash` as in `weir_plugin_facts`, `image`
 * its native code as it lies in memory, a whole ELF file whose symbols are the guest's functions,
 * as "wasm[0]::function[12]::name". Both are valid within the call, which may take long: the module
 * is held meanwhile, and nobody waits for that. Any thread.
 */
void weir_host_visit_code(const struct weir_host *host,
			  void (*visit)(void *context, const char *hash, struct weir_slice image),
			  void *context);

/* Plugin */

struct weir_module;

/**
 * Compiles and checks a binary ahead of its plugins, which share the result as long as it is held.
 * Blocks; any thread but an event loop's. Returns 0, -EINVAL, -ENOTSUP, -E2BIG, -ENOMEM.
 */
int weir_module_load(struct weir_module **module, struct weir_host *host, struct weir_slice wasm,
		     struct weir_error *error);

/** Before the host's end. NULL is allowed in `*module`. */
void weir_module_release(struct weir_module **module);

/** A directory that the guest may use under another name. */
struct weir_mount {
	const char *host_path;
	const char *guest_path;
	bool read_only;
};

/** Everything is borrowed during the call only. */
struct weir_plugin_options {
	const char *name;         /* for logs and errors */
	struct weir_slice wasm;   /* the binary; compiled once per content and host */
	struct weir_slice config; /* what `get_config` gives: in Traefik a JSON object */
	const char *const *envs;  /* "NAME=value" */
	size_t env_count;
	const struct weir_mount *mounts;
	size_t mount_count;
	struct weir_limits limits; /* 0: the host's */
	enum weir_isolation isolation;
	enum weir_init init;
	uint64_t reserved[22]; /* 0 */
};

/**
 * Checks, compiles and initialises: an instance is made and `_start`, then `_initialize` are called
 * where exported, so that a plugin that cannot start fails here. The error names what is wrong and
 * carries the end of the guest's own output. `proc_exit(0)` in `_start` is success. Blocks for as
 * long as that takes (bounded by `init_ms`, compiling excepted): any thread but an event loop's.
 * One reference for the caller. Returns 0, -EINVAL (not a plugin), -ENOEXEC (the guest failed),
 * -ENOTSUP (socket extensions), -E2BIG, -ETIMEDOUT, -ENOMEM.
 */
int weir_plugin_create(struct weir_plugin **plugin, struct weir_host *host,
		       const struct weir_plugin_options *options, struct weir_error *error);

/** Any thread. */
struct weir_plugin *weir_plugin_ref(struct weir_plugin *plugin);

/**
 * Drops a reference and nulls the pointer; the last one destroys. Pools hold one each. Any
 * thread. NULL is allowed.
 */
void weir_plugin_unref(struct weir_plugin **plugin);

/** Facts that do not change. `hash` is the SHA-256 of the binary, 64 lower-case digits. */
struct weir_plugin_facts {
	const char *name;
	const char *hash;
	bool response_empty;           /* `handle_response` does nothing, and is never called */
	struct weir_limits limits;     /* in force, defaults filled in */
	enum weir_isolation isolation; /* in force: see WEIR_INIT_OWN */
	enum weir_init init;
	const char *init_reason;  /* why WEIR_INIT_OWN was needed: "the plugin ..."; else NULL */
	bool init_drew_entropy;   /* the guest asked for random numbers while initialising */
	uint32_t init_open_files; /* that it opened meanwhile and did not close */
	uint64_t image_bytes;     /* memory as initialised, shared by all instances; 0 with OWN */
};

/** Valid as long as the plugin. Any thread. */
const struct weir_plugin_facts *weir_plugin_facts(const struct weir_plugin *plugin);

/**
 * How often something took how long. Bucket `i` counts the times of at most 2^(8 + 2 i) ns that the
 * one before does not; the last one counts all longer ones.
 */
#define WEIR_HISTOGRAM_BUCKETS 15
#define WEIR_HISTOGRAM_FIRST_BITS 8

struct weir_histogram {
	uint64_t counts[WEIR_HISTOGRAM_BUCKETS];
	uint64_t sum_ns;
};

/** `created - destroyed == live`, and `live == idle + in_use` on a quiet plugin. */
struct weir_plugin_stats {
	uint64_t created;
	uint64_t destroyed;
	uint64_t live;
	uint64_t idle;
	uint64_t in_use;                    /* initialising, or held by an exchange */
	uint64_t waiting;                   /* exchanges in queues */
	uint64_t exchanges;                 /* begun */
	uint64_t failures[WEIR_CAUSES_MAX]; /* exchanges, by cause */
	uint64_t reserved_bytes;            /* of the budgets: image and instances */
	uint64_t private_bytes;             /* that instances have changed, when last measured */
	uint64_t linear_bytes;              /* sizes of the instances' memories */
	uint64_t budget_refusals;           /* requests to reserve more than the plugin may */
	uint64_t restores;                  /* of instances to how they were initialised */
	uint64_t restored_bytes;            /* that were copied meanwhile */
	uint64_t cpu_ns;                    /* of guest calls, initialisation included */
	uint64_t yields;                    /* slices that ended before their call */
	uint64_t log_lines_dropped;
	struct weir_histogram init;       /* instances that initialised themselves: wall time */
	struct weir_histogram clone;      /* instances made as copies: wall time */
	struct weir_histogram restore;    /* instances put back: wall time */
	struct weir_histogram call;       /* guest calls for exchanges: time that the guest ran */
	struct weir_histogram queue_wait; /* exchanges that waited for an instance */
	uint64_t circuit_open;            /* 1: exchanges are refused now, */
	uint64_t circuit_opened;          /* and how often that has begun */
	uint64_t starts_stopped;          /* 1: instances are not started now, */
	uint64_t starts_stopped_count;    /* and how often that has begun */
	uint64_t late_slices;             /* that took five times their length or more */
	uint64_t open_files;              /* descriptors that instances hold, mounts included */
	uint64_t open_file_refusals;      /* not opened: too many in an instance, or in all */
	uint64_t reserved[129];           /* set to 0 */
};

/** Sums over all pools; each number is exact, the set is not one moment's. Any thread. */
void weir_plugin_stats(const struct weir_plugin *plugin, struct weir_plugin_stats *stats);

/* Pool */

struct weir_pool_events {
	/*
	 * An exchange in WEIR_WAIT_INSTANCE may go on: step it soon. Called from within calls that
	 * concern other exchanges of the pool; must not call the library. `x` is the one that
	 * `weir_exchange_begin` was given. NULL: exchanges are stepped at their wake times.
	 */
	void (*wake)(void *wake_context, struct weir_exchange *exchange, void *x);
	void *wake_context;
	/*
	 * There is work that need not be done now: call `weir_pool_work` soon, after what is under
	 * way. Called from within calls on the pool and its exchanges; must not call the library.
	 * NULL: instances are put back, destroyed and made at once, and while the pool ticks.
	 */
	void (*work)(void *wake_context, struct weir_pool *pool);
	uint64_t reserved[5]; /* 0 */
};

/**
 * For the calling thread, which makes all later calls on the pool and its exchanges. Takes a
 * reference on the plugin, and a copy of `events`. 0, -EINVAL or -ENOMEM.
 */
int weir_pool_create(struct weir_pool **pool, struct weir_plugin *plugin,
		     const struct weir_pool_events *events);

/**
 * Does some of the work that the `work` callback told of, for about 200 us: puts back and destroys
 * instances, and makes those that are to be kept ready. True: call it again, after other work.
 */
bool weir_pool_work(struct weir_pool *pool);

/**
 * All exchanges must have ended. Destroys the instances and drops the plugin's reference. NULL is
 * allowed in `*pool`.
 */
void weir_pool_destroy(struct weir_pool **pool);

/**
 * Destroys instances that idled longer than `idle_ms` and wakes exchanges whose queue time is over.
 * `now_ns` is CLOCK_MONOTONIC. To be called about once a second. Returns true while there is
 * anything left that a later call may change.
 */
bool weir_pool_tick(struct weir_pool *pool, uint64_t now_ns);

/* The embedder's side of an exchange */

enum weir_message { WEIR_REQUEST, WEIR_RESPONSE };

/** One field line. */
struct weir_field {
	struct weir_slice name;
	struct weir_slice value;
};

/** What `read_body` may return besides 0 and negative errno values. */
#define WEIR_WAIT 1

/**
 * Plain access to the embedder's messages. All are called on the thread of the pool, from within
 * begin, step and response, on the guest's stack (256 KiB are free): they must neither block, nor
 * call the library, nor jump out. Slices that they return stay valid until the next call of any of
 * them. Slices that they get point into guest memory: copy. An `int` is 0 or a negative errno
 * value, which fails the exchange (-EFBIG as MEMORY, or TOO_LARGE for a request's body that is
 * read; others as EMBEDDER, for bodies as BODY).
 * Text that reaches setters has been checked: methods and names are tokens, values are without CR,
 * LF and NUL, targets are ASCII without spaces and controls; none is longer than `text_bytes`
 * (targets: three times that, being encoded). Limits on the number and sum of fields are the
 * embedder's.
 */
struct weir_http {
	/* The current request line; `target` in the form received: origin, absolute, authority or
	 * asterisk. */
	struct weir_slice (*method)(void *x);
	int (*set_method)(void *x, struct weir_slice method);
	struct weir_slice (*target)(void *x);
	/* Origin form or "*": replaces path and query. Scheme, authority and routing stay. */
	int (*set_target)(void *x, struct weir_slice target);
	/* The client's: "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0". */
	struct weir_slice (*version)(void *x);
	/* The transport peer: "192.0.2.1:1234" or "[2001:db8::1]:1234". */
	struct weir_slice (*source)(void *x);
	/* The request's Host or :authority, possibly empty. Field access below never sees a request
	 * field "host". */
	struct weir_slice (*authority)(void *x);
	/* For the Host header that goes upstream. NULL: guests' writes are ignored. */
	int (*set_authority)(void *x, struct weir_slice authority);

	/*
	 * The next field line in order, any case; `*cursor` is 0 at first and then the embedder's.
	 * False at the end. The response's fields are, before WEIR_NEXT, those that it would have
	 * if the guest stopped; afterwards the merged ones.
	 */
	bool (*field_next)(void *x, enum weir_message message, size_t *cursor,
			   struct weir_field *field);
	/*
	 * Names compare without case. `set` replaces all lines of the name by one. Never called for
	 * a request's "host", for "transfer-encoding", or for a request's "content-length": framing
	 * is the embedder's.
	 */
	int (*field_set)(void *x, enum weir_message message, struct weir_slice name,
			 struct weir_slice value);
	int (*field_add)(void *x, enum weir_message message, struct weir_slice name,
			 struct weir_slice value);
	int (*field_remove)(void *x, enum weir_message message, struct weir_slice name);

	/* The response's status, 0 while nobody set one; 200 to 999 in `set_status`. */
	unsigned (*status)(void *x);
	int (*set_status)(void *x, unsigned status);

	/*
	 * Up to `limit_bytes` (> 0) of the original body (of the response: after the prefix that
	 * the guest wrote before WEIR_NEXT) from `offset` on, which is 0 or where the last call
	 * stopped. Sets `*got` and `*eof` (as early as it is known: with the last bytes) and
	 * returns 0; or WEIR_WAIT (request only) when there is nothing now. What has been read of a
	 * request must still reach the upstream unless the guest writes another body.
	 */
	int (*read_body)(void *x, enum weir_message message, uint64_t offset, void *buf,
			 size_t limit_bytes, size_t *got, bool *eof);
	/*
	 * Bytes of a new body; `first` says that they replace what was there: the original request;
	 * a response before WEIR_NEXT: nothing; after: prefix and upstream's body. Reading goes on
	 * over the original. `bytes` may be empty.
	 */
	int (*write_body)(void *x, enum weir_message message, struct weir_slice bytes, bool first);
	void (*reserved[8])(void); /* NULL */
};

/* Exchange */

/** Features of the ABI that a guest can have. */
#define WEIR_FEATURE_BUFFER_REQUEST 1u
#define WEIR_FEATURE_BUFFER_RESPONSE 2u

/**
 * What the embedder needs to know about the guest's doings; complete after WEIR_NEXT, WEIR_STOP
 * and WEIR_DONE.
 */
struct weir_exchange_facts {
	uint32_t features;             /* in force since WEIR_NEXT: WEIR_FEATURE_* */
	bool response_wanted;          /* `weir_exchange_response` will call the guest */
	bool request_body_written;     /* replaced; possibly by nothing */
	bool response_body_prefixed;   /* written before WEIR_NEXT or WEIR_STOP */
	bool response_body_written;    /* replaced after WEIR_NEXT; possibly by nothing */
	bool response_length_prefixed; /* content-length changed before WEIR_NEXT or WEIR_STOP */
	bool response_length_written;  /* content-length changed after WEIR_NEXT */
	uint64_t request_body_read_bytes;
	/*
	 * Pages that became the instance's own while the guest ran, with the host's option
	 * `measure`, if they can be told here (see WEIR_RESTORE_DROP); else 0. Complete when the
	 * guest's last call is over, after WEIR_FAILED too.
	 */
	uint64_t changed_bytes;
};

/**
 * Starts an exchange: takes or makes an instance and calls `handle_request`. `http` and `x` are
 * borrowed until `weir_exchange_end`.
 * `*exchange` is set whatever is returned, except for WEIR_FAILED with `*exchange` NULL when memory
 * was short. Returns any step but WEIR_DONE.
 */
enum weir_step weir_exchange_begin(struct weir_exchange **exchange, struct weir_pool *pool,
				   const struct weir_http *http, void *x);

/** Goes on after WEIR_YIELD or WEIR_WAIT_*. A call that comes too early is harmless. */
enum weir_step weir_exchange_step(struct weir_exchange *exchange);

/**
 * Flags of `weir_exchange_response`. ERROR: no complete response could be produced for the client;
 * the guest sees is_error = 1. SENT: the response is on its way (upgrades). With either, changes by
 * a guest that has buffer_response are ignored.
 */
#define WEIR_RESPONSE_ERROR 1u
#define WEIR_RESPONSE_SENT 2u

/**
 * After WEIR_NEXT, once: calls `handle_response` where the guest has one. With buffer_response:
 * when the whole response is there and nothing has been sent; without: when it has been relayed.
 * Returns WEIR_DONE, or as `weir_exchange_step`.
 */
enum weir_step weir_exchange_response(struct weir_exchange *exchange, unsigned flags);

/**
 * CLOCK_MONOTONIC, at which an exchange in WEIR_WAIT_* is to be stepped even if nothing happens;
 * UINT64_MAX: never.
 */
uint64_t weir_exchange_wake_at_ns(const struct weir_exchange *exchange);

/** Valid until `weir_exchange_end`. */
const struct weir_exchange_facts *weir_exchange_facts(const struct weir_exchange *exchange);

/**
 * After WEIR_FAILED; else WEIR_CAUSE_NONE. NULL, from a failed begin, is allowed here and below.
 */
enum weir_cause weir_exchange_cause(const struct weir_exchange *exchange);

/**
 * After WEIR_FAILED with BUSY or CIRCUIT: in how many milliseconds another attempt may succeed, at
 * least 1; else 0.
 */
uint64_t weir_exchange_retry_ms(const struct weir_exchange *exchange);

/**
 * After WEIR_FAILED: one line for the log, with the guest's stack. The library does not log it.
 * Valid until `weir_exchange_end`.
 */
const struct weir_error *weir_exchange_error(const struct weir_exchange *exchange);

/**
 * Ends the exchange in whatever state it is. The instance goes back to the pool if the guest
 * completed the exchange; if it was in the middle of a call, or held after WEIR_NEXT for a response
 * that never came, it is destroyed (prefer `weir_exchange_response` with WEIR_RESPONSE_ERROR when
 * the client is gone). NULL is allowed in `*exchange`.
 */
void weir_exchange_end(struct weir_exchange **exchange);

#ifdef __cplusplus
}
#endif

#endif
