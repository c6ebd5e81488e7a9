/* Names in certificates, and certificates (DER): what a peer shows before we know who it is. */
#include "net/tls_cert.h"
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const struct tls_name *n)
{
    char printed[TLS_NAME_SIZE];
    struct tls_name again;
    tls_name_print(n, printed);
    must(tls_name_parse(&again, printed, strlen(printed)));
    must(again.role == n->role && strcmp(again.region, n->region) == 0 &&
         strcmp(again.domain, n->domain) == 0);
    must(tls_region_valid(n->region));
    must(tls_peer_kind(n, n) == (n->role == TLS_SERVER ? PEER_SERVER : PEER_CLIENT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_name name;
    char text[600];
    const unsigned char *der = data;
    if (tls_name_parse(&name, (const char *)data, size))
        check_name(&name);
    X509 *cert = d2i_X509(NULL, &der, (long)size);
    if (cert != NULL) {
        if (tls_name_of(cert, &name, text, sizeof(text)))
            check_name(&name);
        tls_describe(text, sizeof(text), X509_V_ERR_CERT_HAS_EXPIRED, cert);
        tls_describe(text, sizeof(text), X509_V_ERR_CERT_NOT_YET_VALID, cert);
        tls_describe(text, sizeof(text), X509_V_ERR_UNSPECIFIED, cert);
        must(strlen(text) < sizeof(text));
    }
    X509_free(cert);
    return 0;
}
