/*
 * Any bytes as a file of requests for `weir plugin run`: no request has a body that is not in the
 * file or that its head does not announce.
 */
#include <stdlib.h>

#include "cli/plugin_cli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const list[] = {"x.wasm"};
	static const struct cli_args command = {1, list, NULL};
	struct plugin_requests requests;
	struct plugin_args args;
	struct weir_error error = {0};
	/* Exactly as long as it is, so that reading on is noticed. */
	char *text = malloc(MAX(size, (size_t)1));

	must(text != NULL && plugin_args_read(&args, PLUGIN_RUN, &command, &error) == 0);
	if (size > 0)
		memcpy(text, data, size);
	if (plugin_requests_parse(&requests, &args, slice_of(text, size), &error) == 0) {
		must(requests.count > 0);
		for (size_t i = 0; i < requests.count; i++) {
			const struct plugin_request *q = &requests.list[i];

			must(q->head.method.n > 0 && q->upstream.status >= 200);
			must(q->body.n <= size);
		}
	} else {
		must(error.code < 0 && error.text[0] != '\0');
	}
	plugin_args_free(&args);
	free(text);
	return 0;
}
