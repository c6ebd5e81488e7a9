/* The certificates with which hosts know one another: made and shown, with no server asked. */
#include "certs.h"
#include "command.h"
#include "net/tls_cert.h"
#include "table.h"
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CA_DAYS   1825
#define CERT_DAYS 365
#define MOST_DAYS 36500

static int failed(const struct reason *why)
{
    fprintf(stderr, "%s\n", why->text);
    return EXIT_ERROR;
}

static bool days_of(const struct args *args, long fallback, long *out)
{
    *out = args_number(args, "days", fallback);
    if (*out > 0 && *out <= MOST_DAYS)
        return true;
    fprintf(stderr, "-days takes a number from 1 to %d\n", MOST_DAYS);
    return false;
}

/* A domain is what follows the region in a name. */
static bool domain_of(const struct args *args, const char **out)
{
    char name[300];
    struct tls_name parsed;
    *out = args_text(args, "domain", "norn");
    snprintf(name, sizeof(name), "server.x.%.200s", *out);
    if (tls_name_parse(&parsed, name, strlen(name)))
        return true;
    fprintf(stderr, "-domain takes a DNS name of at most 63 characters, such as norn\n");
    return false;
}

static void saved(const char *path)
{
    printf("==> saved %s\n", path);
}

/* ---- nctl tls ca create */

static int run_ca_create(const struct args *args)
{
    struct certificate ca;
    struct reason why;
    struct ca_wish wish = {.common_name = args_text(args, "common-name", "Norn CA")};
    const char *domain;
    char cert_path[200], key_path[200];
    if (!days_of(args, CA_DAYS, &wish.days) || !domain_of(args, &domain))
        return EXIT_ERROR;
    if (args_has(args, "name-constraint"))
        wish.name_constraint = domain;
    snprintf(cert_path, sizeof(cert_path), "%s-ca.pem", domain);
    snprintf(key_path, sizeof(key_path), "%s-ca-key.pem", domain);
    if (ca_make(&ca, &wish, &why) != OK)
        return failed(&why);
    enum err e = certificate_write(&ca, cert_path, key_path, args_has(args, "force"), &why);
    certificate_free(&ca);
    if (e != OK)
        return failed(&why);
    saved(cert_path);
    saved(key_path);
    puts("The key can make a certificate of any role: keep it off the servers.");
    return EXIT_OK;
}

static const struct flag ca_create_flags[] = {
    {"days", FLAG_NUMBER, "N", "valid for so long (default 1825)"},
    {"domain", FLAG_TEXT, "NAME", "what names end in, and files begin with (default norn)"},
    {"common-name", FLAG_TEXT, "TEXT", "the CA's name for people (default Norn CA)"},
    {"name-constraint", FLAG_BOOL, NULL, "certificates may only be for names in the domain"},
    {"force", FLAG_BOOL, NULL, "replaces files that exist"},
    FLAG_END,
};

/* ---- nctl tls cert create */

/* "server.eu.norn,localhost,MORE" */
static const char *dns_names(const struct args *args, const char *own, char *out, size_t room)
{
    const char *more = args_text(args, "additional-dnsname", "");
    size_t len =
        (size_t)snprintf(out, room, "%s,localhost%s%s", own, *more != '\0' ? "," : "", more);
    return len < room ? out : NULL;
}

static const char *ip_addresses(const struct args *args, bool server, char *out, size_t room)
{
    const char *more = args_text(args, "additional-ipaddress", "");
    size_t len = (size_t)snprintf(out, room, "%s%s%s", server ? "127.0.0.1" : "",
                                  server && *more != '\0' ? "," : "", more);
    return len < room ? out : NULL;
}

/* The role; NULL: neither or both were asked for. */
static const char *role_of(const struct args *args)
{
    bool server = args_has(args, "server"), client = args_has(args, "client");
    if (server != client)
        return server ? "server" : "client";
    fprintf(stderr, "say whose it is: -server or -client, one of them\n");
    return NULL;
}

static int make_and_save(const struct args *args, const char *role, const char *domain, long days)
{
    const char *region = args_text(args, "region", "global");
    char own[TLS_NAME_SIZE], names[2000], addresses[1000], ca_path[200], ca_key_path[200];
    char cert_path[300], key_path[300];
    struct certificate ca, made;
    struct reason why;
    int64_t now = time(NULL);
    snprintf(ca_path, sizeof(ca_path), "%s-ca.pem", domain);
    snprintf(ca_key_path, sizeof(ca_key_path), "%s-ca-key.pem", domain);
    snprintf(own, sizeof(own), "%s.%s.%s", role, region, domain);
    snprintf(cert_path, sizeof(cert_path), "%s-%s-%s.pem", region, role, domain);
    snprintf(key_path, sizeof(key_path), "%s-%s-%s-key.pem", region, role, domain);
    bool server = strcmp(role, "server") == 0;
    struct cert_wish wish = {
        .common_name = own,
        .dns_names = dns_names(args, own, names, sizeof(names)),
        .ip_addresses = ip_addresses(args, server, addresses, sizeof(addresses)),
        .accepts = server,
        .from = now - 60, /* for clocks that differ a little */
        .until = now + days * INT64_C(86400),
    };
    if (wish.dns_names == NULL || wish.ip_addresses == NULL) {
        fprintf(stderr, "too many additional names or addresses\n");
        return EXIT_ERROR;
    }
    enum err e = certificate_read(&ca, args_text(args, "ca", ca_path),
                                  args_text(args, "key", ca_key_path), &why);
    if (e != OK) {
        reason_add(&why, e, "the CA (nctl tls ca create makes one)");
        return failed(&why);
    }
    e = cert_make(&made, &ca, &wish, &why);
    certificate_free(&ca);
    if (e != OK)
        return failed(&why);
    e = certificate_write(&made, cert_path, key_path, args_has(args, "force"), &why);
    certificate_free(&made);
    if (e != OK)
        return failed(&why);
    saved(cert_path);
    saved(key_path);
    return EXIT_OK;
}

static int run_cert_create(const struct args *args)
{
    long days;
    const char *domain, *role = role_of(args);
    if (role == NULL || !days_of(args, CERT_DAYS, &days) || !domain_of(args, &domain))
        return EXIT_ERROR;
    if (!tls_region_valid(args_text(args, "region", "global"))) {
        fprintf(stderr, "-region takes letters, digits, - and _, 63 at most: it becomes part of a "
                        "DNS name\n");
        return EXIT_ERROR;
    }
    return make_and_save(args, role, domain, days);
}

static const struct flag cert_create_flags[] = {
    {"server", FLAG_BOOL, NULL, "for a server: all daemons but the agent"},
    {"client", FLAG_BOOL, NULL, "for a machine that runs tasks"},
    {"region", FLAG_TEXT, "NAME", "the region it belongs to (default global)"},
    {"days", FLAG_NUMBER, "N", "valid for so long (default 365)"},
    {"domain", FLAG_TEXT, "NAME", "that of the CA (default norn)"},
    {"ca", FLAG_TEXT, "FILE", "the CA's certificate (default DOMAIN-ca.pem)"},
    {"key", FLAG_TEXT, "FILE", "the CA's key (default DOMAIN-ca-key.pem)"},
    {"additional-dnsname", FLAG_TEXT, "A,B", "further names of the host"},
    {"additional-ipaddress", FLAG_TEXT, "A,B", "further addresses of the host"},
    {"force", FLAG_BOOL, NULL, "replaces files that exist"},
    FLAG_END,
};

/* ---- nctl tls ca info, cert info */

static void add_time(struct table *t, const char *name, const ASN1_TIME *when)
{
    char text[40];
    tls_print_time(when, text, sizeof(text));
    pairs_add(t, name, "%s", text);
}

static void add_common_name(struct table *t, const char *name, const X509_NAME *of)
{
    char text[200] = "";
    X509_NAME_get_text_by_NID((X509_NAME *)of, NID_commonName, text, sizeof(text));
    pairs_add(t, name, "%s", text);
}

static void add_serial(struct table *t, const X509 *cert)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *text = number != NULL ? BN_bn2dec(number) : NULL;
    pairs_add(t, "Serial Number", "%s", text != NULL ? text : "");
    OPENSSL_free(text);
    BN_free(number);
}

/* All alternative names as OpenSSL prints them: "DNS:a, IP Address:b". */
static void add_names(struct table *t, const X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
    char *text;
    if (at < 0 || bio == NULL || X509V3_EXT_print(bio, X509_get_ext(cert, at), 0, 0) != 1) {
        BIO_free(bio);
        return;
    }
    long len = BIO_get_mem_data(bio, &text);
    pairs_add(t, "Names", "%.*s", (int)len, text);
    BIO_free(bio);
}

static void add_role(struct table *t, const X509 *cert)
{
    struct tls_name name;
    char lacks[200];
    if (!tls_name_of(cert, &name, lacks, sizeof(lacks))) {
        pairs_add(t, "Role", "none: it %s", lacks);
        return;
    }
    pairs_add(t, "Role", "%s", name.role == TLS_SERVER ? "server" : "client");
    pairs_add(t, "Region", "%s", name.region);
}

static void add_status(struct table *t, const X509 *cert)
{
    char what[400] = "valid";
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        tls_describe(what, sizeof(what), X509_V_ERR_CERT_HAS_EXPIRED, NULL);
    else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        tls_describe(what, sizeof(what), X509_V_ERR_CERT_NOT_YET_VALID, NULL);
    pairs_add(t, "Status", "%s", what + strspn(what, " "));
}

static int show_certificate(const struct args *args, bool ca)
{
    struct certificate c;
    struct reason why;
    struct table t;
    if (certificate_read(&c, args->count > 0 ? args->items[0] : "norn-ca.pem", NULL, &why) != OK)
        return failed(&why);
    pairs_init(&t, false);
    add_serial(&t, c.cert);
    add_common_name(&t, "Issuer CN", X509_get_issuer_name(c.cert));
    add_common_name(&t, "Common Name", X509_get_subject_name(c.cert));
    add_time(&t, "Valid From", X509_get0_notBefore(c.cert));
    add_time(&t, "Expiry Date", X509_get0_notAfter(c.cert));
    if (ca)
        pairs_add(&t, "May Sign", "%s", X509_check_ca(c.cert) != 0 ? "yes" : "no: it is no CA");
    else
        add_role(&t, c.cert);
    add_names(&t, c.cert);
    add_status(&t, c.cert);
    table_print(&t, stdout);
    table_free(&t);
    certificate_free(&c);
    return EXIT_OK;
}

static int run_ca_info(const struct args *args)
{
    return show_certificate(args, true);
}

static int run_cert_info(const struct args *args)
{
    return show_certificate(args, false);
}

const struct command commands_tls[] = {
    {"tls ca create", NULL, "", "make a CA: norn-ca.pem and norn-ca-key.pem",
     "Every host of a cluster, of all its regions, gets a certificate of this CA. The files are "
     "made in the working directory.",
     ca_create_flags, 0, 0, run_ca_create},
    {"tls ca info", NULL, "[file]", "show a CA's certificate (norn-ca.pem)", NULL, NULL, 0, 1,
     run_ca_info},
    {"tls cert create", NULL, "", "make a host's certificate and key",
     "Needs norn-ca.pem and norn-ca-key.pem. Makes REGION-server-norn.pem and "
     "REGION-server-norn-key.pem (or -client-) in the working directory: what the group tls of "
     "the settings names as cert_file and key_file.",
     cert_create_flags, 0, 0, run_cert_create},
    {"tls cert info", NULL, "<file>", "show a host's certificate", NULL, NULL, 1, 1, run_cert_info},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
