/* What people do to servers: they hand leadership over, restart one after the other, take one out
 * of the cluster that then comes back, and put a new machine in the place of one that is lost. The
 * requests are those of `nctl operator raft`, through any server's door.
 *
 * A disk is lost for good only while every server is a voter that the leader hears: with another
 * one missing already it would be the loss of a quorum, which no cluster survives. */
#include "base/err.h"
#include "jobstore.pb-c.h"
#include "jobstore/jobstore.h"
#include "net/net.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

#define BUDGET_MS    6000
#define AGAIN_MS     300
#define MOST_TRIES   40
#define LATE_US      30000000 /* what was asked may yet happen for so long */
#define HEARD_MS     1000
#define MOST_NAME    32
#define ROLL_EACH_US 20000000

struct desk {
    struct process *process; /* first: see process.c */
    struct loop *loop;
    struct client *doors[WORLD_SERVERS];
    struct timer again;
};

/* One thing at a time is asked for. */
static struct {
    struct process *process;
    uint32_t method; /* 0: nothing */
    uint64_t raft_id;
    unsigned repeats, tries, door;
    uint64_t late_until_us;
    unsigned roll_next; /* the server to be restarted next */
    bool rolling;
} wish;

static void ask(void *owner);

static void ask_later(struct desk *o, uint64_t ms)
{
    timer_arm(o->loop, &o->again, ms, ask, o);
}

static void on_answer(void *owner, const struct response *r)
{
    struct desk *o = owner;
    trace_note("operator: %s %s", r->code == PB__REPLY__CODE__OK ? "done" : "not done", r->reason);
    wish.late_until_us = sim->now_us + LATE_US;
    bool over = r->code == PB__REPLY__CODE__OK || r->code == PB__REPLY__CODE__NOT_FOUND;
    if (over && wish.repeats > 0) {
        wish.repeats--;
        ask_later(o, sim_between(100, 3000));
    } else if (over || ++wish.tries >= MOST_TRIES) {
        wish.method = 0;
    } else {
        wish.door = (wish.door + 1) % world->options.servers;
        ask_later(o, AGAIN_MS);
    }
}

static void ask(void *owner)
{
    struct desk *o = owner;
    Pb__MemberKey key = PB__MEMBER_KEY__INIT;
    if (wish.method == 0)
        return;
    key.has_raft_id = wish.raft_id != 0;
    key.raft_id = wish.raft_id;
    client_call(o->doors[wish.door], &(struct call_options){.method = wish.method,
                                                            .body = &key.base,
                                                            .budget_ms = BUDGET_MS,
                                                            .done = on_answer,
                                                            .owner = o});
}

static enum err operator_open(void *self, struct loop *l, struct reason *why)
{
    struct desk *o = self;
    o->loop = l;
    for (unsigned i = 0; i < world->options.servers; i++) {
        char address[64];
        snprintf(address, sizeof(address), "tcp://%s:4647#jobstore", world->server[i]->name);
        enum err e = client_open(&o->doors[i], l, address, why);
        if (e != OK)
            return e;
    }
    return OK;
}

static void operator_close(void *self)
{
    struct desk *o = self;
    timer_cancel(o->loop, &o->again);
    for (unsigned i = 0; i < world->options.servers; i++)
        client_close(o->doors[i]);
}

static const struct service operator_service = {
    .name = "operator",
    .size = sizeof(struct desk),
    .open = operator_open,
    .close = operator_close,
};

void operators_build(void)
{
    memset(&wish, 0, sizeof(wish));
    if (world->options.servers > 1)
        wish.process = sim_process(sim_host("desk"), "operator", &operator_service, 0, NULL);
}

/* ---- what there is */

static struct replica *replica_at(unsigned i)
{
    const struct jobstore *js = world->jobstore[i]->self;
    return js != NULL ? js->replica : NULL;
}

struct host *operators_leader(void)
{
    struct replica_status s;
    for (unsigned i = 0; i < world->options.servers; i++) {
        if (replica_at(i) == NULL)
            continue;
        replica_status(replica_at(i), &s);
        if (s.leading)
            return world->server[i];
    }
    return NULL;
}

static bool is_current(uint64_t raft_id)
{
    for (unsigned i = 0; i < world->options.servers; i++)
        if (replica_at(i) != NULL && replica_raft_id(replica_at(i)) == raft_id)
            return true;
    return false;
}

/* As r has it: all servers of now vote, and nobody else is a member. */
static bool sees_all(struct replica *r, bool hears_all)
{
    struct replica_status s;
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    size_t count = replica_peers(r, peers);
    replica_status(r, &s);
    if (count != world->options.servers || !s.raft.members_committed)
        return false;
    for (size_t i = 0; i < count; i++) {
        bool heard = peers[i].id == s.raft.id ||
                     (peers[i].heard && replica_ticks_ms(r, peers[i].silent_ticks) < HEARD_MS);
        if (!peers[i].voter || !is_current(peers[i].id) || (s.leading && hears_all && !heard))
            return false;
    }
    return true;
}

static void tell_members(unsigned i, char *why, size_t size)
{
    struct replica_status s;
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    size_t count = replica_peers(replica_at(i), peers);
    replica_status(replica_at(i), &s);
    int len = snprintf(why, size, "%s has not all servers as voters: committed=%d",
                       world->server[i]->name, s.raft.members_committed);
    for (size_t k = 0; k < count && len < (int)size; k++)
        len += snprintf(why + len, size - (size_t)len, " %016llx voter=%d current=%d",
                        (unsigned long long)peers[k].id, peers[k].voter, is_current(peers[k].id));
}

bool operators_settled(char *why, size_t size)
{
    for (unsigned i = 0; i < world->options.servers && world->options.servers > 1; i++) {
        snprintf(why, size, "%s does not run", world->jobstore[i]->name);
        if (replica_at(i) == NULL)
            return false;
        if (!sees_all(replica_at(i), false)) {
            tell_members(i, why, size);
            return false;
        }
    }
    return true;
}

/* No change of the members is under way, or can yet be. */
static bool is_quiet(void)
{
    if (wish.method != 0 || sim->now_us < wish.late_until_us || operators_leader() == NULL)
        return false;
    for (unsigned i = 0; i < world->options.servers; i++)
        if (replica_at(i) == NULL || !sees_all(replica_at(i), true))
            return false;
    return true;
}

/* ---- what is done */

static void begin(uint32_t method, uint64_t raft_id, unsigned repeats)
{
    struct desk *o = wish.process->self;
    wish.method = method;
    wish.raft_id = raft_id;
    wish.repeats = repeats;
    wish.tries = 0;
    wish.door = (unsigned)sim_below(world->options.servers);
    ask_later(o, 1);
}

void operators_transfer(void)
{
    if (wish.method != 0)
        return;
    trace_note("operator: transfer");
    begin(PB__JOBSTORE__METHOD__TRANSFER, 0, (unsigned)sim_between(0, 5));
}

/* It lives, and joins again. */
void operators_remove(void)
{
    unsigned i = (unsigned)sim_below(world->options.servers);
    if (!is_quiet())
        return;
    trace_note("operator: remove %s", world->server[i]->name);
    begin(PB__JOBSTORE__METHOD__REMOVE, replica_raft_id(replica_at(i)), 0);
}

bool operators_may_lose(unsigned i, bool tell)
{
    if (!is_quiet())
        return false;
    if (tell)
        begin(PB__JOBSTORE__METHOD__REMOVE, replica_raft_id(replica_at(i)), 0);
    wish.late_until_us = sim->now_us + LATE_US;
    return true;
}

static void on_roll(void *arg)
{
    const struct host *h = world->server[wish.roll_next++];
    trace_note("operator: restart %s", h->name);
    for (unsigned i = 0; i < sim->process_count; i++)
        if (sim->processes[i].host == h)
            process_stop(&sim->processes[i]);
    wish.rolling = wish.roll_next < world->options.servers && !world->peace;
    if (wish.rolling)
        sim_after(sim_between(ROLL_EACH_US / 4, ROLL_EACH_US), NULL, on_roll, NULL, NULL);
}

void operators_roll(void)
{
    if (wish.rolling)
        return;
    wish.roll_next = 0;
    on_roll(NULL);
}
