/* Any message of the right type, with any content, at any time: the core neither crashes nor breaks
 * what raft_check asks for. Messages from a real cluster never reach most of these states.
 *
 * usage: any-message [FIRST_SEED [COUNT]]   A failure prints its seed. */
#include "base/prng.h"
#include "raft/raft.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEPS       400
#define MAX_ENTRIES 6

static uint64_t seed;

struct play {
    struct prng chance;
    struct raft *raft;
    bool writing;
    uint64_t given; /* to be applied */
};

static void on_abort(int number)
{
    char line[64];
    int n = snprintf(line, sizeof line, "broken by seed %llu\n", (unsigned long long)seed);
    if (n > 0 && write(2, line, (size_t)n) < 0)
        _exit(3);
    signal(number, SIG_DFL);
    raise(number);
}

static uint64_t below(struct play *p, uint64_t bound)
{
    return prng_below(&p->chance, bound);
}

/* Mostly near what the core knows: there the branches are. */
static uint64_t any_number(struct play *p, uint64_t near)
{
    switch (below(p, 12)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX - below(p, 3);
    case 2:
        return prng_next(&p->chance) >> below(p, 64);
    case 3:
        return near + 1 + below(p, 20);
    case 4:
        return near > 20 ? near - below(p, 20) : near;
    case 5:
        return 1 + below(p, 8);
    default:
        return near;
    }
}

static size_t any_entries(struct play *p, struct raft_entry *out, uint8_t *data, uint64_t index,
                          uint64_t term)
{
    size_t count = below(p, MAX_ENTRIES + 1);
    for (size_t i = 0; i < count; i++) {
        size_t len = below(p, 40);
        for (size_t k = 0; k < len; k++)
            data[k] = (uint8_t)below(p, 4);
        out[i] = (struct raft_entry){
            .index = below(p, 20) == 0 ? any_number(p, index) : index + 1 + i,
            .term = below(p, 3) == 0 ? any_number(p, term) : term,
            .kind = below(p, 30) == 0 ? (enum raft_kind)77 : (enum raft_kind)(1 + below(p, 3)),
            .data = data,
            .len = len};
    }
    return count;
}

static void step_any(struct play *p)
{
    struct raft_status s;
    struct raft_entry entries[MAX_ENTRIES];
    uint8_t data[64];
    raft_status(p->raft, &s);
    struct raft_message m = {
        .type = below(p, 50) == 0 ? (enum raft_message_type)99
                                  : (enum raft_message_type)(1 + below(p, 8)),
        .from = below(p, 30) == 0 ? any_number(p, 1) : 1 + below(p, 6),
        .to = below(p, 50) == 0 ? any_number(p, 1) : 1,
        .term = any_number(p, s.term),
        .index = any_number(p, below(p, 2) == 0 ? s.last : s.commit),
        .log_term = any_number(p, s.term),
        .commit = any_number(p, s.commit),
        .hint = any_number(p, s.commit),
        .context = any_number(p, below(p, 10)),
        .refused = below(p, 3) == 0,
        .transfer = below(p, 3) == 0,
        .entries = entries,
    };
    m.entry_count = any_entries(p, entries, data, m.index, m.term);
    raft_step(p->raft, &m);
}

static void load_any(struct play *p)
{
    struct raft_load want;
    struct raft_entry e = {.kind = RAFT_COMMAND, .data = (const uint8_t *)"x", .len = 1};
    while (raft_next_load(p->raft, &want)) {
        if (below(p, 2) == 0) {
            raft_load_failed(p->raft, want.peer);
            continue;
        }
        e.index = want.after + 1;
        e.term = 1;
        raft_loaded(p->raft, want.peer, want.after, 1, &e, 1);
    }
}

/* The owner does what it may. */
static void owner_acts(struct play *p)
{
    struct raft_ready ready;
    struct raft_entry e;
    uint64_t context, index;
    if (raft_ready(p->raft, &ready))
        p->writing |= ready.must_store;
    if (p->writing && below(p, 2) == 0) {
        p->writing = false;
        if (below(p, 8) == 0)
            raft_store_failed(p->raft);
        else
            raft_stored(p->raft);
    }
    while (raft_next_committed(p->raft, &e))
        p->given = e.index;
    if (below(p, 2) == 0)
        raft_applied(p->raft, p->given);
    while (raft_next_read(p->raft, &context, &index))
        ;
    load_any(p);
}

static void client_acts(struct play *p)
{
    uint64_t index;
    switch (below(p, 6)) {
    case 0:
        raft_propose(p->raft, "data", below(p, 5), &index);
        break;
    case 1:
        raft_read_index(p->raft, below(p, 100));
        break;
    case 2:
        raft_change_members(p->raft, (enum raft_change)below(p, 3), 1 + below(p, 8), &index, NULL);
        break;
    case 3:
        raft_transfer(p->raft, 1 + below(p, 8), NULL);
        break;
    case 4:
        raft_snapshot_done(p->raft, 1 + below(p, 8), any_number(p, p->given));
        break;
    default:
        raft_snapshot_failed(p->raft, 1 + below(p, 8));
    }
}

static void install_any(struct play *p)
{
    struct raft_status s;
    struct raft_member members[] = {{1, true}, {2, true}, {3, below(p, 2) == 0}};
    raft_status(p->raft, &s);
    uint64_t index = s.given + 1 + below(p, 10);
    if (p->writing || s.term == 0)
        return;
    if (raft_snapshot_installed(p->raft, index, 1 + below(p, s.term), members, 1 + below(p, 3)))
        p->given = index;
}

static void begin(struct play *p)
{
    static const struct raft_member members[] = {
        {1, true}, {2, true}, {3, true}, {4, false}, {5, true}};
    struct reason why;
    prng_seed(&p->chance, seed);
    struct raft_config c = {.id = 1,
                            .members = members,
                            .member_count = below(p, 6),
                            .election_ticks = 3,
                            .max_inflight = 1 + below(p, 3),
                            .max_message_entries = 1 + below(p, 3),
                            .max_uncommitted = 100,
                            .max_unapplied = 1 + below(p, 2000),
                            .max_reads = 4,
                            .keep_bytes = 1 + below(p, 300),
                            .seed = seed};
    must(raft_new(&p->raft, &c, &why) == OK);
}

static void run(void)
{
    struct play p = {.given = 0};
    begin(&p);
    for (int i = 0; i < STEPS; i++) {
        uint64_t what = below(&p, 20);
        if (what < 12)
            step_any(&p);
        else if (what < 15)
            owner_acts(&p);
        else if (what < 17)
            raft_tick(p.raft);
        else if (what < 19)
            client_acts(&p);
        else if (below(&p, 5) == 0)
            install_any(&p);
        raft_check(p.raft);
    }
    raft_free(p.raft);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 3000;
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    for (seed = first; seed < first + count; seed++)
        run();
    printf("%llu seeds of %d steps\n", (unsigned long long)count, STEPS);
    return 0;
}
