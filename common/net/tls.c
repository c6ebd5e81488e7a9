#include "base/clock.h"
#include "net/syscalls.h"
#include "net/tls_internal.h"
#include "net/tls_module.h"
#include <arpa/inet.h>
#include <nng/supplemental/tls/tls.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORTS_A_SECOND 8
#define REPORT_SIZE      600

/* Threads of nng's use it, for handshakes; the loop reloads it. */
struct tls {
    pthread_mutex_t lock;
    int holders; /* atomic: the owner and the ends */
    const struct tls_module *module;
    struct tls_credentials *credentials; /* the newest */
    struct tls_name own;
    int64_t ends;
    struct loop *loop; /* NULL: closed */
    void (*refused)(void *owner, const char *why, unsigned suppressed);
    void *owner;
    char (*reports)[REPORT_SIZE]; /* REPORTS_A_SECOND */
    unsigned report_count;        /* that wait for the loop, which has been posted to */
    uint64_t second;              /* of the last report */
    unsigned this_second, suppressed;
    struct post post;
};

struct tls_end {
    struct tls *tls;
    int holders; /* atomic */
    unsigned takes;
    bool listens;
    char *addr;
    pthread_mutex_t lock;
    char failure[REPORT_SIZE];
};

static void tls_drop(struct tls *t)
{
    if (__atomic_sub_fetch(&t->holders, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    t->module->release(t->credentials);
    pthread_mutex_destroy(&t->lock);
    free(t->reports);
    free(t);
}

void tls_own(struct tls *t, struct tls_name *name, int64_t *ends)
{
    pthread_mutex_lock(&t->lock);
    *name = t->own;
    *ends = t->ends;
    pthread_mutex_unlock(&t->lock);
}

void tls_close(struct tls *t)
{
    if (t == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    struct loop *l = t->loop;
    t->loop = NULL;
    pthread_mutex_unlock(&t->lock);
    loop_unpost(l, &t->post);
    tls_drop(t);
}

/* ---- reports: from nng's threads to the loop, some each second */

static void on_reports(void *arg)
{
    struct tls *t = arg;
    char reports[REPORTS_A_SECOND][REPORT_SIZE];
    pthread_mutex_lock(&t->lock);
    unsigned count = t->report_count, suppressed = t->suppressed;
    memcpy(reports, t->reports, count * sizeof(reports[0]));
    t->report_count = t->suppressed = 0;
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < count && t->refused != NULL; i++)
        t->refused(t->owner, reports[i], i == 0 ? suppressed : 0);
}

static void report(struct tls *t, const char *text)
{
    uint64_t second = clock_monotonic_ms() / 1000;
    pthread_mutex_lock(&t->lock);
    if (second != t->second)
        t->this_second = 0;
    t->second = second;
    if (t->loop == NULL || t->this_second == REPORTS_A_SECOND ||
        t->report_count == REPORTS_A_SECOND) {
        t->suppressed++;
    } else {
        t->this_second++;
        memcpy(t->reports[t->report_count], text, REPORT_SIZE);
        if (t->report_count++ == 0) {
            t->post = (struct post){.fire = on_reports, .arg = t};
            loop_post(t->loop, &t->post);
        }
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- ends */

static struct tls_end *tls_end_new(struct tls *t, const char *addr, bool listens, unsigned takes)
{
    struct tls_end *e = xcalloc(1, sizeof(*e));
    __atomic_add_fetch(&t->holders, 1, __ATOMIC_RELAXED);
    e->tls = t;
    e->holders = 1;
    e->takes = takes;
    e->listens = listens;
    e->addr = xstrdup(addr);
    must(pthread_mutex_init(&e->lock, NULL) == 0);
    return e;
}

static struct tls_end *end_hold(struct tls_end *e)
{
    __atomic_add_fetch(&e->holders, 1, __ATOMIC_RELAXED);
    return e;
}

void tls_end_drop(struct tls_end *e)
{
    if (e == NULL || __atomic_sub_fetch(&e->holders, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    tls_drop(e->tls);
    pthread_mutex_destroy(&e->lock);
    free(e->addr);
    free(e);
}

static struct tls_session *end_start(const struct tls_end *e, struct tls_name *own)
{
    pthread_mutex_lock(&e->tls->lock);
    struct tls_session *session = e->tls->module->start(e->tls->credentials);
    *own = e->tls->own;
    pthread_mutex_unlock(&e->tls->lock);
    return session;
}

static unsigned end_takes(const struct tls_end *e)
{
    return e->takes;
}

static bool end_listens(const struct tls_end *e)
{
    return e->listens;
}

bool tls_end_of_server(const struct tls_end *e)
{
    return e->tls->own.role == TLS_SERVER; /* a reload does not change it */
}

static void print_peer(const nng_sockaddr *peer, char *out, size_t room)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (peer->s_family == NNG_AF_INET &&
        inet_ntop(AF_INET, &peer->s_in.sa_addr, host, sizeof(host)) != NULL)
        snprintf(out, room, "%s:%u", host, ntohs(peer->s_in.sa_port));
    else if (peer->s_family == NNG_AF_INET6 &&
             inet_ntop(AF_INET6, &peer->s_in6.sa_addr, host, sizeof(host)) != NULL)
        snprintf(out, room, "[%s]:%u", host, ntohs(peer->s_in6.sa_port));
    else
        snprintf(out, room, "somebody");
}

static void end_failed(struct tls_end *e, const nng_sockaddr *peer, const char *why, bool quiet)
{
    char text[REPORT_SIZE] = "", from[80];
    pthread_mutex_lock(&e->lock);
    snprintf(e->failure, sizeof(e->failure), "%s", why);
    pthread_mutex_unlock(&e->lock);
    if (quiet)
        return;
    print_peer(peer, from, sizeof(from));
    if (e->listens)
        snprintf(text, sizeof(text), "%s, which called at %s: %s", from, e->addr, why);
    else
        snprintf(text, sizeof(text), "%s, which was called: %s", e->addr, why);
    report(e->tls, text);
}

static void end_succeeded(struct tls_end *e)
{
    pthread_mutex_lock(&e->lock);
    e->failure[0] = '\0';
    pthread_mutex_unlock(&e->lock);
}

void tls_end_failure(struct tls_end *e, char *out, size_t room)
{
    pthread_mutex_lock(&e->lock);
    snprintf(out, room, "%s", e->failure);
    pthread_mutex_unlock(&e->lock);
}

static const struct tls_hooks hooks = {
    .hold = end_hold,
    .drop = tls_end_drop,
    .start = end_start,
    .takes = end_takes,
    .listens = end_listens,
    .failed = end_failed,
    .succeeded = end_succeeded,
    .give = syscalls_give,
    .given = syscalls_given,
};

/* ---- opening */

enum err tls_open(struct tls **out, struct loop *l, const struct tls_options *o, struct reason *why)
{
    const struct tls_module *module = tls_module_load(why);
    if (module == NULL)
        return ERR_INVALID;
    struct tls *t = xcalloc(1, sizeof(*t));
    enum err e = module->load(&t->credentials, &o->files, &t->own, &t->ends, why);
    if (e != OK) {
        free(t);
        return e;
    }
    must(pthread_mutex_init(&t->lock, NULL) == 0);
    t->module = module;
    t->holders = 1;
    t->loop = l;
    t->refused = o->refused;
    t->owner = o->owner;
    t->reports = xcalloc(REPORTS_A_SECOND, sizeof(*t->reports));
    module->install(&hooks);
    *out = t;
    return OK;
}

static enum err refuse_other_name(const struct tls *t, const struct tls_name *fresh,
                                  const char *file, struct reason *why)
{
    char was[TLS_NAME_SIZE], is[TLS_NAME_SIZE];
    tls_name_print(&t->own, was);
    tls_name_print(fresh, is);
    if (strcmp(was, is) == 0)
        return OK;
    return reason_set(why, ERR_INVALID,
                      "cert_file: %s is of %s, and this daemon runs as %s: to change that it must "
                      "be started again",
                      file, is, was);
}

enum err tls_reload(struct tls *t, const struct tls_files *files, struct reason *why)
{
    struct tls_credentials *fresh;
    struct tls_name name;
    int64_t ends;
    enum err e = t->module->load(&fresh, files, &name, &ends, why);
    if (e != OK)
        return e;
    e = refuse_other_name(t, &name, files->cert, why);
    pthread_mutex_lock(&t->lock);
    struct tls_credentials *unused = e == OK ? t->credentials : fresh;
    if (e == OK) {
        t->credentials = fresh;
        t->ends = ends;
    }
    pthread_mutex_unlock(&t->lock);
    t->module->release(unused); /* connections hold it as long as they need it */
    return e;
}

/* ---- addresses */

static const char tls_scheme[] = "tls+tcp://", plain_scheme[] = "tcp://", ipc_scheme[] = "ipc://";

void net_secure(struct loop *l, const struct net_security *s)
{
    loop_set_context(l, s);
}

static const struct net_security *security(const struct loop *l)
{
    static const struct net_security none;
    const struct net_security *s = loop_context(l);
    return s != NULL ? s : &none;
}

struct tls *net_tls(struct loop *l)
{
    return security(l)->tls;
}

bool tls_pipe_name(const struct tls *t, nng_pipe pipe, struct tls_name *out)
{
    return t->module->pipe_name(pipe, out);
}

bool addr_is_tls(const char *addr)
{
    return strncmp(addr, tls_scheme, strlen(tls_scheme)) == 0;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Names other than localhost may lead anywhere. */
static bool is_loopback(const char *host)
{
    struct in_addr in;
    char name[INET_ADDRSTRLEN];
    if (starts(host, "localhost:") || starts(host, "[::1]:"))
        return true;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(host, ":"), host);
    return inet_pton(AF_INET, name, &in) == 1 && (ntohl(in.s_addr) >> 24) == 127;
}

enum err net_check_address(struct loop *l, const char *addr, struct reason *why)
{
    const struct net_security *s = security(l);
    if (starts(addr, ipc_scheme))
        return OK;
    if (addr_is_tls(addr))
        return s->tls != NULL ? OK
                              : reason_set(why, ERR_INVALID,
                                           "tls+tcp:// needs certificates: set ca_file, cert_file "
                                           "and key_file in the group tls (nctl tls makes them)");
    if (!starts(addr, plain_scheme))
        return reason_set(why, ERR_INVALID, "an address begins with ipc://, tls+tcp:// or tcp://");
    if (s->allow_plain || is_loopback(addr + strlen(plain_scheme)))
        return OK;
    return reason_set(why, ERR_INVALID,
                      "plain tcp:// lets everybody who can reach it read and command. Use "
                      "tls+tcp:// and certificates (group tls, made by nctl tls); or, on a network "
                      "where nobody else is, set allow_plain_tcp = true in the group tls");
}

static int set_listener(nng_listener listener, struct tls_end *e)
{
    nng_tls_config *config = e->tls->module->config(e);
    int error = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config);
    return error != 0 ? error : nng_listener_set_bool(listener, NNG_OPT_TCP_KEEPALIVE, true);
}

enum err tls_set_listener(nng_listener listener, struct loop *l, const char *addr, unsigned peers,
                          struct reason *why)
{
    if (!addr_is_tls(addr))
        return OK;
    struct tls_end *e = tls_end_new(security(l)->tls, addr, true, peers);
    int error = set_listener(listener, e);
    tls_end_drop(e);
    return error == 0 ? OK : reason_set(why, ERR_INVALID, "%s", nng_strerror(error));
}

static int set_dialer(nng_dialer dialer, struct tls_end *e)
{
    nng_tls_config *config = e->tls->module->config(e);
    int error = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config);
    return error != 0 ? error : nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true);
}

enum err tls_set_dialer(nng_dialer dialer, struct loop *l, const char *addr, unsigned peers,
                        struct tls_end **out, struct reason *why)
{
    if (!addr_is_tls(addr))
        return OK;
    struct tls_end *e = tls_end_new(security(l)->tls, addr, false, peers);
    int error = set_dialer(dialer, e);
    if (error != 0) {
        tls_end_drop(e);
        return reason_set(why, ERR_INVALID, "%s", nng_strerror(error));
    }
    *out = e;
    return OK;
}
