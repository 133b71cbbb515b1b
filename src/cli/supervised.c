#include "cli/supervised.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TO_SERVER "WEIR_SUPERVISED"
#define TO_SUPERVISOR "WEIR_UPGRADED"

int supervised_export(const struct supervised *s)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%d %zu %ld %lu", s->notice_fd, s->workers,
		       (long)s->supervisor, s->restarts);
	return setenv(TO_SERVER, text, 1) == 0 ? 0 : -ENOMEM;
}

/* The next whole number from 0 on, or -1. */
static long next_number(char **at)
{
	char *end;
	long n = strtol(*at, &end, 10);

	if (end == *at || n < 0)
		return -1;
	*at = end;
	return n;
}

bool supervised_inherit(struct supervised *s)
{
	char *at = getenv(TO_SERVER);
	long fd, workers, supervisor, restarts;

	*s = (struct supervised){.notice_fd = -1};
	if (at == NULL)
		return false;
	fd = next_number(&at);
	workers = next_number(&at);
	supervisor = next_number(&at);
	restarts = next_number(&at);
	(void)unsetenv(TO_SERVER);
	if (fd < 0 || restarts < 0 || workers < 1 || supervisor != (long)getppid())
		return false;
	*s = (struct supervised){(int)fd, (size_t)workers, (pid_t)supervisor,
				 (unsigned long)restarts};
	(void)fcntl(s->notice_fd, F_SETFD, FD_CLOEXEC);
	return true;
}

int supervised_export_server(pid_t server)
{
	char text[32];

	(void)snprintf(text, sizeof text, "%ld %ld", (long)getpid(), (long)server);
	return setenv(TO_SUPERVISOR, text, 1) == 0 ? 0 : -ENOMEM;
}

pid_t supervised_inherit_server(void)
{
	char *at = getenv(TO_SUPERVISOR);
	long self, server;

	if (at == NULL)
		return 0;
	self = next_number(&at);
	server = next_number(&at);
	(void)unsetenv(TO_SUPERVISOR);
	return self == (long)getpid() && server > 0 ? (pid_t)server : 0;
}

bool supervised_has_server(void)
{
	return getenv(TO_SUPERVISOR) != NULL;
}
