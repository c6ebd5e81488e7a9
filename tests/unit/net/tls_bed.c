#include "tls_bed.h"
#include "port.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DAY INT64_C(86400)

static void on_deadline(void *owner)
{
    const struct tls_bed *b = owner;
    cr_assert_fail("not all came within 20 s: %u answers, %u reports, the last: %s", b->answers,
                   b->reports, b->report);
}

static void stop_when_done(struct tls_bed *b)
{
    if (b->answers >= b->wanted_answers && b->reports >= b->wanted_reports)
        loop_stop(b->l);
}

static void on_refused(void *owner, const char *why, unsigned suppressed)
{
    struct tls_bed *b = owner;
    b->reports++;
    snprintf(b->report, sizeof(b->report), "%s", why);
    stop_when_done(b);
}

struct tls_bed *tls_bed_new(void)
{
    struct tls_bed *b = calloc(1, sizeof(*b));
    struct reason why;
    struct ca_wish wish = {.common_name = "A CA", .days = 100};
    char path[100], key[100];
    b->l = loop_new();
    snprintf(b->dir, sizeof(b->dir), "/tmp/norn-tls-XXXXXX");
    cr_assert_not_null(mkdtemp(b->dir));
    cr_assert_eq(ca_make(&b->ca, &wish, &why), OK, "%s", why.text);
    cr_assert_eq(ca_make(&b->foreign_ca, &wish, &why), OK, "%s", why.text);
    snprintf(path, sizeof(path), "%s/ca.pem", b->dir);
    snprintf(key, sizeof(key), "%s/ca-key.pem", b->dir);
    cr_assert_eq(certificate_write(&b->ca, path, key, false, &why), OK, "%s", why.text);
    timer_arm(b->l, &b->deadline, 20000, on_deadline, b);
    return b;
}

static void remove_files(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(dir);
}

void tls_bed_free(struct tls_bed *b)
{
    timer_cancel(b->l, &b->deadline);
    if (b->client != NULL) {
        bed_run_for(b, 20);
        client_close(b->client);
    }
    bed_run_for(b, 20);
    server_close(b->server);
    tls_close(b->client_tls);
    tls_close(b->server_tls);
    loop_free(b->l);
    certificate_free(&b->ca);
    certificate_free(&b->foreign_ca);
    remove_files(b->dir);
    free(b);
}

struct certificate bed_cert(struct tls_bed *b, const struct wanted_cert *w)
{
    struct certificate c;
    struct reason why;
    bool usual = w->from == 0 && w->until == 0;
    int64_t now = time(NULL);
    struct cert_wish wish = {
        .common_name = w->common_name != NULL ? w->common_name : "somebody",
        .dns_names = w->dns_names,
        .ip_addresses = "",
        .accepts = !w->cannot_accept,
        .from = now + (usual ? -1 : w->from) * DAY,
        .until = now + (usual ? 10 : w->until) * DAY,
    };
    cr_assert_eq(cert_make(&c, w->foreign ? &b->foreign_ca : &b->ca, &wish, &why), OK, "%s",
                 why.text);
    return c;
}

struct tls_files bed_files(struct tls_bed *b, const char *name, const struct wanted_cert *w)
{
    static char paths[16][200]; /* a test is a process, and makes few */
    static unsigned used;
    struct reason why;
    char *ca = paths[used++ % 16], *cert = paths[used++ % 16], *key = paths[used++ % 16];
    struct certificate c = bed_cert(b, w);
    snprintf(ca, 200, "%s/ca.pem", b->dir);
    snprintf(cert, 200, "%s/%s.pem", b->dir, name);
    snprintf(key, 200, "%s/%s-key.pem", b->dir, name);
    cr_assert_eq(certificate_write(&c, cert, key, true, &why), OK, "%s", why.text);
    certificate_free(&c);
    return (struct tls_files){.ca = ca, .cert = cert, .key = key};
}

struct tls *bed_tls(struct tls_bed *b, const char *name, const char *dns_names)
{
    struct tls *t;
    struct reason why;
    struct tls_options o = {
        .files = bed_files(b, name, &(struct wanted_cert){.dns_names = dns_names}),
        .refused = on_refused,
        .owner = b,
    };
    cr_assert_eq(tls_open(&t, b->l, &o, &why), OK, "%s", why.text);
    return t;
}

static void on_echo(void *self, struct request *req)
{
    struct tls_bed *b = self;
    snprintf(b->peer_name, sizeof(b->peer_name), "%s", request_peer_name(req));
    snprintf(b->peer_region, sizeof(b->peer_region), "%s", request_peer_region(req));
    b->peer_kind = request_peer_kind(req);
    request_reply(req, request_body(req), 42);
    if (b->stop_at_request)
        loop_stop(b->l);
}

static void on_relayed(void *self, struct request *req)
{
    struct tls_bed *b = self;
    b->relayed++;
    request_reply(req, NULL, 0);
}

static const struct method methods[] = {
    {ECHO, "echo", &pb__key__descriptor, on_echo},
    {SECRET, "secret", &pb__key__descriptor, on_echo},
    {0, NULL, NULL, NULL},
};

void bed_serve(struct tls_bed *b, const struct server_options *o)
{
    struct server_options options = *o;
    struct reason why;
    if (options.methods == NULL)
        options.methods = methods;
    options.self = b;
    if (options.relay_peers != 0)
        options.relay = on_relayed;
    if (b->server_tls == NULL)
        b->server_tls = bed_tls(b, "server", "server.eu.norn");
    b->server_security = (struct net_security){.tls = b->server_tls};
    net_secure(b->l, &b->server_security);
    b->port = port_hold();
    snprintf(b->addr, sizeof(b->addr), "tls+tcp://127.0.0.1:%d", b->port);
    cr_assert_eq(server_open(&b->server, b->l, b->addr, &options, &why), OK, "%s", why.text);
}

void bed_dial(struct tls_bed *b, const char *dns_names, unsigned peers)
{
    b->client_tls = bed_tls(b, "client", dns_names);
    b->client_security = (struct net_security){.tls = b->client_tls};
    net_secure(b->l, &b->client_security);
    bed_redial(b, peers);
}

void bed_redial(struct tls_bed *b, unsigned peers)
{
    struct reason why;
    client_close(b->client);
    b->client = NULL;
    cr_assert_eq(client_open_to(&b->client, b->l, b->addr, peers, &why), OK, "%s", why.text);
}

static void on_response(void *owner, const struct response *r)
{
    struct tls_bed *b = owner;
    b->code = r->code;
    snprintf(b->reason, sizeof(b->reason), "%s", r->reason);
    b->answers++;
    stop_when_done(b);
}

void bed_call(struct tls_bed *b, uint32_t method, Pb__Service__Name service, uint32_t budget_ms)
{
    Pb__Key key = PB__KEY__INIT;
    key.name = (char *)"a name";
    client_call(b->client, &(struct call_options){.method = method,
                                                  .service = service,
                                                  .body = &key.base,
                                                  .reply = &pb__key__descriptor,
                                                  .budget_ms = budget_ms,
                                                  .retry = true,
                                                  .done = on_response,
                                                  .owner = b});
    b->wanted_answers++;
}

void bed_run(struct tls_bed *b)
{
    if (b->answers < b->wanted_answers || b->reports < b->wanted_reports)
        loop_run(b->l);
}

static void stop_now(void *owner)
{
    struct tls_bed *b = owner;
    loop_stop(b->l);
}

void bed_run_for(struct tls_bed *b, unsigned ms)
{
    struct timer t = {0};
    timer_arm(b->l, &t, ms, stop_now, b);
    loop_run(b->l);
    timer_cancel(b->l, &t);
}

int tcp_connect(int port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    cr_assert_eq(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

void stranger_calls(const struct tls_bed *b, const struct certificate *cert, char *out, size_t room)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    char byte;
    ERR_clear_error();
    if (cert != NULL)
        cr_assert(SSL_CTX_use_certificate(ctx, cert->cert) == 1 &&
                  SSL_CTX_use_PrivateKey(ctx, cert->key) == 1);
    SSL *ssl = SSL_new(ctx);
    int fd = tcp_connect(b->port);
    SSL_set_fd(ssl, fd);
    /* In TLS 1.3 the client is done before the server has seen its certificate. */
    int result = SSL_connect(ssl);
    if (result == 1)
        result = SSL_read(ssl, &byte, 1); /* nng's greeting, or the alert */
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(out, room, "%s", result == 1 ? "" : text != NULL ? text : "hung up");
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}
