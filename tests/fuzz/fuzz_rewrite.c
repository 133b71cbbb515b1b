/*
 * Any bytes as a wasm module: what the engine accepts is rewritten, and what comes out the engine
 * accepts again. The input is what follows the eight bytes of the header, or the whole file after a
 * first byte 0xff.
 */
#include <stdlib.h>

#include "plugin/engine.h"
#include "plugin/rewrite.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static wasm_engine_t *engine;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	engine = engine_create();
	return 0;
}

static bool accepts(slice wasm)
{
	wasmtime_error_t *e = wasmtime_module_validate(engine, (const uint8_t *)wasm.p, wasm.n);

	if (e != NULL)
		wasmtime_error_delete(e);
	return e == NULL;
}

static void check(slice wasm)
{
	struct weir_error error = {0};
	struct rewrite r;
	int got = rewrite_module(&r, wasm, &error);
	bool valid = accepts(wasm);

	if (got < 0) {
		must(error.text[0] != '\0');
		must(!valid || strstr(error.text, "expected no name that begins") != NULL ||
		     strstr(error.text, "of no known kind") != NULL);
		return;
	}
	for (size_t i = 0; i < r.segment_count; i++)
		must(r.segments[i].bytes.n <= wasm.n);
	if (valid)
		must(accepts(str_slice(&r.wasm)));
	rewrite_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char header[] = {'\0', 'a', 's', 'm', 1, 0, 0, 0};
	size_t skipped = size > 0 && data[0] == 0xff ? 1 : 0;
	size_t before = skipped > 0 ? 0 : sizeof header;
	size_t n = before + size - skipped;
	char *wasm = malloc(MAX(n, (size_t)1));

	must(wasm != NULL);
	memcpy(wasm, header, before);
	if (size > skipped)
		memcpy(wasm + before, data + skipped, size - skipped);
	check(slice_of(wasm, n));
	free(wasm);
	return 0;
}
