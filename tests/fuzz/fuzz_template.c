#include <stdlib.h>

#include "provider/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing of the machine's environment may steer a run. */
static const char *environment(const char *name)
{
	return name[0] == 'H' ? "value" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct template_input input = {
		.file = "fuzz",
		.limits = {.output_bytes_max = 1 << 16,
			   .memory_bytes_max = 1 << 20,
			   .steps_max = 20000,
			   .depth_max = 60},
		.getenv = environment,
	};
	struct weir_error e = {0};
	struct str out = {0};
	int rc = template_render(slice_of((const char *)data, size), &input, &out, &e);

	/* Every failure says why. */
	if ((rc != 0) != (e.text[0] != '\0'))
		abort();
	str_free(&out);
	return 0;
}
