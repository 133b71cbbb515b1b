/*
 * The fields of the access log: what they are called, which of them a configuration wants, and
 * their values for one request.
 */
#ifndef OBSERVE_ACCESS_FIELDS_H
#define OBSERVE_ACCESS_FIELDS_H

#include "config/static.h"
#include "proxy/access.h"

/* X(NAME, "key in JSON", type of the value): in the order of the keys, which Traefik sorts. */
#define ACCESS_FIELDS(X) \
	X(CLIENT_ADDR, "ClientAddr", TEXT) \
	X(CLIENT_HOST, "ClientHost", TEXT) \
	X(CLIENT_PORT, "ClientPort", TEXT) \
	X(CLIENT_USERNAME, "ClientUsername", TEXT) \
	X(DOWNSTREAM_CONTENT_SIZE, "DownstreamContentSize", NUMBER) \
	X(DOWNSTREAM_STATUS, "DownstreamStatus", NUMBER) \
	X(DURATION, "Duration", NUMBER) \
	X(GZIP_RATIO, "GzipRatio", RATIO) \
	X(ORIGIN_CONTENT_SIZE, "OriginContentSize", NUMBER) \
	X(ORIGIN_DURATION, "OriginDuration", NUMBER) \
	X(ORIGIN_STATUS, "OriginStatus", NUMBER) \
	X(OVERHEAD, "Overhead", NUMBER) \
	X(REQUEST_ADDR, "RequestAddr", TEXT) \
	X(REQUEST_CONTENT_SIZE, "RequestContentSize", NUMBER) \
	X(REQUEST_COUNT, "RequestCount", NUMBER) \
	X(REQUEST_HOST, "RequestHost", TEXT) \
	X(REQUEST_METHOD, "RequestMethod", TEXT) \
	X(REQUEST_PATH, "RequestPath", TEXT) \
	X(REQUEST_PORT, "RequestPort", TEXT) \
	X(REQUEST_PROTOCOL, "RequestProtocol", TEXT) \
	X(REQUEST_SCHEME, "RequestScheme", TEXT) \
	X(RETRY_ATTEMPTS, "RetryAttempts", NUMBER) \
	X(ROUTER_NAME, "RouterName", TEXT) \
	X(SERVICE_ADDR, "ServiceAddr", TEXT) \
	X(SERVICE_NAME, "ServiceName", TEXT) \
	X(SERVICE_URL, "ServiceURL", TEXT) \
	X(START_LOCAL, "StartLocal", LOCAL_TIME) \
	X(START_UTC, "StartUTC", UTC_TIME) \
	X(TLS_CIPHER, "TLSCipher", TEXT) \
	X(TLS_VERSION, "TLSVersion", TEXT) \
	X(ENTRY_POINT_NAME, "entryPointName", TEXT)

enum access_field {
#define X(name, key, type) ACCESS_##name,
	ACCESS_FIELDS(X)
#undef X
		ACCESS_FIELD_COUNT
};

enum access_type { ACCESS_TEXT, ACCESS_NUMBER, ACCESS_RATIO, ACCESS_LOCAL_TIME, ACCESS_UTC_TIME };

/** Key and type of each field. */
extern const struct access_key {
	slice name;
	enum access_type type;
} access_keys[ACCESS_FIELD_COUNT];

enum access_mode { ACCESS_KEEP, ACCESS_DROP, ACCESS_REDACT };

/** The mode of one header field. */
struct access_header {
	slice name;
	enum access_mode mode;
};

/** A range of statuses, both ends included. */
struct access_range {
	int from, to;
};

/** `accessLog` made ready. The configuration outlives it. */
struct access_settings {
	enum access_log_format format;
	uint64_t keep; /* one bit for each field */
	bool keep_query;
	enum access_mode headers; /* unless named */
	struct access_header *named;
	size_t named_count;
	struct access_range *statuses;
	size_t status_count;
	bool retries;
	uint64_t longer_than_ns; /* 0: no such filter */
};

/** Returns 0 or -ENOMEM. What Traefik does not understand is a line in the log and has no effect,
 * as there. Control thread. */
int access_settings_create(struct access_settings *s, const struct access_log_config *c);
void access_settings_free(struct access_settings *s);

/** Whether any header field is written. */
bool access_settings_want_headers(const struct access_settings *s);

/** What is to be done with a header field of that name, in any case. */
enum access_mode access_settings_header(const struct access_settings *s, slice name);

/** Whether the filters let that request through. */
bool access_settings_pass(const struct access_settings *s, const struct access_record *r);

struct access_value {
	bool present;
	slice text; /* of the exchange or of the record */
	uint64_t number;
	double ratio;
};

/** Fills in all values of a request that are kept. Those of times are `number`, in nanoseconds
 * since 1970. New bytes come from the exchange's arena. */
void access_values(struct access_value values[ACCESS_FIELD_COUNT], const struct access_settings *s,
		   struct exchange *x, const struct access_record *r);

#endif
