#include "plugin/charge.h"

#include "plugin/plugin.h"
#include "plugin/pool.h"

/* An instance without its memory: store, handles, stack. */
#define OVERHEAD_BYTES ((uint64_t)32 * 1024)

/* Of a table. */
#define ELEMENT_BYTES ((uint64_t)8)

/* Reserved beyond what was measured, so that not every call needs a look. */
#define MARGIN_BYTES ((uint64_t)128 * 1024)

/* The same while most of the host's budget is free: looks become rare. */
#define MARGIN_AMPLE_BYTES ((uint64_t)1024 * 1024)

/* To change a page of its own for the first time takes a guest a page fault: no less than this. */
#define PAGE_CHANGE_NS 100u

/* What an instance takes besides its memory. */
static uint64_t overhead_bytes(const struct weir_plugin *p)
{
	const struct module *m = p->module;
	uint64_t elements = MIN(m->table_elements_max, p->facts.limits.table_elements);

	return OVERHEAD_BYTES + m->globals_bytes + m->table_count * elements * ELEMENT_BYTES;
}

static uint64_t with_margin(const struct weir_plugin *p, uint64_t bytes)
{
	return bytes + bytes / 4 + MARGIN_BYTES + overhead_bytes(p);
}

uint64_t charge_estimate(const struct weir_plugin *p)
{
	uint64_t high = atomic_load_explicit(&p->changed_high_bytes, memory_order_relaxed);
	uint64_t whole =
		p->snapshot != NULL ? p->snapshot->image->bytes : p->module->memory_min_bytes;

	return high == 0 ? whole + overhead_bytes(p) : with_margin(p, high);
}

/* The highest, which is forgotten little by little. */
static void note_high(struct weir_plugin *p, uint64_t bytes)
{
	uint64_t high = atomic_load_explicit(&p->changed_high_bytes, memory_order_relaxed);
	uint64_t next = MAX(MAX(bytes, (uint64_t)1), high - high / 64);

	if (next != high)
		atomic_store_explicit(&p->changed_high_bytes, next, memory_order_relaxed);
}

static void set_measured(struct instance *i, uint64_t bytes)
{
	counter_add(&i->counters->private_bytes, bytes - i->charge.measured_bytes);
	i->charge.measured_bytes = bytes;
}

static void measure(struct instance *i)
{
	struct charge *c = &i->charge;
	struct guest_memory memory;
	int64_t bytes;

	c->since_bytes = 0;
	c->faults = restore_thread_faults();
	if (!instance_memory(i, NULL, &memory))
		return;
	bytes = restore_private_bytes(&i->plugin->host->restorer, memory.base, memory.size_bytes);
	/* Where that cannot be told, all of it may be. */
	set_measured(i, bytes < 0 ? memory.size_bytes : (uint64_t)bytes);
	/* What initialisation changes is in the image, unless each instance does it for itself. */
	if (i->state == INSTANCE_STARTING && i->plugin->facts.init == WEIR_INIT_SHARED)
		return;
	c->measured = true;
	note_high(i->plugin, c->measured_bytes);
}

/* What an instance that has been measured is to reserve. */
static uint64_t wanted_bytes(const struct instance *i)
{
	const struct budget *b = &i->plugin->host->budget;
	uint64_t bytes = i->charge.measured_bytes;

	if (atomic_load_explicit(&b->used, memory_order_relaxed) > b->limit / 4)
		return with_margin(i->plugin, bytes);
	return 2 * bytes + MARGIN_AMPLE_BYTES + overhead_bytes(i->plugin);
}

static void shrink(struct instance *i)
{
	struct charge *c = &i->charge;
	uint64_t wanted = wanted_bytes(i);

	if (c->reserved_bytes <= wanted + MARGIN_BYTES)
		return;
	budget_give(&i->plugin->budget, c->reserved_bytes - wanted);
	c->reserved_bytes = wanted;
}

static bool widen(struct instance *i)
{
	struct charge *c = &i->charge;
	uint64_t used = c->measured_bytes + overhead_bytes(i->plugin);
	uint64_t wanted = wanted_bytes(i);

	if (wanted <= c->reserved_bytes)
		return true;
	if (pool_make_room(i->plugin, wanted - c->reserved_bytes)) {
		c->reserved_bytes = wanted;
		return true;
	}
	return used <= c->reserved_bytes;
}

static bool within_reserved(const struct instance *i)
{
	const struct charge *c = &i->charge;

	return c->measured &&
	       c->measured_bytes + c->since_bytes + overhead_bytes(i->plugin) <= c->reserved_bytes;
}

/* Each page of its own takes a page fault of the thread. Others than this instance have some, too.
 */
static bool within_by_faults(struct instance *i)
{
	struct charge *c = &i->charge;

	if (!c->measured)
		return false;
	c->since_bytes =
		MIN(c->since_bytes, (restore_thread_faults() - c->faults) * image_page_bytes());
	return within_reserved(i);
}

bool charge_note(struct instance *i, uint64_t ran_ns)
{
	struct charge *c = &i->charge;

	/* A copy runs no code of the guest's while it starts. */
	if (i->state == INSTANCE_STARTING && i->plugin->snapshot != NULL)
		return true;
	c->since_bytes += (ran_ns / PAGE_CHANGE_NS + 1) * image_page_bytes();
	if (within_reserved(i) || within_by_faults(i))
		return true;
	measure(i);
	shrink(i);
	return widen(i);
}

bool charge_exceeds(struct instance *i, uint64_t bytes)
{
	struct charge *c = &i->charge;

	if (c->measured && c->measured_bytes + c->since_bytes <= bytes)
		return false;
	measure(i);
	return c->measured_bytes > bytes;
}

void charge_measured(struct instance *i, uint64_t bytes)
{
	set_measured(i, bytes);
	i->charge.since_bytes = 0;
	i->charge.faults = i->restored.faults;
	note_high(i->plugin, bytes);
	shrink(i);
}

void charge_move(struct instance *i)
{
	i->charge.measured = false;
	i->restored = (struct restore_memo){0};
}

void charge_settle(struct instance *i)
{
	measure(i);
	shrink(i);
}

void charge_end(struct instance *i)
{
	budget_give(&i->plugin->budget, i->charge.reserved_bytes);
	set_measured(i, 0);
	i->charge = (struct charge){0};
}
