/* What server.c and client.c need of tls.c. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include "net/tls.h"
#include <nng/nng.h>

/* What addr needs on l is there: certificates for tls+tcp://, leave for plain tcp://. */
enum err net_check_address(struct loop *l, const char *addr, struct reason *why);
bool addr_is_tls(const char *addr);
struct tls *net_tls(struct loop *l); /* what net_secure was given */
/* Who is at the other end, by TLS; false: nobody we know. In a callback of nng's for a pipe, too.
 */
bool tls_pipe_name(const struct tls *t, nng_pipe pipe, struct tls_name *out);

/* For an address that was checked; nothing happens to one without TLS. peers: whom to take. */
enum err tls_set_listener(nng_listener listener, struct loop *l, const char *addr, unsigned peers,
                          struct reason *why);
/* *out is for the caller, to ask and to drop. */
struct tls_end;
enum err tls_set_dialer(nng_dialer dialer, struct loop *l, const char *addr, unsigned peers,
                        struct tls_end **out, struct reason *why);
void tls_end_drop(struct tls_end *e);            /* NULL: nothing */
bool tls_end_of_server(const struct tls_end *e); /* we are a server */
/* Why the last handshake failed; "": it did not. */
void tls_end_failure(struct tls_end *e, char *out, size_t room);

#endif
