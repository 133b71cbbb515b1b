/*
 * SHA-1 (FIPS 180-4), for formats that are made of it. Not for anything new.
 */
#ifndef CORE_SHA1_H
#define CORE_SHA1_H

#include "core/slice.h"

#define SHA1_DIGEST_BYTES 20

/** The digest of `bytes`. */
void sha1(slice bytes, unsigned char digest[SHA1_DIGEST_BYTES]);

#endif
