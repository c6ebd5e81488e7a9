/* The socket that the HTTP API listens on. */
#ifndef GATEWAY_LISTENER_H
#define GATEWAY_LISTENER_H

#include "base/err.h"
#include <stdint.h>

/* "127.0.0.1:4646", "[::1]:4646", ":4646"; port 0: any. A descriptor, with *port as bound, or -1.
 */
int listener_open(const char *address, uint16_t *port, struct reason *why);

#endif
