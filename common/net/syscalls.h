/* What takes the place of libc's system calls in every program that uses the bus; see syscalls.c.
 */
#ifndef NET_SYSCALLS_H
#define NET_SYSCALLS_H

/* Between the two, no message that nng receives is half read, so that connections may be closed.
 * syscalls_hold waits up to 50 ms for that. For every connection of the process but those by TLS;
 * what comes meanwhile is read afterwards. */
void syscalls_hold(void);
void syscalls_go_on(void);

#endif
