/* What takes the place of libc's system calls in every program that uses the bus; see syscalls.c.
 */
#ifndef NET_SYSCALLS_H
#define NET_SYSCALLS_H

/* Between the two, no message that nng receives is half read, so that connections may be closed.
 * syscalls_hold waits up to 50 ms for that. What comes meanwhile for any connection of the process
 * is read afterwards. */
void syscalls_hold(void);
void syscalls_go_on(void);

/* TLS, which nng reads ahead, counts its own. by: 1 for something that nng was given, -1 when it
 * asks for more or the connection ends. */
void syscalls_half_read(int by);

#endif
