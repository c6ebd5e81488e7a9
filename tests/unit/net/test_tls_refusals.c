/* Whoever is not meant is told no, and the log tells why. */
#include "base/clock.h"
#include "tls_bed.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *what;
    struct wanted_cert cert;
    const char *said;
} strangers[] = {
    {"another CA's",
     {.dns_names = "server.eu.norn", .foreign = true},
     "is not of the CA in ca_file"},
    {"a client's",
     {.dns_names = "client.eu.norn"},
     "is of client.eu.norn, and here only servers of region eu"},
    {"another region's",
     {.dns_names = "server.us.norn"},
     "is of server.us.norn, and here only servers of region eu"},
    {"another domain's", {.dns_names = "server.eu.other"}, "is of server.eu.other, and here only"},
    {"one that is over",
     {.dns_names = "server.eu.norn", .from = -9, .until = -1},
     "(server.eu.norn) was valid until"},
    {"one of tomorrow", {.dns_names = "server.eu.norn", .from = 1, .until = 9}, "a clock is wrong"},
    {"the name in the CN alone",
     {.dns_names = "", .common_name = "server.eu.norn"},
     "has no DNS name such as"},
    {"the name in the CN, another as DNS",
     {.dns_names = "www.example.org", .common_name = "server.eu.norn"},
     "has no DNS name such as"},
    {"a wildcard", {.dns_names = "*.eu.norn"}, "has no DNS name such as"},
    {"a wildcard region", {.dns_names = "server.*.norn"}, "has no DNS name such as"},
    {"two roles", {.dns_names = "server.eu.norn,client.eu.norn"}, "names more than one role"},
    {"two regions", {.dns_names = "server.us.norn,server.eu.norn"}, "names more than one role"},
};

/* Again and again: reports of one second are few. The bed's deadline ends it. */
static void is_reported(struct tls_bed *b, const struct certificate *c, const char *said,
                        char *told, size_t room)
{
    for (b->report[0] = '\0'; strstr(b->report, said) == NULL;) {
        b->wanted_reports = b->reports + 1;
        stranger_calls(b, c, told, room);
        bed_run_for(b, 1100);
    }
}

Test(tls_refusals, strangers_are_told_no_and_the_log_says_why, .timeout = 60)
{
    struct tls_bed *b = tls_bed_new();
    char told[300];
    bed_serve(b, &(struct server_options){.peers = PEER_SERVER});
    for (size_t i = 0; i < COUNT_OF(strangers); i++) {
        struct certificate c = bed_cert(b, &strangers[i].cert);
        is_reported(b, &c, strangers[i].said, told, sizeof(told));
        cr_assert_str_neq(told, "", "%s was taken", strangers[i].what);
        cr_assert(strstr(b->report, "127.0.0.1:") == b->report, "%s", b->report);
        certificate_free(&c);
    }
    /* The alert may get lost with its connection: it is closed at once. The bed's deadline holds.
     */
    do {
        is_reported(b, NULL, "it showed no certificate", told, sizeof(told));
        cr_assert_str_neq(told, "", "no certificate was taken");
    } while (strstr(told, "certificate required") == NULL);
    struct certificate good = bed_cert(b, &(struct wanted_cert){.dns_names = "server.eu.norn"});
    stranger_calls(b, &good, told, sizeof(told));
    cr_assert_str_eq(told, "", "the right one is taken");
    certificate_free(&good);
    tls_bed_free(b);
}

/* ---- a server that is none of ours */

struct impostor {
    SSL_CTX *ctx;
    int fd;
    bool stop;
};

static void *impostor_run(void *arg)
{
    struct impostor *m = arg;
    int fd;
    while ((fd = accept4(m->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
            close(fd);
            break;
        }
        SSL *ssl = SSL_new(m->ctx);
        SSL_set_fd(ssl, fd);
        SSL_accept(ssl);
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

static pthread_t impostor_start(struct tls_bed *b, struct impostor *m, const struct certificate *c)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    pthread_t thread;
    m->ctx = SSL_CTX_new(TLS_server_method());
    cr_assert(SSL_CTX_use_certificate(m->ctx, c->cert) == 1 &&
              SSL_CTX_use_PrivateKey(m->ctx, c->key) == 1);
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(m->fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(m->fd, 10) == 0 &&
              getsockname(m->fd, (struct sockaddr *)&in, &len) == 0);
    b->port = ntohs(in.sin_port);
    snprintf(b->addr, sizeof(b->addr), "tls+tcp://127.0.0.1:%d", b->port);
    cr_assert_eq(pthread_create(&thread, NULL, impostor_run, m), 0);
    return thread;
}

static void impostor_stop(const struct tls_bed *b, struct impostor *m, pthread_t thread)
{
    __atomic_store_n(&m->stop, true, __ATOMIC_RELEASE);
    close(tcp_connect(b->port));
    pthread_join(thread, NULL);
    close(m->fd);
    SSL_CTX_free(m->ctx);
}

static const struct {
    const char *what;
    struct wanted_cert cert;
    const char *said;
} impostors[] = {
    {"another CA's",
     {.dns_names = "server.eu.norn", .foreign = true},
     "is not of the CA in ca_file"},
    {"a client that listens",
     {.dns_names = "client.eu.norn"},
     "is of client.eu.norn, and here only servers of region eu"},
    {"a client's, as made",
     {.dns_names = "client.eu.norn", .cannot_accept = true},
     "may not be used for this side"},
    {"another region's",
     {.dns_names = "server.us.norn"},
     "is of server.us.norn, and here only servers of region eu"},
    {"one that is over",
     {.dns_names = "server.eu.norn", .from = -9, .until = -1},
     "was valid until"},
    {"one of tomorrow", {.dns_names = "server.eu.norn", .from = 1, .until = 9}, "a clock is wrong"},
};

/* Calls that nobody will answer, until the reason given is the one expected: on a loaded machine
 * the first may end before the two have met, and the word of the other end may be lost with the
 * connection it closes. */
static void call_until_told(struct tls_bed *b, const char *said)
{
    uint64_t end = clock_monotonic_ms() + 15000;
    for (;;) {
        bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 300);
        bed_run(b);
        if (strstr(b->reason, said) != NULL || clock_monotonic_ms() >= end)
            return;
        bed_redial(b, PEER_SERVER);
    }
}

Test(tls_refusals, a_client_tells_nothing_to_a_server_it_does_not_know, .timeout = 60)
{
    for (size_t i = 0; i < COUNT_OF(impostors); i++) {
        struct tls_bed *b = tls_bed_new();
        struct impostor m = {0};
        struct certificate c = bed_cert(b, &impostors[i].cert);
        pthread_t thread = impostor_start(b, &m, &c);
        bed_dial(b, "client.eu.norn", PEER_SERVER);
        b->wanted_reports = 1;
        call_until_told(b, impostors[i].said);
        cr_assert(strstr(b->report, impostors[i].said) != NULL, "%s: %s", impostors[i].what,
                  b->report);
        cr_assert(strstr(b->report, b->addr) == b->report, "%s", b->report);
        cr_assert_eq(b->code, PB__REPLY__CODE__TIMEOUT);
        cr_assert(strstr(b->reason, impostors[i].said) != NULL, "the caller is told, too: %s",
                  b->reason);
        impostor_stop(b, &m, thread);
        certificate_free(&c);
        tls_bed_free(b);
    }
}

/* Both ends are ours: the one that is turned away learns it too. */
Test(tls_refusals, who_is_turned_away_is_told_so)
{
    struct tls_bed *b = tls_bed_new();
    bed_serve(b, &(struct server_options){.peers = PEER_SERVER});
    bed_dial(b, "client.eu.norn", PEER_SERVER);
    call_until_told(b, "it does not take our certificate (client.eu.norn)");
    cr_assert_eq(b->code, PB__REPLY__CODE__TIMEOUT);
    cr_assert(strstr(b->reason, "it does not take our certificate (client.eu.norn)") != NULL, "%s",
              b->reason);
    tls_bed_free(b);
}

Test(tls_refusals, reports_are_few_however_many_come, .timeout = 60)
{
    struct tls_bed *b = tls_bed_new();
    char told[300];
    bed_serve(b, &(struct server_options){0});
    for (int i = 0; i < 100; i++)
        stranger_calls(b, NULL, told, sizeof(told));
    bed_run_for(b, 100);
    cr_assert(b->reports > 0 && b->reports <= 16, "%u", b->reports);
    tls_bed_free(b);
}

/* ---- our own files */

static void copy_file(const char *from, const char *to, mode_t mode)
{
    char text[8192];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    size_t len = fread(text, 1, sizeof(text), in);
    cr_assert(len > 0 && len < sizeof(text) && fwrite(text, 1, len, out) == len);
    fclose(in);
    fclose(out);
    cr_assert_eq(chmod(to, mode), 0);
}

static void refuses(struct tls_bed *b, const struct tls_files *files, const char *said)
{
    struct tls *t;
    struct reason why;
    enum err e = tls_open(&t, b->l, &(struct tls_options){.files = *files}, &why);
    cr_assert_neq(e, OK, "taken, not refused as: %s", said);
    cr_assert(strstr(why.text, said) != NULL, "\"%s\" does not say \"%s\"", why.text, said);
}

Test(tls_refusals, what_no_peer_would_take_is_refused_at_once)
{
    struct tls_bed *b = tls_bed_new();
    char path[200];
    struct tls_files good =
        bed_files(b, "good", &(struct wanted_cert){.dns_names = "server.eu.norn"});
    static const struct {
        struct wanted_cert cert;
        const char *said;
    } certs[] = {
        {{.dns_names = "server.eu.norn", .foreign = true}, "is not of the CA in ca_file"},
        {{.dns_names = "server.eu.norn", .from = -9, .until = -1}, "make a new one"},
        {{.dns_names = "server.eu.norn", .from = 1, .until = 9}, "a clock is wrong"},
        {{.dns_names = "www.example.org", .common_name = "server.eu.norn"},
         "has no DNS name such as"},
    };
    for (size_t i = 0; i < COUNT_OF(certs); i++) {
        struct tls_files bad = bed_files(b, "bad", &certs[i].cert);
        refuses(b, &bad, certs[i].said);
    }
    good = bed_files(b, "good", &(struct wanted_cert){.dns_names = "server.eu.norn"});
    struct tls_files other =
        bed_files(b, "other", &(struct wanted_cert){.dns_names = "server.eu.norn"});
    struct tls_files bad = good;
    bad.key = other.key;
    refuses(b, &bad, "is not the (unencrypted) private key of");
    bad = good;
    bad.ca = good.key;
    refuses(b, &bad, "ca_file:");
    bad = good;
    bad.cert = good.key;
    refuses(b, &bad, "cert_file:");
    bad = good;
    bad.cert = "/nonexistent/cert.pem";
    refuses(b, &bad, "cert_file: open /nonexistent/cert.pem: No such file");
    bad = good;
    bad.key = b->dir;
    refuses(b, &bad, "is not a file");
    snprintf(path, sizeof(path), "%s/open-key.pem", b->dir);
    copy_file(good.key, path, 0644);
    bad.key = path;
    refuses(b, &bad, "anybody may read");
    tls_bed_free(b);
}
