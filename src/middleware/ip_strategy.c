#include "middleware/ip_strategy.h"

#include <errno.h>

#define ALL_BITS 128

int ip_strategy_init(struct ip_strategy *s, const struct dynamic_ip_strategy *options,
		     struct weir_error *e)
{
	int64_t bits;

	*s = (struct ip_strategy){.subnet_bits = ALL_BITS};
	if (options == NULL)
		return 0;
	if (options->depth <= 0 && options->excluded_ips.count > 0)
		return address_set_new(options->excluded_ips.items, options->excluded_ips.count,
				       &s->excluded, e);
	s->depth = options->depth > 0 ? (size_t)options->depth : 0;
	bits = options->ipv6_subnet;
	if (bits == OPTION_NOT_GIVEN)
		return 0;
	if (bits <= 0 || bits > ALL_BITS)
		return error_set(
			e, -EINVAL,
			"invalid IPv6 subnet %lld value, should be greater to 0 and lower or "
			"equal to 128",
			(long long)bits);
	s->subnet_bits = (unsigned)bits;
	return 0;
}

void ip_strategy_free(struct ip_strategy *s)
{
	address_set_free(&s->excluded);
}

/* With the zone that an IPv6 address may have. */
static bool parse(slice text, struct address *a)
{
	size_t zone = slice_find(text, '%');

	if (zone + 1 < text.n && slice_find(text, ':') < zone)
		text = slice_first(text, zone);
	return address_parse(text, a);
}

static void mask(struct address *a, unsigned bits)
{
	for (size_t i = 0; i < sizeof a->bytes; i++) {
		unsigned kept = bits > 8 * i ? (unsigned)MIN(bits - 8 * i, 8) : 0;

		a->bytes[i] &= (uint8_t)(0xff00u >> kept);
	}
}

/* The text behind the last comma of `*rest`, which gets shorter; false when there is none left. */
static bool last_part(slice *rest, slice *part)
{
	size_t at = rest->n;

	if (rest->p == NULL)
		return false;
	while (at > 0 && rest->p[at - 1] != ',')
		at--;
	*part = slice_trim(slice_from_at(*rest, at));
	*rest = at > 0 ? slice_first(*rest, at - 1) : (slice){NULL, 0};
	return true;
}

slice ip_strategy_pick(const struct ip_strategy *s, slice forwarded_for)
{
	slice part;
	size_t at = 0;

	while (last_part(&forwarded_for, &part)) {
		struct address a;

		if (s->depth > 0 && ++at < s->depth)
			continue;
		if (s->depth > 0)
			return part;
		if (part.n > 0 && !(parse(part, &a) && address_set_has(s->excluded, &a)))
			return part;
	}
	return (slice){NULL, 0};
}

bool ip_strategy_address(const struct ip_strategy *s, const struct exchange *x,
			 struct address *address)
{
	slice text, host, port;

	if (s->depth == 0 && s->excluded == NULL) {
		*address = x->peer_address;
		if (!address_is_v4(address))
			mask(address, s->subnet_bits);
		return true;
	}
	text = ip_strategy_pick(s, fields_value_id(&x->request.fields, FIELD_X_FORWARDED_FOR));
	if (parse(text, address)) {
		if (slice_find(text, ':') < text.n)
			mask(address, s->subnet_bits);
		return true;
	}
	return address_split(text, &host, &port, NULL) == 0 && parse(host, address);
}
