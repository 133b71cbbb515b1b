#include "plugin/link.h"

#include <errno.h>

#include "plugin/abi.h"
#include "plugin/engine.h"

/* A host function of either module. */
struct import {
	const char *params;
	const char *results;
};

/* One letter per type: i, I, f, F, v, or r for references. `wasm_valtype_kind` aborts the process
 * at types that it does not know, vectors among them. */
static char letter_of(const wasm_valtype_t *type)
{
	static const char letters[] = {
		[WASMTIME_VALTYPE_KIND_I32] = 'i',  [WASMTIME_VALTYPE_KIND_I64] = 'I',
		[WASMTIME_VALTYPE_KIND_F32] = 'f',  [WASMTIME_VALTYPE_KIND_F64] = 'F',
		[WASMTIME_VALTYPE_KIND_V128] = 'v', [WASMTIME_VALTYPE_KIND_REF] = 'r',
	};
	wasmtime_valtype_t whole;
	wasmtime_valtype_kind_t kind;

	wasmtime_valtype_new(type, &whole);
	kind = whole.kind;
	wasmtime_valtype_delete(&whole);
	must(kind < ARRAY_LEN(letters));
	return letters[kind];
}

static bool kinds_are(const wasm_valtype_vec_t *types, const char *letters)
{
	if (types->size != strlen(letters))
		return false;
	for (size_t i = 0; i < types->size; i++) {
		if (letter_of(types->data[i]) != letters[i])
			return false;
	}
	return true;
}

bool link_type_is(const wasm_functype_t *type, const char *params, const char *results)
{
	return kinds_are(wasm_functype_params(type), params) &&
	       kinds_are(wasm_functype_results(type), results);
}

static const char *letter_text(char letter)
{
	switch (letter) {
	case 'i':
		return "i32";
	case 'I':
		return "i64";
	case 'f':
		return "f32";
	case 'F':
		return "f64";
	case 'v':
		return "v128";
	default:
		return "reference";
	}
}

static void describe_letters(struct str *out, const char *letters)
{
	str_add_char(out, '(');
	for (size_t i = 0; letters[i] != '\0'; i++)
		str_format(out, "%s%s", i > 0 ? ", " : "", letter_text(letters[i]));
	str_add_char(out, ')');
}

void link_describe_signature(struct str *out, const char *params, const char *results)
{
	describe_letters(out, params);
	str_add(out, SLICE(" -> "));
	describe_letters(out, results);
}

static void add_letters(struct str *out, const wasm_valtype_vec_t *types)
{
	for (size_t i = 0; i < types->size; i++)
		str_add_char(out, letter_of(types->data[i]));
	str_add_char(out, '\0');
}

/* Both lists of letters, each with a terminator. Empty if memory is short. */
static struct str letters_of(const wasm_functype_t *type)
{
	struct str letters = {0};

	add_letters(&letters, wasm_functype_params(type));
	add_letters(&letters, wasm_functype_results(type));
	if (letters.failed)
		str_free(&letters);
	return letters;
}

void link_describe(struct str *out, const wasm_functype_t *type)
{
	struct str letters = letters_of(type);

	if (letters.p != NULL)
		link_describe_signature(out, letters.p, letters.p + strlen(letters.p) + 1);
	str_free(&letters);
}

static void make_types(wasm_valtype_vec_t *types, const char *letters)
{
	wasm_valtype_t *made[16];
	size_t n = strlen(letters);

	must(n <= ARRAY_LEN(made));
	for (size_t i = 0; i < n; i++)
		made[i] = letters[i] == 'I' ? wasm_valtype_new_i64() : wasm_valtype_new_i32();
	wasm_valtype_vec_new(types, n, made);
}

/* Owned by the caller. */
static wasm_functype_t *make_type(const char *params, const char *results)
{
	wasm_valtype_vec_t p, r;

	make_types(&p, params);
	make_types(&r, results);
	return wasm_functype_new(&p, &r);
}

static bool find_abi(slice name, struct import *import)
{
	size_t count;
	const struct abi_function *f = abi_functions(&count);

	for (size_t i = 0; i < count; i++) {
		if (slice_equal(name, slice_from(f[i].name))) {
			*import = (struct import){f[i].params, f[i].results};
			return true;
		}
	}
	return false;
}

static bool find_wasi(slice name, struct import *import)
{
	size_t count;
	const struct wasi_function *f = wasi_functions(&count);

	for (size_t i = 0; i < count; i++) {
		if (slice_equal(name, slice_from(f[i].name))) {
			*import = (struct import){f[i].params, f[i].has_result ? "i" : ""};
			return true;
		}
	}
	return false;
}

static slice name_slice(const wasm_name_t *name)
{
	return slice_of(name->data, name->size);
}

static int refuse_type(slice module, slice name, struct import found, struct import wanted,
		       struct weir_error *error)
{
	struct str is = {0}, expected = {0};

	link_describe_signature(&is, found.params, found.results);
	link_describe_signature(&expected, wanted.params, wanted.results);
	(void)error_set(error, -EINVAL,
			"import func[%.*s.%.*s] has the wrong signature: found %s, should be %s",
			SLICE_ARG(module), SLICE_ARG(name), is.p != NULL ? is.p : "",
			expected.p != NULL ? expected.p : "");
	str_free(&is);
	str_free(&expected);
	return -EINVAL;
}

int link_check(slice module, slice name, const char *params, const char *results,
	       struct weir_error *error)
{
	bool abi = slice_equal(module, SLICE(ABI_MODULE));
	struct import known;

	if (!abi && !slice_equal(module, SLICE(WASI_MODULE)))
		return error_set(error, -EINVAL,
				 "module[%.*s] not instantiated: the guest imports \"%.*s\" "
				 "from it, expected only " ABI_MODULE " and " WASI_MODULE,
				 SLICE_ARG(module), SLICE_ARG(name));
	if (!abi && params != NULL && wasi_is_socket_extension(name, strlen(params)))
		return error_set(error, -ENOTSUP,
				 "imports \"%.*s\" of the WASI socket extensions, which are not "
				 "supported: plugins have no network of their own",
				 SLICE_ARG(name));
	if (params == NULL || !(abi ? find_abi(name, &known) : find_wasi(name, &known)))
		return error_set(error, -EINVAL, "\"%.*s\" is not exported in module \"%.*s\"",
				 SLICE_ARG(name), SLICE_ARG(module));
	if (strcmp(params, known.params) != 0 || strcmp(results, known.results) != 0)
		return refuse_type(module, name, (struct import){params, results}, known, error);
	return 0;
}

int link_check_import(const wasm_importtype_t *import, struct weir_error *error)
{
	const wasm_externtype_t *type = wasm_importtype_type(import);
	slice module = name_slice(wasm_importtype_module(import));
	slice name = name_slice(wasm_importtype_name(import));
	struct str letters;
	int r;

	if (wasm_externtype_kind(type) != WASM_EXTERN_FUNC)
		return link_check(module, name, NULL, NULL, error);
	letters = letters_of(wasm_externtype_as_functype_const(type));
	if (letters.p == NULL)
		return error_set(error, -ENOMEM, "not enough memory");
	r = link_check(module, name, letters.p, letters.p + strlen(letters.p) + 1, error);
	str_free(&letters);
	return r;
}

static struct instance *caller_instance(wasmtime_caller_t *caller)
{
	struct instance *i = wasmtime_context_get_data(wasmtime_caller_context(caller));

	OBJ_CHECK(i, INSTANCE_MAGIC);
	return i;
}

/* The reason is in the instance's `fault`; the engine only adds the guest's stack. */
static wasm_trap_t *trap(void)
{
	return wasmtime_trap_new("", 0);
}

static wasm_trap_t *call_abi(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t n)
{
	const struct abi_function *f = env;
	struct abi_call c = {.instance = caller_instance(caller), .v = v};

	(void)n;
	c.exchange = c.instance->exchange;
	if (c.exchange == NULL && !f->at_start) {
		(void)abi_fault(&c, "%s: no request in progress", f->name);
		return trap();
	}
	if (!instance_memory(c.instance, caller, &c.memory))
		c.memory = (struct guest_memory){0};
	return f->call(&c) ? NULL : trap();
}

static wasm_trap_t *call_wasi(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t n)
{
	const struct wasi_function *f = env;
	struct instance *i = caller_instance(caller);
	struct guest_memory memory = {0};
	uint64_t args[16];
	uint32_t result = 0;

	(void)n;
	for (size_t at = 0; f->params[at] != '\0'; at++)
		args[at] = f->params[at] == 'I' ? (uint64_t)v[at].i64 : (uint32_t)v[at].i32;
	(void)instance_memory(i, caller, &memory);
	if (f->call(i->wasi, memory, args, &result) != WASI_DONE) {
		instance_fault(i, WEIR_CAUSE_ABI, "%s: the guest cannot go on", f->name);
		return trap();
	}
	if (f->has_result)
		v[0].i32 = (int32_t)result;
	return NULL;
}

/* Not passed on: a command that exits in its start function with 0 lives on, and so does its WASI
 * state. */
static wasm_trap_t *call_proc_exit(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *v,
				   size_t n)
{
	struct instance *i = caller_instance(caller);
	uint32_t code = (uint32_t)v[0].i32;

	(void)env;
	(void)n;
	instance_fault(i, WEIR_CAUSE_EXIT, "exit code %u", code);
	i->fault.exited = i->fault.cause == WEIR_CAUSE_EXIT;
	i->fault.exit_code = code;
	return trap();
}

struct binder {
	wasmtime_linker_t *linker;
	wasmtime_error_t *error; /* the first */
};

static void bind(struct binder *b, const char *module, const char *name, struct import type,
		 wasmtime_func_unchecked_callback_t call, const void *env)
{
	wasm_functype_t *t;

	if (b->error != NULL)
		return;
	t = make_type(type.params, type.results);
	b->error = wasmtime_linker_define_func_unchecked(b->linker, module, strlen(module), name,
							 strlen(name), t, call,
							 (void *)(uintptr_t)env, NULL);
	wasm_functype_delete(t);
}

static void bind_suspending(struct binder *b, const char *module, const char *name,
			    struct import type, wasmtime_func_async_callback_t call,
			    const void *env)
{
	wasm_functype_t *t;

	if (b->error != NULL)
		return;
	t = make_type(type.params, type.results);
	b->error = wasmtime_linker_define_async_func(b->linker, module, strlen(module), name,
						     strlen(name), t, call, (void *)(uintptr_t)env,
						     NULL);
	wasm_functype_delete(t);
}

static void bind_abi(struct binder *b)
{
	size_t count;
	const struct abi_function *f = abi_functions(&count);

	for (size_t i = 0; i < count; i++) {
		struct import type = {f[i].params, f[i].results};

		if (f[i].call != NULL)
			bind(b, ABI_MODULE, f[i].name, type, call_abi, &f[i]);
		else
			bind_suspending(b, ABI_MODULE, f[i].name, type, suspension_read_body, NULL);
	}
}

static void bind_wasi(struct binder *b)
{
	size_t count;
	const struct wasi_function *f = wasi_functions(&count);

	for (size_t i = 0; i < count; i++) {
		struct import type = {f[i].params, f[i].has_result ? "i" : ""};
		slice name = slice_from(f[i].name);

		if (slice_equal(name, SLICE("poll_oneoff")))
			bind_suspending(b, WASI_MODULE, f[i].name, type, suspension_poll_oneoff,
					&f[i]);
		else if (slice_equal(name, SLICE("proc_exit")))
			bind(b, WASI_MODULE, f[i].name, type, call_proc_exit, NULL);
		else
			bind(b, WASI_MODULE, f[i].name, type, call_wasi, &f[i]);
	}
}

int link_module(wasmtime_instance_pre_t **linked, wasm_engine_t *engine,
		const wasmtime_module_t *module, struct weir_error *error)
{
	struct binder b = {.linker = wasmtime_linker_new(engine)};
	struct str why = {0};

	bind_abi(&b);
	bind_wasi(&b);
	if (b.error == NULL)
		b.error = wasmtime_linker_instantiate_pre(b.linker, module, linked);
	wasmtime_linker_delete(b.linker);
	if (b.error == NULL)
		return 0;
	engine_explain(&why, SLICE(""), 0, NULL, b.error);
	(void)error_set(error, -EINVAL, "cannot be linked: %s",
			why.p != NULL ? why.p : "not enough memory");
	str_free(&why);
	return -EINVAL;
}
