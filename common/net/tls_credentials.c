#include "net/tls_cert.h"
#include "net/tls_credentials.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static const char *last_error(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);
    ERR_clear_error();
    return text != NULL ? text : "it is no such PEM file";
}

static enum err check_files(const struct tls_files *f, struct reason *why)
{
    const struct {
        const char *setting, *path;
    } files[] = {{"ca_file", f->ca}, {"cert_file", f->cert}, {"key_file", f->key}};
    struct stat st;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        FILE *file = fopen(files[i].path, "re");
        if (file == NULL)
            return reason_errno(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED, "%s: open %s",
                                files[i].setting, files[i].path);
        int status = fstat(fileno(file), &st);
        fclose(file);
        if (status != 0 || !S_ISREG(st.st_mode))
            return reason_set(why, ERR_INVALID, "%s: %s is not a file", files[i].setting,
                              files[i].path);
    }
    if ((st.st_mode & 007) != 0) /* the last one is the key */
        return reason_set(why, ERR_INVALID,
                          "key_file: anybody may read %s: chmod 600 it, and if it may have been "
                          "read make a new one",
                          f->key);
    return OK;
}

/* A key that is encrypted would have OpenSSL ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    return -1;
}

static enum err read_files(SSL_CTX *ctx, const struct tls_files *f, struct reason *why)
{
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_load_verify_file(ctx, f->ca) != 1)
        return reason_set(why, ERR_INVALID, "ca_file: %s holds no certificate: %s", f->ca,
                          last_error());
    if (SSL_CTX_use_certificate_chain_file(ctx, f->cert) != 1)
        return reason_set(why, ERR_INVALID, "cert_file: %s holds no certificate: %s", f->cert,
                          last_error());
    if (SSL_CTX_use_PrivateKey_file(ctx, f->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return reason_set(why, ERR_INVALID,
                          "key_file: %s is not the (unencrypted) private key of %s: %s", f->key,
                          f->cert, last_error());
    return OK;
}

/* Our own certificate as a peer with the same CA would see it. */
static enum err check_own(SSL_CTX *ctx, const struct tls_files *f, struct tls_name *name,
                          int64_t *ends, struct reason *why)
{
    X509 *own = SSL_CTX_get0_certificate(ctx);
    STACK_OF(X509) *chain = NULL;
    char text[400];
    if (!tls_name_of(own, name, text, sizeof(text)))
        return reason_set(why, ERR_INVALID, "cert_file: %s %s", f->cert, text);
    SSL_CTX_get0_chain_certs(ctx, &chain);
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    must(check != NULL && X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ctx), own, chain) == 1);
    int good = X509_verify_cert(check);
    int error = X509_STORE_CTX_get_error(check);
    if (good != 1)
        tls_describe(text, sizeof(text), error, X509_STORE_CTX_get_current_cert(check));
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    struct tm tm;
    must(good != 1 || ASN1_TIME_to_tm(X509_get0_notAfter(own), &tm) == 1);
    if (good == 1)
        *ends = timegm(&tm);
    return good == 1 ? OK : reason_set(why, ERR_INVALID, "cert_file: %s%s", f->cert, text);
}

enum err tls_credentials_load(struct tls_credentials **out, const struct tls_files *files,
                              struct tls_name *own, int64_t *ends, struct reason *why)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    must(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    /* Connections live long: tickets would only be bytes and work for each. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    enum err e = check_files(files, why);
    if (e == OK)
        e = read_files(ctx, files, why);
    if (e == OK)
        e = check_own(ctx, files, own, ends, why);
    if (e != OK)
        SSL_CTX_free(ctx);
    else
        *out = (struct tls_credentials *)ctx;
    return e;
}

void tls_credentials_release(struct tls_credentials *c)
{
    SSL_CTX_free((SSL_CTX *)c);
}

struct tls_session *tls_credentials_start(struct tls_credentials *c)
{
    SSL *ssl = SSL_new((SSL_CTX *)c);
    must(ssl != NULL);
    return (struct tls_session *)ssl;
}
