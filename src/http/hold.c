#include "http/hold.h"

#include <stdatomic.h>

#include "core/base.h"

static uint64_t period_ms(uint32_t strikes, uint64_t max_ms)
{
	uint64_t period = HOLD_FIRST_MS;

	for (; strikes > 1 && period < max_ms; strikes--)
		period *= 2;
	return MIN(period, max_ms);
}

bool hold_is_on(struct hold *h, uint64_t now_ms, uint64_t max_ms)
{
	uint64_t until = atomic_load_explicit(&h->until_ms, memory_order_relaxed);

	if (until == 0)
		return false;
	if (now_ms < until)
		return true;
	return !atomic_compare_exchange_strong(
		&h->until_ms, &until, now_ms + period_ms(atomic_load(&h->strikes), max_ms));
}

uint64_t hold_begin(struct hold *h, uint64_t now_ms, uint64_t max_ms)
{
	uint64_t struck = atomic_load(&h->struck_ms), period;

	if (max_ms == 0 || now_ms < struck)
		return 0;
	period = period_ms(atomic_load(&h->strikes) + 1, max_ms);
	if (!atomic_compare_exchange_strong(&h->struck_ms, &struck, now_ms + period))
		return 0;
	atomic_fetch_add(&h->strikes, 1);
	atomic_store(&h->until_ms, now_ms + period);
	return period;
}

bool hold_end(struct hold *h)
{
	if (atomic_load_explicit(&h->until_ms, memory_order_relaxed) == 0)
		return false;
	atomic_store(&h->strikes, 0);
	atomic_store(&h->struck_ms, 0);
	return atomic_exchange(&h->until_ms, 0) != 0;
}
