/*
 * A guest that calls any host function with any arguments in any phase: nothing but its own memory
 * is touched, and the embedder gets only what `struct weir_http` promises. The input is a list of
 * calls and of bytes to put into memory before them.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "plugin/abi.h"
#include "plugin/limits.h"
#include "plugin/plugin.h"
#include "plugin/pool.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_BYTES 0x10000u
/* As far as 32 bits reach, on both sides. */
#define GUARD_BYTES ((size_t)0x100000000u)
#define FIELDS_MAX 24

static struct guest_memory memory;
static unsigned lines;

struct input {
	const uint8_t *p;
	size_t n;
};

static uint64_t take(struct input *in, size_t bytes)
{
	uint64_t value = 0;
	size_t n = MIN(bytes, in->n);

	memcpy(&value, in->p, n);
	in->p += n;
	in->n -= n;
	return value;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *all = mmap(NULL, 2 * GUARD_BYTES + MEMORY_BYTES, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)argc;
	(void)argv;
	must(all != MAP_FAILED);
	must(mprotect(all + GUARD_BYTES, MEMORY_BYTES, PROT_READ | PROT_WRITE) == 0);
	memory = (struct guest_memory){(uint8_t *)all + GUARD_BYTES, MEMORY_BYTES};
	return 0;
}

/** The embedder's messages. */
struct message {
	struct weir_field fields[FIELDS_MAX];
	size_t count;
};

struct embedder {
	struct message messages[2];
	struct input *in; /* decides how bodies arrive */
	slice method, target, authority;
	uint64_t offset[2];
	bool written[2];
	unsigned status;
};

/* Never aliases the guest's memory. */
static slice keep(slice s)
{
	char *p = malloc(s.n + 1);

	must(p != NULL);
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return slice_of(p, s.n);
}

static void drop(slice *s)
{
	free((void *)(uintptr_t)s->p);
	*s = (slice){NULL, 0};
}

static void replace(slice *s, slice by)
{
	slice kept = keep(by);

	drop(s);
	*s = kept;
}

static slice get_method(void *x)
{
	return ((struct embedder *)x)->method;
}

static int set_method(void *x, slice method)
{
	must(abi_is_token(method));
	replace(&((struct embedder *)x)->method, method);
	return 0;
}

static slice get_target(void *x)
{
	return ((struct embedder *)x)->target;
}

static int set_target(void *x, slice target)
{
	must(target.n > 0);
	for (size_t i = 0; i < target.n; i++)
		must((unsigned char)target.p[i] > ' ' && (unsigned char)target.p[i] < 0x7f);
	replace(&((struct embedder *)x)->target, target);
	return target.n % 16 == 15 ? -ENOMEM : 0;
}

static slice get_version(void *x)
{
	(void)x;
	return SLICE("HTTP/1.1");
}

static slice get_source(void *x)
{
	(void)x;
	return SLICE("[2001:db8::1]:1234");
}

static slice get_authority(void *x)
{
	return ((struct embedder *)x)->authority;
}

static void must_be_value(slice value)
{
	for (size_t i = 0; i < value.n; i++)
		must(value.p[i] != '\r' && value.p[i] != '\n' && value.p[i] != '\0');
}

static int set_authority(void *x, slice authority)
{
	must_be_value(authority);
	replace(&((struct embedder *)x)->authority, authority);
	return 0;
}

static bool field_next(void *x, enum weir_message which, size_t *cursor, struct weir_field *field)
{
	const struct message *m = &((struct embedder *)x)->messages[which];

	if (*cursor >= m->count)
		return false;
	*field = m->fields[(*cursor)++];
	return true;
}

static void must_be_changeable(enum weir_message which, slice name)
{
	must(abi_is_token(name));
	must(!slice_equal_nocase(name, SLICE("transfer-encoding")));
	if (which == WEIR_REQUEST)
		must(!slice_equal_nocase(name, SLICE("host")) &&
		     !slice_equal_nocase(name, SLICE("content-length")));
}

static int field_remove(void *x, enum weir_message which, slice name)
{
	struct message *m = &((struct embedder *)x)->messages[which];
	size_t kept = 0;

	must_be_changeable(which, name);
	for (size_t i = 0; i < m->count; i++) {
		if (slice_equal_nocase(m->fields[i].name, name)) {
			drop(&m->fields[i].name);
			drop(&m->fields[i].value);
		} else {
			m->fields[kept++] = m->fields[i];
		}
	}
	m->count = kept;
	return 0;
}

static int field_add(void *x, enum weir_message which, slice name, slice value)
{
	struct message *m = &((struct embedder *)x)->messages[which];

	must_be_changeable(which, name);
	must_be_value(value);
	if (m->count == FIELDS_MAX)
		return -ENOBUFS;
	m->fields[m->count++] = (struct weir_field){keep(name), keep(value)};
	return 0;
}

static int field_set(void *x, enum weir_message which, slice name, slice value)
{
	(void)field_remove(x, which, name);
	return field_add(x, which, name, value);
}

static unsigned get_status(void *x)
{
	return ((struct embedder *)x)->status;
}

static int set_status(void *x, unsigned status)
{
	must(status >= 200 && status <= 999);
	((struct embedder *)x)->status = status;
	return 0;
}

static int read_body(void *x, enum weir_message which, uint64_t offset, void *buf, size_t limit,
		     size_t *got, bool *eof)
{
	struct embedder *m = x;
	uint8_t how = (uint8_t)take(m->in, 1);

	must(limit > 0 && (offset == 0 || offset == m->offset[which]));
	must((uint8_t *)buf >= memory.base &&
	     (uint8_t *)buf + limit <= memory.base + memory.size_bytes);
	if (how == 255)
		return -EFBIG;
	*got = MIN(limit, (size_t)(how / 2));
	memset(buf, 'b', *got);
	*eof = (how & 1) != 0 || (which == WEIR_RESPONSE && *got == 0);
	m->offset[which] = offset + *got;
	return *got == 0 && !*eof ? WEIR_WAIT : 0;
}

static int write_body(void *x, enum weir_message which, slice bytes, bool first)
{
	struct embedder *m = x;

	must(first == !m->written[which]);
	m->written[which] = true;
	return bytes.n == 13 ? -EIO : 0;
}

static const struct weir_http http = {
	.method = get_method,
	.set_method = set_method,
	.target = get_target,
	.set_target = set_target,
	.version = get_version,
	.source = get_source,
	.authority = get_authority,
	.set_authority = set_authority,
	.field_next = field_next,
	.field_set = field_set,
	.field_add = field_add,
	.field_remove = field_remove,
	.status = get_status,
	.set_status = set_status,
	.read_body = read_body,
	.write_body = write_body,
};

static void on_line(void *context, const struct weir_log_line *line)
{
	(void)context;
	must(line->text.n <= 4096);
	lines++;
}

/** What a running guest hangs on to, without an engine. */
struct world {
	struct weir_host host;
	struct weir_plugin plugin;
	struct weir_pool pool;
	struct weir_exchange exchange;
	struct instance instance;
	struct embedder embedder;
};

static void make_world(struct world *w, struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1);

	memset(w, 0, sizeof *w);
	w->host.options.log = on_line;
	w->plugin.host = &w->host;
	w->plugin.facts.name = "fuzz";
	w->plugin.config = SLICE("{\"config\": 1}");
	if (how & 1)
		w->plugin.facts.limits =
			(struct weir_limits){.text_bytes = 20, .body_bytes = 30, .log_lines = 2};
	limits_fill(&w->plugin.facts.limits, NULL);
	w->pool.plugin = &w->plugin;
	w->exchange.pool = &w->pool;
	w->exchange.instance = &w->instance;
	w->exchange.http = &http;
	w->exchange.x = &w->embedder;
	w->exchange.after = (how & 2) != 0;
	w->exchange.frozen = (how & 4) != 0 && w->exchange.after;
	w->exchange.features = w->exchange.facts.features = how >> 3 & 3;
	w->instance.magic = INSTANCE_MAGIC;
	w->instance.plugin = &w->plugin;
	w->instance.counters = &w->pool.counters;
	w->instance.exchange = how & 0x80 ? NULL : &w->exchange;
	w->instance.state = how & 0x80 ? INSTANCE_STARTING : INSTANCE_REQUEST;
	w->instance.log_lines_left = w->plugin.facts.limits.log_lines;
	w->instance.start_output.limit = 480;
	w->embedder.in = in;
	w->embedder.method = keep(SLICE("GET"));
	w->embedder.target = keep(SLICE("/a b%20c?q"));
	w->embedder.authority = keep(how & 0x40 ? SLICE("") : SLICE("example.test"));
	must(field_add(&w->embedder, WEIR_REQUEST, SLICE("Accept"), SLICE("*/*")) == 0);
	must(field_add(&w->embedder, WEIR_RESPONSE, SLICE("Server"), SLICE("")) == 0);
}

static void free_world(struct world *w)
{
	for (size_t m = 0; m < 2; m++) {
		for (size_t i = 0; i < w->embedder.messages[m].count; i++) {
			drop(&w->embedder.messages[m].fields[i].name);
			drop(&w->embedder.messages[m].fields[i].value);
		}
	}
	drop(&w->embedder.method);
	drop(&w->embedder.target);
	drop(&w->embedder.authority);
	str_free(&w->pool.scratch);
	str_free(&w->instance.start_output);
	free(w->pool.names);
}

static uint32_t take_argument(struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1);

	switch (how & 3) {
	case 0:
		return how >> 2;
	case 1:
		return (uint32_t)(how >> 2) << 8;
	case 2:
		return (uint32_t)take(in, 2);
	default:
		return (uint32_t)take(in, 4);
	}
}

/* Something to point at where `take_argument` likes to point. */
static void fill_memory(void)
{
	static const char *const texts[] = {"Accept", "accept", "host", "/x?y",   "Content-Length",
					    "server", "a\r\nb", "POST", "Trailer"};

	memset(memory.base, 'm', MEMORY_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		memcpy(memory.base + (i + 1) * 0x100, texts[i], strlen(texts[i]) + 1);
}

static void put_bytes(struct input *in)
{
	size_t at = take(in, 2), n = take(in, 1);

	n = MIN(n, MIN(in->n, MEMORY_BYTES - at));
	memcpy(memory.base + at, in->p, n);
	in->p += n;
	in->n -= n;
}

static bool call_read_body(struct world *w, struct input *in)
{
	struct suspension s = {.kind = SUSPENSION_BODY, .memory = memory};
	int64_t result;

	for (size_t i = 0; i < 3; i++)
		s.args[i] = take_argument(in);
	if (!abi_read_body_check(&w->instance, memory, s.args))
		return false;
	while (!abi_read_body(&w->instance, &s, &result)) {
		/* The client has gone. */
		if (in->n == 0)
			return false;
	}
	must(s.got_bytes <= s.args[2]);
	return w->instance.fault.cause == WEIR_CAUSE_NONE;
}

static bool call(struct world *w, const struct abi_function *f, struct input *in)
{
	wasmtime_val_raw_t v[8];
	struct abi_call c = {.instance = &w->instance,
			     .exchange = w->instance.exchange,
			     .memory = memory,
			     .v = v};
	bool went_well;

	memset(v, 0, sizeof v);
	if (f->call == NULL)
		return call_read_body(w, in);
	if (c.exchange == NULL && !f->at_start)
		return false;
	for (size_t i = 0; f->params[i] != '\0'; i++)
		v[i].i32 = (int32_t)take_argument(in);
	went_well = f->call(&c);
	must(went_well == (w->instance.fault.cause == WEIR_CAUSE_NONE));
	return went_well;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t count;
	const struct abi_function *all = abi_functions(&count);
	struct input in = {data, size};
	static struct world w;

	fill_memory();
	lines = 0;
	make_world(&w, &in);
	while (in.n > 0) {
		uint8_t what = (uint8_t)take(&in, 1);

		if (what >= count)
			put_bytes(&in);
		else if (!call(&w, &all[what], &in))
			break;
	}
	must(lines <= w.plugin.facts.limits.log_lines);
	free_world(&w);
	return 0;
}
