/*
 * What docs/embedding.md promises to programs, tried by one: embedder PLUGIN.wasm WHAT.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/plugin.h>

static struct weir_slice read_file(const char *path)
{
	static char bytes[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t n = f != NULL ? fread(bytes, 1, sizeof bytes, f) : 0;

	if (f != NULL)
		(void)fclose(f);
	return (struct weir_slice){bytes, n};
}

static void die(const struct weir_error *error)
{
	fprintf(stderr, "%s\n", error->text);
	exit(1);
}

static struct weir_plugin *load(struct weir_host **host, const struct weir_host_options *options,
				const char *path)
{
	struct weir_plugin_options o = {.name = "plugin", .wasm = read_file(path)};
	struct weir_plugin *plugin;
	struct weir_error error;

	if (weir_host_create(host, options, &error) < 0 ||
	    weir_plugin_create(&plugin, *host, &o, &error) < 0)
		die(&error);
	return plugin;
}

/* Itself is the compiler, and the result is kept in `cache`. */
static int compile(const char *path, const char *cache)
{
	const char *const compiler[] = {"/proc/self/exe", "compile-module", NULL};
	struct weir_host_options options = {.compiler = compiler, .cache_directory = cache};
	struct weir_host_stats stats;
	struct weir_host *host;
	struct weir_plugin *plugin = load(&host, &options, path);

	weir_host_stats(host, &stats);
	printf("compiled %d, from the cache %d\n", (int)stats.compiled, (int)stats.cache_hits);
	weir_plugin_unref(&plugin);
	weir_host_destroy(&host);
	return 0;
}

static void on_fault(int number)
{
	(void)number;
	_exit(42);
}

/* A fault of the program's is handed to the handler that was there before the library's. */
static int fault(const char *path)
{
	const struct sigaction action = {.sa_handler = on_fault};
	struct weir_host *host;
	int *volatile nowhere = NULL;

	(void)sigaction(SIGSEGV, &action, NULL);
	(void)load(&host, NULL, path);
	return *nowhere;
}

/* A child that uses nothing of the library's may come and go. */
static int forks(const char *path)
{
	struct weir_host *host;
	struct weir_plugin *plugin = load(&host, NULL, path);
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(7);
	if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7)
		return 1;
	weir_plugin_unref(&plugin);
	weir_host_destroy(&host);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "compile-module") == 0)
		return weir_compiler_main();
	if (argc == 4 && strcmp(argv[2], "compile") == 0)
		return compile(argv[1], argv[3]);
	if (argc == 3 && strcmp(argv[2], "fault") == 0)
		return fault(argv[1]);
	if (argc == 3 && strcmp(argv[2], "fork") == 0)
		return forks(argv[1]);
	return 2;
}
