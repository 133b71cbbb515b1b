#include "middleware/redirect.h"

#include <errno.h>

#include "http/location.h"
#include "middleware/make.h"

enum middleware_verdict redirect_answer(struct exchange *x, slice url, bool permanent)
{
	bool get = x->request.method_id == METHOD_GET;
	slice location;
	int r = location_normalize(url, &x->arena, &location);

	if (r == -ENOMEM)
		return MW_FAILED;
	if (r < 0) {
		middleware_answer_status(x, 502);
		return MW_ANSWERED;
	}
	if (permanent)
		middleware_answer_status(x, get ? 301 : 308);
	else
		middleware_answer_status(x, get ? 302 : 307);
	return fields_add_id(&x->response.fields, FIELD_LOCATION, location) == 0 ? MW_ANSWERED
										 : MW_FAILED;
}
