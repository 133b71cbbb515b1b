#include "middleware/auth_user.h"

#include <errno.h>

#include "middleware/make.h"

int auth_check_options(const struct dynamic_auth *options, struct weir_error *e)
{
	if (options->header_field.n > 0 && !field_is_token(options->header_field))
		return error_set(e, -EINVAL, "headerField: \"%.*s\" is not a header name",
				 SLICE_ARG(options->header_field));
	return middleware_check_value(options->realm, "realm", e);
}

enum middleware_verdict auth_pass(struct exchange *x, const struct dynamic_auth *options,
				  slice user)
{
	struct fields *f = &x->request.fields;

	if (options->header_field.n > 0) {
		(void)fields_remove(f, options->header_field);
		if (!field_is_value(user) || fields_add(f, options->header_field, user) < 0)
			return MW_FAILED;
	}
	if (options->remove_header)
		(void)fields_remove_id(f, FIELD_AUTHORIZATION);
	return MW_CONTINUE;
}

enum middleware_verdict auth_challenge(struct exchange *x, slice challenge)
{
	struct fields *f = &x->response.fields;

	exchange_answer(x, 401, SLICE("401 Unauthorized\n"), false);
	if (challenge.p == NULL || fields_add_id(f, FIELD_CONTENT_TYPE, SLICE("text/plain")) < 0 ||
	    fields_add_id(f, FIELD_WWW_AUTHENTICATE, challenge) < 0)
		return MW_FAILED;
	return MW_ANSWERED;
}
