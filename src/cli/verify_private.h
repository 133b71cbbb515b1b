/*
 * Private to verify*.c: `weir verify`, which runs a proxy through scenarios that made others lose
 * memory, and judges it.
 *
 *   verify.c           the command
 *   verify_args.c      its options
 *   verify_scenario.c  the scenarios: what is done in each
 *   verify_run.c       a scenario while it runs
 *   verify_rewrite.c   rewrites of the configuration, broken ones too
 *   verify_kill.c      kills of the server
 *   verify_delay.c     what a reload adds to the time of an answer
 *   verify_judge.c     what was measured, and the limits that it is held against
 *   verify_files.c     the directory and the files that the proxy reads
 *   verify_proxy.c     the proxy's process, what it prints and what its metrics say
 *   verify_sampler.c   what the system says about its processes, each 250 ms
 *   verify_backend.c   the server behind it
 *   verify_load.c      the clients before it
 *   verify_latency.c   how long answers took
 *   verify_report.c    the report as JSON
 *   verify_html.c      the report as a page
 */
#ifndef CLI_VERIFY_PRIVATE_H
#define CLI_VERIFY_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "core/base.h"
#include "core/error.h"
#include "core/str.h"

/** Proxies that one report compares. */
#define VERIFY_PROXIES 8
#define VERIFY_TEXT 512
/** Between samples. */
#define VERIFY_SAMPLE_MS 250u

/* X(NAME, name, for_ms, interval_ms, routers, own, steady, what it is): `for_ms` is how long it
 * runs, `interval_ms` the time between rewrites of the configuration; with `own` each router has a
 * plugin configuration for itself, with `steady` a rewrite changes one router and nothing else. */
#define VERIFY_SCENARIOS(X) \
	X(BURST, burst, 60000, 0, 51, false, false, \
	  "10,000 requests from 100 clients at once, then 10,000 from 1,000 clients at once") \
	X(SEQUENTIAL, sequential, 30000, 0, 51, false, false, "one client, a request each 10 ms") \
	X(CHURN, churn, 50000, 500, 51, false, false, \
	  "the configuration is rewritten each 500 ms with other server URLs; the plugin's " \
	  "stays; no requests") \
	X(CHANGE, change, 50000, 500, 51, true, false, \
	  "each rewrite changes the plugin configuration of one of 51 routers") \
	X(TRAFFIC, traffic, 30000, 1000, 51, false, false, \
	  "rewrites as in churn, with 500 requests a second") \
	X(BROKEN, broken, 30000, 500, 51, false, false, \
	  "rewrites as in churn, with 500 requests a second; each third one is a broken file") \
	X(KILL, kill, 60000, 0, 51, false, false, \
	  "the server's process is killed each second, with 500 requests a second") \
	X(LONGLIVED, longlived, 50000, 500, 51, false, false, \
	  "rewrites as in churn, while 200 clients hold event streams open") \
	X(SCALE100, scale100, 20000, 1000, 100, false, true, \
	  "rewrites that change one of 100 routers, with 500 requests a second") \
	X(SCALE1000, scale1000, 20000, 1000, 1000, false, true, "the same with 1,000 routers") \
	X(SCALE10000, scale10000, 30000, 2000, 10000, false, true, "the same with 10,000 routers") \
	X(SOAK, soak, 300000, 250, 65, true, false, \
	  "65 routers, each with a plugin configuration of its own; rewrites under light traffic")

enum verify_scenario_id {
#define X(id, name, for_ms, interval_ms, routers, own, steady, doc) VERIFY_##id,
	VERIFY_SCENARIOS(X)
#undef X
		VERIFY_SCENARIO_COUNT
};

/** A row of the table above. */
struct verify_scenario {
	const char *name;
	uint64_t for_ms;
	uint64_t interval_ms;
	size_t routers;
	bool own;
	bool steady;
	const char *doc;
};
extern const struct verify_scenario verify_scenarios[VERIFY_SCENARIO_COUNT];

/** The command line. Texts live in the arena or with the process. */
struct verify_args {
	struct arena arena;
	const char *proxies[VERIFY_PROXIES];
	size_t proxy_count;
	slice guest;    /* the module's bytes */
	bool own_guest; /* it is the one that is built in */
	json_t *config; /* the plugin's; an object */
	bool config_given;
	const char *line; /* what the guest logs when it initialises */
	bool wanted[VERIFY_SCENARIO_COUNT];
	uint64_t for_ms; /* 0: as the table says */
	uint64_t settle_ms;
	uint64_t memory_bytes; /* the proxy is stopped when it needs more */
	const char *report;    /* a directory, or NULL */
	bool help;
};

/** Reads the options. After any return `verify_args_free` is needed. Returns 0, or a negative errno
 * value with the reason. */
int verify_args_read(struct verify_args *a, const struct cli_args *args, struct weir_error *e);
void verify_args_free(struct verify_args *a);

/** Appends usage, options, scenarios and limits. */
void verify_args_help(struct str *out);

/** Whether SIGINT or SIGTERM has asked the command to end. Any thread. */
bool verify_is_stopped(void);

/** Sleeps, unless the command is to end. */
void verify_sleep_ms(uint64_t ms);

/* --- how long answers took */

#define VERIFY_LATENCY_CELLS 640

/** A histogram of microseconds, exact to one sixteenth. A value; zero is empty. */
struct verify_latency {
	uint64_t count;
	uint64_t most_us;
	uint32_t cells[VERIFY_LATENCY_CELLS];
};

/** Counts one answer. */
void verify_latency_add(struct verify_latency *l, uint64_t us);

/** The time within which that share of the answers came; 0 without any. */
uint64_t verify_latency_at(const struct verify_latency *l, double share);

/* --- the server behind the proxy */

struct verify_backend;

/** What it answers with. */
#define VERIFY_BODY "weir verify\n"

/** Starts a thread that serves on a free port of 127.0.0.1: VERIFY_BODY, or, who accepts
 * text/event-stream gets an event each second. Returns 0 or a negative errno value. */
int verify_backend_start(struct verify_backend **backend, struct weir_error *e);
uint16_t verify_backend_port(const struct verify_backend *backend);
void verify_backend_stop(struct verify_backend **backend);

/* --- what a reload adds to the time of an answer */

#define VERIFY_WINDOWS 1024

/** The longest times of answers in windows of equal length, without a reload and with one. */
struct verify_delays {
	size_t count[2];
	uint64_t most_us[2][VERIFY_WINDOWS];
};

/** What can be said about them. */
struct verify_delay {
	bool known;                 /* there are enough windows */
	double quiet_ms, reload_ms; /* medians */
	double doubt_ms; /* by which the difference of the two may be wrong, since windows without a
			    reload differ by so much */
};

/** One more window; those beyond VERIFY_WINDOWS are left out. */
void verify_delays_add(struct verify_delays *d, bool reload, uint64_t most_us);

/** Sorts the windows. */
struct verify_delay verify_delays_sum(struct verify_delays *d);

/* --- the clients before it */

struct verify_load;

struct verify_load_plan {
	uint16_t port;
	size_t connections;
	uint64_t count;       /* requests in all; 0: until stopped */
	uint64_t interval_ns; /* between the requests of one connection; 0: the next follows the
				 answer */
	size_t hosts;         /* of how many routers, in turn */
	bool hold;            /* each asks for an event stream and keeps it */
	const char *field; /* a line that the head of each answer must have, without its end; NULL:
			      none */
};

/** What clients have seen so far. */
struct verify_load_counts {
	uint64_t answered;
	uint64_t failed;
	uint64_t held;    /* streams that are open now */
	uint64_t refused; /* of those that failed: their connection was */
	uint64_t broken;  /* their connection was, by a kill: not among those that failed */
};

/** Starts a thread with the clients. Returns 0 or a negative errno value. */
int verify_load_start(struct verify_load **load, const struct verify_load_plan *plan,
		      struct weir_error *e);
/** Whether all requests were made and answered, or have failed. Any thread, as the next ones. */
bool verify_load_is_done(const struct verify_load *load);
void verify_load_count(const struct verify_load *load, struct verify_load_counts *counts);
/** From now on answers count as such that came during a reload, or not. */
void verify_load_set_reload(struct verify_load *load, bool reload);
/** From now on a connection may break in the middle of a request; until `killed` is false, and
 * requests that were sent before that. */
void verify_load_set_kill(struct verify_load *load, bool killed);
/** The longest time of an answer since the last call; 0 without any. */
uint64_t verify_load_window_us(struct verify_load *load);
/** Adds the times since the last call to `l`. */
void verify_load_take(struct verify_load *load, struct verify_latency *l);
/** Ends the thread; adds to the results. `failure` gets the first failure's text if it is empty. */
void verify_load_stop(struct verify_load **load, struct verify_load_counts *total,
		      struct verify_latency all[2], char failure[VERIFY_TEXT]);

/* --- the files */

/** A directory of its own with what the proxy reads. */
struct verify_files {
	char directory[128];
	uint16_t web_port;
	uint16_t metrics_port;
	uint16_t backend_port;
	const struct verify_args *args;
	const struct verify_scenario *scenario;
};

/** Makes the directory with the static file, the plugin and the first dynamic file. Returns 0 or a
 * negative errno value; `verify_files_remove` is needed after both. */
int verify_files_make(struct verify_files *f, struct weir_error *e);

/* X(NAME, name): how a dynamic file can be broken. */
#define VERIFY_BREAKS(X) \
	X(TRUNCATED, "truncated") \
	X(SYNTAX, "not YAML") \
	X(KEY, "unknown key") \
	X(VALUE, "impossible value")

enum verify_break {
#define X(id, name) VERIFY_B_##id,
	VERIFY_BREAKS(X)
#undef X
		VERIFY_BREAK_COUNT,
	VERIFY_B_NONE = VERIFY_BREAK_COUNT
};
extern const char *const verify_breaks[VERIFY_BREAK_COUNT];

/** Writes the dynamic file of another pass beside the one that is read; passes count from 0, the
 * first. `line` gets that at which it is broken. */
int verify_files_write(const struct verify_files *f, uint64_t pass, enum verify_break how,
		       size_t *line, struct weir_error *e);
/** Puts it in the place of the one that is read. */
int verify_files_publish(const struct verify_files *f, struct weir_error *e);
void verify_files_remove(struct verify_files *f);
/** The host of router `number`, and that of the router that only the configuration of a pass has.
 */
void verify_host(char text[64], size_t number);
void verify_pass_host(char text[64], uint64_t pass);

/* --- the proxy */

/** What is known about its plugin's instances; -1: unknown. */
struct verify_instances {
	int64_t initialised; /* so far */
	int64_t live;
	int64_t generations; /* configurations that are in use */
};

struct verify_proxy {
	const char *path;
	pid_t pid; /* 0: not running */
	struct verify_files files;
	bool has_metrics; /* of weir's */
	int output;       /* what it prints, to count in */
	uint64_t lines;   /* that say that a guest was initialised */
	struct str rest;  /* of a line that is not complete */
	pthread_mutex_t lock;
};

/** Starts the program with the files and waits until it answers. Returns 0 or a negative errno
 * value with what it printed last; `verify_proxy_stop` is needed after both. Call it on the main
 * thread: with that the program ends. */
int verify_proxy_start(struct verify_proxy *p, const char *path, const struct verify_args *args,
		       const struct verify_scenario *scenario, uint16_t backend_port,
		       struct weir_error *e);
/** Whether it still runs; main thread. */
bool verify_proxy_runs(struct verify_proxy *p);
/** Whether the configuration of that pass is in effect. */
bool verify_proxy_has(struct verify_proxy *p, uint64_t pass);
/** Counts instances: from the metrics, or from what was printed. Any thread. */
void verify_proxy_instances(struct verify_proxy *p, struct verify_instances *instances);
/** How much it has printed. */
off_t verify_proxy_printed(const struct verify_proxy *p);
/** Looks for a line with that word after the first `from` bytes of what was printed; main thread.
 */
bool verify_proxy_find_line(struct verify_proxy *p, off_t from, const char *word,
			    char line[VERIFY_TEXT]);
/** Ends all of its processes and removes its files. */
void verify_proxy_stop(struct verify_proxy *p);

/* --- samples */

/* X(name, what it is): numbers of a sample; -1: unknown. */
#define VERIFY_SERIES(X) \
	X(own_bytes, "memory of its own: anonymous pages, and files in memory") \
	X(pss_bytes, "proportional set size") \
	X(private_bytes, "private memory") \
	X(descriptors, "open descriptors") \
	X(threads, "threads") \
	X(cpu_ms, "CPU time so far") \
	X(control_us, "CPU time of the first thread of each process so far") \
	X(initialised, "plugin instances initialised so far") \
	X(live, "plugin instances that exist") \
	X(generations, "configurations in use") \
	X(answered, "requests answered so far") \
	X(failed, "requests failed so far") \
	X(p50_us, "median time of an answer since the last sample") \
	X(p99_us, "99 % of the answers came within")

struct verify_sample {
	uint64_t at_ms; /* since the proxy was ready */
#define X(name, doc) int64_t name;
	VERIFY_SERIES(X)
#undef X
};

/** Something that happened. */
struct verify_mark {
	uint64_t at_ms;
	char text[48]; /* empty: a rewrite */
};

#define VERIFY_SAMPLES 4096
#define VERIFY_MARKS 4096

struct verify_sampler {
	pthread_t thread;
	pthread_mutex_t lock;
	struct verify_proxy *proxy;
	pid_t root;                       /* of its processes */
	struct verify_load *load;         /* that is looked at, or NULL; under the lock */
	struct verify_load_counts before; /* by earlier loads */
	uint64_t start_ms;
	uint64_t every; /* of how many samples one is kept */
	uint64_t taken;
	size_t count;
	struct verify_sample *list;
	struct verify_sample last;
	size_t mark_count;
	struct verify_mark *marks;
	int64_t peak_own_bytes; /* since it was last set */
	int64_t peak_generations;
	_Atomic bool stop;
};

/** Begins. Returns 0 or a negative errno value; `verify_sampler_free` is needed after 0. */
int verify_sampler_start(struct verify_sampler *s, struct verify_proxy *proxy,
			 struct weir_error *e);
void verify_sampler_stop(struct verify_sampler *s);
void verify_sampler_free(struct verify_sampler *s);
/** Which load is looked at from now on; its counts are added up. */
void verify_sampler_watch(struct verify_sampler *s, struct verify_load *load);
void verify_sampler_mark(struct verify_sampler *s, const char *text);
/** The newest sample. */
struct verify_sample verify_sampler_last(struct verify_sampler *s);
/** From now on the most is looked for; and the most since then. */
void verify_sampler_begin_peak(struct verify_sampler *s);
void verify_sampler_peak(struct verify_sampler *s, int64_t *own_bytes, int64_t *generations);
/** `verify_slope_bytes` of the samples so far. */
double verify_sampler_slope(struct verify_sampler *s);
/** The processes that a process has started and that still are; returns how many, at most `room`.
 */
size_t verify_children(pid_t pid, pid_t *list, size_t room);
/** Memory and descriptors of a process and its descendants right now. */
void verify_sample_processes(struct verify_sample *sample, pid_t root);

/* --- results */

/* X(NAME, name, unit, what it is): what a scenario measures. */
#define VERIFY_MEASURES(X) \
	X(DIED, died, "", "the proxy ended by itself") \
	X(OVER_MEMORY, over_memory, "", "the proxy was stopped at --memory") \
	X(REWRITES, rewrites, "", "rewrites of the configuration") \
	X(NOT_APPLIED, not_applied, "", "rewrites that were not in effect after 10 s") \
	X(INITIALISED, initialised, "", "plugin instances initialised after the start") \
	X(BROKEN, broken, "", "rewrites that were broken files") \
	X(NOT_KEPT, not_kept, "", "broken files beside which the last good one did not serve on") \
	X(NOT_TOLD, not_told, "", "broken files of which the log said nothing within 10 s") \
	X(NOT_CLEAR, not_clear, "", \
	  "broken files whose file, line and what was expected there the log did not name") \
	X(KILLS, kills, "", "kills of the server's process") \
	X(NOT_BACK, not_back, "", "kills after which nothing was answered for 10 s") \
	X(BACK, back_ms, "ms", "time until it answered again after a kill, the median") \
	X(BACK_MOST, back_most_ms, "ms", "the longest time until it answered again after a kill") \
	X(NOT_ONE, not_one, "", "rewrites that did not initialise exactly one instance") \
	X(LIVE_LEFT, live_left, "", "instances more at the end than at the start") \
	X(GENERATIONS, generations, "", "most configurations in use at once") \
	X(PEAK, peak_mib, "MiB", "most memory beyond that at the start") \
	X(LEFT, left_mib, "MiB", "memory beyond that at the start, at the end") \
	X(SLOPE, slope_mib, "MiB", "growth of memory over the second half, by its trend") \
	X(DESCRIPTORS, descriptors_left, "", "descriptors more at the end than at the start") \
	X(REQUESTS, requests, "", "requests answered") \
	X(FAILED, failed, "", "requests that failed, or had a wrong answer") \
	X(REFUSED, refused, "", "connections that were refused") \
	X(CUT, cut, "", "requests that a kill cut off; nobody could have answered them") \
	X(LOST, lost, "", "event streams that ended, or stood still") \
	X(P99, p99_ms, "ms", "99 % of the answers came within") \
	X(P99_RELOAD, p99_reload_ms, "ms", "99 % of the answers during reloads came within") \
	X(P99_RATIO, p99_ratio, "", "that time during reloads by that without") \
	X(DELAY_QUIET, delay_quiet_ms, "ms", \
	  "the slowest answer in a window without a reload, the median") \
	X(DELAY_RELOAD, delay_reload_ms, "ms", \
	  "the slowest answer in a window with a reload, the median") \
	X(DELAY_MORE, delay_more_ms, "ms", "by how much a reload delays the slowest answer") \
	X(APPLIED, applied_ms, "ms", "time until a rewrite is in effect, on average") \
	X(CPU, cpu_ms, "ms", "CPU time for a rewrite and what was requested meanwhile") \
	X(CONTROL, control_ms, "ms", "CPU time of weir's control thread for a rewrite")

enum verify_measure {
#define X(id, name, unit, doc) VERIFY_M_##id,
	VERIFY_MEASURES(X)
#undef X
		VERIFY_MEASURE_COUNT
};

struct verify_measure_row {
	const char *name;
	const char *unit;
	const char *doc;
};
extern const struct verify_measure_row verify_measures[VERIFY_MEASURE_COUNT];

enum verify_verdict { VERIFY_GOOD, VERIFY_BAD, VERIFY_UNKNOWN };

/** A limit: what was measured must not be more. */
struct verify_limit {
	unsigned scenarios; /* bits */
	enum verify_measure measure;
	double most;
};
extern const struct verify_limit verify_limits[];
extern const size_t verify_limit_count;

/** One scenario with one proxy. */
struct verify_result {
	enum verify_scenario_id scenario;
	const char *proxy;
	bool has_metrics;
	double values[VERIFY_MEASURE_COUNT];
	bool known[VERIFY_MEASURE_COUNT];
	char failure[VERIFY_TEXT];                  /* the first request's that failed */
	char note[VERIFY_TEXT];                     /* why something could not be told */
	char unsupported[VERIFY_TEXT];              /* why this proxy cannot be asked for this */
	char said[VERIFY_BREAK_COUNT][VERIFY_TEXT]; /* about broken files */
	struct weir_error error;                    /* the scenario could not be run */
	int64_t start_own_bytes;
	double seconds;
	struct verify_sampler sampler;
	bool sampled;
};

/** From now on the measure is known. */
void verify_result_set(struct verify_result *r, enum verify_measure m, double value);

/** Runs the scenario from the start of the proxy to its end. The result is judged even if something
 * went wrong. */
void verify_scenario_run(struct verify_result *r, const struct verify_args *args);

/** Growth by the trend of the second half's samples, in bytes. */
double verify_slope_bytes(const struct verify_sample *list, size_t count);

/** Whether `limit` is one of the scenario's, and how the result stands to it. */
bool verify_limit_applies(const struct verify_limit *limit, enum verify_scenario_id scenario);
enum verify_verdict verify_judge_limit(const struct verify_result *r,
				       const struct verify_limit *limit);
/** What a measure must not exceed in a scenario; infinity without a limit. */
double verify_most(enum verify_scenario_id scenario, enum verify_measure m);
/** Of all limits; an error is bad, and what is not supported unknown. */
enum verify_verdict verify_judge(const struct verify_result *r);
/** "0.4 MiB", "12": a value as people read it. */
void verify_add_value(struct str *out, enum verify_measure m, double value);

/** Everything that was run. */
struct verify_report {
	const struct verify_args *args;
	struct verify_result *results;
	size_t count;
};

/** The report as JSON, which the caller owns. */
json_t *verify_report_json(const struct verify_report *r);
/** Writes report.json and report.html to the directory, which is made. Returns 0 or a negative
 * errno value. */
int verify_report_write(const struct verify_report *r, struct weir_error *e);
/** Appends the page; `data` is the report as JSON text. */
void verify_html_add(struct str *out, slice data);
/** Writes a whole file. Returns 0 or a negative errno value. */
int verify_write_file(const char *path, slice content, struct weir_error *e);

#endif
