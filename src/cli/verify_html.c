#include "cli/verify_private.h"
#include "observe/page.h"
#include VERIFY_PAGE

void verify_html_add(struct str *out, slice data)
{
	slice page = slice_of((const char *)verify_page, sizeof verify_page);

	page_add(out, page, SLICE("@REPORT@"), data);
}
