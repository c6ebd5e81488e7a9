/* Certificates of every kind, a server by TLS, and peers that are not of ours. */
#ifndef TLS_BED_H
#define TLS_BED_H

#include "certs.h"
#include "jobstore.pb-c.h"
#include "net/net.h"
#include <openssl/ssl.h>
#include <stdbool.h>

enum { ECHO = 10, SECRET = 11, RELAYED = 30 };

struct tls_bed {
    struct loop *l;
    char dir[64], addr[64];
    int port;
    struct certificate ca, foreign_ca;
    struct tls *server_tls, *client_tls;
    struct net_security server_security, client_security;
    struct server *server;
    struct client *client;
    struct timer deadline;
    bool stop_at_request;
    /* what came */
    unsigned reports, answers, wanted_answers, wanted_reports, relayed;
    char report[700];
    Pb__Reply__Code code;
    char reason[1000], peer_name[200], peer_region[100];
    unsigned peer_kind;
};

struct tls_bed *tls_bed_new(void);
void tls_bed_free(struct tls_bed *b);

/* Names of days: a certificate valid from day `from` to day `until`, counted from now. */
struct wanted_cert {
    const char *dns_names, *common_name; /* NULL: as the first DNS name */
    bool foreign;                        /* of the other CA */
    int from, until;                     /* 0, 0: from yesterday for ten days */
    bool cannot_accept;
};
/* Not kept. */
struct certificate bed_cert(struct tls_bed *b, const struct wanted_cert *w);
/* Writes it to DIR/NAME.pem and DIR/NAME-key.pem; those and DIR/ca.pem, for tls_open. Texts live as
 * long as the bed. */
struct tls_files bed_files(struct tls_bed *b, const char *name, const struct wanted_cert *w);
struct tls *bed_tls(struct tls_bed *b, const char *name, const char *dns_names);

/* Listens as server.eu.norn, at a free port. o->methods NULL: ECHO and SECRET. */
void bed_serve(struct tls_bed *b, const struct server_options *o);
/* A client with a certificate of that name, to whom only peers are right. */
void bed_dial(struct tls_bed *b, const char *dns_names, unsigned peers);
/* Another one in its place, that has tried nothing yet: each try of one waits longer. */
void bed_redial(struct tls_bed *b, unsigned peers);
void bed_call(struct tls_bed *b, uint32_t method, Pb__Service__Name service, uint32_t budget_ms);
void bed_run(struct tls_bed *b); /* until the wanted answers and reports are there */
void bed_run_for(struct tls_bed *b, unsigned ms);

/* A peer made of OpenSSL alone. cert NULL: shows none. Returns what it is told: "" when it was
 * taken. */
void stranger_calls(const struct tls_bed *b, const struct certificate *cert, char *out,
                    size_t room);
int tcp_connect(int port);

#endif
