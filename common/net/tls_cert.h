/* What a certificate says to Norn. Also for tools that make and show certificates. */
#ifndef NET_TLS_CERT_H
#define NET_TLS_CERT_H

#include "net/tls.h"
#include <openssl/x509.h>

/* The role that cert names; false: *why says why there is none, to follow "its certificate". */
bool tls_name_of(const X509 *cert, struct tls_name *out, char *why, size_t room);
/* What is wrong with cert, to follow "its certificate": error is one of OpenSSL's X509_V_ERR_.
 * cert may be NULL. */
void tls_describe(char *out, size_t room, int error, const X509 *cert);
/* "2026-11-25T12:00:00Z" */
void tls_print_time(const ASN1_TIME *when, char *out, size_t room);

#endif
