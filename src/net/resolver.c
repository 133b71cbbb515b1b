#include "net/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#define LOOKUP_MAGIC 0x6c6f6f6bu

_Static_assert(sizeof(struct sockaddr_in) == 16 && sizeof(struct sockaddr_in6) == 28 &&
		       sizeof(struct sockaddr_un) == 110 &&
		       sizeof((struct sockaddr_un *)0)->sun_path == ADDRESS_PATH_MAX + 1,
	       "sockaddr_size");

/** Owned by libuv until its callback has run. */
struct lookup {
	uint32_t magic;
	uv_getaddrinfo_t request;
	lookup_done_fn *done; /* NULL: cancelled */
	void *owner;
};

bool resolver_is_address(const char *host, uint16_t port, struct resolved *answer)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&answer->addresses[0];
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&answer->addresses[0];
	struct sockaddr_un *path = (struct sockaddr_un *)&answer->addresses[0];

	*answer = (struct resolved){.count = 1};
	if (host[0] == '/' && strlen(host) <= ADDRESS_PATH_MAX) {
		path->sun_family = AF_UNIX;
		memcpy(path->sun_path, host, strlen(host));
		return true;
	}
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return true;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return true;
	}
	return false;
}

void resolved_prefer(struct resolved *r, const struct sockaddr_storage *address)
{
	size_t at = 0;

	while (at < r->count && memcmp(&r->addresses[at], address, sockaddr_size(address)) != 0)
		at++;
	if (at == r->count)
		return;
	memmove(&r->addresses[1], &r->addresses[0], at * sizeof r->addresses[0]);
	r->addresses[0] = *address;
}

static void collect(struct resolved *answer, const struct addrinfo *list)
{
	answer->count = 0;
	for (; list != NULL && answer->count < RESOLVED_MAX; list = list->ai_next) {
		if (list->ai_addrlen <= sizeof answer->addresses[0])
			memcpy(&answer->addresses[answer->count++], list->ai_addr,
			       list->ai_addrlen);
	}
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct lookup *l = container_of(request, struct lookup, request);
	struct resolved answer = {0};

	OBJ_CHECK(l, LOOKUP_MAGIC);
	if (l->done != NULL) {
		if (status == 0)
			collect(&answer, list);
		if (status == 0 && answer.count == 0)
			status = UV_EAI_NONAME;
		l->done(l->owner, status, &answer);
	}
	uv_freeaddrinfo(list);
	l->magic = 0;
	free(l);
}

int resolver_start(struct lookup **lookup, struct loop *loop, const char *host, uint16_t port,
		   lookup_done_fn *done, void *owner)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct lookup *l = calloc(1, sizeof *l);
	char service[8];
	int r;

	if (l == NULL)
		return -ENOMEM;
	*l = (struct lookup){.magic = LOOKUP_MAGIC, .done = done, .owner = owner};
	(void)snprintf(service, sizeof service, "%u", port);
	r = uv_getaddrinfo(&loop->uv, &l->request, on_answer, host, service, &hints);
	if (r < 0) {
		free(l);
		return r;
	}
	*lookup = l;
	return 0;
}

void lookup_cancel(struct lookup **lookup)
{
	struct lookup *l;

	if (*lookup == NULL)
		return;
	OBJ_TAKE(l, lookup, LOOKUP_MAGIC);
	l->done = NULL;
	(void)uv_cancel((uv_req_t *)&l->request);
}
