/*
 * SHA-256 (FIPS 180-4), for the identity of modules.
 */
#ifndef PLUGIN_SHA256_H
#define PLUGIN_SHA256_H

#include "core/slice.h"

#define SHA256_BYTES 32
#define SHA256_HEX (2 * SHA256_BYTES + 1)

/** The digest as 64 lower-case digits and a terminator. */
void sha256_hex(slice bytes, char hex[SHA256_HEX]);

#endif
