#include "observe/access_format.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)
#define REDACTED SLICE("REDACTED")

static void look_at(struct access_clock *c, uint64_t ns)
{
	time_t second = (time_t)(ns / NS_PER_S);

	if (c->known && c->second == second)
		return;
	c->known = localtime_r(&second, &c->local) != NULL && gmtime_r(&second, &c->utc) != NULL;
	c->second = second;
}

static void add_digits(struct str *out, unsigned value, unsigned count)
{
	char text[10];

	for (unsigned i = count; i-- > 0; value /= 10)
		text[i] = (char)('0' + value % 10);
	str_add(out, slice_of(text, count));
}

static void add_offset(struct str *out, long seconds, bool colon)
{
	unsigned minutes = (unsigned)labs(seconds) / 60;

	str_add_char(out, seconds < 0 ? '-' : '+');
	add_digits(out, minutes / 60, 2);
	if (colon)
		str_add_char(out, ':');
	add_digits(out, minutes % 60, 2);
}

static void add_clock(struct str *out, const struct tm *t)
{
	add_digits(out, (unsigned)t->tm_hour, 2);
	str_add_char(out, ':');
	add_digits(out, (unsigned)t->tm_min, 2);
	str_add_char(out, ':');
	add_digits(out, (unsigned)t->tm_sec, 2);
}

/* RFC 3339; Go leaves out zeros at the end of the fraction. */
static void add_rfc3339(struct str *out, const struct tm *t, uint64_t ns)
{
	unsigned fraction = (unsigned)(ns % NS_PER_S), digits = 9;

	add_digits(out, (unsigned)t->tm_year + 1900, 4);
	str_add_char(out, '-');
	add_digits(out, (unsigned)t->tm_mon + 1, 2);
	str_add_char(out, '-');
	add_digits(out, (unsigned)t->tm_mday, 2);
	str_add_char(out, 'T');
	add_clock(out, t);
	for (; fraction > 0 && fraction % 10 == 0; fraction /= 10)
		digits--;
	if (fraction > 0) {
		str_add_char(out, '.');
		add_digits(out, fraction, digits);
	}
	if (t->tm_gmtoff == 0)
		str_add_char(out, 'Z');
	else
		add_offset(out, t->tm_gmtoff, true);
}

static void add_clf_time(struct str *out, const struct tm *t)
{
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

	add_digits(out, (unsigned)t->tm_mday, 2);
	str_add_char(out, '/');
	str_add(out, slice_of(months[t->tm_mon], 3));
	str_add_char(out, '/');
	add_digits(out, (unsigned)t->tm_year + 1900, 4);
	str_add_char(out, ':');
	add_clock(out, t);
	str_add_char(out, ' ');
	add_offset(out, t->tm_gmtoff, false);
}

/* The shortest text that is read as the same number, as in Go. */
static void add_ratio(struct str *out, double ratio)
{
	char text[32];

	for (int precision = 1; precision <= 17; precision++) {
		(void)snprintf(text, sizeof text, "%.*g", precision, ratio);
		if (strtod(text, NULL) == ratio) /* NOLINT: the very same number is meant */
			break;
	}
	/* Go writes an exponent only beyond 21 digits, which no ratio of sizes has. */
	if (strchr(text, 'e') != NULL)
		(void)snprintf(text, sizeof text, "%.0f", ratio);
	str_add(out, slice_from(text));
}

/* Those of the format "common" */

/* Nothing in a field may end the line, or look like the next one. */
static void add_raw(struct str *out, slice text)
{
	for (size_t i = 0, from = 0; i <= text.n; i++) {
		unsigned char c = i < text.n ? (unsigned char)text.p[i] : 0;

		if (i < text.n && (c >= 0x20 || c == '\t') && c != 0x7f)
			continue;
		str_add(out, slice_of(text.p + from, i - from));
		if (i < text.n)
			str_format(out, "\\x%02x", c);
		from = i + 1;
	}
}

static void add_plain(struct str *out, const struct access_value *v)
{
	if (v->present && v->text.n > 0)
		add_raw(out, v->text);
	else
		str_add_char(out, '-');
}

static void add_quoted(struct str *out, slice text)
{
	str_add_char(out, '"');
	if (text.n == 0)
		str_add_char(out, '-');
	while (text.n > 0) {
		size_t quote = slice_find(text, '"');

		add_raw(out, slice_first(text, quote));
		if (quote < text.n)
			str_add(out, SLICE("\\\""));
		text = slice_from_at(text, quote + 1);
	}
	str_add_char(out, '"');
}

static void add_number(struct str *out, const struct access_value *v)
{
	if (v->present)
		str_add_u64(out, v->number);
	else
		str_add_char(out, '-');
}

static void add_value_quoted(struct str *out, const struct access_value *v)
{
	add_quoted(out, v->present ? v->text : (slice){NULL, 0});
}

/* All lines of one header field as one value. */
static slice joined(const struct fields *f, const struct field *first)
{
	const struct field *next = fields_find_next(f, first);
	size_t n = first->value.n;
	char *to;

	if (next == NULL)
		return first->value;
	for (; next != NULL; next = fields_find_next(f, next))
		n += 1 + next->value.n;
	to = arena_alloc(f->arena, n);
	if (to == NULL)
		return first->value;
	n = 0;
	for (next = first; next != NULL; next = fields_find_next(f, next)) {
		if (next != first)
			to[n++] = ',';
		if (next->value.n > 0)
			memcpy(to + n, next->value.p, next->value.n);
		n += next->value.n;
	}
	return slice_of(to, n);
}

static void add_request_header(struct str *out, const struct access_settings *s,
			       const struct access_record *r, enum field_id id)
{
	const struct field *f = fields_find_id(&r->request_fields, id);
	slice value = {NULL, 0};

	if (f != NULL) {
		enum access_mode mode = access_settings_header(s, field_name(id));

		if (mode == ACCESS_KEEP)
			value = joined(&r->request_fields, f);
		else if (mode == ACCESS_REDACT)
			value = REDACTED;
	}
	add_quoted(out, value);
}

static void add_common(struct str *out, const struct access_clock *clock,
		       const struct access_settings *s, const struct access_record *r,
		       const struct access_value *v)
{
	add_plain(out, &v[ACCESS_CLIENT_HOST]);
	str_add(out, SLICE(" - "));
	add_plain(out, &v[ACCESS_CLIENT_USERNAME]);
	str_add(out, SLICE(" ["));
	if (v[ACCESS_START_UTC].present)
		add_clf_time(out, &clock->utc);
	else if (v[ACCESS_START_LOCAL].present)
		add_clf_time(out, &clock->local);
	else
		str_add_char(out, '-');
	str_add(out, SLICE("] \""));
	add_plain(out, &v[ACCESS_REQUEST_METHOD]);
	str_add_char(out, ' ');
	add_plain(out, &v[ACCESS_REQUEST_PATH]);
	str_add_char(out, ' ');
	add_plain(out, &v[ACCESS_REQUEST_PROTOCOL]);
	str_add(out, SLICE("\" "));
	add_number(out, &v[ACCESS_DOWNSTREAM_STATUS]);
	str_add_char(out, ' ');
	add_number(out, &v[ACCESS_DOWNSTREAM_CONTENT_SIZE]);
	str_add_char(out, ' ');
	add_request_header(out, s, r, FIELD_REFERER);
	str_add_char(out, ' ');
	add_request_header(out, s, r, FIELD_USER_AGENT);
}

static void add_common_rest(struct str *out, const struct access_value *v)
{
	str_add_char(out, ' ');
	add_number(out, &v[ACCESS_REQUEST_COUNT]);
	str_add_char(out, ' ');
	add_value_quoted(out, &v[ACCESS_ROUTER_NAME]);
	str_add_char(out, ' ');
	add_value_quoted(out, &v[ACCESS_SERVICE_URL]);
	str_add_char(out, ' ');
	str_add_u64(out, v[ACCESS_DURATION].present ? v[ACCESS_DURATION].number / 1000000 : 0);
	str_add(out, SLICE("ms"));
}

/* JSON, as Go's encoder writes it. */

static void add_escape(struct str *out, int32_t rune)
{
	static const char letters[] = "\"\"\\\\\nn\rr\tt\bb\ff";

	for (size_t i = 0; i + 1 < sizeof letters; i += 2) {
		if (rune == letters[i]) {
			str_add_char(out, '\\');
			str_add_char(out, letters[i + 1]);
			return;
		}
	}
	str_format(out, "\\u%04x", rune < 0 ? 0xfffdu : (unsigned)rune);
}

static bool is_safe(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void add_escaped(struct str *out, slice s)
{
	size_t from = 0;

	for (size_t i = 0; i < s.n;) {
		size_t at = i;
		int32_t rune;

		if (is_safe((unsigned char)s.p[i])) {
			i++;
			continue;
		}
		rune = slice_rune(s, &i);
		if (rune >= 0x7f && rune != 0x2028 && rune != 0x2029)
			continue;
		str_add(out, slice_of(s.p + from, at - from));
		add_escape(out, rune);
		from = i;
	}
	str_add(out, slice_of(s.p + from, s.n - from));
}

static void add_string(struct str *out, slice s)
{
	str_add_char(out, '"');
	add_escaped(out, s);
	str_add_char(out, '"');
}

static void add_key(struct str *out, slice key)
{
	str_add(out, out->n > 1 ? SLICE(",\"") : SLICE("\""));
	str_add(out, key);
	str_add(out, SLICE("\":"));
}

static void add_json_value(struct str *out, const struct access_clock *clock, enum access_type type,
			   const struct access_value *v)
{
	switch (type) {
	case ACCESS_TEXT:
		add_string(out, v->text);
		break;
	case ACCESS_NUMBER:
		str_add_u64(out, v->number);
		break;
	case ACCESS_RATIO:
		add_ratio(out, v->ratio);
		break;
	case ACCESS_LOCAL_TIME:
	case ACCESS_UTC_TIME:
		str_add_char(out, '"');
		add_rfc3339(out, type == ACCESS_UTC_TIME ? &clock->utc : &clock->local, v->number);
		str_add_char(out, '"');
		break;
	}
}

/* A letter of the canonical spelling; that of a trailer begins behind the colon. */
static char canonical_at(slice name, size_t i)
{
	bool first = i == 0 || name.p[i - 1] == '-' || name.p[i - 1] == ':';

	return first ? ascii_upper(name.p[i]) : ascii_lower(name.p[i]);
}

/* By canonical name; lines of the same name stay in their order. */
static int by_name(const void *a, const void *b)
{
	const struct field *one = *(const struct field *const *)a;
	const struct field *other = *(const struct field *const *)b;
	size_t n = MIN(one->name.n, other->name.n);

	for (size_t i = 0; i < n; i++) {
		int order = (unsigned char)canonical_at(one->name, i) -
			    (unsigned char)canonical_at(other->name, i);

		if (order != 0)
			return order;
	}
	if (one->name.n != other->name.n)
		return one->name.n < other->name.n ? -1 : 1;
	return one < other ? -1 : one > other;
}

/* What Go does not keep among header fields. */
static bool is_hidden(const struct field *f, bool of_request)
{
	return f->id == FIELD_TRANSFER_ENCODING ||
	       (of_request && (f->id == FIELD_HOST || f->id == FIELD_TRAILER));
}

static void add_header_key(struct str *out, slice prefix, slice name)
{
	str_add(out, SLICE(",\""));
	str_add(out, prefix);
	for (size_t i = 0; i < name.n; i++) {
		char c = canonical_at(name, i);

		add_escaped(out, slice_of(&c, 1));
	}
	str_add(out, SLICE("\":"));
}

static void add_headers(struct str *out, const struct access_settings *s, slice prefix,
			const struct fields *f, bool of_request)
{
	const struct field **sorted;
	size_t count = 0;

	if (f->count == 0)
		return;
	sorted = ARENA_ARRAY(f->arena, const struct field *, f->count);
	for (size_t i = 0; sorted != NULL && i < f->count; i++) {
		if (!is_hidden(&f->list[i], of_request) &&
		    access_settings_header(s, f->list[i].name) != ACCESS_DROP)
			sorted[count++] = &f->list[i];
	}
	if (count > 1)
		qsort(sorted, count, sizeof(const struct field *), by_name);
	for (size_t i = 0, next; i < count; i = next) {
		slice name = sorted[i]->name;
		bool redact = access_settings_header(s, name) == ACCESS_REDACT;

		add_header_key(out, prefix, name);
		str_add_char(out, '"');
		for (next = i; next < count && slice_equal_nocase(sorted[next]->name, name);
		     next++) {
			if (redact)
				continue;
			if (next > i)
				str_add_char(out, ',');
			add_escaped(out, sorted[next]->value);
		}
		if (redact)
			str_add(out, REDACTED);
		str_add_char(out, '"');
	}
}

/* Traefik keeps Go from guessing types, which shows as a type without a value. Trailers are among
 * the fields once the body has come to its end. */
static void complete_response(struct fields *f, const struct exchange *x)
{
	const struct fields *t = &x->response_trailers;

	if (!fields_have(f, FIELD_CONTENT_TYPE))
		(void)fields_add_id(f, FIELD_CONTENT_TYPE, SLICE(""));
	for (size_t i = 0; i < t->count; i++) {
		struct field line = t->list[i];

		if (!fields_has_token(f, FIELD_TRAILER, line.name)) {
			line.name = arena_format(f->arena, "Trailer:%.*s", SLICE_ARG(line.name));
			line.id = FIELD_OTHER;
		}
		if (line.name.p != NULL)
			(void)fields_add_field(f, &line);
	}
}

static void add_json(struct str *out, const struct access_clock *clock,
		     const struct access_settings *s, struct exchange *x,
		     const struct access_record *r, const struct access_value *v)
{
	struct fields response = r->response_fields;

	if (response.arena == NULL)
		fields_init(&response, &x->arena);
	complete_response(&response, x);
	str_add_char(out, '{');
	for (size_t i = 0; i < ACCESS_ENTRY_POINT_NAME; i++) {
		if (!v[i].present)
			continue;
		add_key(out, access_keys[i].name);
		add_json_value(out, clock, access_keys[i].type, &v[i]);
	}
	add_headers(out, s, SLICE("downstream_"), &response, false);
	if (v[ACCESS_ENTRY_POINT_NAME].present) {
		add_key(out, access_keys[ACCESS_ENTRY_POINT_NAME].name);
		add_string(out, v[ACCESS_ENTRY_POINT_NAME].text);
	}
	add_key(out, SLICE("level"));
	str_add(out, SLICE("\"info\",\"msg\":\"\""));
	if (r->origin.complete)
		add_headers(out, s, SLICE("origin_"), &response, false);
	add_headers(out, s, SLICE("request_"), &r->request_fields, true);
}

void access_format(struct str *out, struct access_clock *clock, const struct access_settings *s,
		   struct exchange *x, const struct access_record *r)
{
	struct access_value values[ACCESS_FIELD_COUNT];
	uint64_t end_ns = r->begun_wall_ns + r->duration_ns;

	access_values(values, s, x, r);
	look_at(clock, r->begun_wall_ns);
	if (s->format == ACCESS_LOG_JSON) {
		add_json(out, clock, s, x, r, values);
		look_at(clock, end_ns);
		str_add(out, SLICE(",\"time\":\""));
		add_rfc3339(out, &clock->local, 0);
		str_add(out, SLICE("\"}\n"));
		return;
	}
	add_common(out, clock, s, r, values);
	if (s->format == ACCESS_LOG_COMMON)
		add_common_rest(out, values);
	str_add_char(out, '\n');
}
