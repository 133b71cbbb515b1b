#include "observe/page.h"

#include "core/base.h"

void page_add(struct str *out, slice page, slice place, slice json)
{
	size_t at = slice_search(page, place);

	must(at < page.n);
	str_add(out, slice_first(page, at));
	while (json.n > 0) {
		size_t angle = slice_find(json, '<');

		str_add(out, slice_first(json, angle));
		if (angle < json.n)
			str_add(out, SLICE("\\u003c"));
		json = slice_from_at(json, angle + 1);
	}
	str_add(out, slice_from_at(page, at + place.n));
}
