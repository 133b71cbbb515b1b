/*
 * Pages of HTML that hold their data as JSON within a script.
 */
#ifndef OBSERVE_PAGE_H
#define OBSERVE_PAGE_H

#include "core/str.h"

/** Adds `page` with `json` in the place of `place`, which is in it once. No text of the JSON ends
 * the script. */
void page_add(struct str *out, slice page, slice place, slice json);

#endif
