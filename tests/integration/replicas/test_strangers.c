/* Who is not of the region, or speaks otherwise: refused with a word, and no harm done. */
#include "net/net.h"
#include "raft.pb-c.h"
#include "region.h"
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void register_some(struct region *r, const char *prefix, unsigned count)
{
    char job[64];
    for (unsigned i = 0; i < count; i++) {
        snprintf(job, sizeof job, "%s-%u", prefix, i);
        region_register(r, job, 30000);
    }
}

Test(strangers, a_directory_copied_from_another_server_is_refused)
{
    struct region *r = region_new(3, 2, NULL);
    char command[400];
    int status = 0;
    region_spawn(r, 0);
    region_spawn(r, 1);
    region_leader(r, 10000);
    store_process_kill(r->servers[1], SIGTERM);
    snprintf(command, sizeof command, "cp -r %s %s", r->servers[1]->data, r->servers[2]->data);
    cr_assert_eq(system(command), 0);
    region_spawn(r, 2);
    cr_assert(store_process_ended(r->servers[2], 10000, &status));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    region_expect_log(r, 2, "belongs to the server s2.global and this one is called s3.global",
                      100);
    region_free(r);
}

Test(strangers, servers_that_expect_different_numbers_say_so_and_wait)
{
    struct region *r = region_new(3, 3, NULL);
    r->servers[0]->extra[7] = "2";
    region_start(r);
    region_expect_log(r, 1, "bootstrap_expect is 3 here and 2 at s1.global", 10000);
    for (unsigned i = 0; i < 3; i++) {
        const Pb__JobstoreStatus *s = region_status(r, i, false);
        cr_assert(s == NULL || s->n_members == 0, "server %u has formed a cluster", i + 1);
    }
    region_free(r);
}

Test(strangers, a_server_of_another_cluster_is_left_alone_and_named)
{
    struct region *r = region_new(4, 3, NULL);
    r->servers[3]->extra[7] = "1"; /* it begins one of its own */
    for (unsigned i = 0; i < 3; i++)
        region_spawn(r, i);
    unsigned leader = region_leader(r, 10000);
    region_spawn(r, 3);
    region_expect_log(r, leader, "event=server_of_another_cluster server=s4.global", 10000);
    region_expect_log(r, leader, "stop it and empty its data directory", 100);
    register_some(r, "web", 2);
    region_expect_voters(r, 3, 0, 1000);
    region_free(r);
}

Test(strangers, a_copy_under_the_same_name_ends_and_the_server_stays)
{
    struct region *r = region_new(4, 3, NULL);
    char command[400];
    int status = 0;
    for (unsigned i = 0; i < 3; i++)
        region_spawn(r, i);
    unsigned copied = (region_leader(r, 10000) + 1) % 3;
    register_some(r, "web", 3);
    region_expect_named(r, copied, 5000); /* the cluster knows where the server is */
    snprintf(command, sizeof command, "cp -r %s %s", r->servers[copied]->data, r->servers[3]->data);
    cr_assert_eq(system(command), 0);
    r->servers[3]->extra[1] = r->names[copied];
    region_spawn(r, 3);
    cr_assert(store_process_ended(r->servers[3], 10000, &status));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    region_expect_log(r, 3, "has the identity of this server", 100);
    register_some(r, "after", 2);
    cr_assert(region_has(r, copied, "web-2", false));
    region_free(r);
}

/* What a server of our cluster would send, but for what the test sets. */
static struct response send_raft(struct region *r, unsigned to, void (*spoil)(Pb__RaftMessages *m))
{
    Pb__RaftMessages all = PB__RAFT_MESSAGES__INIT;
    Pb__RaftMessage one = PB__RAFT_MESSAGE__INIT, *list[] = {&one};
    struct response answer;
    struct reason why;
    const Pb__JobstoreStatus *s = region_status(r, to, false);
    cr_assert_not_null(s);
    all.has_version = all.has_from = all.has_to = all.has_cluster_id = true;
    all.version = PB__RAFT__VERSION__NOW;
    all.from = 12345;
    all.to = s->raft_id;
    all.cluster_id = s->cluster_id;
    all.address = (char *)"ipc:///nowhere";
    one.has_type = one.has_term = true;
    one.type = PB__RAFT_MESSAGE__TYPE__APPEND;
    one.term = s->term;
    all.n_messages = 1;
    all.messages = list;
    spoil(&all);
    cr_assert_eq(net_call_wait(r->raft[to],
                               &(struct call_options){.method = PB__RAFT__METHOD__MESSAGES,
                                                      .body = &all.base,
                                                      .budget_ms = 20000},
                               r->servers[to]->arena, &answer, &why),
                 OK);
    return answer;
}

static void of_later_version(Pb__RaftMessages *m)
{
    m->version++;
}
static void of_other_cluster(Pb__RaftMessages *m)
{
    m->cluster_id.data[0] ^= 1;
}
static void for_somebody_else(Pb__RaftMessages *m)
{
    m->to++;
}
static void of_unknown_kind(Pb__RaftMessages *m)
{
    m->messages[0]->type = 77;
}

static const struct {
    void (*spoil)(Pb__RaftMessages *m);
    Pb__Reply__Code code;
    const char *said;
} wrong[] = {
    {of_later_version, PB__REPLY__CODE__DENIED, "run the same version of norn on all servers"},
    {of_other_cluster, PB__REPLY__CODE__DENIED, "a server of another cluster"},
    {for_somebody_else, PB__REPLY__CODE__DENIED, "its address is wrong"},
    {of_unknown_kind, PB__REPLY__CODE__INVALID, "unknown type"},
};

Test(strangers, raft_messages_that_are_not_for_us_are_refused_with_a_reason)
{
    struct region *r = region_new(3, 3, NULL);
    region_start(r);
    unsigned leader = region_leader(r, 30000);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct response a = send_raft(r, leader, wrong[i].spoil);
        cr_assert_eq(a.code, wrong[i].code, "%zu: %s", i, a.reason);
        cr_assert_not_null(strstr(a.reason, wrong[i].said), "%zu: %s", i, a.reason);
        region_expect_log(r, leader, wrong[i].said, 10000);
    }
    register_some(r, "after", 2);
    region_free(r);
}

static int connect_to(const char *address)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", address + strlen("ipc://"));
    cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0);
    return fd;
}

/* nng's greeting and then random bytes, random bytes alone, a message that is cut, nothing. */
Test(strangers, noise_between_the_servers_harms_nobody)
{
    static const char greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    static const char begun[] = {1, 0, 0, 0, 0, 0, 0, 4, 0, 'x'};
    struct region *r = region_new(3, 3, NULL);
    unsigned seed = 3;
    region_start(r);
    region_leader(r, 30000);
    for (unsigned i = 0; i < 300; i++) {
        char noise[256];
        int fd = connect_to(r->raft[i % 3]);
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (char)rand_r(&seed);
        if (i % 2 == 0)
            (void)!send(fd, greeting, sizeof greeting, MSG_NOSIGNAL);
        if (i % 5 < 3)
            (void)!send(fd, noise, sizeof noise, MSG_NOSIGNAL);
        else if (i % 5 == 3)
            (void)!send(fd, begun, sizeof begun, MSG_NOSIGNAL);
        close(fd);
    }
    register_some(r, "after", 3);
    region_expect_equal(r, 30000);
    region_expect_voters(r, 3, 0, 30000);
    region_free(r);
}

/* A peer's address at which something else answers: here nobody that speaks nng at all. */
Test(strangers, a_peer_that_is_no_server_is_waited_for_and_named)
{
    struct region *r = region_new(3, 3, NULL);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", r->raft[2] + strlen("ipc://"));
    cr_assert(bind(fd, (struct sockaddr *)&sun, sizeof sun) == 0 && listen(fd, 50) == 0);
    region_spawn(r, 0);
    region_spawn(r, 1);
    region_expect_log(r, 0, "2 of 3 servers are seen; no answer from ipc://", 30000);
    for (unsigned i = 0; i < 2; i++) {
        const Pb__JobstoreStatus *s = region_status(r, i, false);
        cr_assert(s == NULL || s->n_members == 0);
    }
    close(fd); /* the real one comes */
    region_spawn(r, 2);
    region_leader(r, 30000);
    register_some(r, "after", 1);
    region_free(r);
}
