/* TCP ports for the daemons that a test starts. */
#ifndef TESTS_PORT_H
#define TESTS_PORT_H

/* A port of 127.0.0.1 that nothing has and that stays ours while this process lives: a daemon may
 * listen on it, leave it and listen again (with SO_REUSEADDR, as nng does), and the kernel gives it
 * to no connection in between. Aborts where there is none. */
int port_hold(void);

#endif
