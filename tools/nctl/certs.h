/* CAs and certificates, made and shown. Keys are EC P-256. */
#ifndef NCTL_CERTS_H
#define NCTL_CERTS_H

#include "base/err.h"
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

struct certificate {
    X509 *cert;
    EVP_PKEY *key;
};
void certificate_free(struct certificate *c);

struct ca_wish {
    const char *common_name;
    long days;
    const char *name_constraint; /* a domain outside of which it may not be used; NULL: none */
};
enum err ca_make(struct certificate *out, const struct ca_wish *wish, struct reason *why);

struct cert_wish {
    const char *common_name;
    const char *dns_names;    /* separated by commas */
    const char *ip_addresses; /* likewise; "": none */
    bool accepts;             /* connections, too; otherwise it only makes them */
    /* Seconds since 1970. */
    int64_t from, until;
};
/* Signed by ca. Refuses to outlive it. */
enum err cert_make(struct certificate *out, const struct certificate *ca,
                   const struct cert_wish *wish, struct reason *why);

/* key_path NULL: only the certificate. */
enum err certificate_read(struct certificate *out, const char *cert_path, const char *key_path,
                          struct reason *why);
/* Both or neither. The key's file is for its owner alone. replace: over what is there. */
enum err certificate_write(const struct certificate *c, const char *cert_path, const char *key_path,
                           bool replace, struct reason *why);

#endif
