#include "plugin/mapping.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A thread keeps no more than so many of each. */
#define KEEP_MAX 128u

/* What a stack that is kept may keep: deeper pages are given back. */
#define STACK_KEEP_BYTES ((size_t)32 * 1024)

/* A reservation of address space: a linear memory with its guard, or a stack below which one page
 * is the guard. */
struct piece {
	uint8_t *base;
	size_t span_bytes;
	size_t size_bytes; /* a memory's accessible part, a stack's usable one */
	size_t limit_bytes;
	struct piece *next;
};

struct pieces {
	struct piece *first;
	size_t count;
};

static _Thread_local struct pieces idle_memories, idle_stacks;
static _Thread_local const struct image *current_image;

/* Pieces of any thread that are still to be unmapped. */
static pthread_mutex_t stuck_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pieces stuck;
static _Atomic bool any_stuck;

static pthread_key_t thread_end;
static pthread_once_t thread_end_made = PTHREAD_ONCE_INIT;

/* To unmap a piece may take a mapping more than there may be (vm.max_map_count), where the system
 * has joined it with its neighbours. False, with the piece's pages gone, if it cannot be done now.
 */
static bool unmap(struct piece *p)
{
	if (munmap(p->base, p->span_bytes) == 0) {
		free(p);
		return true;
	}
	must(errno == ENOMEM);
	(void)madvise(p->base, p->span_bytes, MADV_DONTNEED);
	return false;
}

static void set_aside(struct piece *p)
{
	(void)pthread_mutex_lock(&stuck_lock);
	p->next = stuck.first;
	stuck.first = p;
	stuck.count++;
	(void)pthread_mutex_unlock(&stuck_lock);
	atomic_store(&any_stuck, true);
}

/* Another piece has gone: perhaps those that could not can now. */
static void retry_stuck(void)
{
	struct piece *p;

	if (!atomic_exchange(&any_stuck, false))
		return;
	(void)pthread_mutex_lock(&stuck_lock);
	p = stuck.first;
	stuck = (struct pieces){0};
	(void)pthread_mutex_unlock(&stuck_lock);
	while (p != NULL) {
		struct piece *next = p->next;

		if (!unmap(p))
			set_aside(p);
		p = next;
	}
}

static void discard(struct piece *p)
{
	if (unmap(p))
		retry_stuck();
	else
		set_aside(p);
}

static void discard_all(struct pieces *list)
{
	while (list->first != NULL) {
		struct piece *p = list->first;

		list->first = p->next;
		discard(p);
	}
	list->count = 0;
}

static void on_thread_end(void *unused)
{
	(void)unused;
	mapping_trim();
}

static void make_thread_end(void)
{
	must(pthread_key_create(&thread_end, on_thread_end) == 0);
}

static void keep(struct pieces *list, struct piece *p)
{
	/* Without that the pieces would stay when the thread ends. */
	if (list->count >= KEEP_MAX || pthread_setspecific(thread_end, &idle_memories) != 0) {
		discard(p);
		return;
	}
	p->next = list->first;
	list->first = p;
	list->count++;
}

static struct piece *reserve(size_t span_bytes)
{
	struct piece *p = calloc(1, sizeof *p);
	void *base;

	if (p == NULL)
		return NULL;
	base = mmap(NULL, span_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (base == MAP_FAILED) {
		free(p);
		return NULL;
	}
	p->base = base;
	p->span_bytes = span_bytes;
	return p;
}

/* One that is idle, else a new one. */
static struct piece *take(struct pieces *list, size_t span_bytes)
{
	struct piece *p = list->first;

	if (p == NULL || p->span_bytes != span_bytes)
		return reserve(span_bytes);
	list->first = p->next;
	list->count--;
	return p;
}

/* Inaccessible, and without pages, as it was when it was reserved. */
static bool clear(uint8_t *base, size_t bytes)
{
	return bytes == 0 ||
	       mmap(base, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		    -1, 0) != MAP_FAILED;
}

static bool show(uint8_t *base, const struct image *image)
{
	return image->bytes == 0 ||
	       mmap(base, image->bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, image->fd, 0) != MAP_FAILED;
}

static uint8_t *memory_get(void *env, size_t *size, size_t *limit)
{
	struct piece *p = env;

	*size = p->size_bytes;
	*limit = p->limit_bytes;
	return p->base;
}

static wasmtime_error_t *memory_grow(void *env, size_t new_size)
{
	struct piece *p = env;

	if (new_size > p->limit_bytes)
		return wasmtime_error_new("the memory's reservation is too small");
	if (new_size <= p->size_bytes)
		return NULL;
	if (mprotect(p->base + p->size_bytes, new_size - p->size_bytes, PROT_READ | PROT_WRITE) < 0)
		return wasmtime_error_new("not enough memory");
	p->size_bytes = new_size;
	return NULL;
}

static void memory_end(void *env)
{
	struct piece *p = env;

	if (clear(p->base, p->size_bytes))
		keep(&idle_memories, p);
	else
		discard(p);
}

static bool begin_memory(struct piece *p, size_t minimum)
{
	const struct image *image = current_image;

	must(image == NULL || image->bytes >= minimum);
	p->size_bytes = image != NULL ? image->bytes : minimum;
	if (p->size_bytes > p->limit_bytes)
		return false;
	if (image != NULL)
		return show(p->base, image);
	return minimum == 0 || mprotect(p->base, minimum, PROT_READ | PROT_WRITE) == 0;
}

static wasmtime_error_t *memory_new(void *env, const wasm_memorytype_t *type, size_t minimum,
				    size_t maximum, size_t reserved, size_t guard,
				    wasmtime_linear_memory_t *memory)
{
	struct piece *p = take(&idle_memories, reserved + guard);

	(void)env;
	(void)type;
	(void)maximum;
	if (p == NULL)
		return wasmtime_error_new("not enough address space for a memory");
	p->limit_bytes = reserved;
	if (!begin_memory(p, minimum)) {
		discard(p);
		return wasmtime_error_new("not enough memory");
	}
	*memory = (wasmtime_linear_memory_t){
		.env = p,
		.get_memory = memory_get,
		.grow_memory = memory_grow,
		.finalizer = memory_end,
	};
	return NULL;
}

static uint8_t *stack_get(void *env, size_t *size)
{
	struct piece *p = env;

	*size = p->size_bytes;
	return p->base + p->span_bytes;
}

static void stack_end(void *env)
{
	struct piece *p = env;
	size_t guard = p->span_bytes - p->size_bytes;

	if (p->size_bytes > STACK_KEEP_BYTES)
		(void)madvise(p->base + guard, p->size_bytes - STACK_KEEP_BYTES, MADV_DONTNEED);
	keep(&idle_stacks, p);
}

static wasmtime_error_t *stack_new(void *env, size_t size, bool zeroed,
				   wasmtime_stack_memory_t *stack)
{
	size_t guard = image_page_bytes();
	struct piece *p = take(&idle_stacks, size + guard);

	(void)env;
	must(!zeroed);
	if (p == NULL)
		return wasmtime_error_new("not enough address space for a stack");
	if (p->size_bytes == 0) {
		p->size_bytes = size;
		if (mprotect(p->base + guard, size, PROT_READ | PROT_WRITE) < 0) {
			discard(p);
			return wasmtime_error_new("not enough memory for a stack");
		}
	}
	*stack = (wasmtime_stack_memory_t){
		.env = p,
		.get_stack_memory = stack_get,
		.finalizer = stack_end,
	};
	return NULL;
}

void mapping_configure(wasm_config_t *config)
{
	wasmtime_memory_creator_t memories = {.new_memory = memory_new};
	wasmtime_stack_creator_t stacks = {.new_stack = stack_new};

	must(pthread_once(&thread_end_made, make_thread_end) == 0);
	/* The engine would map data segments itself, which it cannot in memories that are not
	 * its own. */
	wasmtime_config_memory_init_cow_set(config, false);
	wasmtime_config_host_memory_creator_set(config, &memories);
	wasmtime_config_host_stack_creator_set(config, &stacks);
}

void mapping_use(const struct image *image)
{
	current_image = image;
}

int mapping_rebase(uint8_t *base, const struct image *image)
{
	OBJ_CHECK(image, IMAGE_MAGIC);
	return show(base, image) ? 0 : -errno;
}

void mapping_trim(void)
{
	discard_all(&idle_memories);
	discard_all(&idle_stacks);
}

size_t mapping_idle_memories(void)
{
	return idle_memories.count;
}
