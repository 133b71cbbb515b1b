#include "plugin/budget.h"

#include <unistd.h>

#include "core/base.h"
#include "core/cgroup.h"

void budget_init(struct budget *b, uint64_t limit_bytes, struct budget *above)
{
	*b = (struct budget){.limit_bytes = limit_bytes, .above = above};
}

static bool take_here(struct budget *b, uint64_t bytes)
{
	uint64_t used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);

	do {
		if (bytes > b->limit_bytes || used > b->limit_bytes - bytes) {
			(void)atomic_fetch_add_explicit(&b->refusals, 1, memory_order_relaxed);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(
		&b->used_bytes, &used, used + bytes, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void give_here(struct budget *b, uint64_t bytes)
{
	uint64_t before = atomic_fetch_sub_explicit(&b->used_bytes, bytes, memory_order_relaxed);

	must(before >= bytes);
}

bool budget_has_room(const struct budget *b, uint64_t bytes)
{
	for (; b != NULL; b = b->above) {
		uint64_t used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);

		if (bytes > b->limit_bytes || used > b->limit_bytes - bytes)
			return false;
	}
	return true;
}

bool budget_take(struct budget *b, uint64_t bytes)
{
	if (!take_here(b, bytes))
		return false;
	if (b->above == NULL || budget_take(b->above, bytes))
		return true;
	give_here(b, bytes);
	return false;
}

void budget_give(struct budget *b, uint64_t bytes)
{
	for (; b != NULL; b = b->above)
		give_here(b, bytes);
}

uint64_t budget_default_bytes(void)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return MIN(machine, cgroup_memory_bytes(&cgroup_system)) / 2;
}
