#include "provider/provider.h"

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
