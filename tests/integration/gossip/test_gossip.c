/* A dozen gossip daemons on loopback, in two regions, as processes. */
#include "base/arena.h"
#include "base/clock.h"
#include "gossip.pb-c.h"
#include "net/net.h"
#include "port.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVERS 12

static struct {
    char dir[64];
    pid_t pids[SERVERS + 1]; /* 0: not running */
    int ports[SERVERS + 1];
    struct arena *arena;
} suite;

static const char *region_of(int i)
{
    return i % 3 == 2 ? "eu" : "us";
}

static const char *name_of(int i)
{
    return arena_printf(suite.arena, "s%d.%s", i, region_of(i));
}

static void nap(void)
{
    poll(NULL, 0, 20);
}

static bool call(int i, uint32_t method, const ProtobufCMessage *body,
                 const ProtobufCMessageDescriptor *reply, struct response *r)
{
    struct reason why;
    char address[128];
    snprintf(address, sizeof address, "ipc://%s/g%d.sock", suite.dir, i);
    return net_call_wait(address,
                         &(struct call_options){
                             .method = method, .body = body, .reply = reply, .budget_ms = 6000},
                         suite.arena, r, &why) == OK &&
           r->code == PB__REPLY__CODE__OK;
}

static Pb__Member__Status sees(int viewer, const char *name)
{
    struct response r;
    if (!call(viewer, PB__GOSSIP__METHOD__MEMBERS, NULL, &pb__members__descriptor, &r))
        return PB__MEMBER__STATUS__NONE;
    const Pb__Members *all = (const Pb__Members *)r.body;
    for (size_t i = 0; i < all->n_members; i++)
        if (strcmp(all->members[i]->name, name) == 0)
            return all->members[i]->status;
    return PB__MEMBER__STATUS__NONE;
}

static bool all_see(int who, Pb__Member__Status status)
{
    for (int i = 0; i < SERVERS; i++)
        if (i != who && suite.pids[i] != 0 && sees(i, name_of(who)) != status)
            return false;
    return true;
}

static bool whole(int unused, Pb__Member__Status alive)
{
    for (int i = 0; i < SERVERS; i++)
        if (!all_see(i, alive))
            return false;
    return true;
}

/* How long it took; UINT64_MAX: not within most_ms. */
static uint64_t until(bool (*done)(int who, Pb__Member__Status status), int who,
                      Pb__Member__Status status, uint64_t most_ms)
{
    uint64_t begun = clock_monotonic_ms();
    while (!done(who, status)) {
        if (clock_monotonic_ms() > begun + most_ms)
            return UINT64_MAX;
        arena_reset(suite.arena);
        nap();
    }
    return clock_monotonic_ms() - begun;
}

static void start_as(int i, const char *name, const char *region)
{
    char program[512], listen[128], pool[64], port[40], join[64], log[128];
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    suite.pids[i] = pid;
    if (pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(program, sizeof program, "%s/gossip", BIN_DIR);
    snprintf(listen, sizeof listen, "--listen=ipc://%s/g%d.sock", suite.dir, i);
    snprintf(pool, sizeof pool, "--listen-gossip=tcp://127.0.0.1:%d", suite.ports[i]);
    snprintf(port, sizeof port, "--gossip-port=%d", suite.ports[i]);
    snprintf(join, sizeof join, "--join=127.0.0.1:%d", suite.ports[0]);
    snprintf(log, sizeof log, "%s/g%d.log", suite.dir, i);
    must(freopen(log, "a", stderr) != NULL);
    execl(program, "gossip", listen, pool, port, "--jobstore=", "--name", name, "--region", region,
          i == 0 ? "--join=" : join, (char *)NULL);
    _exit(127);
}

static void start(int i)
{
    char name[16];
    snprintf(name, sizeof name, "s%d", i);
    start_as(i, name, region_of(i));
}

static void end(int i, int signal)
{
    kill(suite.pids[i], signal);
    waitpid(suite.pids[i], NULL, 0);
    suite.pids[i] = 0;
}

static void set_up(void)
{
    suite.arena = arena_new((size_t)1 << 30);
    strcpy(suite.dir, "/tmp/norn-gossip-XXXXXX");
    must(mkdtemp(suite.dir) != NULL);
    for (int i = 0; i <= SERVERS; i++)
        suite.ports[i] = port_hold();
    for (int i = 0; i < SERVERS; i++)
        start(i);
    if (until(whole, 0, PB__MEMBER__STATUS__ALIVE, 30000) == UINT64_MAX) {
        fprintf(stderr, "the pool did not come together: look into %s\n", suite.dir);
        abort(); /* Criterion does so too for what fails here, but says nothing */
    }
}

static void clean_up(void)
{
    char command[128];
    for (int i = 0; i <= SERVERS; i++)
        if (suite.pids[i] != 0)
            end(i, SIGKILL);
    snprintf(command, sizeof command, "rm -rf %s", suite.dir);
    must(system(command) == 0);
    arena_free(suite.arena);
}

static bool logged(int i, const char *text)
{
    char path[128], line[2000];
    bool found = false;
    snprintf(path, sizeof path, "%s/g%d.log", suite.dir, i);
    FILE *f = fopen(path, "re");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = strstr(line, text) != NULL;
    if (f != NULL)
        fclose(f);
    return found;
}

static bool told_of_conflict(int who, Pb__Member__Status unused)
{
    return logged(who, "event=two_servers_of_one_name");
}

TestSuite(gossip, .init = set_up, .fini = clean_up);

Test(gossip, a_killed_server_is_seen_failed_by_all_within_5_s_and_joins_again)
{
    end(4, SIGKILL);
    uint64_t took = until(all_see, 4, PB__MEMBER__STATUS__FAILED, 6000);
    cr_assert(took < 5000, "%llu ms", (unsigned long long)took);
    cr_log_info("seen after %llu ms", (unsigned long long)took);
    start(4);
    cr_assert(until(whole, 4, PB__MEMBER__STATUS__ALIVE, 15000) != UINT64_MAX);
}

static bool never(int unused, Pb__Member__Status status)
{
    return false;
}

Test(gossip, a_server_that_stands_still_for_2_s_is_given_up_by_nobody)
{
    kill(suite.pids[7], SIGSTOP);
    until(never, 0, PB__MEMBER__STATUS__NONE, 2000);
    kill(suite.pids[7], SIGCONT);
    cr_assert(until(whole, 0, PB__MEMBER__STATUS__ALIVE, 10000) != UINT64_MAX);
    for (int i = 0; i < SERVERS; i++)
        cr_assert_not(logged(i, "status=failed"), "server %d gave one up", i);
}

Test(gossip, a_server_asked_to_end_has_left_and_one_out_of_reach_can_be_made_to)
{
    end(3, SIGTERM);
    cr_assert(until(all_see, 3, PB__MEMBER__STATUS__LEFT, 5000) != UINT64_MAX);
    for (int i = 0; i < SERVERS; i++)
        cr_assert_not(logged(i, "status=failed"), "server %d called it failed", i);
    end(5, SIGKILL);
    cr_assert(until(all_see, 5, PB__MEMBER__STATUS__FAILED, 6000) != UINT64_MAX);
    struct response r;
    Pb__GossipForceLeave leave = PB__GOSSIP_FORCE_LEAVE__INIT;
    leave.name = (char *)"s5.eu";
    cr_assert(call(1, PB__GOSSIP__METHOD__FORCE_LEAVE, &leave.base, NULL, &r));
    cr_assert(until(all_see, 5, PB__MEMBER__STATUS__LEFT, 5000) != UINT64_MAX);
    leave.name = (char *)"nobody.eu";
    cr_assert_not(call(1, PB__GOSSIP__METHOD__FORCE_LEAVE, &leave.base, NULL, &r));
    cr_assert_eq(r.code, PB__REPLY__CODE__NOT_FOUND);
    start(3);
    start(5);
    cr_assert(until(whole, 0, PB__MEMBER__STATUS__ALIVE, 15000) != UINT64_MAX);
}

Test(gossip, joining_tells_which_addresses_answered)
{
    struct response r;
    Pb__GossipJoin join = PB__GOSSIP_JOIN__INIT;
    char *addresses[] = {arena_printf(suite.arena, "127.0.0.1:%d", suite.ports[2]),
                         arena_printf(suite.arena, "127.0.0.1:%d", suite.ports[SERVERS])};
    join.addresses = addresses;
    join.n_addresses = 2;
    cr_assert(call(1, PB__GOSSIP__METHOD__JOIN, &join.base, &pb__gossip_joined__descriptor, &r));
    const Pb__GossipJoined *joined = (const Pb__GossipJoined *)r.body;
    cr_assert_eq(joined->joined, 1);
    cr_assert_eq(joined->n_failures, 1);
    cr_assert_str_eq(joined->failures[0]->address, addresses[1]);
    cr_assert(joined->failures[0]->reason[0] != '\0');
}

Test(gossip, news_of_the_members_can_be_waited_for)
{
    struct response r;
    Pb__MembersWait wait = PB__MEMBERS_WAIT__INIT;
    cr_assert(call(1, PB__GOSSIP__METHOD__MEMBERS, NULL, &pb__members__descriptor, &r));
    wait.has_seen = wait.has_wait_ms = 1;
    wait.seen = ((const Pb__Members *)r.body)->index;
    wait.wait_ms = 300;
    uint64_t begun = clock_monotonic_ms();
    cr_assert(call(1, PB__GOSSIP__METHOD__MEMBERS, &wait.base, &pb__members__descriptor, &r));
    cr_assert_geq(clock_monotonic_ms() - begun, 250);
    wait.wait_ms = 5500;
    kill(suite.pids[9], SIGTERM);
    begun = clock_monotonic_ms();
    cr_assert(call(1, PB__GOSSIP__METHOD__MEMBERS, &wait.base, &pb__members__descriptor, &r));
    cr_assert_neq(((const Pb__Members *)r.body)->index, wait.seen);
    cr_assert_leq(clock_monotonic_ms() - begun, 4000);
}

Test(gossip, a_second_server_of_one_name_is_told_so)
{
    start_as(SERVERS, "s1", region_of(1));
    cr_assert(until(told_of_conflict, SERVERS, PB__MEMBER__STATUS__NONE, 10000) != UINT64_MAX);
    end(SERVERS, SIGKILL);
    cr_assert(whole(0, PB__MEMBER__STATUS__ALIVE));
}

/* nng's greeting, then nonsense; nonsense alone; nothing. */
Test(gossip, noise_on_the_port_harms_nobody)
{
    static const char greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)suite.ports[6])};
    unsigned seed = 5;
    for (int i = 0; i < 200; i++) {
        char noise[512];
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (char)rand_r(&seed);
        must(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
        if (i % 3 == 0)
            (void)!send(fd, greeting, sizeof greeting, MSG_NOSIGNAL);
        if (i % 4 != 3)
            (void)!send(fd, noise, sizeof noise, MSG_NOSIGNAL);
        close(fd);
    }
    cr_assert(until(whole, 0, PB__MEMBER__STATUS__ALIVE, 10000) != UINT64_MAX);
    start(SERVERS); /* newcomers are still let in */
    cr_assert(until(all_see, 6, PB__MEMBER__STATUS__ALIVE, 5000) != UINT64_MAX);
}

Test(gossip, a_packet_of_a_later_version_is_refused_with_a_reason)
{
    struct response r;
    struct reason why;
    uint8_t id[16] = {7};
    char address[64];
    Pb__GossipPacket p = PB__GOSSIP_PACKET__INIT;
    p.has_version = p.has_kind = p.has_from_id = 1;
    p.version = 2;
    p.kind = PB__GOSSIP_PACKET__KIND__PING;
    p.from = (char *)"later.us";
    p.from_address = (char *)"127.0.0.1:1";
    p.from_id = (ProtobufCBinaryData){16, id};
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", suite.ports[1]);
    cr_assert_eq(net_call_wait(address,
                               &(struct call_options){.method = PB__GOSSIP__METHOD__PACKET,
                                                      .body = &p.base,
                                                      .budget_ms = 3000},
                               suite.arena, &r, &why),
                 OK);
    cr_assert_eq(r.code, PB__REPLY__CODE__INVALID);
    cr_assert(strstr(r.reason, "version 2") != NULL, "%s", r.reason);
    cr_assert(logged(1, "event=packet_refused"));
}
