#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/verify_private.h"

#define PLUGIN_DIRECTORY "plugins-local/src/example.org/verify"
#define TMPDIR_MAX ((size_t)100)
#define SERVERS_PER_ROUTER 3
/* Of the built-in guest: with one configuration for all routers, and with one for each. */
#define GUEST_MIB 20
#define GUEST_OWN_MIB 4

static const char manifest[] =
	"displayName: verify\ntype: middleware\nruntime: wasm\nsummary: the plugin of weir verify\n"
	"testData: {}\n";

const char *const verify_breaks[VERIFY_BREAK_COUNT] = {
#define X(id, name) [VERIFY_B_##id] = name,
	VERIFY_BREAKS(X)
#undef X
};

int verify_write_file(const char *path, slice content, struct weir_error *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r = 0;

	if (fd < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	while (r == 0 && content.n > 0) {
		ssize_t n = write(fd, content.p, content.n);

		if (n < 0 && errno != EINTR)
			r = error_set(e, -errno, "%s: %s", path, strerror(errno));
		else if (n > 0)
			content = slice_from_at(content, (size_t)n);
	}
	(void)close(fd);
	return r;
}

void verify_host(char text[64], size_t number)
{
	if (number == 0)
		(void)snprintf(text, 64, "localhost");
	else
		(void)snprintf(text, 64, "svc-%zu.example.com", number);
}

void verify_pass_host(char text[64], uint64_t pass)
{
	(void)snprintf(text, 64, "pass-%llu.example.com", (unsigned long long)pass);
}

static int write_in(const struct verify_files *f, const char *name, const struct str *content,
		    struct weir_error *e)
{
	char path[256];

	if (content->failed)
		return error_set(e, -ENOMEM, "out of memory");
	(void)snprintf(path, sizeof path, "%s/%s", f->directory, name);
	return verify_write_file(path, str_slice(content), e);
}

static int write_static(const struct verify_files *f, struct weir_error *e)
{
	struct str s = {0};
	int r;

	str_format(&s, "global:\n  checkNewVersion: false\n  sendAnonymousUsage: false\nlog:\n  "
		       "level: INFO\n");
	str_format(&s,
		   "entryPoints:\n  web:\n    address: 127.0.0.1:%u\n  traefik:\n    address: "
		   "127.0.0.1:%u\n",
		   f->web_port, f->metrics_port);
	str_add(&s, SLICE("metrics:\n  prometheus: {}\nproviders:\n  providersThrottleDuration: "
			  "100ms\n  file:\n"
			  "    filename: dynamic.yml\n    watch: true\nexperimental:\n  "
			  "localPlugins:\n    verify:\n"
			  "      moduleName: example.org/verify\n"));
	r = write_in(f, "traefik.yml", &s, e);
	str_free(&s);
	return r;
}

/* The plugin configuration of a router: with `own`, a name in it says whose it is and since when.
 * JSON is YAML. */
static int add_plugin(struct str *s, const struct verify_files *f, size_t router, uint64_t pass,
		      struct weir_error *e)
{
	const struct verify_args *a = f->args;
	bool own = f->scenario->own;
	json_t *config = json_copy(a->config);
	char version[64], *text;

	(void)snprintf(version, sizeof version, "%zu-%llu", router, (unsigned long long)pass);
	if (own)
		json_put(config, "weirVerify", json_string(version));
	if (a->own_guest && !a->config_given)
		json_put(config, "mib", json_integer(own ? GUEST_OWN_MIB : GUEST_MIB));
	text = json_dumps(config, 0);
	json_decref(config);
	if (text == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	str_format(s, "    m%zu:\n      plugin:\n        verify: %s\n", router, text);
	free(text);
	return 0;
}

/* As in the experiment that this repeats: three servers, whose paths are different each time,
 * unless only one router may change. */
static void add_servers(struct str *s, const struct verify_files *f, size_t router)
{
	str_add(s, SLICE("      loadBalancer:\n        passHostHeader: false\n        servers:\n"));
	for (size_t i = 0; i < SERVERS_PER_ROUTER; i++) {
		uint64_t number[2] = {router, i};

		if (!f->scenario->steady && getrandom(number, sizeof number, 0) < 0)
			number[0] = i;
		str_format(s, "          - url: http://127.0.0.1:%u/%016llx%016llx\n",
			   f->backend_port, (unsigned long long)number[0],
			   (unsigned long long)number[1]);
	}
}

static void add_routers(struct str *s, const struct verify_files *f, uint64_t pass)
{
	char host[64];

	str_add(s, SLICE("http:\n  routers:\n"));
	for (size_t i = 0; i < f->scenario->routers; i++) {
		verify_host(host, i);
		str_format(s,
			   "    r%zu:\n      rule: Host(`%s`)\n      service: s%zu\n      "
			   "entryPoints: [web]\n"
			   "      middlewares: [m%zu]\n",
			   i, host, i, f->scenario->own ? i : 0);
	}
	verify_pass_host(host, pass);
	str_format(
		s,
		"    pass:\n      rule: Host(`%s`)\n      service: s0\n      entryPoints: [web]\n",
		host);
}

/* The last pass in which the router's plugin configuration was changed: one of them in each pass.
 */
static uint64_t changed_in(size_t router, uint64_t pass, size_t routers)
{
	uint64_t turn = router + 1; /* the first pass that changes it */

	return pass < turn ? 0 : pass - (pass - turn) % routers;
}

/* What is there for a while and then ends, or cannot be: each beside something that is good. The
 * keys and values are unlike any that there are. */
static const struct {
	const char *before; /* it is put before the first of these; NULL: the file ends there */
	const char *text;
} breaks[VERIFY_BREAK_COUNT] = {
	[VERIFY_B_TRUNCATED] = {"        verify: {", NULL},
	[VERIFY_B_SYNTAX] = {"      service: s7\n", "      rule: [Host(`x`)\n"},
	[VERIFY_B_KEY] = {"      service: s7\n", "      purpose: to be found\n"},
	[VERIFY_B_VALUE] = {"        passHostHeader: false\n", "        passHostHeader: perhaps\n"},
};

/* Breaks the text, and says in which line. */
static size_t break_text(struct str *s, enum verify_break how)
{
	slice all = str_slice(s), before = slice_from(breaks[how].before);
	size_t at = slice_search(all, before), line = 1;
	struct str broken = {0};

	for (size_t i = 0; i < at; i++)
		line += all.p[i] == '\n';
	str_add(&broken, slice_first(all, at));
	if (breaks[how].text == NULL)
		str_add(&broken, before);
	else if (how == VERIFY_B_VALUE)
		at = MIN(at + before.n, all.n);
	if (breaks[how].text != NULL)
		str_format(&broken, "%s%.*s", breaks[how].text, SLICE_ARG(slice_from_at(all, at)));
	str_free(s);
	*s = broken;
	return line;
}

int verify_files_write(const struct verify_files *f, uint64_t pass, enum verify_break how,
		       size_t *line, struct weir_error *e)
{
	size_t routers = f->scenario->routers;
	struct str s = {0};
	int r = 0;

	add_routers(&s, f, pass);
	str_add(&s, SLICE("  services:\n"));
	for (size_t i = 0; i < routers; i++) {
		str_format(&s, "    s%zu:\n", i);
		add_servers(&s, f, i);
	}
	str_add(&s, SLICE("  middlewares:\n"));
	for (size_t i = 0; r == 0 && i < (f->scenario->own ? routers : 1); i++)
		r = add_plugin(&s, f, i, changed_in(i, pass, routers), e);
	if (how != VERIFY_B_NONE)
		*line = break_text(&s, how);
	if (r == 0)
		r = write_in(f, "dynamic.tmp", &s, e);
	str_free(&s);
	return r;
}

int verify_files_publish(const struct verify_files *f, struct weir_error *e)
{
	char from[256], to[256];

	(void)snprintf(from, sizeof from, "%s/dynamic.tmp", f->directory);
	(void)snprintf(to, sizeof to, "%s/dynamic.yml", f->directory);
	return rename(from, to) == 0 ? 0 : error_set(e, -errno, "%s: %s", to, strerror(errno));
}

static int make_directories(const struct verify_files *f, struct weir_error *e)
{
	char path[256];
	size_t start = strlen(f->directory) + 1;

	(void)snprintf(path, sizeof path, "%s/" PLUGIN_DIRECTORY "/", f->directory);
	for (char *p = path + start; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return error_set(e, -errno, "%s: %s", path, strerror(errno));
		*p = '/';
	}
	return 0;
}

static int write_plugin(const struct verify_files *f, struct weir_error *e)
{
	char path[256];
	int r;

	(void)snprintf(path, sizeof path, "%s/" PLUGIN_DIRECTORY "/plugin.wasm", f->directory);
	r = verify_write_file(path, f->args->guest, e);
	(void)snprintf(path, sizeof path, "%s/" PLUGIN_DIRECTORY "/.traefik.yml", f->directory);
	return r < 0 ? r : verify_write_file(path, slice_from(manifest), e);
}

int verify_files_make(struct verify_files *f, struct weir_error *e)
{
	const char *base = getenv("TMPDIR");
	int r;

	if (base == NULL || base[0] != '/' || strlen(base) > TMPDIR_MAX)
		base = "/tmp";
	(void)snprintf(f->directory, sizeof f->directory, "%s/weir-verify-XXXXXX", base);
	if (mkdtemp(f->directory) == NULL) {
		f->directory[0] = '\0';
		return error_set(e, -errno, "no temporary directory: %s", strerror(errno));
	}
	r = make_directories(f, e);
	if (r == 0)
		r = write_static(f, e);
	if (r == 0)
		r = write_plugin(f, e);
	if (r == 0)
		r = verify_files_write(f, 0, VERIFY_B_NONE, NULL, e);
	return r < 0 ? r : verify_files_publish(f, e);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	(void)remove(path);
	return 0;
}

void verify_files_remove(struct verify_files *f)
{
	if (f->directory[0] != '\0')
		(void)nftw(f->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	f->directory[0] = '\0';
}
