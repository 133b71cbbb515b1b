#include "plugin/module.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "plugin/engine.h"
#include "plugin/link.h"
#include "plugin/rewrite.h"

#define WASM_PAGE_BYTES 65536u

/* As wide as the widest, a vector. */
#define GLOBAL_BYTES ((uint64_t)16)

void module_store_init(struct module_store *store, wasm_engine_t *engine, struct code_source *code,
		       uint64_t module_max_bytes, struct budget *budget)
{
	*store = (struct module_store){.engine = engine,
				       .code = code,
				       .module_max_bytes = module_max_bytes,
				       .budget = budget};
	must(pthread_mutex_init(&store->lock, NULL) == 0 &&
	     pthread_cond_init(&store->built, NULL) == 0);
	list_init(&store->modules);
}

void module_store_free(struct module_store *store)
{
	must(list_empty(&store->modules));
	(void)pthread_mutex_destroy(&store->lock);
	(void)pthread_cond_destroy(&store->built);
}

uint64_t module_store_count(struct module_store *store)
{
	uint64_t n;

	(void)pthread_mutex_lock(&store->lock);
	n = store->count;
	(void)pthread_mutex_unlock(&store->lock);
	return n;
}

/* A reference to the first module behind this one that is ready; NULL: there is none. One that is
 * held stays in the list. */
static struct module *next_ready(struct module_store *store, const struct module *after)
{
	const struct list *at = after != NULL ? &after->link : &store->modules;
	struct module *found = NULL;

	(void)pthread_mutex_lock(&store->lock);
	while (found == NULL && (at = at->next) != &store->modules) {
		struct module *m = container_of(at, struct module, link);

		if (m->state == MODULE_READY)
			found = m;
	}
	if (found != NULL)
		found->references++;
	(void)pthread_mutex_unlock(&store->lock);
	return found;
}

void module_store_visit(struct module_store *store,
			void (*visit)(void *context, const char *hash, slice image), void *context)
{
	struct module *m = next_ready(store, NULL), *next;

	for (; m != NULL; m = next) {
		void *start, *end;

		wasmtime_module_image_range(m->code, &start, &end);
		visit(context, m->hash,
		      slice_of(start, (size_t)((const char *)end - (const char *)start)));
		next = next_ready(store, m);
		module_unref(&m);
	}
}

static const wasm_externtype_t *find_export(const wasm_exporttype_vec_t *exports, slice name)
{
	for (size_t i = 0; i < exports->size; i++) {
		const wasm_name_t *n = wasm_exporttype_name(exports->data[i]);

		if (slice_equal(slice_of(n->data, n->size), name))
			return wasm_exporttype_type(exports->data[i]);
	}
	return NULL;
}

/* Absent and of another kind are the same to the reference host. */
static const wasm_functype_t *find_function(const wasm_exporttype_vec_t *exports, const char *name)
{
	const wasm_externtype_t *type = find_export(exports, slice_from(name));

	return type != NULL && wasm_externtype_kind(type) == WASM_EXTERN_FUNC
		       ? wasm_externtype_as_functype_const(type)
		       : NULL;
}

static int check_function(const wasm_exporttype_vec_t *exports, const char *name,
			  const char *params, const char *results, struct weir_error *error)
{
	const wasm_functype_t *type = find_function(exports, name);
	struct str found = {0}, wanted = {0};

	if (type == NULL)
		return error_set(error, -EINVAL, "guest doesn't export func[%s]", name);
	if (link_type_is(type, params, results))
		return 0;
	link_describe(&found, type);
	link_describe_signature(&wanted, params, results);
	(void)error_set(error, -EINVAL,
			"guest exports the wrong signature for func[%s]: found %s, should be %s",
			name, found.p != NULL ? found.p : "", wanted.p != NULL ? wanted.p : "");
	str_free(&found);
	str_free(&wanted);
	return -EINVAL;
}

static int check_memory(struct module *m, const wasm_exporttype_vec_t *exports,
			struct weir_error *error)
{
	const wasm_externtype_t *type = find_export(exports, SLICE("memory"));

	if (type == NULL || wasm_externtype_kind(type) != WASM_EXTERN_MEMORY)
		return error_set(error, -EINVAL, "guest doesn't export memory[memory]");
	m->memory_min_bytes =
		wasmtime_memorytype_minimum(wasm_externtype_as_memorytype_const(type)) *
		WASM_PAGE_BYTES;
	return 0;
}

/* A start function that is there must be callable. */
static int check_start(bool *present, const wasm_exporttype_vec_t *exports, const char *name,
		       struct weir_error *error)
{
	*present = find_function(exports, name) != NULL;
	return *present ? check_function(exports, name, "", "", error) : 0;
}

static int check_exports(struct module *m, struct weir_error *error)
{
	wasm_exporttype_vec_t exports;
	int r;

	wasmtime_module_exports(m->code, &exports);
	r = check_function(&exports, "handle_request", "", "I", error);
	if (r == 0)
		r = check_function(&exports, "handle_response", "ii", "", error);
	if (r == 0)
		r = check_memory(m, &exports, error);
	if (r == 0)
		r = check_start(&m->has_start, &exports, "_start", error);
	if (r == 0)
		r = check_start(&m->has_initialize, &exports, "_initialize", error);
	wasm_exporttype_vec_delete(&exports);
	return r;
}

static int check_imports(const struct module *m, struct weir_error *error)
{
	wasm_importtype_vec_t imports;
	int r = 0;

	wasmtime_module_imports(m->code, &imports);
	for (size_t i = 0; i < imports.size && r == 0; i++)
		r = link_check_import(imports.data[i], error);
	wasm_importtype_vec_delete(&imports);
	return r;
}

/* Marks the pages that the segments reach. */
static void apply_segment(const struct rewrite_segment *s, uint8_t *memory, uint8_t *touched)
{
	size_t page = image_page_bytes();

	if (s->bytes.n == 0)
		return;
	memcpy(memory + s->offset, s->bytes.p, s->bytes.n);
	for (size_t at = s->offset / page; at <= (s->offset + s->bytes.n - 1) / page; at++)
		touched[at / 8] = (uint8_t)(touched[at / 8] | 1u << at % 8);
}

static int apply_segments(const struct module *m, const struct rewrite *r, uint8_t *memory,
			  uint8_t *touched, struct weir_error *error)
{
	for (size_t i = 0; i < r->segment_count; i++) {
		const struct rewrite_segment *s = &r->segments[i];

		if (s->offset > m->memory_min_bytes || s->bytes.n > m->memory_min_bytes - s->offset)
			return error_set(error, -EINVAL,
					 "data segment %zu (%zu bytes at %u) passes the end of the "
					 "memory, which has %llu bytes",
					 i, s->bytes.n, s->offset,
					 (unsigned long long)m->memory_min_bytes);
		apply_segment(s, memory, touched);
	}
	return 0;
}

static int pay_for_image(struct module *m, struct weir_error *error)
{
	struct budget *budget = m->store->budget;
	uint64_t bytes = image_stored_bytes(m->initial);

	if (budget == NULL)
		return 0;
	if (!budget_take(budget, bytes))
		return error_set(error, -ENOMEM,
				 "the plugins' memory budget has no room for %llu bytes of data",
				 (unsigned long long)bytes);
	m->image_bytes = bytes;
	return 0;
}

static int make_initial(struct module *m, const struct rewrite *rewrite, struct weir_error *error)
{
	size_t bytes = m->memory_min_bytes;
	uint8_t *touched = calloc(bytes / image_page_bytes() / 8 + 1, 1);
	/* One byte more: there are memories without any. */
	uint8_t *memory = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int r;

	if (touched == NULL || memory == MAP_FAILED)
		r = error_set(error, -ENOMEM, "not enough memory");
	else
		r = apply_segments(m, rewrite, memory, touched, error);
	if (r == 0)
		r = image_create(&m->initial, memory, bytes, touched, error);
	if (memory != MAP_FAILED)
		(void)munmap(memory, bytes + 1);
	free(touched);
	return r == 0 ? pay_for_image(m, error) : r;
}

static int build_rewritten(struct module *m, slice wasm, const struct rewrite *rewrite,
			   struct weir_error *error)
{
	int r = code_get(&m->code, m->store->code, wasm, m->hash, str_slice(&rewrite->wasm), error);

	m->global_count = rewrite->global_count;
	m->globals_bytes = rewrite->all_globals * GLOBAL_BYTES;
	if ((rewrite->obstacles & 1u << REWRITE_TABLES) != 0)
		m->table_count = rewrite->table_count;
	m->table_elements_max = rewrite->table_elements_max;
	m->has_section = rewrite->has_start;
	m->obstacles = rewrite->obstacles;
	m->code_moved = rewrite->code_moved;
	if (r == 0)
		r = check_exports(m, error);
	if (r == 0)
		r = check_imports(m, error);
	if (r == 0)
		r = link_module(&m->linked, m->store->engine, m->code, error);
	if (r == 0)
		r = make_initial(m, rewrite, error);
	return r;
}

static int build(struct module *m, slice wasm, struct weir_error *error)
{
	struct rewrite rewrite;
	int r = scan_module(&m->facts, wasm, error);

	if (r == 0)
		r = rewrite_module(&rewrite, wasm, error);
	if (r < 0)
		return r;
	r = build_rewritten(m, wasm, &rewrite, error);
	rewrite_free(&rewrite);
	return r;
}

static void destroy(struct module *m)
{
	if (m->linked != NULL)
		wasmtime_instance_pre_delete(m->linked);
	if (m->code != NULL)
		wasmtime_module_delete(m->code);
	image_destroy(&m->initial);
	if (m->image_bytes > 0)
		budget_give(m->store->budget, m->image_bytes);
	m->magic = 0;
	free(m);
}

static struct module *find(struct module_store *store, const char *hash)
{
	LIST_FOR_EACH (at, &store->modules) {
		struct module *m = container_of(at, struct module, link);

		if (memcmp(m->hash, hash, SHA256_HEX) == 0)
			return m;
	}
	return NULL;
}

static struct module *add(struct module_store *store, const char *hash)
{
	struct module *m = calloc(1, sizeof *m);

	if (m == NULL)
		return NULL;
	m->magic = MODULE_MAGIC;
	m->store = store;
	m->state = MODULE_BUILDING;
	store->count++;
	memcpy(m->hash, hash, SHA256_HEX);
	list_append(&store->modules, &m->link);
	return m;
}

/* A module that failed leaves the list at once, so that a repaired file is tried anew; waiters
 * still hold it. */
static void finish(struct module *m, int r, const struct weir_error *failure)
{
	m->state = r == 0 ? MODULE_READY : MODULE_FAILED;
	if (r < 0) {
		m->failure = *failure;
		list_remove(&m->link);
	}
	(void)pthread_cond_broadcast(&m->store->built);
}

int module_get(struct module **module, struct module_store *store, slice wasm,
	       struct weir_error *error)
{
	struct weir_error failure = {0};
	char hash[SHA256_HEX];
	struct module *m;

	if (wasm.n > store->module_max_bytes)
		return error_set(error, -E2BIG, "has %zu bytes, expected at most %llu", wasm.n,
				 (unsigned long long)store->module_max_bytes);
	sha256_hex(wasm, hash);
	(void)pthread_mutex_lock(&store->lock);
	m = find(store, hash);
	if (m != NULL) {
		m->references++;
		while (m->state == MODULE_BUILDING)
			(void)pthread_cond_wait(&store->built, &store->lock);
	} else if ((m = add(store, hash)) != NULL) {
		int r;

		m->references++;
		(void)pthread_mutex_unlock(&store->lock);
		r = build(m, wasm, &failure);
		(void)pthread_mutex_lock(&store->lock);
		finish(m, r, &failure);
	}
	(void)pthread_mutex_unlock(&store->lock);
	if (m == NULL)
		return error_set(error, -ENOMEM, "not enough memory");
	*module = m;
	if (m->state == MODULE_READY)
		return 0;
	failure = m->failure;
	module_unref(module);
	return error_set(error, failure.code, "%s", failure.text);
}

struct module *module_ref(struct module *m)
{
	OBJ_CHECK(m, MODULE_MAGIC);
	(void)pthread_mutex_lock(&m->store->lock);
	m->references++;
	(void)pthread_mutex_unlock(&m->store->lock);
	return m;
}

void module_unref(struct module **module)
{
	struct module *m;
	bool last;

	OBJ_TAKE(m, module, MODULE_MAGIC);
	(void)pthread_mutex_lock(&m->store->lock);
	last = --m->references == 0;
	if (last) {
		list_remove(&m->link);
		m->store->count--;
	}
	(void)pthread_mutex_unlock(&m->store->lock);
	if (last)
		destroy(m);
}
