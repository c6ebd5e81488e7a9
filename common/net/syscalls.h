/* What takes the place of libc's system calls in every program that uses the bus; see syscalls.c.
 */
#ifndef NET_SYSCALLS_H
#define NET_SYSCALLS_H

#include <stdbool.h>

/* Between the two, no message that nng receives is half read, so that connections may be closed.
 * syscalls_hold waits up to 100 ms for that. What comes meanwhile for any connection of the process
 * is read afterwards. */
void syscalls_hold(void);
void syscalls_go_on(void);

/* TLS, which nng reads ahead, counts what it gives to nng itself. False: it may not, since
 * connections are closed now, and must fail instead; what was read is lost, so its own goes too. */
bool syscalls_give(void);
void syscalls_given(void); /* nng asks for more, or the connection ends */

#endif
