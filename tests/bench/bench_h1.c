/*
 * What the HTTP/1 code costs on the heads that a browser and an application server send:
 * nanoseconds per head, best of several rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base.h"
#include "http/h1.h"

#define ROUNDS 15
#define HEADS_PER_ROUND 200000

#define REQUEST \
	"GET /account/orders?page=2&sort=date&filter=open%20items HTTP/1.1\r\n" \
	"Host: shop.example.com\r\n" \
	"Connection: keep-alive\r\n" \
	"Cache-Control: max-age=0\r\n" \
	"Upgrade-Insecure-Requests: 1\r\n" \
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " \
	"Chrome/126.0.0.0 Safari/537.36\r\n" \
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n" \
	"Referer: https://shop.example.com/account\r\n" \
	"Accept-Encoding: gzip, deflate, br\r\n" \
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n" \
	"Cookie: session=0f8fad5bd9cb469fa16570867728950e; theme=dark; consent=1\r\n" \
	"\r\n"

#define RESPONSE \
	"HTTP/1.1 200 OK\r\n" \
	"Date: Mon, 01 Jul 2024 10:00:00 GMT\r\n" \
	"Server: application/2.1\r\n" \
	"Content-Type: application/json; charset=utf-8\r\n" \
	"Content-Length: 5120\r\n" \
	"Cache-Control: private, max-age=0, must-revalidate\r\n" \
	"Etag: W/\"1400-Tn3XyZ0aP1\"\r\n" \
	"Vary: Accept-Encoding\r\n" \
	"X-Request-Id: 4bf92f3577b34da6a3ce929d0e0e4736\r\n" \
	"\r\n"

static const struct h1_limits limits = {65536, 100, 8192};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void parse_request_once(struct arena *arena, struct request *r)
{
	size_t scanned = 0, head_bytes;

	arena_reset(arena);
	must(h1_parse_request(r, arena, SLICE(REQUEST), &limits, &scanned, &head_bytes) == H1_DONE);
	must(head_bytes == sizeof(REQUEST) - 1);
}

static void parse_response_once(struct arena *arena, struct response *r)
{
	size_t scanned = 0, head_bytes;

	arena_reset(arena);
	must(h1_parse_response(r, arena, SLICE(RESPONSE), METHOD_GET, &limits, &scanned,
			       &head_bytes) == H1_DONE);
	must(head_bytes == sizeof(RESPONSE) - 1);
}

static void parse_request(struct arena *arena)
{
	struct request r;

	parse_request_once(arena, &r);
}

static void parse_response(struct arena *arena)
{
	struct response r;

	parse_response_once(arena, &r);
}

static void copy_request(struct arena *arena)
{
	struct request r;
	char buffer[2048];

	parse_request_once(arena, &r);
	must(h1_request_bytes(&r, r.target) <= sizeof buffer);
	must(h1_write_request(buffer, &r, r.target) == buffer + sizeof(REQUEST) - 1);
}

static void run(const char *name, size_t bytes, void (*step)(struct arena *))
{
	struct arena arena;
	double best = 1e18;

	arena_init(&arena, 4096, 65536);
	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns();

		for (int i = 0; i < HEADS_PER_ROUND; i++)
			step(&arena);
		best = MIN(best, (now_ns() - start) / HEADS_PER_ROUND);
	}
	printf("%-24s %4zu bytes %7.1f ns\n", name, bytes, best);
	arena_free(&arena);
}

int main(void)
{
	run("parse request", sizeof(REQUEST) - 1, parse_request);
	run("parse and write request", sizeof(REQUEST) - 1, copy_request);
	run("parse response", sizeof(RESPONSE) - 1, parse_response);
	return 0;
}
