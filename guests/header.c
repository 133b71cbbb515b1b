/*
 * Sets headers. Configuration: {"request": {name: value}, "response": {name: value},
 * "add": {name: value} (response), "remove": {name: ""} (request)}.
 */
#include "http_wasm.h"

enum action { SET_REQUEST, SET_RESPONSE, ADD_RESPONSE, REMOVE_REQUEST };

struct rule {
	enum action action;
	struct text name;
	struct text value;
};

static struct rule rules[64];
static uint32_t rules_n;

static void load(enum action action, struct text section)
{
	struct rule *rule = &rules[rules_n];
	uint32_t at = 0;

	while (rules_n < sizeof rules / sizeof *rules &&
	       json_next(section, &at, &rule->name, &rule->value)) {
		rule->action = action;
		rule = &rules[++rules_n];
	}
}

EXPORT("_initialize") void initialize(void)
{
	struct text config = config_text();

	load(SET_REQUEST, json_get(config, TEXT("request")));
	load(SET_RESPONSE, json_get(config, TEXT("response")));
	load(ADD_RESPONSE, json_get(config, TEXT("add")));
	load(REMOVE_REQUEST, json_get(config, TEXT("remove")));
	log_text(LOG_INFO, TEXT("header guest initialised"));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	for (uint32_t i = 0; i < rules_n; i++) {
		struct text name = rules[i].name, value = rules[i].value;

		if (rules[i].action == REMOVE_REQUEST)
			http_remove_header(REQUEST_HEADERS, name.p, name.n);
		else if (rules[i].action == ADD_RESPONSE)
			http_add_header(RESPONSE_HEADERS, name.p, name.n, value.p, value.n);
		else
			set_header(rules[i].action == SET_REQUEST ? REQUEST_HEADERS
								  : RESPONSE_HEADERS,
				   name, value);
	}
	return NEXT;
}

NO_RESPONSE_PHASE
