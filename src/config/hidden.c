#include "config/tree.h"
#include "net/url.h"

/* Copies what the escapes of a string in quotes stand for; `text` begins behind the quote. Returns
 * how many bytes the string has, with the quote at its end. */
static size_t read_quoted(struct str *to, slice text)
{
	static const char letters[] = "nrtbf", meant[] = "\n\r\t\b\f";
	size_t i = 0;

	while (i < text.n && text.p[i] != '"') {
		const char *letter;

		if (text.p[i] != '\\' || i + 1 == text.n) {
			str_add_char(to, text.p[i++]);
			continue;
		}
		letter = strchr(letters, text.p[i + 1]);
		if (text.p[i + 1] == 'u' && i + 6 <= text.n) {
			uint32_t rune = 0;

			for (size_t k = i + 2; k < i + 6; k++)
				rune = rune << 4 | (uint32_t)(ascii_hex(text.p[k]) & 15);
			str_add_rune(to, rune);
			i += 6;
			continue;
		}
		str_add_char(to, letter != NULL && *letter != '\0' ? meant[letter - letters]
								   : text.p[i + 1]);
		i += 2;
	}
	return MIN(i + 1, text.n);
}

void tree_add_hidden(struct str *out, slice text, void (*add)(struct str *out, slice s))
{
	struct str quoted = {0}, shown = {0};

	while (text.n > 0) {
		size_t n = slice_find(text, '"');

		str_add(out, slice_first(text, n));
		if (n == text.n)
			break;
		text = slice_from_at(text, n + 1);
		str_clear(&quoted);
		str_clear(&shown);
		text = slice_from_at(text, read_quoted(&quoted, text));
		url_add_hidden(&shown, str_slice(&quoted));
		add(out, str_slice(&shown));
		out->failed |= quoted.failed || shown.failed;
	}
	str_free(&quoted);
	str_free(&shown);
}
