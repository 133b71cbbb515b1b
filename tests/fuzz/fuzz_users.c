/*
 * Lines of users in both formats, and Authorization of digest authentication: what is kept lies
 * within the input, is sorted, and is found again.
 */
#include <stdlib.h>

#include "core/base.h"
#include "middleware/digest_header.h"
#include "middleware/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_users(slice text, enum users_format format)
{
	struct users users;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 24);
	if (users_parse(&users, text, (struct option_list){NULL, 0}, format, &arena, NULL) == 0) {
		for (size_t i = 0; i < users.count; i++) {
			const struct user *u = &users.list[i];

			must(users_find(&users, u->name) == u);
			must(u->name.p >= text.p && u->secret.p + u->secret.n <= text.p + text.n);
			must(slice_find(u->secret, ':') == u->secret.n);
			must(i == 0 || slice_compare(users.list[i - 1].name, u->name) < 0);
		}
	}
	arena_free(&arena);
}

static void check_digest(slice value)
{
	struct digest_parameters p;
	struct arena arena;
	size_t total = 0;

	arena_init(&arena, 4096, 1 << 24);
	if (digest_header_parse(value, &arena, &p) == 0) {
#define X(name) total += p.name.n;
		DIGEST_PARAMETERS(X)
#undef X
		must(total <= value.n);
	}
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	slice text = slice_of((const char *)data, size);

	check_users(text, USERS_BASIC);
	check_users(text, USERS_DIGEST);
	check_digest(text);
	return 0;
}
