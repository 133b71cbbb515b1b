#include "http/sniff.h"

#include <stdbool.h>

#include "core/base.h"

#define TEXT_UTF8 "text/plain; charset=utf-8"
#define BYTES(literal) \
	{ \
		("" literal), sizeof(literal) - 1 \
	}

/* `mask` says which bits count; empty: all. */
struct signature {
	slice pattern, mask;
	slice type;
};

static const slice tags[] = {
	BYTES("<!DOCTYPE HTML"),
	BYTES("<HTML"),
	BYTES("<HEAD"),
	BYTES("<SCRIPT"),
	BYTES("<IFRAME"),
	BYTES("<H1"),
	BYTES("<DIV"),
	BYTES("<FONT"),
	BYTES("<TABLE"),
	BYTES("<A"),
	BYTES("<STYLE"),
	BYTES("<TITLE"),
	BYTES("<B"),
	BYTES("<BODY"),
	BYTES("<BR"),
	BYTES("<P"),
	BYTES("<!--"),
};

#define FOUR "\xff\xff\xff\xff"
#define RIFF_MASK BYTES(FOUR "\0\0\0\0" FOUR)
#define PLAIN(pattern, type) \
	{ \
		BYTES(pattern), {NULL, 0}, BYTES(type) \
	}

static const struct signature before_mp4[] = {
	PLAIN("%PDF-", "application/pdf"),
	PLAIN("%!PS-Adobe-", "application/postscript"),
	{BYTES("\xfe\xff\0\0"), BYTES("\xff\xff\0\0"), BYTES("text/plain; charset=utf-16be")},
	{BYTES("\xff\xfe\0\0"), BYTES("\xff\xff\0\0"), BYTES("text/plain; charset=utf-16le")},
	{BYTES("\xef\xbb\xbf\0"), BYTES("\xff\xff\xff\0"), BYTES(TEXT_UTF8)},
	PLAIN("\0\0\1\0", "image/x-icon"),
	PLAIN("\0\0\2\0", "image/x-icon"),
	PLAIN("BM", "image/bmp"),
	PLAIN("GIF87a", "image/gif"),
	PLAIN("GIF89a", "image/gif"),
	{BYTES("RIFF\0\0\0\0WEBPVP"), BYTES(FOUR "\0\0\0\0" FOUR "\xff\xff"), BYTES("image/webp")},
	PLAIN("\x89PNG\r\n\x1a\n", "image/png"),
	PLAIN("\xff\xd8\xff", "image/jpeg"),
	{BYTES("FORM\0\0\0\0AIFF"), RIFF_MASK, BYTES("audio/aiff")},
	PLAIN("ID3", "audio/mpeg"),
	PLAIN("OggS\0", "application/ogg"),
	PLAIN("MThd\0\0\0\6", "audio/midi"),
	{BYTES("RIFF\0\0\0\0AVI "), RIFF_MASK, BYTES("video/avi")},
	{BYTES("RIFF\0\0\0\0WAVE"), RIFF_MASK, BYTES("audio/wave")},
};

static const struct signature after_mp4[] = {
	PLAIN("\x1a\x45\xdf\xa3", "video/webm"),
	PLAIN("\0\1\0\0", "font/ttf"),
	PLAIN("OTTO", "font/otf"),
	PLAIN("ttcf", "font/collection"),
	PLAIN("wOFF", "font/woff"),
	PLAIN("wOF2", "font/woff2"),
	PLAIN("\x1f\x8b\x08", "application/x-gzip"),
	PLAIN("PK\3\4", "application/zip"),
	PLAIN("Rar!\x1a\7\0", "application/x-rar-compressed"),
	PLAIN("Rar!\x1a\7\1\0", "application/x-rar-compressed"),
	PLAIN("\0asm", "application/wasm"),
};

#define FONT_OBJECT_AT 34

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static bool is_tag(slice text, slice tag)
{
	if (text.n <= tag.n || (text.p[tag.n] != ' ' && text.p[tag.n] != '>'))
		return false;
	return slice_equal_nocase(slice_first(text, tag.n), tag);
}

static bool fits(slice head, const struct signature *s)
{
	if (s->mask.n == 0)
		return slice_starts(head, s->pattern);
	for (size_t i = 0; head.n >= s->pattern.n && i < s->pattern.n; i++) {
		if ((head.p[i] & s->mask.p[i]) != s->pattern.p[i])
			return false;
	}
	return head.n >= s->pattern.n;
}

static slice find(slice head, const struct signature *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fits(head, &list[i]))
			return list[i].type;
	}
	return (slice){NULL, 0};
}

/* An "ftyp" box whose brands include one that begins with "mp4". */
static bool is_mp4(slice head)
{
	const unsigned char *p = (const unsigned char *)head.p;
	size_t box;

	if (head.n < 12 || memcmp(head.p + 4, "ftyp", 4) != 0)
		return false;
	box = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	if (head.n < box || box % 4 != 0)
		return false;
	for (size_t at = 8; at + 3 <= box; at += 4) {
		/* Between the major brand and the others stands a version. */
		if (at != 12 && memcmp(head.p + at, "mp4", 3) == 0)
			return true;
	}
	return false;
}

static bool is_binary(slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1a) || (c >= 0x1c && c <= 0x1f))
			return true;
	}
	return false;
}

slice sniff_content_type(slice head)
{
	slice text, type;

	head = slice_first(head, SNIFF_BYTES);
	text = head;
	while (text.n > 0 && is_space(text.p[0]))
		text = slice_from_at(text, 1);
	for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
		if (is_tag(text, tags[i]))
			return SLICE("text/html; charset=utf-8");
	}
	if (slice_starts(text, SLICE("<?xml")))
		return SLICE("text/xml; charset=utf-8");
	type = find(head, before_mp4, ARRAY_LEN(before_mp4));
	if (type.n == 0 && is_mp4(head))
		type = SLICE("video/mp4");
	if (type.n == 0 &&
	    slice_equal(slice_first(slice_from_at(head, FONT_OBJECT_AT), 2), SLICE("LP")))
		type = SLICE("application/vnd.ms-fontobject");
	if (type.n == 0)
		type = find(head, after_mp4, ARRAY_LEN(after_mp4));
	if (type.n > 0)
		return type;
	return is_binary(text) ? SLICE("application/octet-stream") : SLICE(TEXT_UTF8);
}
