#include "http/credentials.h"

#include <errno.h>

#include "core/base64.h"
#include "http/path.h"

int credentials_basic(slice userinfo, struct arena *arena, slice *value)
{
	slice user, password, text;
	size_t colon = slice_find(userinfo, ':');
	char *encoded;

	*value = SLICE("");
	if (userinfo.n == 0)
		return 0;
	if (path_unescape(slice_first(userinfo, colon), arena, &user) < 0 ||
	    path_unescape(slice_from_at(userinfo, colon + 1), arena, &password) < 0)
		return -ENOMEM;
	text = arena_format(arena, "%.*s:%.*s", SLICE_ARG(user), SLICE_ARG(password));
	encoded = arena_alloc(arena, BASE64_BYTES(text.n));
	if (text.p == NULL || encoded == NULL)
		return -ENOMEM;
	base64_encode(text, encoded);
	*value = arena_format(arena, "Basic %.*s", (int)BASE64_BYTES(text.n), encoded);
	return value->p != NULL ? 0 : -ENOMEM;
}
