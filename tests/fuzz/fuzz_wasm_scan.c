/*
 * Any bytes as a wasm module: the scanner and the survey read what the engine reads. The input is
 * what follows the eight bytes of the header, or the whole file after a first byte 0xff.
 */
#include <errno.h>
#include <stdlib.h>

#include "plugin/code.h"
#include "plugin/engine.h"
#include "plugin/link.h"
#include "plugin/module.h"
#include "plugin/survey.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct weir_host_options options;
static struct code_source code;
static struct module_store store;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	wasm_engine_t *engine = engine_create();

	(void)argc;
	(void)argv;
	/* No compiler and no cache: modules are compiled here. */
	code_source_init(&code, engine, &options);
	module_store_init(&store, engine, &code, 1 << 20, NULL);
	return 0;
}

static bool engine_accepts(slice wasm)
{
	wasmtime_error_t *e =
		wasmtime_module_validate(store.engine, (const uint8_t *)wasm.p, wasm.n);

	if (e != NULL)
		wasmtime_error_delete(e);
	return e == NULL;
}

/* What the survey says about a good module is what the host makes of it. */
static void survey(slice wasm, bool good)
{
	struct survey survey;
	struct weir_error error = {0};
	struct arena arena;
	int r;

	arena_init(&arena, 4096, (size_t)64 << 20);
	r = survey_module(&survey, wasm, &arena, &error);
	must(r == 0 || (!good && (r == -EINVAL || r == -ENOMEM)));
	for (size_t i = 0; r == 0 && i < survey.imports.count; i++) {
		const struct survey_entry *e = &survey.imports.entries[i];

		r = link_check(e->module, e->name, e->params, e->results, &error);
		must(r == 0 || !good);
	}
	arena_free(&arena);
}

/* A module that is fine for the engine is damaged for nobody, unless it imports what no host has.
 */
static void check(slice wasm)
{
	struct weir_error error = {0};
	struct scan_facts facts;
	struct module *m = NULL;
	int scanned = scan_module(&facts, wasm, &error);
	int got = module_get(&m, &store, wasm, &error);

	must(scanned == 0 || (scanned == -EINVAL && got == -EINVAL));
	must(error.code == 0 || strlen(error.text) < sizeof error.text);
	if (got < 0)
		must(m == NULL);
	survey(wasm, got == 0);
	if (scanned < 0 && strstr(error.text, "of no known kind") == NULL)
		must(!engine_accepts(wasm));
	if (m != NULL) {
		must(engine_accepts(wasm) && m->facts.response_empty == facts.response_empty);
		module_unref(&m);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char header[] = {'\0', 'a', 's', 'm', 1, 0, 0, 0};
	size_t skipped = size > 0 && data[0] == 0xff ? 1 : 0;
	size_t before = skipped > 0 ? 0 : sizeof header;
	size_t n = before + size - skipped;
	char *wasm = malloc(n + 1);

	must(wasm != NULL);
	memcpy(wasm, header, before);
	if (size > skipped)
		memcpy(wasm + before, data + skipped, size - skipped);
	/* Exactly as long as it is, so that reading on is noticed. */
	wasm = realloc(wasm, MAX(n, (size_t)1));
	must(wasm != NULL);
	check(slice_of(wasm, n));
	free(wasm);
	return 0;
}
