#include "middleware/rewrite_path.h"

#include <errno.h>

#include "http/path.h"
#include "middleware/make.h"

int rewrite_path_get(struct exchange *x, struct rewrite_path *path)
{
	slice usual;
	int r = path_unescape(x->request.path, &x->arena, &path->plain);

	path->raw = (slice){NULL, 0};
	if (r == 0)
		r = path_escape(path->plain, &x->arena, &usual);
	if (r == 0 && !slice_equal(usual, x->request.path))
		path->raw = x->request.path;
	return r;
}

int rewrite_path_set(struct exchange *x, const struct rewrite_path *path)
{
	return path_escape_like(path->plain, path->raw, &x->arena, &x->request.path);
}

enum middleware_verdict rewrite_path_fail(struct exchange *x, int r)
{
	if (r < 0)
		return MW_FAILED;
	middleware_answer_error(x, r);
	return MW_ANSWERED;
}

slice rewrite_path_join(struct exchange *x, slice before, slice after)
{
	bool rooted = before.n > 0 ? before.p[0] == '/' : after.n == 0 || after.p[0] == '/';
	char *to = arena_alloc(&x->arena, before.n + after.n + 1);
	size_t n = 0;

	if (to == NULL)
		return (slice){NULL, 0};
	if (!rooted)
		to[n++] = '/';
	if (before.n > 0)
		memcpy(to + n, before.p, before.n);
	n += before.n;
	if (after.n > 0)
		memcpy(to + n, after.p, after.n);
	return slice_of(to, n + after.n);
}

size_t rewrite_path_encoded(slice raw, size_t decoded)
{
	size_t i = 0;

	for (size_t n = 0; n < decoded && i < raw.n; n++)
		i += raw.p[i] == '%' && i + 2 < raw.n ? 3 : 1;
	return i;
}

static slice stripped(struct exchange *x, slice path, size_t n, bool force_slash)
{
	slice rest = slice_from_at(path, n);

	if (force_slash && rest.n == 0)
		return SLICE("/");
	return rest.n == 0 || rest.p[0] == '/' ? rest
					       : rewrite_path_join(x, (slice){NULL, 0}, rest);
}

enum middleware_verdict rewrite_path_strip(struct exchange *x, struct rewrite_path *path,
					   slice prefix, bool force_slash)
{
	struct request *q = &x->request;

	/* It may hold a line break that came encoded. */
	if (!field_is_value(prefix))
		return rewrite_path_fail(x, 400);
	path->plain = stripped(x, path->plain, prefix.n, force_slash);
	if (path->raw.p != NULL)
		path->raw = stripped(x, path->raw, rewrite_path_encoded(path->raw, prefix.n),
				     force_slash);
	if (path->plain.p == NULL || rewrite_path_set(x, path) < 0)
		return MW_FAILED;
	if (!path_is_sanitized(q->path))
		return rewrite_path_fail(x, 400);
	return fields_add_id(&q->fields, FIELD_X_FORWARDED_PREFIX, prefix) == 0 ? MW_CONTINUE
										: MW_FAILED;
}
