/*
 * Whatever a client sends after the preface, cut anywhere, ends in frames, in an error or in
 * nothing: no exchange, buffer or timer is left, and what is sent back is well-formed.
 */
#include "../unit/site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct site site;

/* What the server sends is a row of whole frames, but for the end that was cut off. */
static void check_frames(const char *p, size_t n)
{
	while (n >= 9) {
		size_t length = ((size_t)(uint8_t)p[0] << 16) | ((size_t)(uint8_t)p[1] << 8) |
				(uint8_t)p[2];

		must(length <= 16384 && (uint8_t)p[3] <= NGHTTP2_CONTINUATION);
		if (n < 9 + length)
			return;
		p += 9 + length;
		n -= 9 + length;
	}
}

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(&site.loop.uv, UV_RUN_NOWAIT);
}

/* On a loaded machine the kernel may deliver the reset late. */
static void wait_for_end(void)
{
	uint64_t last = uv_hrtime() + (uint64_t)WIRE_PATIENCE_MS * 1000000;

	while (site.server.connection_count > 0 && uv_hrtime() < last)
		turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct h1_server_options options = site_options();
	static char got[1 << 20];
	size_t cut, n = 0;
	ssize_t part;
	int fd;

	if (size < 2 || size > 65536)
		return 0;
	cut = MIN((size_t)(data[0] << 8 | data[1]), size - 2);
	/* One server for all, and connections that leave no port behind: they run out else. */
	if (site.loop.magic == 0)
		site_open(&site, &options, 0);
	fd = wire_connect(site.port, 0);
	(void)wire_send_bytes(fd, H2_PREFACE "\0\0\0\4\0\0\0\0", sizeof H2_PREFACE + 8);
	(void)wire_send_bytes(fd, (const char *)data + 2, cut);
	turn();
	(void)wire_send_bytes(fd, (const char *)data + 2 + cut, size - 2 - cut);
	turn();
	while (n < sizeof got && (part = recv(fd, got + n, sizeof got - n, MSG_DONTWAIT)) > 0)
		n += (size_t)part;
	check_frames(got, n);
	wire_reset(fd);
	wait_for_end();
	must(site.server.connection_count == 0 && site.exchanges.live_count == 0);
	return 0;
}
