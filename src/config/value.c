#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/option.h"

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

int option_parse_bool(slice text, bool *value)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (slice_equal(text, slice_from(yes[i])) || slice_equal(text, slice_from(no[i]))) {
			*value = slice_equal(text, slice_from(yes[i]));
			return 0;
		}
	}
	return -EINVAL;
}

int option_parse_int(slice text, int64_t *value)
{
	bool negative = text.n > 0 && text.p[0] == '-';
	uint64_t v;

	if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+'))
		text = slice_from_at(text, 1);
	if (text.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < text.n; i++)
		if (!ascii_digit(text.p[i]))
			return -EINVAL;
	if (!slice_to_u64(text, &v) || v > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*value = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

int option_parse_float(slice text, double *value)
{
	char copy[64], *end;

	if (text.n == 0 || text.n >= sizeof copy)
		return -EINVAL;
	for (size_t i = 0; i < text.n; i++)
		if (!ascii_digit(text.p[i]) && strchr("+-.eE", text.p[i]) == NULL)
			return -EINVAL;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	*value = strtod(copy, &end);
	if (*end != '\0' || end == copy)
		return -EINVAL;
	return isfinite(*value) ? 0 : -ERANGE;
}

static const struct {
	slice name;
	int64_t ns;
} units[] = {
	{{"ns", 2}, 1},
	{{"us", 2}, NS_PER_US},
	{{"\xc2\xb5s", 3}, NS_PER_US},
	{{"\xce\xbcs", 3}, NS_PER_US},
	{{"ms", 2}, NS_PER_MS},
	{{"s", 1}, NS_PER_S},
	{{"m", 1}, 60 * NS_PER_S},
	{{"h", 1}, 3600 * NS_PER_S},
};

/* Decimal digits as an integer; past the end of the range the value stays and `exact` is cleared.
 */
static slice read_number(slice text, uint64_t *value, double *scale, bool *exact)
{
	size_t i = 0;

	*value = 0;
	*scale = 1;
	*exact = true;
	for (; i < text.n && ascii_digit(text.p[i]); i++) {
		if (*value > (UINT64_MAX >> 1) / 10 - 1) {
			*exact = false;
			continue;
		}
		*value = *value * 10 + (uint64_t)(text.p[i] - '0');
		*scale *= 10;
	}
	return slice_from_at(text, i);
}

/* One number with its unit off the front of a duration. */
static int read_part(slice *text, uint64_t *ns)
{
	uint64_t whole, fraction = 0;
	double scale, fraction_scale = 1;
	bool exact, ignored;
	slice rest = read_number(*text, &whole, &scale, &exact);
	size_t digits = text->n - rest.n, unit_n = 0;

	if (rest.n > 0 && rest.p[0] == '.') {
		slice after = slice_from_at(rest, 1);

		rest = read_number(after, &fraction, &fraction_scale, &ignored);
		digits += after.n - rest.n;
	}
	while (unit_n < rest.n && rest.p[unit_n] != '.' && !ascii_digit(rest.p[unit_n]))
		unit_n++;
	if (digits == 0 || unit_n == 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		uint64_t unit = (uint64_t)units[i].ns;

		if (!slice_equal(slice_first(rest, unit_n), units[i].name))
			continue;
		if (!exact || __builtin_mul_overflow(whole, unit, ns))
			return -ERANGE;
		if (fraction > 0 &&
		    __builtin_add_overflow(
			    *ns, (uint64_t)((double)fraction * ((double)unit / fraction_scale)),
			    ns))
			return -ERANGE;
		*text = slice_from_at(rest, unit_n);
		return 0;
	}
	return -EINVAL;
}

int option_parse_duration(slice text, int64_t *ns)
{
	bool negative = text.n > 0 && text.p[0] == '-';
	uint64_t sum = 0, part;
	int r = option_parse_int(text, ns);

	if (r == 0)
		return __builtin_mul_overflow(*ns, NS_PER_S, ns) ? -ERANGE : 0;
	if (r == -ERANGE)
		return r;
	if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+'))
		text = slice_from_at(text, 1);
	if (text.n == 0)
		return -EINVAL;
	while (text.n > 0) {
		r = read_part(&text, &part);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, part, &sum) || sum > (uint64_t)INT64_MAX)
			return -ERANGE;
	}
	*ns = negative ? -(int64_t)sum : (int64_t)sum;
	return 0;
}

/* `value` units of `per` as a decimal without trailing zeros. */
static void add_fraction(struct str *out, uint64_t value, uint64_t per, const char *unit)
{
	char digits[24];
	int n;

	str_add_u64(out, value / per);
	if (value % per != 0) {
		n = snprintf(digits, sizeof digits, "%llu",
			     (unsigned long long)(per + value % per));
		while (digits[n - 1] == '0')
			n--;
		digits[0] = '.';
		str_add(out, slice_of(digits, (size_t)n));
	}
	str_add(out, slice_from(unit));
}

void option_add_duration(struct str *out, int64_t ns)
{
	uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t seconds = v / (uint64_t)NS_PER_S;

	if (ns < 0)
		str_add_char(out, '-');
	if (v == 0)
		str_add(out, SLICE("0s"));
	else if (v < (uint64_t)NS_PER_US)
		add_fraction(out, v, 1, "ns");
	else if (v < (uint64_t)NS_PER_MS)
		add_fraction(out, v, (uint64_t)NS_PER_US, "us");
	else if (v < (uint64_t)NS_PER_S)
		add_fraction(out, v, (uint64_t)NS_PER_MS, "ms");
	if (v < (uint64_t)NS_PER_S)
		return;
	if (seconds >= 3600)
		str_format(out, "%lluh", (unsigned long long)(seconds / 3600));
	if (seconds >= 60)
		str_format(out, "%llum", (unsigned long long)(seconds / 60 % 60));
	add_fraction(out, v - seconds / 60 * 60 * (uint64_t)NS_PER_S, (uint64_t)NS_PER_S, "s");
}

int option_parse_size(slice text, int64_t *bytes)
{
	static const struct {
		slice name;
		int64_t factor;
	} suffixes[] = {
		{{"KiB", 3}, INT64_C(1) << 10}, {{"MiB", 3}, INT64_C(1) << 20},
		{{"GiB", 3}, INT64_C(1) << 30}, {{"kB", 2}, 1000},
		{{"MB", 2}, 1000000},           {{"GB", 2}, 1000000000},
		{{"k", 1}, INT64_C(1) << 10},   {{"M", 1}, INT64_C(1) << 20},
		{{"G", 1}, INT64_C(1) << 30},
	};
	int64_t factor = 1;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (slice_ends(text, suffixes[i].name)) {
			factor = suffixes[i].factor;
			text = slice_trim(slice_first(text, text.n - suffixes[i].name.n));
			break;
		}
	}
	r = option_parse_int(text, bytes);
	if (r < 0)
		return r;
	return __builtin_mul_overflow(*bytes, factor, bytes) ? -ERANGE : 0;
}
