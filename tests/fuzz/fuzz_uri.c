/*
 * Any bytes as a received target and as a URI that a guest sets: what results may stand in a
 * request line, and showing what was taken changes nothing.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/base.h"
#include "core/str.h"
#include "plugin/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_fit_request_line(slice target)
{
	must(target.n > 0 && (target.p[0] == '/' || slice_equal(target, SLICE("*"))));
	for (size_t i = 0; i < target.n; i++)
		must((unsigned char)target.p[i] > ' ' && (unsigned char)target.p[i] < 0x7f &&
		     target.p[i] != '#');
}

static void show(slice given, struct str *shown)
{
	uri_show(shown, given);
	must(!shown->failed && shown->n > 0);
	must(shown->n <= 3 * given.n + 1);
	must(shown->p[0] == '/' || slice_equal(str_slice(shown), SLICE("*")));
}

static void take(slice given)
{
	struct str taken = {0}, shown = {0}, again = {0};
	const char *wrong = uri_take(&taken, given);

	must(!taken.failed && taken.n <= 3 * given.n + 1);
	if (wrong == NULL) {
		must_fit_request_line(str_slice(&taken));
		show(str_slice(&taken), &shown);
		must(slice_equal(str_slice(&shown), str_slice(&taken)));
		must(uri_take(&again, str_slice(&taken)) == NULL);
		must(slice_equal(str_slice(&again), str_slice(&taken)));
	}
	str_free(&taken);
	str_free(&shown);
	str_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	slice given = slice_of((const char *)data, size);
	struct str shown = {0};

	show(given, &shown);
	take(given);
	/* Guests give back what they were shown. */
	take(str_slice(&shown));
	str_free(&shown);
	return 0;
}
