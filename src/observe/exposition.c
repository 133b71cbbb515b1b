#include "observe/exposition.h"

#include "core/base.h"

#define NS_PER_S 1000000000u

const char *metric_type_text(enum metric_type type)
{
	static const char *const texts[] = {
#define X(name, text) [METRIC_##name] = text,
		METRIC_TYPES(X)
#undef X
	};

	must((size_t)type < ARRAY_LEN(texts));
	return texts[type];
}

void exposition_family(struct str *out, slice name, enum metric_type type, const char *help)
{
	str_add(out, SLICE("# HELP "));
	str_add(out, name);
	str_add_char(out, ' ');
	str_add(out, slice_from(help));
	str_add(out, SLICE("\n# TYPE "));
	str_add(out, name);
	str_add_char(out, ' ');
	str_add(out, slice_from(metric_type_text(type)));
	str_add_char(out, '\n');
}

static void add_escaped(struct str *out, slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		switch (value.p[i]) {
		case '\\':
			str_add(out, SLICE("\\\\"));
			break;
		case '"':
			str_add(out, SLICE("\\\""));
			break;
		case '\n':
			str_add(out, SLICE("\\n"));
			break;
		default:
			str_add_char(out, value.p[i]);
		}
	}
}

/* Seconds without needless digits. */
static void add_seconds(struct str *out, uint64_t ns)
{
	char digits[16];
	uint64_t rest = ns % NS_PER_S;
	size_t n = 9;

	str_add_u64(out, ns / NS_PER_S);
	if (rest == 0)
		return;
	for (size_t i = n; i-- > 0; rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	while (digits[n - 1] == '0')
		n--;
	str_add_char(out, '.');
	str_add(out, slice_of(digits, n));
}

/* `le`: NULL, or one label more: a bound, or UINT64_MAX for infinity. */
static void begin_sample(struct str *out, slice name, const char *suffix,
			 const struct label *labels, size_t count, const uint64_t *le)
{
	str_add(out, name);
	str_add(out, slice_from(suffix));
	for (size_t i = 0; i < count; i++) {
		str_add_char(out, i == 0 ? '{' : ',');
		str_add(out, slice_from(labels[i].name));
		str_add(out, SLICE("=\""));
		add_escaped(out, labels[i].value);
		str_add_char(out, '"');
	}
	if (le != NULL) {
		str_add(out, count == 0 ? SLICE("{le=\"") : SLICE(",le=\""));
		if (*le == UINT64_MAX)
			str_add(out, SLICE("+Inf"));
		else
			add_seconds(out, *le);
		str_add_char(out, '"');
	}
	if (count > 0 || le != NULL)
		str_add_char(out, '}');
	str_add_char(out, ' ');
}

static void end_sample(struct str *out, uint64_t value)
{
	str_add_u64(out, value);
	str_add_char(out, '\n');
}

void exposition_number(struct str *out, slice name, const struct label *labels, size_t count,
		       uint64_t value)
{
	begin_sample(out, name, "", labels, count, NULL);
	end_sample(out, value);
}

static void add_time(struct str *out, slice name, const char *suffix, const struct label *labels,
		     size_t count, uint64_t ns)
{
	begin_sample(out, name, suffix, labels, count, NULL);
	add_seconds(out, ns);
	str_add_char(out, '\n');
}

void exposition_seconds(struct str *out, slice name, const struct label *labels, size_t count,
			uint64_t ns)
{
	add_time(out, name, "", labels, count, ns);
}

void exposition_histogram(struct str *out, slice name, const struct label *labels, size_t count,
			  const struct exposition_histogram *h)
{
	const uint64_t infinity = UINT64_MAX;
	uint64_t sum = 0;

	for (size_t i = 0; i <= h->bound_count; i++) {
		sum += h->counts[i];
		begin_sample(out, name, "_bucket", labels, count,
			     i < h->bound_count ? &h->bounds_ns[i] : &infinity);
		end_sample(out, sum);
	}
	add_time(out, name, "_sum", labels, count, h->sum_ns);
	begin_sample(out, name, "_count", labels, count, NULL);
	end_sample(out, sum);
}
