#include "cli/cli.h"

/*
 * jemalloc's settings: memory that nobody uses goes back to the system within a second, by a thread
 * of its own, and arenas are few, because workers recycle what they use most.
 */
extern const char *malloc_conf;
const char *malloc_conf = "background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0,narenas:4,"
			  "metadata_thp:disabled";
