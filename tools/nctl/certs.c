#include "certs.h"
#include "base/strbuf.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void certificate_free(struct certificate *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    *c = (struct certificate){0};
}

static enum err openssl_failed(const char *what, struct reason *why)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    enum err e =
        reason_set(why, ERR_INVALID, "%s: %s", what, text != NULL ? text : "OpenSSL says no more");
    ERR_clear_error();
    return e;
}

/* ---- making */

/* 127 bits by chance: no two of a CA are alike. */
static bool set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool good = number != NULL && BN_rand(number, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return good;
}

static bool set_subject(X509 *cert, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Norn", -1,
                                      -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                      -1, -1, 0) == 1;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

/* All but what is particular to a CA or a host; neither signed nor with extensions. */
static bool begin(struct certificate *out, const char *common_name, int64_t from, int64_t until)
{
    *out = (struct certificate){.cert = X509_new(), .key = EVP_EC_gen("P-256")};
    return out->cert != NULL && out->key != NULL && X509_set_version(out->cert, 2) == 1 &&
           set_serial(out->cert) && set_subject(out->cert, common_name) &&
           ASN1_TIME_set(X509_getm_notBefore(out->cert), (time_t)from) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(out->cert), (time_t)until) != NULL &&
           X509_set_pubkey(out->cert, out->key) == 1;
}

/* A minute is given to hosts whose clocks differ a little. */
#define BACKDATED_S   60
#define SECONDS_A_DAY INT64_C(86400)

static bool make_ca(struct certificate *c, const struct ca_wish *wish)
{
    int64_t now = time(NULL);
    char constraint[300];
    if (!begin(c, wish->common_name, now - BACKDATED_S, now + wish->days * SECONDS_A_DAY) ||
        X509_set_issuer_name(c->cert, X509_get_subject_name(c->cert)) != 1 ||
        !add_extension(c->cert, c->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(c->cert, c->cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(c->cert, c->cert, NID_subject_key_identifier, "hash") ||
        !add_extension(c->cert, c->cert, NID_authority_key_identifier, "keyid"))
        return false;
    if (wish->name_constraint != NULL) {
        snprintf(constraint, sizeof(constraint),
                 "critical,permitted;DNS:%.100s,permitted;DNS:localhost", wish->name_constraint);
        if (!add_extension(c->cert, c->cert, NID_name_constraints, constraint))
            return false;
    }
    return X509_sign(c->cert, c->key, EVP_sha256()) > 0;
}

enum err ca_make(struct certificate *out, const struct ca_wish *wish, struct reason *why)
{
    struct certificate c = {0};
    if (!make_ca(&c, wish)) {
        certificate_free(&c);
        return openssl_failed("make a CA", why);
    }
    *out = c;
    return OK;
}

/* "DNS:a,DNS:b,IP:c" */
static void add_names(struct strbuf *out, const char *kind, const char *names)
{
    while (*names != '\0') {
        size_t len = strcspn(names, ",");
        if (len > 0)
            strbuf_printf(out, "%s%s:%.*s", out->len > 0 ? "," : "", kind, (int)len, names);
        names += len;
        names += *names == ',';
    }
}

static bool make_cert(struct certificate *c, const struct certificate *ca,
                      const struct cert_wish *wish)
{
    struct strbuf names = STRBUF_INIT;
    add_names(&names, "DNS", wish->dns_names);
    add_names(&names, "IP", wish->ip_addresses);
    bool good = begin(c, wish->common_name, wish->from, wish->until) &&
                X509_set_issuer_name(c->cert, X509_get_subject_name(ca->cert)) == 1 &&
                add_extension(c->cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
                add_extension(c->cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
                add_extension(c->cert, ca->cert, NID_ext_key_usage,
                              wish->accepts ? "serverAuth,clientAuth" : "clientAuth") &&
                add_extension(c->cert, ca->cert, NID_subject_key_identifier, "hash") &&
                add_extension(c->cert, ca->cert, NID_authority_key_identifier, "keyid") &&
                (names.len == 0 ||
                 add_extension(c->cert, ca->cert, NID_subject_alt_name, strbuf_text(&names))) &&
                X509_sign(c->cert, ca->key, EVP_sha256()) > 0;
    strbuf_free(&names);
    return good;
}

enum err cert_make(struct certificate *out, const struct certificate *ca,
                   const struct cert_wish *wish, struct reason *why)
{
    struct certificate c = {0};
    time_t until = (time_t)wish->until;
    if (X509_check_ca(ca->cert) == 0)
        return reason_set(why, ERR_INVALID, "the CA's certificate may not sign others");
    if (X509_cmp_time(X509_get0_notAfter(ca->cert), &until) < 0)
        return reason_set(why, ERR_INVALID,
                          "the certificate would outlive its CA: take fewer -days, or a new CA");
    if (!make_cert(&c, ca, wish)) {
        certificate_free(&c);
        return openssl_failed("make a certificate", why);
    }
    *out = c;
    return OK;
}

/* ---- files */

/* NULL: *why says why. */
static BIO *open_pem(const char *path, struct reason *why)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        reason_errno(why, ERR_NOT_FOUND, "open %s", path);
        return NULL;
    }
    BIO *bio = BIO_new_fp(file, BIO_CLOSE);
    must(bio != NULL);
    return bio;
}

/* An encrypted key would have OpenSSL ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    return -1;
}

static enum err read_key(EVP_PKEY **out, const X509 *cert, const char *path, struct reason *why)
{
    BIO *bio = open_pem(path, why);
    if (bio == NULL)
        return ERR_NOT_FOUND;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (key == NULL)
        return reason_set(why, ERR_INVALID, "%s holds no (unencrypted) private key in PEM", path);
    if (X509_check_private_key(cert, key) != 1) {
        EVP_PKEY_free(key);
        ERR_clear_error();
        return reason_set(why, ERR_INVALID, "%s is the key of another certificate", path);
    }
    *out = key;
    return OK;
}

enum err certificate_read(struct certificate *out, const char *cert_path, const char *key_path,
                          struct reason *why)
{
    struct certificate c = {0};
    enum err e = OK;
    BIO *bio = open_pem(cert_path, why);
    if (bio == NULL)
        return ERR_NOT_FOUND;
    c.cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (c.cert == NULL)
        return reason_set(why, ERR_INVALID, "%s holds no certificate in PEM", cert_path);
    if (key_path != NULL && (e = read_key(&c.key, c.cert, key_path, why)) != OK) {
        certificate_free(&c);
        return e;
    }
    *out = c;
    return OK;
}

static enum err write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_IO;
        data += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? OK : ERR_IO;
}

/* A file beside path, complete and on the disk; its name goes to temporary. */
static enum err write_beside(const char *path, BIO *content, mode_t mode, char *temporary,
                             size_t room, struct reason *why)
{
    char *data;
    long len = BIO_get_mem_data(content, &data);
    if ((size_t)snprintf(temporary, room, "%s.XXXXXX", path) >= room)
        return reason_set(why, ERR_INVALID, "the path %.100s... is too long", path);
    int fd = mkostemp(temporary, O_CLOEXEC); /* for its owner alone */
    if (fd < 0)
        return reason_errno(why, ERR_IO, "make a file beside %s", path);
    enum err e = write_all(fd, data, (size_t)len);
    if (e != OK || fchmod(fd, mode) != 0) {
        e = reason_errno(why, ERR_IO, "write %s", path);
        unlink(temporary);
    }
    close(fd);
    return e;
}

/* link fails where something is, and rename does not. */
static enum err put_in_place(const char *temporary, const char *path, bool replace,
                             struct reason *why)
{
    int status = replace ? rename(temporary, path) : link(temporary, path);
    if (status == 0)
        return OK;
    if (errno == EEXIST)
        return reason_set(why, ERR_EXISTS, "%s exists: -force replaces it", path);
    return reason_errno(why, ERR_IO, "write %s", path);
}

static enum err write_both(const char *temporaries[2], const char *paths[2], bool replace,
                           struct reason *why)
{
    enum err e = put_in_place(temporaries[0], paths[0], replace, why);
    if (e == OK && (e = put_in_place(temporaries[1], paths[1], replace, why)) != OK && !replace)
        unlink(paths[0]);
    return e;
}

enum err certificate_write(const struct certificate *c, const char *cert_path, const char *key_path,
                           bool replace, struct reason *why)
{
    char beside_key[1024] = "", beside_cert[1024] = "";
    BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
    must(cert != NULL && key != NULL && PEM_write_bio_X509(cert, c->cert) == 1 &&
         PEM_write_bio_PrivateKey(key, c->key, NULL, NULL, 0, NULL, NULL) == 1);
    enum err e = write_beside(key_path, key, 0600, beside_key, sizeof(beside_key), why);
    if (e == OK)
        e = write_beside(cert_path, cert, 0644, beside_cert, sizeof(beside_cert), why);
    if (e == OK)
        e = write_both((const char *[]){beside_key, beside_cert},
                       (const char *[]){key_path, cert_path}, replace, why);
    if (beside_key[0] != '\0')
        unlink(beside_key);
    if (beside_cert[0] != '\0')
        unlink(beside_cert);
    BIO_free(cert);
    BIO_free(key);
    return e;
}
