/*
 * Exports no handle_request: must be refused.
 */
#include "../http_wasm.h"

NO_RESPONSE_PHASE
