/*
 * What a supervisor tells the server that it starts, and itself when it becomes a newer program:
 * short texts in the environment, which the receiver removes.
 */
#ifndef CLI_SUPERVISED_H
#define CLI_SUPERVISED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** To the server. */
struct supervised {
	int notice_fd;  /* a datagram socket for what `notify_send` has to say */
	size_t workers; /* as many sockets there are for each entry point */
	pid_t supervisor;
	unsigned long restarts; /* servers that died before this one */
};

/** Between fork and exec. Returns 0 or -ENOMEM. */
int supervised_export(const struct supervised *s);

/** Whether the parent of this process is a supervisor. Before there are threads. */
bool supervised_inherit(struct supervised *s);

/** To the next supervisor, before exec: the server that goes on serving until the next one is
 * ready. Returns 0 or -ENOMEM. */
int supervised_export_server(pid_t server);

/** 0: this process is no upgraded supervisor. Before there are threads. */
pid_t supervised_inherit_server(void);

/** Whether that would say anything. */
bool supervised_has_server(void);

#endif
