#include "http/message.h"

enum method method_of(slice name)
{
#define X(m) \
	if (name.n == sizeof(#m) - 1 && memcmp(name.p, #m, sizeof(#m) - 1) == 0) \
		return METHOD_##m;
	METHOD_NAMES(X)
#undef X
	return METHOD_OTHER;
}

bool method_is_idempotent(enum method m)
{
	switch (m) {
	case METHOD_GET:
	case METHOD_HEAD:
	case METHOD_PUT:
	case METHOD_DELETE:
	case METHOD_OPTIONS:
	case METHOD_TRACE:
		return true;
	case METHOD_OTHER:
	case METHOD_POST:
	case METHOD_CONNECT:
	case METHOD_PATCH:
		return false;
	}
	return false;
}

const char *status_text(int status)
{
	switch (status) {
#define X(code, text) \
	case code: \
		return text;
		STATUS_TEXTS(X)
#undef X
	default:
		return "";
	}
}

bool status_has_no_body(int status, enum method m)
{
	return m == METHOD_HEAD || status / 100 == 1 || status == 204 || status == 304 ||
	       (m == METHOD_CONNECT && status / 100 == 2);
}

bool request_expects_unknown(const struct request *q)
{
	return fields_have(&q->fields, FIELD_EXPECT) &&
	       fields_value_id(&q->fields, FIELD_EXPECT).n > 0 &&
	       !fields_has_token(&q->fields, FIELD_EXPECT, SLICE("100-continue"));
}

bool protocol_is_printable(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	}
	return s.n > 0;
}
