/* Between net and its half that needs OpenSSL. That half is a shared object of its own,
 * norn-tls.so, which is loaded when certificates are set: OpenSSL costs each process that has it
 * almost a megabyte, and most daemons speak on one host only. Tests have it linked in. */
#ifndef NET_TLS_MODULE_H
#define NET_TLS_MODULE_H

#include "net/tls.h"
#include <nng/nng.h>

struct tls_end;         /* one listener or dialer: tls.c's */
struct tls_credentials; /* what was read of the files: the module's */
struct tls_session;     /* a connection's half of TLS: the module's */
struct nng_tls_config;

/* What the module needs of net; on threads of nng's. */
struct tls_hooks {
    struct tls_end *(*hold)(struct tls_end *e);
    void (*drop)(struct tls_end *e); /* NULL: nothing */
    /* With what is newest of the credentials; own: as whom. */
    struct tls_session *(*start)(const struct tls_end *e, struct tls_name *own);
    unsigned (*takes)(const struct tls_end *e); /* PEER_ */
    bool (*listens)(const struct tls_end *e);
    /* Tells of a handshake that failed. quiet: only a dialer's caller is told, if it asks. */
    void (*failed)(struct tls_end *e, const nng_sockaddr *peer, const char *why, bool quiet);
    void (*succeeded)(struct tls_end *e);
    bool (*give)(void); /* syscalls.h */
    void (*given)(void);
};

struct tls_module {
    unsigned version;                               /* TLS_MODULE_VERSION */
    void (*install)(const struct tls_hooks *hooks); /* once is enough, more do no harm */
    enum err (*load)(struct tls_credentials **out, const struct tls_files *files,
                     struct tls_name *own, int64_t *ends, struct reason *why);
    void (*release)(struct tls_credentials *c); /* sessions that were started live on */
    struct tls_session *(*start)(struct tls_credentials *c);
    /* What nng wants of a socket that e describes; the caller frees it. */
    struct nng_tls_config *(*config)(struct tls_end *e);
    /* Who is at the other end; false: nobody we know. In a callback of nng's for a pipe, too. */
    bool (*pipe_name)(nng_pipe pipe, struct tls_name *out);
};
#define TLS_MODULE_VERSION 2

/* The module's one symbol. Weak here: absent unless it was linked in. */
extern const struct tls_module norn_tls_module;

/* tls_load.c. NULL: *why says which file is missing. */
const struct tls_module *tls_module_load(struct reason *why);

#endif
