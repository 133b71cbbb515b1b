#include "http/exchange_private.h"

int exchange_mark(struct exchange *x, struct exchange_mark *mark)
{
	int r;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	*mark = (struct exchange_mark){.request = x->request,
				       .request_body = x->request_body,
				       .forwarded_for_dropped = x->forwarded_for_dropped,
				       .drops_interim = x->drops_interim};
	r = fields_copy(&mark->request.fields, &x->request.fields);
	return r < 0 ? r : fields_copy(&mark->early_fields, &x->early_fields);
}

int exchange_restore(struct exchange *x, const struct exchange_mark *mark)
{
	int r;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(x->phase == EXCHANGE_REQUEST);
	x->request = mark->request;
	x->request_body = mark->request_body;
	x->forwarded_for_dropped = mark->forwarded_for_dropped;
	x->drops_interim = mark->drops_interim;
	r = fields_copy(&x->request.fields, &mark->request.fields);
	return r < 0 ? r : fields_copy(&x->early_fields, &mark->early_fields);
}
