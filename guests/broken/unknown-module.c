/*
 * Imports from a module that no host provides: must be refused by name.
 */
#include "../http_wasm.h"

IMPORT("env", "mystery") uint32_t mystery(void);

EXPORT("handle_request") int64_t handle_request(void)
{
	return (int64_t)mystery();
}

NO_RESPONSE_PHASE
