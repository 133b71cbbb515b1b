#include <math.h>
#include <stdlib.h>

#include "provider/template_private.h"

/* sprig's arithmetic: integers are int64 and wrap, numbers may come as strings. */

static bool return_int64(struct template_call *c, int64_t i)
{
	c->result = value_int(TYPE_INT64, i);
	return true;
}

static bool return_float(struct template_call *c, double d)
{
	c->result = value_float(d);
	return true;
}

static int64_t argument(const struct template_call *c, size_t i)
{
	return template_to_int(&c->args[i]);
}

static int64_t wrap_add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static bool call_add(struct template_call *c)
{
	int64_t sum = 0;

	for (size_t i = 0; i < c->count; i++)
		sum = wrap_add(sum, argument(c, i));
	return return_int64(c, sum);
}

static bool call_add1(struct template_call *c)
{
	return return_int64(c, wrap_add(argument(c, 0), 1));
}

static bool call_sub(struct template_call *c)
{
	return return_int64(c, (int64_t)((uint64_t)argument(c, 0) - (uint64_t)argument(c, 1)));
}

static bool call_mul(struct template_call *c)
{
	uint64_t product = (uint64_t)argument(c, 0);

	for (size_t i = 1; i < c->count; i++)
		product *= (uint64_t)argument(c, i);
	return return_int64(c, (int64_t)product);
}

static bool call_div(struct template_call *c)
{
	int64_t a = argument(c, 0), b = argument(c, 1);

	if (b == 0)
		return template_call_fail(c, "integer divide by zero");
	return return_int64(c, b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b);
}

static bool call_mod(struct template_call *c)
{
	int64_t a = argument(c, 0), b = argument(c, 1);

	if (b == 0)
		return template_call_fail(c, "integer divide by zero");
	return return_int64(c, b == -1 ? 0 : a % b);
}

static bool call_max(struct template_call *c)
{
	int64_t best = argument(c, 0);

	for (size_t i = 1; i < c->count; i++)
		best = MAX(best, argument(c, i));
	return return_int64(c, best);
}

static bool call_min(struct template_call *c)
{
	int64_t best = argument(c, 0);

	for (size_t i = 1; i < c->count; i++)
		best = MIN(best, argument(c, i));
	return return_int64(c, best);
}

/* sprig calculates in decimal: the shortest decimals of the arguments, with more bits than a
 * double. */
static long double decimal(const struct template_call *c, size_t i)
{
	struct str text = {0};
	long double d = template_to_float(&c->args[i]);

	template_print_float(&text, (double)d, 'e', -1);
	if (!text.failed)
		d = strtold(text.p, NULL);
	str_free(&text);
	return d;
}

static bool call_addf(struct template_call *c)
{
	long double sum = 0;

	for (size_t i = 0; i < c->count; i++)
		sum += decimal(c, i);
	return return_float(c, (double)sum);
}

static bool call_add1f(struct template_call *c)
{
	return return_float(c, (double)(decimal(c, 0) + 1));
}

static bool call_subf(struct template_call *c)
{
	long double rest = decimal(c, 0);

	for (size_t i = 1; i < c->count; i++)
		rest -= decimal(c, i);
	return return_float(c, (double)rest);
}

static bool call_mulf(struct template_call *c)
{
	long double product = decimal(c, 0);

	for (size_t i = 1; i < c->count; i++)
		product *= decimal(c, i);
	return return_float(c, (double)product);
}

static bool call_divf(struct template_call *c)
{
	long double quotient = decimal(c, 0);

	for (size_t i = 1; i < c->count; i++) {
		long double by = decimal(c, i);

		if (!(by < 0) && !(by > 0))
			return template_call_fail(c, "division by zero");
		quotient /= by;
	}
	return return_float(c, (double)quotient);
}

static bool call_maxf(struct template_call *c)
{
	double best = template_to_float(&c->args[0]);

	for (size_t i = 1; i < c->count; i++)
		best = fmax(best, template_to_float(&c->args[i]));
	return return_float(c, best);
}

static bool call_minf(struct template_call *c)
{
	double best = template_to_float(&c->args[0]);

	for (size_t i = 1; i < c->count; i++)
		best = fmin(best, template_to_float(&c->args[i]));
	return return_float(c, best);
}

static bool call_ceil(struct template_call *c)
{
	return return_float(c, ceil(template_to_float(&c->args[0])));
}

static bool call_floor(struct template_call *c)
{
	return return_float(c, floor(template_to_float(&c->args[0])));
}

static bool call_round(struct template_call *c)
{
	double on = c->count > 2 ? template_to_float(&c->args[2]) : 0.5;
	double power = pow(10, (double)c->args[1].integer), whole;
	double digit = power * template_to_float(&c->args[0]);
	double rest = modf(digit, &whole);

	return return_float(c, (rest >= on ? ceil(digit) : floor(digit)) / power);
}

static bool call_int(struct template_call *c)
{
	c->result = value_int(TYPE_INT, argument(c, 0));
	return true;
}

static bool call_int64(struct template_call *c)
{
	return return_int64(c, argument(c, 0));
}

static bool call_float64(struct template_call *c)
{
	return return_float(c, template_to_float(&c->args[0]));
}

static bool call_atoi(struct template_call *c)
{
	char text[32], *end;
	slice s = c->args[0].text;
	long long value = 0;

	if (s.n > 0 && s.n < sizeof text &&
	    (ascii_digit(s.p[0]) || s.p[0] == '-' || s.p[0] == '+')) {
		memcpy(text, s.p, s.n);
		text[s.n] = '\0';
		value = strtoll(text, &end, 10);
		if (*end != '\0')
			value = 0;
	}
	c->result = value_int(TYPE_INT, value);
	return true;
}

/* Octal digits, as in a file mode. */
static bool call_to_decimal(struct template_call *c)
{
	struct str text = template_scratch(c->run);
	char *end;
	long long value = 0;

	template_print(&text, &c->args[0]);
	if (!text.failed && text.n > 0 && ascii_digit(text.p[0])) {
		value = strtoll(text.p, &end, 8);
		if (*end != '\0')
			value = 0;
	}
	str_free(&text);
	return return_int64(c, value);
}

/* The numbers from `start` towards `stop`, which is left out. */
static bool return_steps(struct template_call *c, int64_t start, int64_t stop, int64_t step)
{
	struct template_value *items;
	__int128 span = (__int128)stop - start, count = 0;

	if (step != 0 && (span > 0) == (step > 0) && span != 0)
		count = (span + step + (step > 0 ? -1 : 1)) / step;
	if (count > SSIZE_MAX)
		return template_fail_memory(c->run, c->offset);
	if (!template_return_list(c, TYPE_INTS, (size_t)count, &items))
		return false;
	for (__int128 i = 0; i < count; i++)
		items[i] = value_int(TYPE_INT, (int64_t)(start + i * step));
	return true;
}

static bool call_until(struct template_call *c)
{
	int64_t count = c->args[0].integer;

	return return_steps(c, 0, count, count < 0 ? -1 : 1);
}

static bool call_until_step(struct template_call *c)
{
	return return_steps(c, c->args[0].integer, c->args[1].integer, c->args[2].integer);
}

/* As the program of that name: last; first last; first step last. */
static bool call_seq(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	int64_t start = 1, end = 0, direction, step;
	bool ok = c->count >= 1 && c->count <= 3;

	if (ok) {
		end = c->args[c->count - 1].integer;
		start = c->count > 1 ? c->args[0].integer : 1;
	}
	direction = end < start ? -1 : 1;
	step = c->count == 3 ? c->args[1].integer : direction;
	if (c->count == 3 && direction < 0 && step > 0)
		ok = false;
	if (ok && !return_steps(c, start, wrap_add(end, direction), step))
		return false;
	for (size_t i = 0; ok && i < c->result.list.count && !out.failed; i++) {
		if (i > 0)
			str_add_char(&out, ' ');
		template_print(&out, &c->result.list.items[i]);
	}
	return template_return_text(c, &out);
}

const struct template_function template_number_functions[] = {
	{"add", "a*", call_add},
	{"add1", "a", call_add1},
	{"sub", "aa", call_sub},
	{"mul", "aa*", call_mul},
	{"div", "aa", call_div},
	{"mod", "aa", call_mod},
	{"max", "aa*", call_max},
	{"biggest", "aa*", call_max},
	{"min", "aa*", call_min},
	{"addf", "a*", call_addf},
	{"add1f", "a", call_add1f},
	{"subf", "aa*", call_subf},
	{"mulf", "aa*", call_mulf},
	{"divf", "aa*", call_divf},
	{"maxf", "aa*", call_maxf},
	{"minf", "aa*", call_minf},
	{"ceil", "a", call_ceil},
	{"floor", "a", call_floor},
	{"round", "aia*", call_round},
	{"int", "a", call_int},
	{"int64", "a", call_int64},
	{"float64", "a", call_float64},
	{"atoi", "s", call_atoi},
	{"toDecimal", "a", call_to_decimal},
	{"until", "i", call_until},
	{"untilStep", "iii", call_until_step},
	{"seq", "i*", call_seq},
	{"randInt", "ii", NULL},
	{NULL, NULL, NULL},
};
