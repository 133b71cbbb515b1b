/*
 * Conditions from any bytes: what the compiler takes can be evaluated.
 */
#include "core/base.h"
#include "middleware/predicate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct predicate_function functions[] = {
	{SLICE("LatencyAtQuantileMS"), PREDICATE_INTEGER, 1, PREDICATE_REAL},
	{SLICE("NetworkErrorRatio"), PREDICATE_REAL, 0, PREDICATE_INTEGER},
	{SLICE("ResponseCodeRatio"), PREDICATE_REAL, 4, PREDICATE_INTEGER},
	{SLICE("RequestMethod"), PREDICATE_STRING, 0, PREDICATE_INTEGER},
	{SLICE("IsNetworkError"), PREDICATE_BOOLEAN, 0, PREDICATE_INTEGER},
	{SLICE("Attempts"), PREDICATE_INTEGER, 0, PREDICATE_INTEGER},
};
static const struct predicate_language language = {"fuzz", true, functions, ARRAY_LEN(functions)};

static void look(void *context, unsigned function, const struct predicate_value *arguments,
		 struct predicate_value *value)
{
	size_t *size = context;

	must(function < ARRAY_LEN(functions));
	must(value->type == functions[function].result);
	for (unsigned i = 0; i < functions[function].count; i++)
		must(arguments[i].type == functions[function].parameters);
	value->integer = (int64_t)*size;
	value->real = (double)*size / 100;
	value->boolean = *size % 2 == 0;
	value->string = SLICE("GET");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct weir_error e = {0};
	struct predicate *p;
	int r = predicate_compile(&p, slice_of((const char *)data, size), &language, &e);

	must((r < 0) == (p == NULL) && (r < 0) == (e.text[0] != '\0'));
	if (p != NULL)
		(void)predicate_holds(p, look, &size);
	predicate_free(&p);
	return 0;
}
