#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "core/base.h"
#include "net/url.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool address_is_v4(const struct address *a)
{
	return memcmp(a->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

static void set_v4(struct address *a, const void *four)
{
	memcpy(a->bytes, mapped_prefix, sizeof mapped_prefix);
	memcpy(a->bytes + sizeof mapped_prefix, four, 4);
}

bool address_parse(slice text, struct address *a)
{
	char terminated[ADDRESS_TEXT_BYTES];
	struct in_addr four;

	if (text.n == 0 || text.n >= sizeof terminated || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(terminated, text.p, text.n);
	terminated[text.n] = '\0';
	if (inet_pton(AF_INET, terminated, &four) == 1) {
		set_v4(a, &four);
		return true;
	}
	return inet_pton(AF_INET6, terminated, a->bytes) == 1;
}

slice address_format(const struct address *a, char text[ADDRESS_TEXT_BYTES])
{
	bool v4 = address_is_v4(a);
	const void *bytes = v4 ? a->bytes + sizeof mapped_prefix : a->bytes;

	must(inet_ntop(v4 ? AF_INET : AF_INET6, bytes, text, ADDRESS_TEXT_BYTES) != NULL);
	return slice_from(text);
}

bool address_from_sockaddr(const struct sockaddr *from, struct address *a, uint16_t *port)
{
	struct sockaddr_in four;
	struct sockaddr_in6 six;

	if (from->sa_family == AF_INET) {
		memcpy(&four, from, sizeof four);
		set_v4(a, &four.sin_addr);
	} else if (from->sa_family == AF_INET6) {
		memcpy(&six, from, sizeof six);
		memcpy(a->bytes, &six.sin6_addr, sizeof a->bytes);
	} else {
		return false;
	}
	if (port != NULL)
		*port = ntohs(from->sa_family == AF_INET ? four.sin_port : six.sin6_port);
	return true;
}

socklen_t address_to_sockaddr(const struct address *a, uint16_t port, struct sockaddr_storage *to)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memset(to, 0, sizeof *to);
	if (address_is_v4(a)) {
		memcpy(&four.sin_addr, a->bytes + sizeof mapped_prefix, 4);
		memcpy(to, &four, sizeof four);
		return sizeof four;
	}
	memcpy(&six.sin6_addr, a->bytes, sizeof a->bytes);
	memcpy(to, &six, sizeof six);
	return sizeof six;
}

struct range {
	struct address first;
	struct address last;
};

#define SET_MAGIC 0x61736574u /* "aset" */

struct address_set {
	uint32_t magic;
	size_t count;
	struct range ranges[]; /* ascending and disjoint */
};

static int compare(const struct address *a, const struct address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static int compare_ranges(const void *a, const void *b)
{
	return compare(&((const struct range *)a)->first, &((const struct range *)b)->first);
}

/* "address" or "address/bits" of either family. */
static bool parse_range(slice text, struct range *r)
{
	size_t slash = slice_find(text, '/');
	slice address = slice_first(text, slash);
	uint64_t bits;
	bool v4;

	if (!address_parse(address, &r->first))
		return false;
	r->last = r->first;
	if (slash == text.n)
		return true;
	v4 = slice_find(address, ':') == address.n;
	if (!slice_to_u64(slice_from_at(text, slash + 1), &bits) || bits > (v4 ? 32 : 128) ||
	    text.n - slash > 4)
		return false;
	for (size_t bit = (size_t)bits + (v4 ? 96 : 0); bit < 128; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		r->first.bytes[bit / 8] &= (uint8_t)~mask;
		r->last.bytes[bit / 8] |= mask;
	}
	return true;
}

/*
 * IPv4 addresses are no part of an IPv6 network in which their mapped form would fall: takes them
 * out of `*r`. Returns whether that left two ranges, the upper one in `*upper`.
 */
static bool exclude_v4(struct range *r, struct range *upper)
{
	struct range v4 = {.first = {{0}}};

	memcpy(v4.first.bytes, mapped_prefix, sizeof mapped_prefix);
	v4.last = v4.first;
	memset(v4.last.bytes + sizeof mapped_prefix, 0xff, 4);
	if (compare(&r->first, &v4.first) >= 0 || compare(&r->last, &v4.last) <= 0)
		return false;
	*upper = (struct range){.last = r->last};
	memcpy(upper->first.bytes, (const uint8_t[16]){[9] = 1}, sizeof upper->first.bytes);
	memset(r->last.bytes, 0, sizeof r->last.bytes);
	memcpy(r->last.bytes + 10, "\xff\xfe\xff\xff\xff\xff", 6);
	return true;
}

/* Makes sorted ranges disjoint; returns how many are left. */
static size_t merge(struct range *ranges, size_t count)
{
	size_t kept = 0;

	for (size_t i = 1; i < count; i++) {
		if (compare(&ranges[i].first, &ranges[kept].last) > 0)
			ranges[++kept] = ranges[i];
		else if (compare(&ranges[i].last, &ranges[kept].last) > 0)
			ranges[kept].last = ranges[i].last;
	}
	return count > 0 ? kept + 1 : 0;
}

int address_set_new(const slice *texts, size_t count, struct address_set **set,
		    struct weir_error *e)
{
	struct address_set *made;
	size_t used = 0;

	*set = NULL;
	if (count > SIZE_MAX / 4 / sizeof made->ranges[0])
		return error_set(e, -ENOMEM, "out of memory");
	made = malloc(sizeof *made + 2 * count * sizeof made->ranges[0]);
	if (made == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	made->magic = SET_MAGIC;
	for (size_t i = 0; i < count; i++) {
		if (parse_range(texts[i], &made->ranges[used])) {
			used++;
			used += exclude_v4(&made->ranges[used - 1], &made->ranges[used]);
			continue;
		}
		free(made);
		return error_set(e, -EINVAL,
				 "parsing CIDR trusted IPs <nil>: invalid CIDR address: %.*s",
				 SLICE_ARG(texts[i]));
	}
	qsort(made->ranges, used, sizeof made->ranges[0], compare_ranges);
	made->count = merge(made->ranges, used);
	*set = made;
	return 0;
}

void address_set_free(struct address_set **set)
{
	struct address_set *s;

	if (*set == NULL)
		return;
	OBJ_TAKE(s, set, SET_MAGIC);
	s->magic = 0;
	free(s);
}

bool address_set_has(const struct address_set *set, const struct address *a)
{
	size_t low = 0, high;

	if (set == NULL)
		return false;
	OBJ_CHECK(set, SET_MAGIC);
	for (high = set->count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (compare(&set->ranges[middle].last, a) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < set->count && compare(&set->ranges[low].first, a) <= 0;
}

static int split_fail(slice text, const char *why, struct weir_error *e)
{
	return error_set(e, -EINVAL, "address %.*s: %s", SLICE_ARG(text), why);
}

static size_t find_last(slice s, char c)
{
	const char *at = s.n > 0 ? memrchr(s.p, c, s.n) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

int address_split(slice text, slice *host, slice *port, struct weir_error *e)
{
	size_t colon = find_last(text, ':'), open_from = 0, close_from = 0;

	*host = *port = (slice){NULL, 0};
	if (colon == text.n)
		return split_fail(text, "missing port in address", e);
	if (text.p[0] == '[') {
		size_t end = slice_find(text, ']');

		if (end == text.n)
			return split_fail(text, "missing ']' in address", e);
		if (end + 1 == text.n)
			return split_fail(text, "missing port in address", e);
		if (end + 1 != colon)
			return split_fail(text,
					  text.p[end + 1] == ':' ? "too many colons in address"
								 : "missing port in address",
					  e);
		*host = slice_of(text.p + 1, end - 1);
		open_from = 1;
		close_from = end + 1;
	} else {
		*host = slice_first(text, colon);
		if (slice_find(*host, ':') < host->n)
			return split_fail(text, "too many colons in address", e);
	}
	if (memchr(text.p + open_from, '[', text.n - open_from) != NULL)
		return split_fail(text, "unexpected '[' in address", e);
	if (memchr(text.p + close_from, ']', text.n - close_from) != NULL)
		return split_fail(text, "unexpected ']' in address", e);
	*port = slice_from_at(text, colon + 1);
	return 0;
}

bool address_set_has_peer(const struct address_set *set, const struct address *a)
{
	return !address_is_none(a) && address_set_has(set, a);
}

bool address_port_parse(slice text, uint16_t *port)
{
	uint64_t number;

	if (text.n > 5 || !slice_to_u64(text, &number) || number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	return true;
}

bool listen_address_is_path(slice text)
{
	return slice_starts(text, SLICE("unix:/"));
}

static int parse_path(slice text, struct listen_address *l, struct weir_error *e)
{
	l->path = slice_from_at(text, SLICE("unix://").n);
	if (slice_starts(text, SLICE("unix:///")) && l->path.n > 1 &&
	    l->path.n <= ADDRESS_PATH_MAX && !url_has_controls(l->path))
		return 0;
	return error_set(e, -EINVAL,
			 "found \"%.*s\", expected unix:///path of a socket, of at most %u bytes",
			 SLICE_ARG(text), ADDRESS_PATH_MAX);
}

int listen_address_parse(slice text, struct listen_address *l, struct weir_error *e)
{
	size_t slash = slice_find(text, '/');
	slice address = slice_first(text, slash), protocol = slice_from_at(text, slash + 1), port;
	int r;

	*l = (struct listen_address){.protocol = ADDRESS_TCP};
	if (listen_address_is_path(text))
		return parse_path(text, l, e);
	if (slash < text.n && slice_equal_nocase(protocol, SLICE("udp")))
		l->protocol = ADDRESS_UDP;
	else if (slash < text.n && !slice_equal_nocase(protocol, SLICE("tcp")))
		return error_set(e, -EINVAL, "invalid protocol: %.*s, expected tcp or udp",
				 SLICE_ARG(protocol));
	r = address_split(address, &l->host, &port, e);
	if (r < 0)
		return r;
	if (!address_port_parse(port, &l->port) && port.n > 0)
		return error_set(e, -EINVAL,
				 "address %.*s: invalid port \"%.*s\", expected 0 to 65535",
				 SLICE_ARG(address), SLICE_ARG(port));
	l->is_ip = address_parse(l->host, &l->ip);
	return 0;
}
