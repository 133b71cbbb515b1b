#include "http/chars.h"

#define V CHAR_VALUE
#define R (V | CHAR_TARGET)
#define T (R | CHAR_TOKEN)
#define H (R | CHAR_HOST)
#define A (T | H)

/* Sixteen bytes a row. */
const uint8_t http_chars[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, V, A, R, T, A, A, A, A, H, H, A, A, H, A, A, R, A, A, A, A, A, A, A, A, A, A,
	H, H, R, H, R, R, R, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,
	A, A, A, A, H, R, H, T, A, T, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,
	A, A, A, A, A, A, A, R, T, R, A, 0, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};
