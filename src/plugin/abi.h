/*
 * The host functions of the http-wasm "http-handler" ABI 1.1 to 1.3, module `http_handler`.
 */
#ifndef PLUGIN_ABI_H
#define PLUGIN_ABI_H

#include "plugin/exchange.h"

#define ABI_MODULE "http_handler"

/** One call of a host function. Arguments are in `v`, from 0; a result replaces `v[0]`. */
struct abi_call {
	struct instance *instance;
	struct weir_exchange *exchange; /* NULL while the instance starts */
	struct guest_memory memory;
	wasmtime_val_raw_t *v;
};

struct abi_function {
	const char *name;
	const char *params;  /* as in `struct wasi_function` */
	const char *results; /* the same */
	bool at_start;       /* may be called while the instance starts */
	/* False after `abi_fault`. NULL for `read_body`, which may suspend. */
	bool (*call)(struct abi_call *c);
};

/** All 19. */
const struct abi_function *abi_functions(size_t *count);

/** The arguments of a read of a body, checked; false after `instance_fault`. */
bool abi_read_body_check(struct instance *i, struct guest_memory memory, const uint64_t args[3]);

/**
 * Goes on filling the guest's buffer. True if `*result` was set, or after `instance_fault`; false
 * if the guest must wait.
 */
bool abi_read_body(struct instance *i, struct suspension *s, int64_t *result);

/* For the files abi*.c. */

/** Records that the guest must trap, and returns false. */
bool abi_fault(struct abi_call *c, const char *format, ...) PRINTF_LIKE(2, 3);

/** Records that an accessor of the embedder failed with `r`, and returns false. */
bool abi_refused(struct abi_call *c, int r, const char *what);

/** Argument `n` as an unsigned number. */
static inline uint32_t abi_arg(const struct abi_call *c, size_t n)
{
	return (uint32_t)c->v[n].i32;
}

static inline bool abi_in_bounds(struct guest_memory m, uint64_t at, uint64_t n)
{
	return n <= m.size_bytes && at <= m.size_bytes - n;
}

/** The guest's bytes at the pointer and length in arguments `n` and `n + 1`: valid until the host
 * function returns. False after `abi_fault`, as below. */
bool abi_guest_bytes(struct abi_call *c, size_t n, const char *what, slice *bytes);

/** As `abi_guest_bytes`, for what becomes part of a head: at most the limit `text_bytes` long. */
bool abi_guest_text(struct abi_call *c, size_t n, const char *what, slice *text);

/** The result of a getter: the value's length, and the value where it fits buffer and limit in
 * arguments `n`, `n + 1`. */
bool abi_give(struct abi_call *c, size_t n, const char *what, slice value);

/** Whether all bytes may stand in an HTTP token, of which there is at least one. */
bool abi_is_token(slice s);

/** X(name, parameters, results, may be called while the instance starts) */
#define ABI_FUNCTIONS(X) \
	X(enable_features, "i", "i", true) \
	X(get_config, "ii", "i", true) \
	X(log_enabled, "i", "i", true) \
	X(log, "iii", "", true) \
	X(get_method, "ii", "i", false) \
	X(set_method, "ii", "", false) \
	X(get_uri, "ii", "i", false) \
	X(set_uri, "ii", "", false) \
	X(get_protocol_version, "ii", "i", false) \
	X(get_source_addr, "ii", "i", false) \
	X(get_header_names, "iii", "I", false) \
	X(get_header_values, "iiiii", "I", false) \
	X(set_header_value, "iiiii", "", false) \
	X(add_header_value, "iiiii", "", false) \
	X(remove_header, "iii", "", false) \
	X(write_body, "iii", "", false) \
	X(get_status_code, "", "i", false) \
	X(set_status_code, "i", "", false)

/* The functions of the table, one each, named after what they are to the guest. */
#define X(name, params, results, at_start) bool abi_##name(struct abi_call *c);
ABI_FUNCTIONS(X)
#undef X

#endif
