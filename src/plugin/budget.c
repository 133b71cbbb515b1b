#include "plugin/budget.h"

#include <unistd.h>

#include "core/base.h"
#include "core/cgroup.h"

void budget_init(struct budget *b, uint64_t limit, struct budget *above)
{
	*b = (struct budget){.limit = limit, .above = above};
}

void budget_note_refusal(struct budget *b)
{
	(void)atomic_fetch_add_explicit(&b->refusals, 1, memory_order_relaxed);
}

static bool take_here(struct budget *b, uint64_t n)
{
	uint64_t used = atomic_load_explicit(&b->used, memory_order_relaxed);

	do {
		if (n > b->limit || used > b->limit - n) {
			budget_note_refusal(b);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(
		&b->used, &used, used + n, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void give_here(struct budget *b, uint64_t n)
{
	uint64_t before = atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);

	must(before >= n);
}

bool budget_has_room(const struct budget *b, uint64_t n)
{
	for (; b != NULL; b = b->above) {
		uint64_t used = atomic_load_explicit(&b->used, memory_order_relaxed);

		if (n > b->limit || used > b->limit - n)
			return false;
	}
	return true;
}

bool budget_take(struct budget *b, uint64_t n)
{
	if (!take_here(b, n))
		return false;
	if (b->above == NULL || budget_take(b->above, n))
		return true;
	give_here(b, n);
	return false;
}

void budget_give(struct budget *b, uint64_t n)
{
	for (; b != NULL; b = b->above)
		give_here(b, n);
}

uint64_t budget_default_bytes(void)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return MIN(machine, cgroup_memory_bytes(&cgroup_system)) / 2;
}
