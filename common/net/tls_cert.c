#include "net/tls_cert.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool same_name(const struct tls_name *a, const struct tls_name *b)
{
    return a->role == b->role && strcmp(a->region, b->region) == 0 &&
           strcmp(a->domain, b->domain) == 0;
}

/* The names that matter are the DNS names of the subjectAltName; the subject's CN is free text. */
bool tls_name_of(const X509 *cert, struct tls_name *out, char *why, size_t room)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    struct tls_name first = {0};
    int found = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct tls_name parsed;
        if (name->type != GEN_DNS ||
            !tls_name_parse(&parsed, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                            (size_t)ASN1_STRING_length(name->d.dNSName)))
            continue;
        if (found == 0 || !same_name(&parsed, &first))
            found++;
        first = parsed;
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    if (found == 0)
        snprintf(why, room,
                 "has no DNS name such as server.REGION.norn or client.REGION.norn among its "
                 "alternative names: make one with 'nctl tls cert create'");
    else if (found > 1)
        snprintf(why, room, "names more than one role: each host gets a certificate of its own");
    else
        *out = first;
    return found == 1;
}

void tls_print_time(const ASN1_TIME *when, char *out, size_t room)
{
    struct tm tm;
    if (when == NULL || ASN1_TIME_to_tm(when, &tm) != 1)
        snprintf(out, room, "an unknown time");
    else
        strftime(out, room, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void print_now(char *out, size_t room)
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(out, room, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* The role's name, or else the subject. */
static void print_subject(const X509 *cert, char *out, size_t room)
{
    struct tls_name name;
    char unused[160], text[TLS_NAME_SIZE] = "";
    if (cert == NULL)
        return;
    if (tls_name_of(cert, &name, unused, sizeof(unused)))
        tls_name_print(&name, text);
    else
        X509_NAME_oneline(X509_get_subject_name(cert), text, sizeof(text));
    snprintf(out, room, " (%s)", text);
}

void tls_describe(char *out, size_t room, int error, const X509 *cert)
{
    char name[TLS_NAME_SIZE + 4] = "", when[40] = "", now[40];
    print_subject(cert, name, sizeof(name));
    print_now(now, sizeof(now));
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        tls_print_time(cert != NULL ? X509_get0_notAfter(cert) : NULL, when, sizeof(when));
        snprintf(out, room,
                 "%s was valid until %s, and it is %s here: make a new one with 'nctl tls cert "
                 "create', or set the clock right",
                 name, when, now);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        tls_print_time(cert != NULL ? X509_get0_notBefore(cert) : NULL, when, sizeof(when));
        snprintf(out, room,
                 "%s is valid from %s, and it is %s here: a clock is wrong, this host's or the "
                 "one's where it was made",
                 name, when, now);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        snprintf(out, room,
                 "%s is not of the CA in ca_file: all hosts of a cluster need certificates of the "
                 "same CA",
                 name);
        break;
    case X509_V_ERR_INVALID_PURPOSE:
        snprintf(out, room, "%s may not be used for this side of a connection", name);
        break;
    default:
        snprintf(out, room, "%s is not good: %s", name, X509_verify_cert_error_string(error));
    }
}
