/* A door relays requests to daemons behind it: here, to one that echoes keys. */
#include "jobstore.pb-c.h"
#include "net/net.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ECHO = 10, REFUSE = 11, OWN = 12 };

struct bed {
    struct loop *l;
    char dir[64], daemon_addr[104], door_addr[104], through[128];
    struct server *daemon, *door;
    struct client *inner, *outer;
    struct request *relayed;
    Pb__Service__Name service; /* of the last relayed request */
    struct timer deadline;
    Pb__Reply__Code code;
    char reason[512], name[64];
    uint64_t index;
    bool has_body;
};

static void on_echo(void *self, struct request *req)
{
    request_reply(req, request_body(req), 42);
}

static void on_refuse(void *self, struct request *req)
{
    request_fail_with(req, PB__REPLY__CODE__NOT_FOUND, "no such key", 7, NULL);
}

static void on_own(void *self, struct request *req)
{
    request_reply(req, NULL, 99);
}

static const struct method daemon_methods[] = {
    {ECHO, "echo", &pb__key__descriptor, on_echo},
    {REFUSE, "refuse", &pb__key__descriptor, on_refuse},
    {0, NULL, NULL, NULL},
};
static const struct method door_methods[] = {
    {OWN, "own", &pb__key__descriptor, on_own},
    {0, NULL, NULL, NULL},
};

static void on_inner(void *owner, const struct response *r)
{
    struct bed *b = owner;
    request_relay(b->relayed, r);
}

static void on_relay(void *self, struct request *req)
{
    struct bed *b = self;
    ProtobufCBinaryData payload = request_payload(req);
    b->relayed = req;
    b->service = request_envelope(req)->service;
    client_call(b->inner, &(struct call_options){.method = request_envelope(req)->method,
                                                 .raw = &payload,
                                                 .raw_reply = true,
                                                 .id = request_id(req),
                                                 .done = on_inner,
                                                 .owner = b});
}

static void on_deadline(void *owner)
{
    cr_assert_fail("nothing came within 10 s");
}

static void on_answer(void *owner, const struct response *r)
{
    struct bed *b = owner;
    b->code = r->code;
    b->index = r->index;
    b->has_body = r->body != NULL;
    snprintf(b->reason, sizeof(b->reason), "%s", r->reason);
    snprintf(b->name, sizeof(b->name), "%s",
             r->body != NULL ? ((const Pb__Key *)r->body)->name : "");
    loop_stop(b->l);
}

static void open_all(struct bed *b)
{
    struct reason why;
    struct server_options inside = {.methods = daemon_methods, .self = b};
    struct server_options outside = {.methods = door_methods, .self = b, .relay = on_relay};
    cr_assert_eq(server_open(&b->daemon, b->l, b->daemon_addr, &inside, &why), OK, "%s", why.text);
    cr_assert_eq(server_open(&b->door, b->l, b->door_addr, &outside, &why), OK, "%s", why.text);
    cr_assert_eq(client_open(&b->inner, b->l, b->daemon_addr, &why), OK, "%s", why.text);
    cr_assert_eq(client_open(&b->outer, b->l, b->through, &why), OK, "%s", why.text);
}

static struct bed *bed_new(void)
{
    struct bed *b = calloc(1, sizeof(*b));
    b->l = loop_new();
    strcpy(b->dir, "/tmp/norn-door-XXXXXX");
    cr_assert_not_null(mkdtemp(b->dir));
    snprintf(b->daemon_addr, sizeof(b->daemon_addr), "ipc://%s/daemon.sock", b->dir);
    snprintf(b->door_addr, sizeof(b->door_addr), "ipc://%s/door.sock", b->dir);
    snprintf(b->through, sizeof(b->through), "%s#evalbroker", b->door_addr);
    open_all(b);
    timer_arm(b->l, &b->deadline, 10000, on_deadline, b);
    return b;
}

static void stop_now(void *owner)
{
    loop_stop(owner);
}

/* What is under way ends before anything is closed: see test_net.c. */
static void run_for(struct bed *b, unsigned ms)
{
    struct timer t = {0};
    timer_arm(b->l, &t, ms, stop_now, b->l);
    loop_run(b->l);
}

static void bed_free(struct bed *b)
{
    timer_cancel(b->l, &b->deadline);
    run_for(b, 20);
    client_close(b->outer);
    client_close(b->inner);
    run_for(b, 20);
    server_close(b->door);
    server_close(b->daemon);
    loop_free(b->l);
    unlink(b->daemon_addr + 6);
    unlink(b->door_addr + 6);
    rmdir(b->dir);
    free(b);
}

static void ask(struct bed *b, struct client *c, uint32_t method, const char *name,
                Pb__Service__Name service)
{
    Pb__Key key = PB__KEY__INIT;
    key.name = (char *)name;
    client_call(c, &(struct call_options){.method = method,
                                          .body = name != NULL ? &key.base : NULL,
                                          .reply = &pb__key__descriptor,
                                          .service = service,
                                          .done = on_answer,
                                          .owner = b});
    loop_run(b->l);
}

Test(door, a_request_for_a_daemon_behind_it_and_the_answer_pass_unchanged)
{
    struct bed *b = bed_new();
    ask(b, b->outer, ECHO, "web", PB__SERVICE__NAME__SELF);
    cr_assert_eq(b->code, PB__REPLY__CODE__OK, "%s", b->reason);
    cr_assert_eq(b->service, PB__SERVICE__NAME__EVALBROKER);
    cr_assert_str_eq(b->name, "web");
    cr_assert_eq(b->index, 42);
    bed_free(b);
}

Test(door, an_empty_body_and_a_refusal_pass_too)
{
    struct bed *b = bed_new();
    ask(b, b->outer, REFUSE, NULL, PB__SERVICE__NAME__SELF);
    cr_assert_eq(b->code, PB__REPLY__CODE__NOT_FOUND);
    cr_assert_str_eq(b->reason, "no such key");
    cr_assert_eq(b->index, 7);
    cr_assert(!b->has_body);
    bed_free(b);
}

Test(door, the_call_may_name_another_daemon_than_the_address)
{
    struct bed *b = bed_new();
    ask(b, b->outer, ECHO, "web", PB__SERVICE__NAME__PLANQUEUE);
    cr_assert_eq(b->service, PB__SERVICE__NAME__PLANQUEUE);
    bed_free(b);
}

Test(door, a_daemon_that_is_no_door_refuses_what_is_for_others)
{
    struct bed *b = bed_new();
    ask(b, b->inner, ECHO, "web", PB__SERVICE__NAME__JOBSTORE);
    cr_assert_eq(b->code, PB__REPLY__CODE__INVALID);
    cr_assert_str_eq(b->reason, "this is a daemon's own socket, no door to others: call the "
                                "gateway's listen_rpc");
    bed_free(b);
}

Test(door, an_address_with_an_unknown_name_is_refused)
{
    struct reason why;
    struct loop *l = loop_new();
    struct client *c = NULL;
    cr_assert_eq(client_open(&c, l, "tcp://127.0.0.1:1#jobstor", &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "there is no daemon \"jobstor\""), "%s", why.text);
    loop_free(l);
}
