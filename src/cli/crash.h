/*
 * What the server says when it dies of a fault: the signal, the request and the plugin it was
 * working for, and the stack, on standard error. Then the signal takes its usual course.
 */
#ifndef CLI_CRASH_H
#define CLI_CRASH_H

/** Before the plugin host is made, whose handlers pass on what is not a guest's. Not for builds
 * with sanitizers, which report by themselves. */
void crash_report_install(void);

#endif
