/*
 * Feeds bytes to the HTTP/1 parser in pieces, as a connection would, and writes down everything
 * that it made of them, so that two ways of cutting the same bytes can be compared. For the unit
 * tests and the fuzz targets.
 */
#ifndef TESTS_H1_TRANSCRIPT_H
#define TESTS_H1_TRANSCRIPT_H

#include <stdlib.h>

#include "core/base.h"
#include "core/str.h"
#include "http/h1.h"

/** How to cut: `first` bytes, then pieces of `step` bytes (0: all the rest). */
struct cut {
	size_t first;
	size_t step;
};

#define UNCUT ((struct cut){0, 0})

struct transcript {
	enum h1_result result; /* of the head, or of the body if the head was good */
	bool head_done;
	struct str text;
};

static const struct h1_limits transcript_limits = {4096, 24, 512};

static inline size_t cut_next(struct cut cut, size_t have, size_t total)
{
	size_t next = have == 0 && cut.first > 0 ? cut.first : have + cut.step;

	return cut.step == 0 && (have > 0 || cut.first == 0) ? total : MIN(next, total);
}

/* A copy of its own size, so that AddressSanitizer sees reads past the end. */
static inline slice exact_copy(slice s)
{
	char *p = malloc(s.n > 0 ? s.n : 1);

	must(p != NULL);
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return slice_of(p, s.n);
}

static inline void write_slice(struct transcript *t, const char *what, slice s)
{
	str_format(&t->text, " %s<%zu:", what, s.n);
	str_add(&t->text, s);
	str_add_char(&t->text, '>');
}

static inline void write_fields(struct transcript *t, const struct fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		str_format(&t->text, " %d", (int)f->list[i].id);
		write_slice(t, "", f->list[i].name);
		write_slice(t, "=", f->list[i].value);
	}
}

static inline void write_request(struct transcript *t, const struct request *r)
{
	write_slice(t, "method", r->method);
	write_slice(t, "target", r->target);
	write_slice(t, "path", r->path);
	write_slice(t, r->has_query ? "query" : "no query", r->query);
	write_slice(t, "authority", r->authority);
	str_format(&t->text, " id %d version %d framing %d length %llu flags %d%d%d",
		   (int)r->method_id, (int)r->version, (int)r->framing,
		   (unsigned long long)r->content_length, r->keep_alive, r->expect_continue,
		   r->upgrade);
	write_fields(t, &r->fields);
}

static inline void write_response(struct transcript *t, const struct response *r)
{
	write_slice(t, "reason", r->reason);
	str_format(&t->text, " status %d version %d framing %d length %llu keep-alive %d",
		   r->status, (int)r->version, (int)r->framing,
		   (unsigned long long)r->content_length, r->keep_alive);
	write_fields(t, &r->fields);
}

/* Decodes a chunked body that starts at `at`, of which the first `have` bytes of all are there. */
static inline void transcribe_chunked(struct transcript *t, slice bytes, size_t at, size_t have,
				      struct cut cut, struct arena *arena)
{
	struct h1_chunked decoder = {.trailer_bytes_max = 1024};
	struct fields trailers;
	struct str body = {0};

	fields_init(&trailers, arena);
	for (;;) {
		slice piece = exact_copy(slice_of(bytes.p + at, have - at)), rest = piece, data;

		do {
			t->result = h1_chunked_next(&decoder, &rest, &data, &trailers);
			if (data.n > 0)
				must(data.p >= piece.p && data.p + data.n <= piece.p + piece.n);
			str_add(&body, data);
		} while (t->result == H1_DONE && data.n > 0);
		at = have - rest.n;
		free((char *)piece.p);
		if (t->result != H1_MORE)
			break;
		must(at == have);
		if (have == bytes.n)
			break;
		have = cut_next(cut, have, bytes.n);
	}
	write_slice(t, "body", str_slice(&body));
	write_fields(t, &trailers);
	if (t->result == H1_DONE)
		write_slice(t, "rest", slice_from_at(bytes, at));
	str_free(&body);
	h1_chunked_free(&decoder);
}

/** The caller frees `text`. */
static inline struct transcript transcribe_chunked_body(slice bytes, struct cut cut)
{
	struct transcript t = {.head_done = true};
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	transcribe_chunked(&t, bytes, 0, cut_next(cut, 0, bytes.n), cut, &arena);
	str_format(&t.text, " result %d", (int)t.result);
	arena_free(&arena);
	return t;
}

static inline void check_inside(slice s, slice bytes)
{
	bool is_static = s.n <= 1 && (s.n == 0 || *s.p == '/' || *s.p == '*');

	must(is_static || (s.p >= bytes.p && s.p + s.n <= bytes.p + bytes.n));
}

static inline void check_fields_inside(const struct fields *f, slice bytes)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->list[i].name.p != field_name(f->list[i].id).p)
			check_inside(f->list[i].name, bytes);
		check_inside(f->list[i].value, bytes);
	}
}

/** One request with its body; the caller frees `text`. */
static inline struct transcript transcribe_request(slice bytes, struct cut cut)
{
	struct transcript t = {.head_done = false};
	size_t have = 0, scanned = 0, head_bytes = 0;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	do {
		struct request r;
		slice piece;

		have = cut_next(cut, have, bytes.n);
		piece = exact_copy(slice_first(bytes, have));
		t.result = h1_parse_request(&r, &arena, piece, &transcript_limits, &scanned,
					    &head_bytes);
		t.head_done = t.result == H1_DONE;
		if (t.head_done) {
			check_inside(r.path, piece);
			check_inside(r.authority, piece);
			check_fields_inside(&r.fields, piece);
			write_request(&t, &r);
			if (r.framing == FRAMING_CHUNKED)
				transcribe_chunked(&t, bytes, head_bytes, have, cut, &arena);
			else
				write_slice(&t, "rest", slice_from_at(bytes, head_bytes));
		}
		free((char *)piece.p);
	} while (!t.head_done && t.result == H1_MORE && have < bytes.n);
	str_format(&t.text, " result %d", (int)t.result);
	arena_free(&arena);
	return t;
}

/** One response head to a request with `method`; the caller frees `text`. */
static inline struct transcript transcribe_response(slice bytes, enum method method, struct cut cut)
{
	struct transcript t = {.head_done = false};
	size_t have = 0, scanned = 0, head_bytes = 0;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	do {
		struct response r;
		slice piece;

		have = cut_next(cut, have, bytes.n);
		piece = exact_copy(slice_first(bytes, have));
		t.result = h1_parse_response(&r, &arena, piece, method, &transcript_limits,
					     &scanned, &head_bytes);
		t.head_done = t.result == H1_DONE;
		if (t.head_done) {
			check_inside(r.reason, piece);
			check_fields_inside(&r.fields, piece);
			write_response(&t, &r);
			write_slice(&t, "rest", slice_from_at(bytes, head_bytes));
		}
		free((char *)piece.p);
	} while (!t.head_done && t.result == H1_MORE && have < bytes.n);
	str_format(&t.text, " result %d", (int)t.result);
	arena_free(&arena);
	return t;
}

#endif
