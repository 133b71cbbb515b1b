#include "middleware/password.h"

#include <crypt.h>

#include "core/base.h"
#include "core/base64.h"
#include "core/md5.h"
#include "core/sha1.h"

/* "$2y$10$", 22 characters of salt, 31 of the hash. */
#define BCRYPT_BYTES 60
#define BCRYPT_HASH_AT 29
#define BCRYPT_VERSION_BYTES 4

#define SHA_PREFIX SLICE("{SHA}")
#define SHA_BYTES 28

#define MD5_ROUNDS 1000

/* Four times of what htpasswd takes. The rounds of MD5-crypt read the password again and again, so
 * that a long one would cost seconds. */
#define PASSWORD_BYTES_MAX ((size_t)1024)
#define MD5_HASH_BYTES 22

static bool is_bcrypt(slice hash)
{
	return hash.n >= BCRYPT_VERSION_BYTES && hash.p[0] == '$' && hash.p[1] == '2' &&
	       hash.p[3] == '$' && memchr("abxy", hash.p[2], 4) != NULL;
}

bool password_is_expensive(slice hash)
{
	return !slice_starts(hash, SHA_PREFIX);
}

static bool is_same(const char *a, const char *b, size_t n)
{
	volatile unsigned char differs = 0;

	for (size_t i = 0; i < n; i++)
		differs |= (unsigned char)(a[i] ^ b[i]);
	return differs == 0;
}

/* All versions are the same to Traefik: the correct one. */
static bool fits_bcrypt(slice hash, slice password)
{
	char setting[BCRYPT_BYTES + 1] = "$2b$", text[256];
	struct crypt_data data = {0};
	const char *made;

	/* Only the first 72 bytes count, and the library wants a string. */
	if (hash.n != BCRYPT_BYTES || memchr(password.p, '\0', password.n) != NULL)
		return false;
	memcpy(setting + BCRYPT_VERSION_BYTES, hash.p + BCRYPT_VERSION_BYTES,
	       BCRYPT_BYTES - BCRYPT_VERSION_BYTES);
	password = slice_first(password, sizeof text - 1);
	memcpy(text, password.p, password.n);
	text[password.n] = '\0';
	made = crypt_rn(text, setting, &data, sizeof data);
	explicit_bzero(text, sizeof text);
	return made != NULL && strlen(made) == BCRYPT_BYTES &&
	       is_same(made + BCRYPT_HASH_AT, hash.p + BCRYPT_HASH_AT,
		       BCRYPT_BYTES - BCRYPT_HASH_AT);
}

static bool fits_sha(slice hash, slice password)
{
	unsigned char digest[SHA1_DIGEST_BYTES + 1];
	char text[SHA_BYTES];

	if (hash.n != SHA_PREFIX.n + SHA_BYTES)
		return false;
	sha1(password, digest);
	digest[SHA1_DIGEST_BYTES] = 0;
	for (size_t i = 0; i < SHA_BYTES; i += 4) {
		const unsigned char *p = digest + i / 4 * 3;
		uint32_t group = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

		for (unsigned j = 0; j < 4; j++)
			text[i + j] = base64_digits[group >> (18 - 6 * j) & 63];
	}
	text[SHA_BYTES - 1] = '=';
	return is_same(text, hash.p + SHA_PREFIX.n, SHA_BYTES);
}

/* The start of MD5-crypt: password, magic, salt and the password's length are mixed. */
static void md5_start(slice password, slice magic, slice salt, unsigned char digest[])
{
	unsigned char mixin[MD5_DIGEST_BYTES];
	struct md5 h;

	md5_begin(&h);
	md5_add(&h, password);
	md5_add(&h, salt);
	md5_add(&h, password);
	md5_end(&h, mixin);
	md5_begin(&h);
	md5_add(&h, password);
	md5_add(&h, magic);
	md5_add(&h, salt);
	for (size_t left = password.n; left > 0; left -= MIN(left, MD5_DIGEST_BYTES))
		md5_add(&h, slice_of((const char *)mixin, MIN(left, MD5_DIGEST_BYTES)));
	for (size_t bits = password.n; bits != 0; bits >>= 1)
		md5_add(&h, bits & 1 ? SLICE("\0") : slice_first(password, 1));
	md5_end(&h, digest);
}

static void md5_round(unsigned i, slice password, slice salt, unsigned char digest[])
{
	slice last = slice_of((const char *)digest, MD5_DIGEST_BYTES);
	struct md5 h;

	md5_begin(&h);
	md5_add(&h, i & 1 ? password : last);
	if (i % 3 != 0)
		md5_add(&h, salt);
	if (i % 7 != 0)
		md5_add(&h, password);
	md5_add(&h, i & 1 ? last : password);
	md5_end(&h, digest);
}

static void md5_text(const unsigned char digest[], char text[MD5_HASH_BYTES])
{
	static const char digits[] =
		"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const unsigned char order[MD5_DIGEST_BYTES] = {12, 6,  0, 13, 7, 1,  14, 8,
							      2,  15, 9, 3,  5, 10, 4,  11};
	unsigned held = 0, bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < MD5_DIGEST_BYTES; i++) {
		held |= (unsigned)digest[order[i]] << bits;
		for (bits += 8; bits > 6; bits -= 6) {
			text[n++] = digits[held & 63];
			held >>= 6;
		}
	}
	text[n++] = digits[held & 63];
	must(n == MD5_HASH_BYTES);
}

/* "$magic$salt$hash" */
static bool fits_md5(slice hash, slice password)
{
	unsigned char digest[MD5_DIGEST_BYTES];
	slice rest = slice_from_at(hash, 1), magic, salt;
	char text[MD5_HASH_BYTES];

	if (hash.n == 0 || hash.p[0] != '$' || slice_find(rest, '$') == rest.n)
		return false;
	magic = slice_first(hash, slice_find(rest, '$') + 2);
	rest = slice_from_at(hash, magic.n);
	salt = slice_first(rest, slice_find(rest, '$'));
	if (salt.n == rest.n)
		return false;
	rest = slice_from_at(rest, salt.n + 1);
	md5_start(password, magic, salt, digest);
	for (unsigned i = 0; i < MD5_ROUNDS; i++)
		md5_round(i, password, salt, digest);
	md5_text(digest, text);
	return rest.n == MD5_HASH_BYTES && is_same(text, rest.p, MD5_HASH_BYTES);
}

bool password_fits(slice hash, slice password)
{
	if (password.p == NULL)
		password = SLICE("");
	if (password.n > PASSWORD_BYTES_MAX)
		return false;
	if (slice_starts(hash, SHA_PREFIX))
		return fits_sha(hash, password);
	return is_bcrypt(hash) ? fits_bcrypt(hash, password) : fits_md5(hash, password);
}
