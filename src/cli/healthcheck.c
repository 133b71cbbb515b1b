#include <curl/curl.h>
#include <stdio.h>

#include "cli/cli.h"
#include "net/address.h"

#define TIMEOUT_MS 5000L

static size_t swallow(char *bytes, size_t size, size_t count, void *context)
{
	(void)bytes;
	(void)context;
	return size * count;
}

/* HEAD, as Traefik's command does, through the Unix socket at `path` unless that is NULL. Returns
 * the status, or 0 with a text in `error`. */
static long ask(const char *url, const char *path, char error[CURL_ERROR_SIZE])
{
	CURL *c = curl_easy_init();
	long status = 0;
	CURLcode r;

	if (c == NULL)
		return 0;
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, path);
	(void)curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
	r = curl_easy_perform(c);
	if (r == CURLE_OK)
		(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	else if (error[0] == '\0')
		(void)snprintf(error, CURL_ERROR_SIZE, "%s", curl_easy_strerror(r));
	curl_easy_cleanup(c);
	return status;
}

/* The URL of the ping entry point as this machine reaches it, and the Unix socket to go through, or
 * NULL. Returns false with a text printed if there is none. */
static bool ping_url(const struct static_config *config, char *url, size_t size, const char **path)
{
	const struct entry_point_config *p;
	struct listen_address address;
	struct weir_error e = {0};
	const char *host = "127.0.0.1";

	if (config->ping == NULL) {
		(void)fprintf(stderr, "please enable `ping` to use health check\n");
		return false;
	}
	p = static_entry_point(config, config->ping->entry_point);
	if (p == NULL || listen_address_parse(p->address, &address, &e) < 0) {
		(void)fprintf(stderr, "ping: entry point \"%.*s\" does not exist\n",
			      SLICE_ARG(config->ping->entry_point));
		return false;
	}
	/* It ends where its text does. */
	*path = address.path.n > 0 ? address.path.p : NULL;
	if (*path != NULL) {
		(void)snprintf(url, size, "http://localhost/ping");
		return true;
	}
	if (address.host.n > 0)
		host = address.host.p;
	(void)snprintf(url, size,
		       memchr(host, ':', address.host.n) != NULL ? "http://[%.*s]:%u/ping"
								 : "http://%.*s:%u/ping",
		       address.host.n > 0 ? (int)address.host.n : (int)strlen(host), host,
		       address.port);
	return true;
}

int cli_healthcheck(const struct cli_args *args)
{
	char url[300], error[CURL_ERROR_SIZE] = "";
	const char *path = NULL;
	struct static_config *config;
	struct arena arena;
	long status = 0;

	config = cli_load(args, &arena);
	if (config != NULL && ping_url(config, url, sizeof url, &path)) {
		const char *through = path != NULL ? " through unix://" : "",
			   *socket = path != NULL ? path : "";

		status = ask(url, path, error);
		if (status == 200)
			(void)printf("OK: %s%s%s\n", url, through, socket);
		else if (status != 0)
			(void)printf("Bad healthcheck status: %ld\n", status);
		else
			(void)printf("Error calling healthcheck%s%s: %s\n", through, socket, error);
	}
	static_config_free(&config);
	arena_free(&arena);
	return status == 200 ? 0 : 1;
}
