/*
 * A blocking HTTP/1.1 server that passes every request through one http-wasm plugin. Behind the
 * plugin it answers with what it was asked: method, target and body.
 *
 *   cc blocking_server.c -o blocking_server $(pkg-config --cflags --libs weir-plugin)
 *   ./blocking_server 8080 plugin.wasm '{"what": "the plugin is configured with"}'
 *
 * messages.h has the access to the messages that the plugin gets, http1.h reads and writes them.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "http1.h"

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

/* The plugin's own bytes: they must not reach a terminal as they are. */
static void on_log(void *context, const struct weir_log_line *line)
{
	(void)context;
	fputs("log: ", stderr);
	for (size_t i = 0; i < line->text.n; i++) {
		unsigned char c = (unsigned char)line->text.p[i];

		fputc(c < ' ' || c == 127 ? '?' : c, stderr);
	}
	fputc('\n', stderr);
}

static void sleep_until(uint64_t ns)
{
	const struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Waits for what the exchange waits for, until it has a result. */
static enum weir_step finish(struct weir_exchange *e, enum weir_step step, struct messages *m,
			     int client)
{
	for (;;) {
		if (step == WEIR_WAIT_BODY)
			receive_body(m, client);
		else if (step == WEIR_WAIT_TIMER || step == WEIR_WAIT_INSTANCE)
			sleep_until(weir_exchange_wake_at_ns(e));
		else if (step != WEIR_YIELD)
			return step;
		step = weir_exchange_step(e);
	}
}

/* The server behind the plugin, which may have replaced the request's body. */
static bool answer(struct messages *m, int client, bool body_replaced)
{
	struct message *request = &m->of[WEIR_REQUEST];
	struct body *from = body_replaced ? &request->written : &request->original;
	struct body *to = &m->of[WEIR_RESPONSE].original;

	while (request->original.n < m->length && !m->cut_off)
		receive_body(m, client);
	m->status = 200;
	return !m->cut_off && body_add(to, m->method.p, m->method.n) == 0 &&
	       body_add(to, " ", 1) == 0 && body_add(to, m->target.p, m->target.n) == 0 &&
	       body_add(to, "\n", 1) == 0 && body_add(to, from->bytes, from->n) == 0;
}

/* After WEIR_NEXT: asks the server, then shows the plugin the response. */
static enum weir_step pass_on(struct weir_exchange *e, struct messages *m, int client, bool *sent)
{
	const struct weir_exchange_facts *facts = weir_exchange_facts(e);
	unsigned flags = 0;

	if (!answer(m, client, facts->request_body_written)) {
		respond_error(m, client, 502);
		flags = WEIR_RESPONSE_ERROR;
		*sent = true;
	} else if ((facts->features & WEIR_FEATURE_BUFFER_RESPONSE) == 0) {
		/* The plugin will look at it, but cannot change it any more. */
		respond(m, client, false);
		*sent = true;
	}
	return finish(e, weir_exchange_response(e, flags), m, client);
}

/* One request through the plugin and, if the plugin lets it pass, through the server. */
static void serve(struct weir_pool *pool, struct messages *m, int client)
{
	struct weir_exchange *e;
	enum weir_step step = weir_exchange_begin(&e, pool, &access_to_messages, m);
	bool sent = false;

	step = finish(e, step, m, client);
	if (step == WEIR_NEXT)
		step = pass_on(e, m, client, &sent);
	if (step == WEIR_FAILED)
		fprintf(stderr, "failed: %s\n",
			e != NULL ? weir_exchange_error(e)->text : "not enough memory");
	if (step == WEIR_FAILED && !sent)
		respond_error(m, client, weir_cause_status(weir_exchange_cause(e)));
	else if (!sent)
		respond(m, client, weir_exchange_facts(e)->response_body_written);
	weir_exchange_end(&e);
}

static void serve_connection(struct weir_pool *pool, int client, const struct sockaddr_in *peer)
{
	static struct messages m;
	const struct timeval patience = {.tv_sec = 10};
	char address[INET_ADDRSTRLEN], source[sizeof address + 8];
	unsigned error;

	(void)setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	(void)setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	(void)inet_ntop(AF_INET, &peer->sin_addr, address, sizeof address);
	(void)snprintf(source, sizeof source, "%s:%u", address, ntohs(peer->sin_port));
	messages_begin(&m, source);
	error = read_request(&m, client);
	if (error == 0)
		serve(pool, &m, client);
	else
		respond_error(&m, client, error);
	(void)close(client);
}

/* Until a signal says that it is enough. */
static void serve_all(struct weir_pool *pool, int listener)
{
	struct timespec now;

	while (!stopping) {
		struct sockaddr_in peer = {0};
		socklen_t size = sizeof peer;
		int client = accept(listener, (struct sockaddr *)&peer, &size);

		if (client >= 0)
			serve_connection(pool, client, &peer);
		/* At least once a second, thanks to the listener's time-out. */
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		(void)weir_pool_tick(pool,
				     (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	}
}

/* On the loopback interface; 0 takes any free port. Says which one. */
static int listen_on(const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)atoi(port)),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval second = {.tv_sec = 1};
	const int yes = 1;
	socklen_t size = sizeof a;
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
	    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second) < 0 ||
	    bind(s, (struct sockaddr *)&a, size) < 0 || listen(s, 64) < 0 ||
	    getsockname(s, (struct sockaddr *)&a, &size) < 0)
		return -1;
	printf("http://127.0.0.1:%u\n", ntohs(a.sin_port));
	(void)fflush(stdout);
	return s;
}

static struct weir_slice map_file(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	struct stat about = {0};
	void *bytes = MAP_FAILED;

	if (fstat(file, &about) == 0)
		bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	(void)close(file);
	return bytes != MAP_FAILED ? (struct weir_slice){bytes, (size_t)about.st_size}
				   : (struct weir_slice){NULL, 0};
}

/* Nothing may be left of a plugin's instances. */
static void say_goodbye(const struct weir_plugin *plugin)
{
	struct weir_plugin_stats stats;

	weir_plugin_stats(plugin, &stats);
	printf("%llu exchanges, %llu instances created, %llu destroyed\n",
	       (unsigned long long)stats.exchanges, (unsigned long long)stats.created,
	       (unsigned long long)stats.destroyed);
}

int main(int argc, char **argv)
{
	const struct weir_host_options options = {.log = on_log};
	const struct weir_pool_events events = {0}; /* nobody else uses the pool */
	const struct sigaction stop = {.sa_handler = on_signal};
	struct weir_plugin_options o = {.name = "plugin"};
	struct weir_host *host;
	struct weir_plugin *plugin;
	struct weir_pool *pool;
	struct weir_error error;
	int listener;

	if (argc < 3) {
		fprintf(stderr, "usage: %s PORT PLUGIN.wasm [CONFIGURATION]\n", argv[0]);
		return 2;
	}
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	(void)signal(SIGPIPE, SIG_IGN);

	o.wasm = map_file(argv[2]);
	o.config = slice_of(argc > 3 ? argv[3] : "");
	if (weir_host_create(&host, &options, &error) < 0 ||
	    weir_plugin_create(&plugin, host, &o, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	listener = listen_on(argv[1]);
	if (listener < 0 || weir_pool_create(&pool, plugin, &events) < 0) {
		perror("blocking_server");
		return 1;
	}
	serve_all(pool, listener);

	weir_pool_destroy(&pool);
	say_goodbye(plugin);
	weir_plugin_unref(&plugin);
	weir_host_destroy(&host);
	return 0;
}
