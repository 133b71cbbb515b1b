#include "plugin/version.h"

#include <errno.h>

#include "weir/plugin.h"

/* A new member takes the place of reserved ones: programs in the field have these sizes. */
#if defined(__LP64__)
_Static_assert(sizeof(struct weir_limits) == 256, "take new members from `reserved`");
_Static_assert(sizeof(struct weir_host_options) == 512, "take new members from `reserved`");
_Static_assert(sizeof(struct weir_host_stats) == 512, "take new members from `reserved`");
_Static_assert(sizeof(struct weir_plugin_options) == 512, "take new members from `reserved`");
_Static_assert(sizeof(struct weir_plugin_stats) == 2048, "take new members from `reserved`");
_Static_assert(sizeof(struct weir_pool_events) == 64, "take new members from `reserved`");
_Static_assert(sizeof(struct weir_http) == 192, "take new members from `reserved`");
#endif
_Static_assert(WEIR_CAUSE_COUNT <= WEIR_CAUSES_MAX, "no room in the statistics for more causes");

const char *weir_version(void)
{
	return WEIR_VERSION;
}

int version_check_reserved(const uint64_t *words, size_t count, const char *structure,
			   struct weir_error *error)
{
	for (size_t i = 0; i < count; i++) {
		if (words[i] != 0)
			return error_set(
				error, -EINVAL,
				"struct %s sets reserved[%zu]: it was not zeroed, or it is "
				"of a later version than this library (%s)",
				structure, i, WEIR_VERSION);
	}
	return 0;
}
