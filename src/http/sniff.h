/*
 * The media type of content by its first bytes.
 */
#ifndef HTTP_SNIFF_H
#define HTTP_SNIFF_H

#include "core/slice.h"

/** More than this many bytes are not looked at. */
#define SNIFF_BYTES ((size_t)512)

/** As Go's http.DetectContentType (the algorithm of mimesniff.spec.whatwg.org). Static. */
slice sniff_content_type(slice head);

#endif
