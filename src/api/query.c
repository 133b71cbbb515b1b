#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "api/api_private.h"
#include "proxy/rule_query.h"

slice api_parameter(struct api_call *c, slice name)
{
	slice rest = rule_query_begin(c->query);
	struct rule_query_pair pair;

	while (rule_query_next(&rest, &pair)) {
		char *text;

		if (!rule_query_equal(pair.key, name))
			continue;
		text = arena_alloc(&c->arena, pair.value.n + 1);
		return text != NULL ? rule_query_decode(pair.value, text) : (slice){NULL, 0};
	}
	return (slice){NULL, 0};
}

/* As strconv.Atoi: what it makes of a number that is too large is the largest one. */
static bool take_number(struct api_call *c, slice name, int64_t initial, int64_t *value)
{
	slice text = api_parameter(c, name);
	int r;

	*value = initial;
	if (text.n == 0)
		return true;
	r = option_parse_int(text, value);
	if (r == -EINVAL)
		*value = 0;
	else if (r == -ERANGE)
		*value = text.p[0] == '-' ? INT64_MIN : INT64_MAX;
	if (r == 0 && *value > 0)
		return true;
	api_fail(c, 400, "invalid request: %.*s: %lld", SLICE_ARG(name), (long long)*value);
	return false;
}

bool api_take_page(struct api_call *c, size_t *from, size_t *count)
{
	const uint64_t all = *count;
	int64_t size, page;
	uint64_t first;

	if (!take_number(c, SLICE("per_page"), 100, &size) ||
	    !take_number(c, SLICE("page"), 1, &page))
		return false;
	if (__builtin_mul_overflow((uint64_t)page - 1, (uint64_t)size, &first) ||
	    (first != 0 && first >= all)) {
		api_fail(c, 400, "invalid request: page: %lld, per_page: %lld", (long long)page,
			 (long long)size);
		return false;
	}
	*from = (size_t)first;
	*count = (size_t)MIN((uint64_t)size, all - first);
	c->answer->field = "X-Next-Page";
	(void)snprintf(c->answer->field_value, sizeof c->answer->field_value, "%lld",
		       first + *count < all ? (long long)page + 1 : 1LL);
	return true;
}

void api_add_time(struct str *out, int64_t seconds, uint32_t ns)
{
	const time_t time = (time_t)seconds;
	char text[48];
	struct tm tm;
	size_t n;

	must(gmtime_r(&time, &tm) != NULL);
	n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(text + n, sizeof text - n, ".%09u", (unsigned)ns);
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	str_add_char(out, '"');
	str_add(out, slice_of(text, n));
	str_add(out, SLICE("Z\""));
}
