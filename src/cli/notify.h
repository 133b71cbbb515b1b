/*
 * What the service manager is told (systemd's sd_notify protocol, without its library).
 */
#ifndef CLI_NOTIFY_H
#define CLI_NOTIFY_H

#include <stdint.h>

/** Sends "READY=1" and the like to the supervisor or $NOTIFY_SOCKET; nothing happens if there is
 * neither. */
void notify_send(const char *text);

/** From here on all goes to this datagram socket, which is taken over. */
void notify_through(int fd);

/** To the supervisor only: says something and gives it a copy of a descriptor, unless that is -1.
 * Waits for a second at most; any thread. */
void notify_send_file(const char *text, int fd);

/** How often the watchdog wants to hear from us, in milliseconds; 0: not at all ($WATCHDOG_USEC).
 */
uint64_t notify_watchdog_ms(void);

#endif
