#include "provider/provider.h"

struct provider_counters provider_counters[PROVIDER_COUNT];

const char *provider_name(enum provider_id id)
{
	static const char *const names[] = {
#define X(name, text) [PROVIDER_##name] = text,
		PROVIDERS(X)
#undef X
	};

	return names[id];
}

void provider_reload(struct provider *p)
{
	OBJ_CHECK(p, PROVIDER_MAGIC);
	p->class->reload(p);
}

void provider_destroy(struct provider **p)
{
	struct provider *taken;

	if (*p == NULL)
		return;
	OBJ_TAKE(taken, p, PROVIDER_MAGIC);
	taken->class->destroy(taken);
}
