/* What encryption costs the bus: one server process and one client process, by ipc, tcp and tls+tcp
 * in turn; medians of the rounds. Usage: bench-bus [ROUNDS] */
#include "certs.h"
#include "jobstore.pb-c.h"
#include "net/net.h"
#include "port.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ECHO = 10,
    LATENCIES = 2000,
    CALLS = 20000,
    AT_ONCE = 64,
    HANDSHAKES = 100,
    MOST_ROUNDS = 51
};
enum { KINDS = 3 };
static const char *const kind_names[KINDS] = {"ipc", "tcp", "tls+tcp"};

static char dir[] = "/tmp/norn-bench-XXXXXX";

struct bench {
    struct loop *l;
    struct client *client;
    struct client *dialled[HANDSHAKES];
    struct net_security security;
    const char *addr;
    unsigned sent, answered, wanted;
};

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void make_files(void)
{
    struct certificate ca, c;
    struct reason why;
    static const char *const names[] = {"server.eu.norn", "client.eu.norn"};
    char cert[200], key[200];
    must(ca_make(&ca, &(struct ca_wish){.common_name = "bench", .days = 2}, &why) == OK);
    snprintf(cert, sizeof(cert), "%s/ca.pem", dir);
    snprintf(key, sizeof(key), "%s/ca-key.pem", dir);
    must(certificate_write(&ca, cert, key, false, &why) == OK);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct cert_wish wish = {.common_name = names[i],
                                 .dns_names = names[i],
                                 .ip_addresses = "",
                                 .accepts = i == 0,
                                 .from = time(NULL) - 60,
                                 .until = time(NULL) + 86400};
        must(cert_make(&c, &ca, &wish, &why) == OK);
        snprintf(cert, sizeof(cert), "%s/%s.pem", dir, names[i]);
        snprintf(key, sizeof(key), "%s/%s-key.pem", dir, names[i]);
        must(certificate_write(&c, cert, key, false, &why) == OK);
        certificate_free(&c);
    }
    certificate_free(&ca);
}

static struct tls *open_tls(struct loop *l, const char *name)
{
    struct tls *t;
    struct reason why;
    char ca[200], cert[200], key[200];
    snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
    snprintf(cert, sizeof(cert), "%s/%s.pem", dir, name);
    snprintf(key, sizeof(key), "%s/%s-key.pem", dir, name);
    struct tls_options o = {.files = {.ca = ca, .cert = cert, .key = key}};
    must(tls_open(&t, l, &o, &why) == OK);
    return t;
}

static void on_echo(void *self, struct request *req)
{
    request_reply(req, request_body(req), 42);
}

/* Serves until it is killed. */
static void serve(char *const addrs[KINDS])
{
    static const struct method methods[] = {
        {ECHO, "echo", &pb__key__descriptor, on_echo},
        {0, NULL, NULL, NULL},
    };
    struct loop *l = loop_new();
    struct server *s[KINDS];
    struct reason why;
    struct net_security security = {.tls = open_tls(l, "server.eu.norn")};
    net_secure(l, &security);
    for (int i = 0; i < KINDS; i++)
        if (server_open(&s[i], l, addrs[i], &(struct server_options){.methods = methods}, &why) !=
            OK) {
            fprintf(stderr, "%s\n", why.text);
            _exit(1);
        }
    loop_run(l);
    _exit(0);
}

static void call(struct bench *b, struct client *c);

static void on_answer(void *owner, const struct response *r)
{
    struct bench *b = owner;
    must(r->code == PB__REPLY__CODE__OK);
    if (++b->answered == b->wanted)
        loop_stop(b->l);
    else if (b->sent < b->wanted && b->client != NULL)
        call(b, b->client);
}

static void call(struct bench *b, struct client *c)
{
    Pb__Key key = PB__KEY__INIT;
    key.name = (char *)"a job's name, as it is";
    b->sent++;
    client_call(c, &(struct call_options){.method = ECHO,
                                          .body = &key.base,
                                          .reply = &pb__key__descriptor,
                                          .budget_ms = 60000,
                                          .retry = true,
                                          .done = on_answer,
                                          .owner = b});
}

/* Seconds for `calls` of them, at_once under way. */
static double run_calls(struct bench *b, unsigned calls, unsigned at_once)
{
    double start = now_s();
    b->sent = b->answered = 0;
    b->wanted = calls;
    for (unsigned i = 0; i < at_once && i < calls; i++)
        call(b, b->client);
    loop_run(b->l);
    return now_s() - start;
}

/* Connections from nothing to their first answer, all at once. */
static double run_handshakes(struct bench *b)
{
    struct reason why;
    struct client *usual = b->client;
    double start = now_s();
    b->client = NULL; /* an answer is not followed by another call */
    b->sent = b->answered = 0;
    b->wanted = HANDSHAKES;
    for (int i = 0; i < HANDSHAKES; i++) {
        must(client_open(&b->dialled[i], b->l, b->addr, &why) == OK);
        call(b, b->dialled[i]);
    }
    loop_run(b->l);
    double took = now_s() - start;
    for (int i = 0; i < HANDSHAKES; i++)
        client_close(b->dialled[i]);
    b->client = usual;
    return took;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare);
    return values[count / 2];
}

static void remove_directory(void)
{
    DIR *d = opendir(dir);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL)
        closedir(d);
    rmdir(dir);
}

static void measure(char *const addrs[KINDS], int rounds)
{
    static double latency[KINDS][MOST_ROUNDS], rate[KINDS][MOST_ROUNDS], hello[KINDS][MOST_ROUNDS];
    struct bench b[KINDS] = {0};
    struct reason why;
    struct loop *l = loop_new();
    struct net_security security = {.tls = open_tls(l, "client.eu.norn")};
    net_secure(l, &security);
    for (int k = 0; k < KINDS; k++) {
        b[k].l = l;
        b[k].addr = addrs[k];
        must(client_open(&b[k].client, l, addrs[k], &why) == OK);
        run_calls(&b[k], 100, 1);
    }
    for (int i = 0; i < rounds; i++)
        for (int k = 0; k < KINDS; k++) {
            latency[k][i] = run_calls(&b[k], LATENCIES, 1) / LATENCIES * 1e6;
            rate[k][i] = CALLS / run_calls(&b[k], CALLS, AT_ONCE);
            hello[k][i] = HANDSHAKES / run_handshakes(&b[k]);
        }
    printf("%-8s %14s %22s %22s\n", "", "latency, us", "requests/s, 64 at once", "connections/s");
    for (int k = 0; k < KINDS; k++)
        printf("%-8s %14.1f %22.0f %22.0f\n", kind_names[k], median(latency[k], rounds),
               median(rate[k], rounds), median(hello[k], rounds));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5;
    char addr[KINDS][200];
    char *addrs[KINDS] = {addr[0], addr[1], addr[2]};
    must(rounds > 0 && rounds <= MOST_ROUNDS && mkdtemp(dir) != NULL);
    make_files();
    snprintf(addr[0], sizeof(addr[0]), "ipc://%s/s.sock", dir);
    snprintf(addr[1], sizeof(addr[1]), "tcp://127.0.0.1:%d", port_hold());
    snprintf(addr[2], sizeof(addr[2]), "tls+tcp://127.0.0.1:%d", port_hold());
    pid_t parent = getpid(), server = fork(); /* before nng has threads */
    must(server >= 0);
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            serve(addrs);
        _exit(1);
    }
    measure(addrs, rounds);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    remove_directory();
    _exit(0); /* nng 1.5.2 may hang while it is torn down */
}
