#include "plugin/snapshot.h"

#include <errno.h>
#include <stdlib.h>

#include "plugin/mapping.h"
#include "plugin/plugin.h"

static struct snapshot *make(size_t global_count)
{
	struct snapshot *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->magic = SNAPSHOT_MAGIC;
	s->global_count = global_count;
	s->globals = calloc(global_count + 1, sizeof *s->globals);
	if (s->globals == NULL)
		snapshot_destroy(&s);
	return s;
}

static int copy_wasi(struct snapshot *s, struct instance *i, struct weir_error *error)
{
	int r;

	wasi_flush(i->wasi);
	r = wasi_clone(&s->wasi, i->wasi, error);
	if (r == 0)
		wasi_set_output_ctx(s->wasi, NULL);
	return r;
}

static int fill(struct snapshot *s, struct instance *i, struct weir_error *error)
{
	struct guest_memory memory;
	bool found = instance_memory(i, NULL, &memory);
	int r;

	must(found);
	for (size_t n = 0; n < s->global_count; n++)
		wasmtime_global_get(i->context, &i->globals[n], &s->globals[n]);
	r = copy_wasi(s, i, error);
	if (r == 0)
		r = image_create(&s->image, memory.base, memory.size_bytes, NULL, error);
	if (r < 0)
		return r;
	r = mapping_rebase(memory.base, s->image);
	return r < 0 ? error_set(error, r, "the memory's image cannot be mapped: %s",
				 strerrordesc_np(-r))
		     : 0;
}

int snapshot_take(struct snapshot **snapshot, struct instance *i, struct weir_error *error)
{
	struct snapshot *s = make(i->plugin->module->global_count);
	int r;

	*snapshot = NULL;
	if (s == NULL)
		return error_set(error, -ENOMEM, "not enough memory");
	r = fill(s, i, error);
	if (r < 0)
		snapshot_destroy(&s);
	*snapshot = s;
	return r;
}

void snapshot_destroy(struct snapshot **snapshot)
{
	struct snapshot *s;

	if (*snapshot == NULL)
		return;
	OBJ_TAKE(s, snapshot, SNAPSHOT_MAGIC);
	wasi_destroy(&s->wasi);
	image_destroy(&s->image);
	free(s->globals);
	s->magic = 0;
	free(s);
}

void snapshot_enter(const struct snapshot *s, struct instance *i)
{
	OBJ_CHECK(s, SNAPSHOT_MAGIC);
	for (size_t n = 0; n < s->global_count; n++) {
		wasmtime_error_t *e =
			wasmtime_global_set(i->context, &i->globals[n], &s->globals[n]);

		must(e == NULL);
	}
}

/* Descriptors, their offsets and flags. */
static bool restore_wasi(const struct snapshot *s, struct instance *i)
{
	struct wasi *again;

	if (wasi_same(i->wasi, s->wasi))
		return true;
	if (wasi_clone(&again, s->wasi, NULL) < 0)
		return false;
	wasi_set_output_ctx(again, i);
	wasi_destroy(&i->wasi);
	i->wasi = again;
	return true;
}

bool snapshot_restore(const struct snapshot *s, struct instance *i, bool drop)
{
	static const struct restorer dropper = {.method = WEIR_RESTORE_DROP, .pagemap_fd = -1};
	const struct weir_host *host = i->plugin->host;
	struct guest_memory memory;
	int64_t bytes;

	OBJ_CHECK(s, SNAPSHOT_MAGIC);
	if (!instance_memory(i, NULL, &memory) || memory.size_bytes != s->image->bytes)
		return false;
	bytes = restore_memory(drop ? &dropper : &host->restorer, s->image, memory.base,
			       &i->restored);
	if (bytes < 0 || !restore_wasi(s, i))
		return false;
	snapshot_enter(s, i);
	if (host->options.self_check)
		must(snapshot_verify(s, i));
	charge_measured(i, (uint64_t)bytes);
	counter_add(&i->counters->restores, 1);
	counter_add(&i->counters->restored_bytes, (uint64_t)bytes);
	return true;
}

bool snapshot_same_value(const wasmtime_val_t *a, const wasmtime_val_t *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case WASMTIME_I32:
	case WASMTIME_F32:
		return a->of.i32 == b->of.i32;
	case WASMTIME_I64:
	case WASMTIME_F64:
		return a->of.i64 == b->of.i64;
	case WASMTIME_V128:
		return memcmp(a->of.v128, b->of.v128, sizeof a->of.v128) == 0;
	default:
		must_not_reach("a reference in an exported global");
	}
}

bool snapshot_verify(const struct snapshot *s, struct instance *i)
{
	struct guest_memory memory;

	OBJ_CHECK(s, SNAPSHOT_MAGIC);
	if (!instance_memory(i, NULL, &memory) || memory.size_bytes != s->image->bytes ||
	    !restore_verify(s->image, memory.base) || !wasi_same(i->wasi, s->wasi))
		return false;
	for (size_t n = 0; n < s->global_count; n++) {
		wasmtime_val_t value;

		wasmtime_global_get(i->context, &i->globals[n], &value);
		if (!snapshot_same_value(&value, &s->globals[n]))
			return false;
	}
	return true;
}
