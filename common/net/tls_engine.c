/* nng's TLS transport with OpenSSL: connections read and write through nng's buffers by a BIO.
 *
 * Two ways lead around what the engine's interface lacks. A configuration is made by nng with no
 * word from its user: it finds the end that it is for in a variable of the thread. And a user who
 * holds a pipe gets no more than nng's question whether the peer is verified, which runs in the
 * user's thread: the answer leaves the name in such a variable. */
#include "net/tls_cert.h"
#include "net/tls_credentials.h"
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/engine.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define WHY_SIZE 440

struct nng_tls_engine_config {
    struct tls_end *end;
};

/* Guarded by nng, which calls for one connection from one thread at a time. */
struct nng_tls_engine_conn {
    struct tls_end *end;
    nng_stream *stream;
    SSL *ssl;
    struct tls_name own, peer;
    bool known; /* peer is set, and taken */
    bool heard; /* something came after the handshake */
    bool given; /* nng has what was read last, and has not asked for more */
    char why[WHY_SIZE];
};

static const struct tls_hooks *hooks;
static _Thread_local struct tls_end *configured_for;
static _Thread_local struct tls_name *name_wanted;

/* ---- the BIO */

static BIO_METHOD *bio_method;

static int bio_write(BIO *bio, const char *data, int len)
{
    size_t size = (size_t)len;
    int error = nng_tls_engine_send(BIO_get_data(bio), (const uint8_t *)data, &size);
    BIO_clear_retry_flags(bio);
    if (error == NNG_EAGAIN)
        BIO_set_retry_write(bio);
    return error == 0 ? (int)size : -1;
}

static int bio_read(BIO *bio, char *data, int room)
{
    size_t size = (size_t)room;
    int error = nng_tls_engine_recv(BIO_get_data(bio), (uint8_t *)data, &size);
    BIO_clear_retry_flags(bio);
    if (error == NNG_EAGAIN)
        BIO_set_retry_read(bio);
    if (error == NNG_ECLOSED)
        return 0;
    return error == 0 ? (int)size : -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* ---- who is there */

static void say_whom_we_take(const struct nng_tls_engine_conn *c, char *out, size_t room)
{
    unsigned takes = hooks->takes(c->end);
    snprintf(out, room, "%s%s%s%s", (takes & PEER_SERVER) != 0 ? "servers" : "",
             (takes & PEER_CLIENT) == 0   ? ""
             : (takes & PEER_SERVER) != 0 ? " and clients"
                                          : "clients",
             (takes & (PEER_SERVER | PEER_CLIENT)) != 0 ? " of region " : "",
             (takes & (PEER_SERVER | PEER_CLIENT)) != 0 ? c->own.region : "");
    if ((takes & PEER_FOREIGN_SERVER) != 0) {
        size_t len = strlen(out);
        snprintf(out + len, room - len, "%sservers of other regions", len > 0 ? " and " : "");
    }
}

static bool take_peer(struct nng_tls_engine_conn *c, const X509 *cert)
{
    char lacks[200], name[TLS_NAME_SIZE], taken[160];
    if (!tls_name_of(cert, &c->peer, lacks, sizeof(lacks))) {
        snprintf(c->why, sizeof(c->why), "its certificate %s", lacks);
        return false;
    }
    c->known = (tls_peer_kind(&c->own, &c->peer) & hooks->takes(c->end)) != 0;
    if (c->known)
        return true;
    tls_name_print(&c->peer, name);
    say_whom_we_take(c, taken, sizeof(taken));
    snprintf(c->why, sizeof(c->why),
             "its certificate is of %s, and here only %s are taken: give it the certificate of its "
             "role and region, or the right address",
             name, taken);
    return false;
}

/* OpenSSL's, for each certificate of the peer's chain, its own last. */
static int on_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct nng_tls_engine_conn *c = SSL_get_app_data(ssl);
    const X509 *cert = X509_STORE_CTX_get_current_cert(store);
    if (!good) {
        char what[WHY_SIZE - 20];
        tls_describe(what, sizeof(what), X509_STORE_CTX_get_error(store), cert);
        snprintf(c->why, sizeof(c->why), "its certificate%s", what);
        return 0;
    }
    if (X509_STORE_CTX_get_error_depth(store) > 0)
        return 1;
    if (take_peer(c, cert))
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* ---- connections */

static int conn_init(nng_tls_engine_conn *c, void *tls, nng_tls_engine_config *config)
{
    if (config->end == NULL)
        return NNG_ECRYPTO;
    SSL *ssl = (SSL *)hooks->start(config->end, &c->own);
    BIO *bio = BIO_new(bio_method);
    must(bio != NULL);
    BIO_set_data(bio, tls);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, c);
    SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    if (hooks->listens(config->end))
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    c->end = hooks->hold(config->end);
    c->stream = tls; /* in 1.5.2, what nng gives us is its own connection, a stream */
    c->ssl = ssl;
    return 0;
}

/* Also of one whose init never ran. */
static void conn_fini(nng_tls_engine_conn *c)
{
    SSL_free(c->ssl);
    hooks->drop(c->end);
}

static void note_asked(nng_tls_engine_conn *c)
{
    if (c->given)
        hooks->given();
    c->given = false;
}

static void conn_close(nng_tls_engine_conn *c)
{
    note_asked(c);
    if (c->ssl != NULL)
        SSL_shutdown(c->ssl);
    ERR_clear_error();
}

static void say_what_failed(const struct nng_tls_engine_conn *c, char *out, size_t room)
{
    unsigned long code = ERR_peek_error();
    int what = ERR_GET_REASON(code);
    const char *text = ERR_reason_error_string(code);
    char own[TLS_NAME_SIZE];
    tls_name_print(&c->own, own);
    if (c->why[0] != '\0')
        snprintf(out, room, "%s", c->why);
    else if (what == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        snprintf(out, room, "it showed no certificate: give it one with 'nctl tls cert create'");
    else if (ERR_GET_LIB(code) == ERR_LIB_SSL && what > SSL_AD_REASON_OFFSET)
        snprintf(out, room, "it does not take our certificate (%s): %s. Its log tells more", own,
                 text != NULL ? text : "no reason given");
    else
        snprintf(out, room, "it does not speak TLS 1.3 as we do: %s",
                 text != NULL ? text : "no reason given");
}

/* What an operation that gave result means for nng; failures before anything was heard of the peer
 * are told. */
static int outcome(struct nng_tls_engine_conn *c, int result)
{
    int error = SSL_get_error(c->ssl, result);
    char why[WHY_SIZE];
    nng_sockaddr peer = {.s_family = NNG_AF_UNSPEC};
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return NNG_EAGAIN;
    bool broken = error == SSL_ERROR_SSL &&
                  ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (!c->heard) {
        if (broken)
            say_what_failed(c, why, sizeof(why));
        else
            snprintf(why, sizeof(why), "it hung up during the handshake");
        nng_stream_get_addr(c->stream, NNG_OPT_REMADDR, &peer);
        hooks->failed(c->end, &peer, why, !broken);
        c->heard = true; /* once is enough */
    }
    ERR_clear_error();
    return broken ? (c->why[0] != '\0' ? NNG_EPEERAUTH : NNG_ECRYPTO) : NNG_ECONNSHUT;
}

static int conn_handshake(nng_tls_engine_conn *c)
{
    ERR_clear_error();
    int result = SSL_do_handshake(c->ssl);
    return result == 1 ? 0 : outcome(c, result);
}

static int conn_recv(nng_tls_engine_conn *c, uint8_t *data, size_t *len)
{
    note_asked(c);
    ERR_clear_error();
    int result = SSL_read(c->ssl, data, *len < INT32_MAX ? (int)*len : INT32_MAX);
    if (result <= 0)
        return outcome(c, result);
    if (!c->heard)
        hooks->succeeded(c->end);
    c->heard = true;
    *len = (size_t)result;
    c->given = hooks->give();
    return c->given ? 0 : NNG_ECONNSHUT;
}

static int conn_send(nng_tls_engine_conn *c, const uint8_t *data, size_t *len)
{
    ERR_clear_error();
    int result = SSL_write(c->ssl, data, *len < INT32_MAX ? (int)*len : INT32_MAX);
    if (result <= 0)
        return outcome(c, result);
    *len = (size_t)result;
    return 0;
}

static bool conn_verified(nng_tls_engine_conn *c)
{
    if (c->known && name_wanted != NULL)
        *name_wanted = c->peer;
    return c->known;
}

static bool pipe_name(nng_pipe pipe, struct tls_name *out)
{
    bool verified = false;
    name_wanted = out;
    int error = nng_pipe_get_bool(pipe, NNG_OPT_TLS_VERIFIED, &verified);
    name_wanted = NULL;
    return error == 0 && verified;
}

/* ---- configurations: all that they could say is said by their end */

static int config_init(nng_tls_engine_config *config, nng_tls_mode mode)
{
    config->end = configured_for != NULL ? hooks->hold(configured_for) : NULL;
    return 0;
}

static void config_fini(nng_tls_engine_config *config)
{
    hooks->drop(config->end);
}

static int config_server(nng_tls_engine_config *config, const char *name)
{
    return 0;
}

static int config_auth(nng_tls_engine_config *config, nng_tls_auth_mode mode)
{
    return 0;
}

static int config_ca(nng_tls_engine_config *config, const char *certificates, const char *revoked)
{
    return NNG_ENOTSUP;
}

static int config_cert(nng_tls_engine_config *config, const char *certificate, const char *key,
                       const char *password)
{
    return NNG_ENOTSUP;
}

static int config_version(nng_tls_engine_config *config, nng_tls_version least,
                          nng_tls_version most)
{
    return least <= NNG_TLS_1_3 && most >= NNG_TLS_1_3 ? 0 : NNG_ENOTSUP;
}

static struct nng_tls_config *config_for(struct tls_end *e)
{
    nng_tls_config *config;
    configured_for = e;
    must(nng_tls_config_alloc(&config,
                              hooks->listens(e) ? NNG_TLS_MODE_SERVER : NNG_TLS_MODE_CLIENT) == 0);
    configured_for = NULL;
    return config;
}

/* ---- installing */

static void install(void)
{
    static nng_tls_engine_conn_ops conn_ops = {
        .size = sizeof(struct nng_tls_engine_conn),
        .init = conn_init,
        .fini = conn_fini,
        .close = conn_close,
        .handshake = conn_handshake,
        .recv = conn_recv,
        .send = conn_send,
        .verified = conn_verified,
    };
    static nng_tls_engine_config_ops config_ops = {
        .size = sizeof(struct nng_tls_engine_config),
        .init = config_init,
        .fini = config_fini,
        .server = config_server,
        .auth = config_auth,
        .ca_chain = config_ca,
        .own_cert = config_cert,
        .version = config_version,
    };
    static const nng_tls_engine engine = {
        .version = NNG_TLS_ENGINE_VERSION,
        .config_ops = &config_ops,
        .conn_ops = &conn_ops,
        .name = "openssl",
        .description = "OpenSSL, mutual TLS 1.3",
    };
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nng");
    must(bio_method != NULL && BIO_meth_set_write(bio_method, bio_write) == 1 &&
         BIO_meth_set_read(bio_method, bio_read) == 1 &&
         BIO_meth_set_ctrl(bio_method, bio_control) == 1 &&
         BIO_meth_set_create(bio_method, bio_create) == 1);
    nng_socket first; /* nng registers its own engine with the first socket: ours must come later */
    must(nng_req0_open(&first) == 0);
    nng_close(first);
    must(nng_tls_engine_register(&engine) == 0);
}

static void install_once(const struct tls_hooks *ours)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (hooks == NULL) /* always the same ones, and connections may be under way */
        hooks = ours;
    must(pthread_once(&once, install) == 0);
}

__attribute__((visibility("default"))) const struct tls_module norn_tls_module = {
    .version = TLS_MODULE_VERSION,
    .install = install_once,
    .load = tls_credentials_load,
    .release = tls_credentials_release,
    .start = tls_credentials_start,
    .config = config_for,
    .pipe_name = pipe_name,
};
