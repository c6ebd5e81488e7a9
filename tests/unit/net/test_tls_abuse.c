/* A listener by TLS that is mistreated, and serves afterwards; and one with many connections. */
#include "tls_bed.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void hang_up(int port)
{
    close(tcp_connect(port));
}

static void reset(int port)
{
    struct linger at_once = {.l_onoff = 1};
    int fd = tcp_connect(port);
    shutdown(fd, SHUT_WR);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

static void send_garbage(int port)
{
    char garbage[600];
    int fd = tcp_connect(port);
    for (size_t i = 0; i < sizeof(garbage); i++)
        garbage[i] = (char)(i * 7 + 3);
    send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL);
    close(fd);
}

/* The record and half of what it announces. */
static void send_half_a_hello(int port)
{
    static const unsigned char half[] = {22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 1, 2, 3, 4, 5, 6, 7};
    int fd = tcp_connect(port);
    send(fd, half, sizeof(half), MSG_NOSIGNAL);
    close(fd);
}

/* A record that claims more than there may be. */
static void send_too_long(int port)
{
    static const unsigned char head[] = {22, 3, 3, 255, 255, 1, 0};
    int fd = tcp_connect(port);
    send(fd, head, sizeof(head), MSG_NOSIGNAL);
    close(fd);
}

static void speak_http(int port)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = tcp_connect(port);
    send(fd, text, strlen(text), MSG_NOSIGNAL);
    close(fd);
}

Test(tls_abuse, a_mistreated_listener_serves_afterwards, .timeout = 120)
{
    static void (*const abuses[])(int port) = {hang_up,           reset,         send_garbage,
                                               send_half_a_hello, send_too_long, speak_http};
    struct tls_bed *b = tls_bed_new();
    int silent[50];
    bed_serve(b, &(struct server_options){0});
    for (size_t i = 0; i < COUNT_OF(silent); i++)
        silent[i] = tcp_connect(b->port);
    for (int i = 0; i < 600; i++)
        abuses[i % (int)COUNT_OF(abuses)](b->port);
    bed_dial(b, "client.eu.norn", PEER_SERVER);
    bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 15000);
    bed_run(b);
    cr_assert_eq(b->code, PB__REPLY__CODE__OK, "%s", b->reason);
    for (size_t i = 0; i < COUNT_OF(silent); i++)
        close(silent[i]);
    tls_bed_free(b);
}

enum { MANY = 520 };

static void on_answer(void *owner, const struct response *r)
{
    struct tls_bed *b = owner;
    cr_assert_eq(r->code, PB__REPLY__CODE__OK, "%s", r->reason);
    if (++b->answers == b->wanted_answers)
        loop_stop(b->l);
}

Test(tls_abuse, five_hundred_connections_are_served, .timeout = 120)
{
    struct tls_bed *b = tls_bed_new();
    struct client **clients = calloc(MANY, sizeof(struct client *));
    struct rlimit files;
    struct reason why;
    Pb__Key key = PB__KEY__INIT;
    key.name = (char *)"a name";
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    bed_serve(b, &(struct server_options){0});
    timer_cancel(b->l, &b->deadline); /* the test's own limit is longer */
    bed_dial(b, "client.eu.norn", PEER_SERVER);
    b->wanted_answers = MANY;
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(client_open(&clients[i], b->l, b->addr, &why), OK, "%s", why.text);
        client_call(clients[i], &(struct call_options){.method = ECHO,
                                                       .body = &key.base,
                                                       .reply = &pb__key__descriptor,
                                                       .budget_ms = 100000,
                                                       .retry = true,
                                                       .done = on_answer,
                                                       .owner = b});
    }
    bed_run(b);
    cr_assert_eq(b->reports, 0, "%s", b->report);
    for (int i = 0; i < MANY; i++)
        client_close(clients[i]);
    free(clients);
    tls_bed_free(b);
}
