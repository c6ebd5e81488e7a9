#include "invariants.h"
#include <string.h>

static bool coin(struct world *w)
{
    return prng_below(&w->chance, 2) == 0;
}

static unsigned sometimes(struct world *w, unsigned most)
{
    return coin(w) ? 0 : 1 + (unsigned)prng_below(&w->chance, most);
}

/* Some are off in each schedule: what is always possible drowns what is rare. */
void faults_choose(struct world *w)
{
    struct faults *f = &w->faults;
    unsigned slow = (unsigned)prng_below(&w->chance, 3);
    *f = (struct faults){.drop = sometimes(w, 200),
                         .duplicate = sometimes(w, 200),
                         .delay_min = 1,
                         .delay_max = slow == 0   ? 2
                                      : slow == 1 ? 10
                                                  : 60,
                         .straggler = sometimes(w, 30),
                         .fifo = coin(w),
                         .disk_min = 1,
                         .disk_max = coin(w)   ? 3
                                     : coin(w) ? 20
                                               : 100,
                         .disk_stall = sometimes(w, 20),
                         .disk_fails = sometimes(w, 30),
                         .crash_writing = sometimes(w, 30),
                         .crash = sometimes(w, 100),
                         .pause = sometimes(w, 100),
                         .cut = sometimes(w, 400),
                         .skew = sometimes(w, 100),
                         .change = sometimes(w, 200),
                         .transfer = sometimes(w, 100),
                         .campaign = sometimes(w, 100),
                         .checkpoint = sometimes(w, 300),
                         .kept_entries = (unsigned)prng_below(&w->chance, 12),
                         .lazy_apply = coin(w),
                         .one_way = coin(w),
                         .lost_snapshots = coin(w)};
}

/* ---- each kind */

void node_goes_down(struct world *w, unsigned slot)
{
    struct node *n = &w->nodes[slot];
    if (n->raft == NULL)
        return;
    w->counts.crashes++;
    trace(w, "node %llu crashes", (unsigned long long)n->id);
    node_crash(n, coin(w));
    w->epoch[slot]++;
    if (w->scripted)
        return;
    world_schedule(w, (struct event){.kind = EVENT_START, .node = slot},
                   coin(w) ? between(w, 1, 30) : between(w, 1, 1500));
}

/* Faults find the leader more often than chance would. */
static unsigned victim(struct world *w)
{
    const struct node *l = world_leader(w);
    return l != NULL && coin(w) ? slot_of(w, l) : (unsigned)prng_below(&w->chance, w->node_count);
}

static void make_cuts(struct world *w)
{
    w->counts.cuts++;
    memset(w->cut, 0, sizeof w->cut);
    uint64_t kind = prng_below(&w->chance, 4);
    if (kind == 0)
        return; /* healed */
    uint64_t sides = prng_next(&w->chance);
    unsigned alone = victim(w);
    for (size_t a = 0; a < w->node_count; a++) {
        for (size_t b = 0; b < w->node_count; b++) {
            bool apart = ((sides >> a) & 1) != ((sides >> b) & 1);
            bool direction = !w->faults.one_way || ((sides >> (a + 32)) & 1) != 0;
            if (kind == 1)
                w->cut[a][b] = apart && direction;
            else if (kind == 2) /* one node alone */
                w->cut[a][b] = (a == alone && direction) || (b == alone && !w->faults.one_way);
            else
                w->cut[a][b] = prng_below(&w->chance, 3) == 0;
        }
    }
}

static void change_members(struct world *w)
{
    struct node *n = &w->nodes[prng_below(&w->chance, w->node_count)];
    struct node *l = world_leader(w);
    if (l != NULL && coin(w))
        n = l;
    uint64_t id = 1 + prng_below(&w->chance, w->node_count), index;
    enum raft_change change = (enum raft_change)prng_below(&w->chance, 3);
    if (n->raft == NULL || raft_change_members(n->raft, change, id, &index, NULL) != OK)
        return;
    w->counts.changes++;
    trace(w, "node %llu changes member %llu: %d", (unsigned long long)n->id, (unsigned long long)id,
          (int)change);
    after_step(w, n);
}

static void hand_over(struct world *w)
{
    struct node *l = world_leader(w);
    if (l == NULL || raft_transfer(l->raft, 1 + prng_below(&w->chance, w->node_count), NULL) != OK)
        return;
    w->counts.transfers++;
    trace(w, "leader %llu hands over", (unsigned long long)l->id);
    after_step(w, l);
}

static void someone_campaigns(struct world *w)
{
    struct node *n = &w->nodes[prng_below(&w->chance, w->node_count)];
    if (n->raft == NULL)
        return;
    raft_campaign(n->raft);
    after_step(w, n);
}

static void someone_checkpoints(struct world *w)
{
    struct node *n = &w->nodes[prng_below(&w->chance, w->node_count)];
    if (n->raft != NULL)
        node_checkpoint(n, w->faults.kept_entries);
}

void faults_happen(struct world *w)
{
    const struct faults *f = &w->faults;
    if (one_in_thousand(w, f->crash))
        node_goes_down(w, victim(w));
    if (one_in_thousand(w, f->cut))
        make_cuts(w);
    if (one_in_thousand(w, f->skew))
        w->tick_every[prng_below(&w->chance, w->node_count)] = (unsigned)between(w, 5, 20);
    if (one_in_thousand(w, f->pause)) {
        w->counts.pauses++;
        w->paused_until[victim(w)] = w->now + between(w, 50, 600);
    }
    if (one_in_thousand(w, f->change))
        change_members(w);
    if (one_in_thousand(w, f->transfer))
        hand_over(w);
    if (one_in_thousand(w, f->campaign))
        someone_campaigns(w);
    if (one_in_thousand(w, f->checkpoint))
        someone_checkpoints(w);
}

void faults_end(struct world *w)
{
    memset(w->cut, 0, sizeof w->cut);
    memset(w->paused_until, 0, sizeof w->paused_until);
    w->faults = (struct faults){
        .delay_min = 1, .delay_max = 3, .disk_min = 1, .disk_max = 3, .kept_entries = 10};
    for (size_t i = 0; i < w->node_count; i++) {
        w->tick_every[i] = 10;
        w->nodes[i].lazy = false;
    }
}
