#include "cli/verify_private.h"
#include VERIFY_PAGE

/* Where the report goes. */
#define PLACE "@REPORT@"

void verify_html_add(struct str *out, slice data)
{
	slice page = slice_of((const char *)verify_page, sizeof verify_page), rest;
	size_t at = slice_search(page, SLICE(PLACE));

	must(at < page.n);
	str_add(out, slice_first(page, at));
	/* No text of the report may end the script that it is in. */
	while (data.n > 0) {
		size_t angle = slice_find(data, '<');

		str_add(out, slice_first(data, angle));
		if (angle < data.n)
			str_add(out, SLICE("\\u003c"));
		data = slice_from_at(data, angle + 1);
	}
	rest = slice_from_at(page, at + sizeof PLACE - 1);
	str_add(out, rest);
}
