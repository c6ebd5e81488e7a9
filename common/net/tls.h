/* Mutual TLS 1.3 between hosts: who we are, whom we believe, and who a peer is. Every host of a
 * cluster has a certificate of one CA, which names its role and region: "server.eu.norn",
 * "client.eu.norn". The names of the hosts do not matter, so certificates need no care when
 * addresses change.
 *
 * nng does the transport and asks an engine of ours, on OpenSSL, for the encryption: nng's own one
 * does not tell who the peer is (docs/decisions/0045-our-own-tls-engine.md). */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/err.h"
#include "loop/loop.h"
#include <stdbool.h>
#include <stdint.h>

/* ---- names */

enum tls_role { TLS_SERVER = 1, TLS_CLIENT };

#define TLS_NAME_SIZE 200

/* "server.eu.norn" has the role server, the region eu and the domain norn. */
struct tls_name {
    enum tls_role role;
    char region[64];
    char domain[64];
};

/* text need not end in NUL. False: it names no role. */
bool tls_name_parse(struct tls_name *out, const char *text, size_t len);
void tls_name_print(const struct tls_name *n, char out[TLS_NAME_SIZE]);
/* Letters, digits, - and _, 63 at most: what can stand in a name. */
bool tls_region_valid(const char *region);

/* Who speaks, as a set. The region is the one of our own certificate. */
enum {
    PEER_LOCAL = 1,         /* on this host; or by plain tcp://, where that was asked for */
    PEER_SERVER = 2,        /* a server of our region */
    PEER_CLIENT = 4,        /* a client of our region */
    PEER_FOREIGN_SERVER = 8 /* a server of another region */
};
/* One of them; 0: a stranger. */
unsigned tls_peer_kind(const struct tls_name *own, const struct tls_name *peer);

/* ---- what we show and whom we believe */

struct tls;

struct tls_files {
    const char *ca, *cert, *key; /* PEM */
};

/* refused is told, on the loop's thread, of each peer that was turned away and of each that turned
 * us away: a sentence for the log, with an address and a cure where there is one. A few each second
 * at most; suppressed counts those that were left out before it. */
struct tls_options {
    struct tls_files files;
    void (*refused)(void *owner, const char *why, unsigned suppressed);
    void *owner;
};
/* Refuses what no peer would take: an own certificate of another CA, one that is over or not valid
 * yet, one without a role, a key that does not fit or that others may read. */
enum err tls_open(struct tls **out, struct loop *l, const struct tls_options *o,
                  struct reason *why);
/* For connections to come; those that are up stay. On failure all stays as it was. */
enum err tls_reload(struct tls *t, const struct tls_files *files, struct reason *why);
/* "server.eu.norn", and when it ends, in seconds since 1970. */
void tls_own(struct tls *t, struct tls_name *name, int64_t *ends);
/* Sockets that use it may live a little longer than t. Ends refused. */
void tls_close(struct tls *t);

/* How sockets of this loop that are opened from now on speak between hosts. tls NULL: tls+tcp:// is
 * refused. allow_plain: tcp:// is taken also where others than this host may connect. */
struct net_security {
    struct tls *tls;
    bool allow_plain;
};
void net_secure(struct loop *l, const struct net_security *s); /* kept */

#endif
