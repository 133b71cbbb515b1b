#include "cli/plugin_advice.h"

struct plugin_advice plugin_advise(const struct weir_plugin_facts *facts,
				   const struct plugin_costs *costs)
{
	if (facts->init == WEIR_INIT_OWN)
		return (struct plugin_advice){WEIR_ISOLATION_REUSE,
					      "its instances cannot be copied, so that under reset "
					      "and fresh each request "
					      "would wait until a new one has initialised itself"};
	if (facts->init_drew_entropy)
		return (struct plugin_advice){
			WEIR_ISOLATION_REUSE,
			"it drew random numbers while it initialised: under reset and fresh it "
			"would repeat what it makes of them, such as its own random numbers, in "
			"each request; use reset only if it needs none but the host's"};
	if (costs == NULL)
		return (struct plugin_advice){
			WEIR_ISOLATION_REUSE,
			"it failed at the request that was to show whether it keeps state; name "
			"another one by --request"};
	if (costs->keeps_state)
		return (struct plugin_advice){
			WEIR_ISOLATION_REUSE,
			"the same request leaves its memory different each time: it counts, caches "
			"or allocates; use reset if no request may see what another one left"};
	return (struct plugin_advice){
		WEIR_ISOLATION_RESET,
		"it keeps nothing from one such request to the next, so that reset takes nothing "
		"from it, and no request sees what another one left"};
}
