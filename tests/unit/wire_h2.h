/*
 * For tests of HTTP/2: a blocking peer that sends the frames it is told to and reads those of the
 * other side, one at a time. Heads are packed and unpacked by nghttp2, frames by hand.
 */
#ifndef UNIT_WIRE_H2_H
#define UNIT_WIRE_H2_H

#include <nghttp2/nghttp2.h>

#include "http/h2_session.h"
#include "wire.h"

#define WIRE_H2_FIELDS 64u

struct wire_h2 {
	struct wire_reader r;
	nghttp2_hd_deflater *pack;
	nghttp2_hd_inflater *unpack;
	/* The last frame. */
	uint8_t type, flags;
	uint32_t id;
	size_t n;
	uint8_t payload[16384 + 256];
	/* The fields of the last HEADERS, "name: value\n" each. */
	char fields[8192];
	size_t fields_n;
	uint64_t credit; /* of all WINDOW_UPDATE for streams, since the start */
};

static inline uint32_t wire_u32(const uint8_t *p)
{
	return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

static inline void wire_put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* Returns false if the other side is gone. */
static inline bool wire_h2_try(struct wire_h2 *c, uint8_t type, uint8_t flags, uint32_t id,
			       const void *payload, size_t n)
{
	uint8_t frame[9 + 16384 + 256];

	wire_must(n <= sizeof frame - 9);
	wire_put_u32(frame, (uint32_t)n << 8);
	frame[3] = type;
	frame[4] = flags;
	wire_put_u32(frame + 5, id);
	if (n > 0)
		memcpy(frame + 9, payload, n);
	return wire_send_bytes(c->r.fd, (const char *)frame, n + 9);
}

static inline void wire_h2_send(struct wire_h2 *c, uint8_t type, uint8_t flags, uint32_t id,
				const void *payload, size_t n)
{
	wire_must(wire_h2_try(c, type, flags, id, payload, n));
}

static inline void wire_h2_send_u32(struct wire_h2 *c, uint8_t type, uint32_t id, uint32_t value)
{
	uint8_t p[4];

	wire_put_u32(p, value);
	wire_h2_send(c, type, 0, id, p, sizeof p);
}

static inline void wire_h2_reset(struct wire_h2 *c, uint32_t id)
{
	wire_h2_send_u32(c, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
}

static inline void wire_h2_window(struct wire_h2 *c, uint32_t id, uint32_t more)
{
	wire_h2_send_u32(c, NGHTTP2_WINDOW_UPDATE, id, more);
}

static inline void wire_h2_setting(struct wire_h2 *c, uint16_t key, uint32_t value)
{
	uint8_t p[6] = {(uint8_t)(key >> 8), (uint8_t)key};

	wire_put_u32(p + 2, value);
	wire_h2_send(c, NGHTTP2_SETTINGS, 0, 0, p, sizeof p);
}

static inline void wire_h2_init(struct wire_h2 *c, int fd)
{
	c->r.fd = fd;
	c->r.at = c->r.n = 0;
	c->credit = 0;
	wire_must(nghttp2_hd_deflate_new(&c->pack, 4096) == 0);
	wire_must(nghttp2_hd_inflate_new(&c->unpack) == 0);
}

/* As a client. */
static inline struct wire_h2 *wire_h2_dial(uint16_t port, int room)
{
	struct wire_h2 *c = malloc(sizeof *c);

	wire_must(c != NULL);
	wire_h2_init(c, wire_connect(port, room));
	wire_send(c->r.fd, H2_PREFACE);
	wire_h2_send(c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	return c;
}

static inline void wire_h2_close(struct wire_h2 *c)
{
	(void)close(c->r.fd);
	nghttp2_hd_deflate_del(c->pack);
	nghttp2_hd_inflate_del(c->unpack);
	free(c);
}

/* A head of "name: value" lines up to NULL, in one frame. */
static inline void wire_h2_head(struct wire_h2 *c, uint32_t id, bool end, const char *const *lines)
{
	nghttp2_nv nv[WIRE_H2_FIELDS];
	uint8_t block[16384];
	size_t count = 0;
	ssize_t n;

	for (; lines[count] != NULL; count++) {
		const char *colon = strstr(lines[count] + 1, ": ");

		wire_must(colon != NULL && count < WIRE_H2_FIELDS);
		nv[count] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)lines[count],
					 .namelen = (size_t)(colon - lines[count]),
					 .value = (uint8_t *)(uintptr_t)(colon + 2),
					 .valuelen = strlen(colon + 2)};
	}
	n = nghttp2_hd_deflate_hd(c->pack, block, sizeof block, nv, count);
	wire_must(n >= 0);
	wire_h2_send(c, NGHTTP2_HEADERS,
		     (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0)), id,
		     block, (size_t)n);
}

#define WIRE_LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void wire_h2_request(struct wire_h2 *c, uint32_t id, const char *method,
				   const char *path, bool end)
{
	char m[32], p[256];

	(void)snprintf(m, sizeof m, ":method: %s", method);
	(void)snprintf(p, sizeof p, ":path: %s", path);
	wire_h2_head(c, id, end, WIRE_LINES(m, ":scheme: http", ":authority: h", p));
}

static inline void wire_h2_data(struct wire_h2 *c, uint32_t id, const void *p, size_t n, bool end)
{
	wire_h2_send(c, NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, id, p, n);
}

static inline void wire_h2_unpack(struct wire_h2 *c)
{
	const uint8_t *p = c->payload;
	size_t left = c->n;

	c->fields_n = 0;
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(c->unpack, &nv, &flags, p, left, 1);

		wire_must(n >= 0);
		p += n;
		left -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			c->fields_n += (size_t)snprintf(
				c->fields + c->fields_n, sizeof c->fields - c->fields_n,
				"%.*s: %.*s\n", (int)nv.namelen, (const char *)nv.name,
				(int)nv.valuelen, (const char *)nv.value);
		wire_must(c->fields_n < sizeof c->fields);
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
	}
	wire_must(nghttp2_hd_inflate_end_headers(c->unpack) == 0);
}

/* The next frame of any type. Returns false at the end of the connection. */
static inline bool wire_h2_read(struct wire_h2 *c)
{
	uint8_t head[9];

	for (size_t i = 0; i < sizeof head; i++) {
		int byte = wire_get(&c->r);

		if (byte < 0)
			return false;
		head[i] = (uint8_t)byte;
	}
	c->n = wire_u32(head) >> 8;
	c->type = head[3];
	c->flags = head[4];
	c->id = wire_u32(head + 5);
	wire_must(c->n <= sizeof c->payload);
	for (size_t i = 0; i < c->n; i++) {
		int byte = wire_get(&c->r);

		wire_must(byte >= 0);
		c->payload[i] = (uint8_t)byte;
	}
	if (c->type == NGHTTP2_HEADERS)
		wire_h2_unpack(c);
	if (c->type == NGHTTP2_WINDOW_UPDATE && c->id != 0)
		c->credit += wire_u32(c->payload);
	return true;
}

/* The next frame that says something: settings, their answers and credit are passed over. */
static inline bool wire_h2_next(struct wire_h2 *c)
{
	while (wire_h2_read(c)) {
		if (c->type == NGHTTP2_SETTINGS && !(c->flags & NGHTTP2_FLAG_ACK))
			(void)wire_h2_try(c, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
		else if (c->type != NGHTTP2_SETTINGS && c->type != NGHTTP2_WINDOW_UPDATE)
			return true;
	}
	return false;
}

static inline void wire_h2_expect_at(struct wire_h2 *c, int line, uint8_t type, uint32_t id)
{
	if (wire_h2_next(c) && c->type == type && c->id == id)
		return;
	(void)fprintf(stderr, "line %d: expected type %u of stream %u, got %u of %u\n", line, type,
		      id, c->type, c->id);
	abort();
}
#define wire_h2_expect(c, type, id) wire_h2_expect_at(c, __LINE__, type, id)

/* HEADERS with that status, and `text` among its lines unless NULL. */
static inline void wire_h2_expect_head_at(struct wire_h2 *c, int line, uint32_t id,
					  const char *status, const char *text)
{
	char want[32];

	wire_h2_expect_at(c, line, NGHTTP2_HEADERS, id);
	(void)snprintf(want, sizeof want, ":status: %s\n", status);
	if (strncmp(c->fields, want, strlen(want)) == 0 &&
	    (text == NULL || strstr(c->fields, text) != NULL))
		return;
	(void)fprintf(stderr, "line %d: expected %s and \"%s\", got\n%s", line, status,
		      text != NULL ? text : "", c->fields);
	abort();
}
#define wire_h2_expect_head(c, id, status, text) \
	wire_h2_expect_head_at(c, __LINE__, id, status, text)

static inline void wire_h2_expect_code_at(struct wire_h2 *c, int line, uint8_t type, uint32_t id,
					  uint32_t code)
{
	uint32_t got;

	wire_h2_expect_at(c, line, type, id);
	got = wire_u32(c->payload + (type == NGHTTP2_GOAWAY ? 4 : 0));
	if (got == code)
		return;
	(void)fprintf(stderr, "line %d: expected error %u, got %u\n", line, code, got);
	abort();
}
#define wire_h2_expect_code(c, type, id, code) wire_h2_expect_code_at(c, __LINE__, type, id, code)

/* Both sides have seen all that was sent before. */
static inline void wire_h2_sync(struct wire_h2 *c)
{
	wire_h2_send(c, NGHTTP2_PING, 0, 0, "12345678", 8);
	wire_h2_expect(c, NGHTTP2_PING, 0);
	wire_must(c->flags & NGHTTP2_FLAG_ACK);
}

#endif
