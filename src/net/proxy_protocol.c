#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "core/base.h"

#define V1_BYTES_MAX 107u
#define V2_FIXED_BYTES 16u

static const slice v1_start = {"PROXY ", 6};
static const slice v2_start = {"\r\n\r\n\0\r\nQUIT\n", 12};

/* Whether `bytes` begin with `start`, as far as there are any. */
static bool may_start(slice bytes, slice start)
{
	size_t n = MIN(bytes.n, start.n);

	return n > 0 && memcmp(bytes.p, start.p, n) == 0;
}

static void set_v4(struct proxy_header *h, const void *address, uint16_t port)
{
	struct sockaddr_in *to = (struct sockaddr_in *)&h->source;

	to->sin_family = AF_INET;
	to->sin_port = htons(port);
	memcpy(&to->sin_addr, address, sizeof to->sin_addr);
	h->named = true;
}

static void set_v6(struct proxy_header *h, const void *address, uint16_t port)
{
	struct sockaddr_in6 *to = (struct sockaddr_in6 *)&h->source;

	to->sin6_family = AF_INET6;
	to->sin6_port = htons(port);
	memcpy(&to->sin6_addr, address, sizeof to->sin6_addr);
	h->named = true;
}

/* Digits without leading zeros, 0 to 65535. */
static bool parse_port(slice text, uint16_t *port)
{
	uint64_t n;

	if (text.n == 0 || text.n > 5 || (text.n > 1 && text.p[0] == '0') ||
	    !slice_to_u64(text, &n) || n > UINT16_MAX)
		return false;
	*port = (uint16_t)n;
	return true;
}

static bool parse_address(int family, slice text, void *to)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof copy || slice_find(text, '\0') < text.n)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	return inet_pton(family, copy, to) == 1;
}

/* "TCP4 192.0.2.1 198.51.100.1 56324 443", or "UNKNOWN" and whatever follows. */
static bool parse_v1_line(slice line, struct proxy_header *h)
{
	slice rest = line, parts[5], more;
	struct in6_addr source, destination;
	uint16_t source_port, destination_port;
	size_t count = 0;
	int family;

	while (count < ARRAY_LEN(parts) && slice_next(&rest, ' ', &parts[count]))
		count++;
	if (count > 0 && slice_equal(parts[0], SLICE("UNKNOWN")))
		return true;
	if (count < ARRAY_LEN(parts) || slice_next(&rest, ' ', &more))
		return false;
	family = slice_equal(parts[0], SLICE("TCP4")) ? AF_INET : AF_INET6;
	if (family == AF_INET6 && !slice_equal(parts[0], SLICE("TCP6")))
		return false;
	if (!parse_address(family, parts[1], &source) ||
	    !parse_address(family, parts[2], &destination) || !parse_port(parts[3], &source_port) ||
	    !parse_port(parts[4], &destination_port))
		return false;
	if (family == AF_INET)
		set_v4(h, &source, source_port);
	else
		set_v6(h, &source, source_port);
	return true;
}

static enum proxy_header_result parse_v1(slice bytes, struct proxy_header *h)
{
	slice line = slice_first(bytes, V1_BYTES_MAX);
	size_t end = slice_find(line, '\n');

	if (end == line.n)
		return bytes.n < V1_BYTES_MAX ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
	if (line.p[end - 1] != '\r')
		return PROXY_HEADER_BAD;
	h->bytes = end + 1;
	line = slice_from_at(slice_first(line, end - 1), v1_start.n);
	return parse_v1_line(line, h) ? PROXY_HEADER_DONE : PROXY_HEADER_BAD;
}

static uint16_t number_at(slice bytes, size_t at)
{
	return (uint16_t)((unsigned char)bytes.p[at] << 8 | (unsigned char)bytes.p[at + 1]);
}

/* Families and transports other than TCP say nothing about a client that we could use. */
static bool take_v2_addresses(unsigned char family, slice body, struct proxy_header *h)
{
	if (family == 0x11) {
		if (body.n < 12)
			return false;
		set_v4(h, body.p, number_at(body, 8));
	} else if (family == 0x21) {
		if (body.n < 36)
			return false;
		set_v6(h, body.p, number_at(body, 32));
	}
	return true;
}

static enum proxy_header_result parse_v2(slice bytes, struct proxy_header *h)
{
	unsigned char command, family;
	size_t length;

	if (bytes.n < V2_FIXED_BYTES)
		return PROXY_HEADER_MORE;
	command = (unsigned char)bytes.p[12];
	family = (unsigned char)bytes.p[13];
	length = number_at(bytes, 14);
	/* Version 2, LOCAL or PROXY. */
	if ((command != 0x20 && command != 0x21) ||
	    V2_FIXED_BYTES + length > PROXY_HEADER_BYTES_MAX)
		return PROXY_HEADER_BAD;
	if (bytes.n < V2_FIXED_BYTES + length)
		return PROXY_HEADER_MORE;
	h->bytes = V2_FIXED_BYTES + length;
	if (command == 0x21 &&
	    !take_v2_addresses(family, slice_of(bytes.p + V2_FIXED_BYTES, length), h))
		return PROXY_HEADER_BAD;
	return PROXY_HEADER_DONE;
}

enum proxy_header_result proxy_header_parse(slice bytes, struct proxy_header *h)
{
	*h = (struct proxy_header){.bytes = 0};
	if (may_start(bytes, v1_start))
		return bytes.n < v1_start.n ? PROXY_HEADER_MORE : parse_v1(bytes, h);
	if (may_start(bytes, v2_start))
		return bytes.n < v2_start.n ? PROXY_HEADER_MORE : parse_v2(bytes, h);
	return bytes.n == 0 ? PROXY_HEADER_MORE : PROXY_HEADER_NONE;
}
