#include "apply.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "region.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define METHOD(name) PB__JOBSTORE__METHOD__##name

TestSuite(replicas, .timeout = 120);

static void register_some(struct region *r, const char *prefix, unsigned count)
{
    char job[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(job, sizeof job, "%s-%u", prefix, i);
        region_register(r, job, 10000);
    }
}

Test(replicas, three_servers_form_one_cluster_and_take_writes)
{
    struct region *r = region_new(3, 3, NULL);
    region_start(r);
    unsigned leader = region_leader(r, 10000);
    register_some(r, "web", 5);
    cr_assert(region_has(r, leader, "web-4", true));
    region_expect_equal(r, 5000);
    const Pb__JobstoreStatus *s = region_status(r, leader, false);
    cr_assert_eq(s->n_members, 3);
    region_free(r);
}

Test(replicas, a_follower_refuses_writes_and_names_the_leader)
{
    struct region *r = region_new(3, 3, NULL);
    region_start(r);
    unsigned follower = (region_leader(r, 10000) + 1) % 3;
    region_expect_equal(r, 5000);
    struct response a = store_register(r->servers[follower], "web", 1, NULL);
    cr_assert_eq(a.code, PB__REPLY__CODE__NOT_LEADER);
    cr_assert_not_null(strstr(a.reason, "raft.sock"), "%s", a.reason);
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_consistent = key.consistent = true;
    key.table = PB__TABLE__NAME__JOBS;
    key.name = (char[]){"web"};
    a = store_ask(r->servers[follower], METHOD(GET), &key.base, &pb__object__descriptor, 1000,
                  NULL);
    cr_assert_eq(a.code, PB__REPLY__CODE__NOT_LEADER);
    region_free(r);
}

Test(replicas, when_the_leader_is_killed_again_and_again_nothing_acknowledged_is_lost)
{
    struct region *r = region_new(3, 3, NULL);
    char job[32];
    region_start(r);
    region_leader(r, 10000);
    for (unsigned round = 0; round < 5; round++) {
        unsigned leader = region_leader(r, 10000);
        for (unsigned i = 0; i < 20; i++) {
            snprintf(job, sizeof job, "j-%u-%u", round, i);
            region_register(r, job, 10000);
        }
        store_process_kill(r->servers[leader], SIGKILL);
        uint64_t began = clock_monotonic_ms();
        unsigned next = region_leader(r, 5000);
        cr_log_info("a new leader after %llu ms",
                    (unsigned long long)(clock_monotonic_ms() - began));
        cr_assert_neq(next, leader);
        snprintf(job, sizeof job, "j-%u-19", round);
        cr_assert(region_has(r, next, job, true));
        region_spawn(r, leader);
    }
    region_expect_equal(r, 10000);
    for (unsigned round = 0; round < 5; round++)
        for (unsigned i = 0; i < 20; i++) {
            snprintf(job, sizeof job, "j-%u-%u", round, i);
            cr_assert(region_has(r, 0, job, false));
        }
    region_free(r);
}

Test(replicas, a_leader_that_hangs_is_replaced_and_follows_when_it_is_back)
{
    struct region *r = region_new(3, 3, NULL);
    region_start(r);
    unsigned old = region_leader(r, 10000);
    register_some(r, "before", 3);
    kill(r->servers[old]->pid, SIGSTOP);
    pid_t pid = r->servers[old]->pid;
    r->servers[old]->pid = 0; /* not asked meanwhile */
    unsigned next = region_leader(r, 5000);
    cr_assert_neq(next, old);
    register_some(r, "during", 3);
    r->servers[old]->pid = pid;
    kill(pid, SIGCONT);
    register_some(r, "after", 3);
    region_expect_equal(r, 10000);
    cr_assert(region_has(r, old, "during-2", false));
    region_free(r);
}

Test(replicas, without_a_quorum_nothing_is_promised_and_nothing_read_as_certain)
{
    struct region *r = region_new(3, 3, NULL);
    region_start(r);
    unsigned leader = region_leader(r, 10000);
    register_some(r, "before", 1);
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            store_process_kill(r->servers[i], SIGKILL);
    struct response a = store_register(r->servers[leader], "alone", 1, NULL);
    cr_assert(a.code == PB__REPLY__CODE__NOT_LEADER || a.code == PB__REPLY__CODE__TIMEOUT, "%s",
              a.reason);
    cr_assert(region_has(r, leader, "before-0", false), "what is known may be read");
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            region_spawn(r, i);
    register_some(r, "after", 1);
    region_expect_equal(r, 10000);
    region_free(r);
}

static const char *const small_log[] = {"--log-size", "20KiB", NULL};

/* The log of a server that was away long is gone: it takes the state whole. */
Test(replicas, a_server_with_an_empty_directory_comes_back_by_a_state_from_the_leader)
{
    struct region *r = region_new(3, 3, small_log);
    region_start(r);
    unsigned away = (region_leader(r, 10000) + 1) % 3;
    region_stabilize(r, 200);
    store_process_kill(r->servers[away], SIGKILL);
    register_some(r, "job", 800);
    region_empty(r, away);
    region_spawn(r, away);
    region_expect_log(r, away, "event=state_installed", 20000);
    region_expect_voters(r, 3, 0, 20000);
    register_some(r, "after", 3);
    region_expect_equal(r, 10000);
    cr_assert(region_has(r, away, "job-799", false));
    /* It is whole: a restart trusts it, and it may lead. */
    store_process_kill(r->servers[away], SIGKILL);
    region_spawn(r, away);
    region_expect_equal(r, 10000);
    region_free(r);
}

Test(replicas, a_state_damaged_on_its_way_is_sent_again)
{
    struct region *r = region_new(3, 3, small_log);
    for (unsigned i = 0; i < 3; i++)
        store_process_spawn(r->servers[i], "snapshot.damage=fail:1");
    unsigned away = (region_leader(r, 10000) + 1) % 3;
    store_process_kill(r->servers[away], SIGKILL);
    register_some(r, "job", 800);
    region_spawn(r, away);
    region_expect_log(r, away, "a piece of the state is damaged", 20000);
    region_expect_log(r, away, "event=state_installed", 20000);
    region_expect_equal(r, 10000);
    region_free(r);
}

static void register_large(struct region *r, unsigned leader, unsigned number, size_t bytes)
{
    struct store_process *p = r->servers[leader];
    char id[32];
    arena_reset(p->arena);
    snprintf(id, sizeof id, "large-%u", number);
    Pb__Command *cmd = command_register(p->arena, id, 1);
    Pb__Job *job = cmd->job_register->job;
    Pb__KeyValue *meta = arena_alloc(p->arena, sizeof *meta);
    pb__key_value__init(meta);
    meta->key = (char[]){"k"};
    meta->value = arena_alloc(p->arena, bytes + 1);
    memset(meta->value, 'a' + (int)(number % 26), bytes);
    job->n_meta = 1;
    job->meta = &meta;
    struct response a =
        store_ask(p, METHOD(APPLY), &cmd->base, &pb__outcome__descriptor, 30000, NULL);
    cr_assert_eq(a.code, PB__REPLY__CODE__OK, "%s", a.reason);
}

/* Waits until a part of a state is on the server's disk: the transfer is under way. */
static void expect_incoming(const struct region *r, unsigned i)
{
    char path[250];
    struct stat st = {0};
    uint64_t until = clock_monotonic_ms() + 60000;
    snprintf(path, sizeof path, "%s/incoming/data.mdb", r->servers[i]->data);
    while (stat(path, &st) != 0 || st.st_size == 0) {
        cr_assert_lt(clock_monotonic_ms(), until, "no state comes to server %u", i + 1);
        usleep(1000);
    }
}

Test(replicas, a_takeover_that_is_interrupted_on_either_side_begins_again)
{
    struct region *r = region_new(3, 3, small_log);
    region_start(r);
    unsigned away = (region_leader(r, 30000) + 1) % 3;
    store_process_kill(r->servers[away], SIGKILL);
    for (unsigned i = 0; i < 100; i++)
        register_large(r, region_leader(r, 30000), i, 500u << 10);
    region_empty(r, away);
    region_spawn(r, away);
    expect_incoming(r, away);
    store_process_kill(r->servers[away], SIGKILL); /* who takes it */
    region_spawn(r, away);
    expect_incoming(r, away);
    unsigned leader = region_leader(r, 30000);
    store_process_kill(r->servers[leader], SIGKILL); /* who gives it */
    region_spawn(r, leader);
    region_expect_log(r, away, "event=state_installed", 60000);
    region_expect_equal(r, 60000);
    cr_assert(region_has(r, away, "large-99", false));
    region_free(r);
}

Test(replicas, leadership_is_handed_over_with_hardly_a_refused_write)
{
    struct region *r = region_new(3, 3, NULL);
    region_start(r);
    for (unsigned round = 0; round < 5; round++) {
        unsigned old = region_leader(r, 10000);
        register_some(r, "before", 2);
        region_expect_equal(r, 5000);
        Pb__MemberKey any = PB__MEMBER_KEY__INIT;
        uint64_t began = clock_monotonic_ms();
        struct response a =
            store_ask(r->servers[old], METHOD(TRANSFER), &any.base, NULL, 3000, NULL);
        cr_assert_eq(a.code, PB__REPLY__CODE__OK, "%s", a.reason);
        char job[32];
        snprintf(job, sizeof job, "moved-%u", round);
        region_register(r, job, 5000);
        cr_log_info("handed over in %llu ms", (unsigned long long)(clock_monotonic_ms() - began));
        cr_assert_lt(clock_monotonic_ms() - began, 1000); /* 300 where nothing else runs */
        cr_assert_neq(region_leader(r, 5000), old);
    }
    region_free(r);
}

Test(replicas, a_server_joins_and_one_is_removed)
{
    struct region *r = region_new(4, 3, NULL);
    for (unsigned i = 0; i < 3; i++)
        region_spawn(r, i);
    unsigned leader = region_leader(r, 10000);
    region_stabilize(r, 300);
    register_some(r, "before", 3);
    region_spawn(r, 3);
    region_expect_voters(r, 4, 0, 10000);
    region_expect_equal(r, 10000);
    unsigned gone = (leader + 1) % 3;
    store_process_kill(r->servers[gone], SIGTERM);
    Pb__MemberKey key = PB__MEMBER_KEY__INIT;
    char name[32];
    snprintf(name, sizeof name, "%s.global", r->names[gone]);
    key.name = name;
    leader = region_leader(r, 10000);
    struct response a = store_ask(r->servers[leader], METHOD(REMOVE), &key.base, NULL, 5000, NULL);
    cr_assert_eq(a.code, PB__REPLY__CODE__OK, "%s", a.reason);
    region_expect_voters(r, 3, 0, 5000);
    key.name = (char[]){"nobody"};
    a = store_ask(r->servers[leader], METHOD(REMOVE), &key.base, NULL, 5000, NULL);
    cr_assert_eq(a.code, PB__REPLY__CODE__NOT_FOUND);
    register_some(r, "after", 2);
    region_free(r);
}

Test(replicas, a_server_that_does_not_vote_follows_and_answers_reads)
{
    struct region *r = region_new(4, 3, NULL);
    r->servers[3]->extra[10] = "--non-voting";
    r->servers[3]->extra[11] = "true";
    region_start(r);
    region_leader(r, 10000);
    region_stabilize(r, 100);
    region_expect_voters(r, 3, 1, 10000);
    register_some(r, "web", 3);
    region_expect_equal(r, 5000);
    cr_assert(region_has(r, 3, "web-2", false));
    region_expect_voters(r, 3, 1, 10);
    region_free(r);
}

Test(replicas, a_server_that_is_dead_for_long_is_removed)
{
    static const char *const soon[] = {"--dead-server-cleanup-ms", "1s", NULL};
    struct region *r = region_new(3, 3, soon);
    region_start(r);
    unsigned dead = (region_leader(r, 10000) + 1) % 3;
    store_process_kill(r->servers[dead], SIGKILL);
    region_expect_voters(r, 2, 0, 20000);
    register_some(r, "after", 1);
    region_free(r);
}

static void write_recover(struct region *r, unsigned i, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/recover", r->servers[i]->data);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

Test(replicas, one_server_of_three_goes_on_alone_when_told_so_by_hand)
{
    struct region *r = region_new(3, 3, NULL);
    char id[ID_TEXT_SIZE];
    int status = 0;
    region_start(r);
    unsigned last = (region_leader(r, 10000) + 1) % 3;
    region_stabilize(r, 200);
    register_some(r, "before", 20);
    region_expect_equal(r, 5000);
    id_format(region_status(r, last, false)->server_id.data, id);
    for (unsigned i = 0; i < 3; i++)
        store_process_kill(r->servers[i], SIGKILL);
    write_recover(r, last, "s1\n");
    region_spawn(r, last);
    cr_assert(store_process_ended(r->servers[last], 10000, &status));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    region_expect_log(r, last, "is not the id of a server", 100);
    write_recover(r, last, id);
    region_spawn(r, last);
    cr_assert_eq(region_leader(r, 10000), last);
    cr_assert(region_has(r, last, "before-19", true));
    region_expect_voters(r, 1, 0, 5000);
    /* The others come back with nothing, and are added. */
    for (unsigned i = 0; i < 3; i++)
        if (i != last) {
            region_empty(r, i);
            region_spawn(r, i);
        }
    region_expect_voters(r, 3, 0, 15000);
    register_some(r, "after", 2);
    region_expect_equal(r, 5000);
    region_free(r);
}

static Pb__Outcome restore_part(struct region *r, uint64_t offset, const uint8_t *data, size_t len,
                                uint64_t size, uint32_t crc)
{
    struct store_process *p = r->servers[region_leader(r, 10000)];
    Pb__Command cmd = PB__COMMAND__INIT;
    Pb__RestorePart part = PB__RESTORE_PART__INIT;
    cmd.body_case = PB__COMMAND__BODY_RESTORE_PART;
    cmd.restore_part = &part;
    part.has_offset = true;
    part.offset = offset;
    part.has_data = len > 0;
    part.data = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
    part.has_end = part.end = part.has_size = part.has_crc = len == 0;
    part.size = size;
    part.crc = crc;
    struct response a =
        store_ask(p, METHOD(APPLY), &cmd.base, &pb__outcome__descriptor, 20000, NULL);
    cr_assert_eq(a.code, PB__REPLY__CODE__OK, "%s", a.reason);
    return *(const Pb__Outcome *)a.body;
}

/* The whole state of a server; its length. */
static size_t save(struct store_process *p, uint8_t *out, size_t room)
{
    Pb__SaveRead q = PB__SAVE_READ__INIT;
    size_t len = 0;
    for (;;) {
        struct response a =
            store_ask(p, METHOD(SAVE), &q.base, &pb__save_data__descriptor, 5000, NULL);
        cr_assert_eq(a.code, PB__REPLY__CODE__OK, "%s", a.reason);
        const Pb__SaveData *d = (const Pb__SaveData *)a.body;
        cr_assert_leq(len + d->data.len, room);
        memcpy(out + len, d->data.data, d->data.len);
        len += d->data.len;
        if (len == d->size)
            return len;
        q.has_save_id = q.has_offset = true;
        q.save_id = d->save_id;
        q.offset = len;
    }
}

Test(replicas, a_saved_state_is_restored_on_all_servers_of_a_fresh_cluster)
{
    struct region *one = region_new(1, 1, NULL), *r = region_new(3, 3, NULL);
    size_t room = 16u << 20;
    uint8_t *file = xmalloc(room);
    region_start(one);
    register_some(one, "kept", 300);
    size_t len = save(one->servers[0], file, room);
    uint64_t index = region_status(one, 0, false)->applied_index;
    region_free(one);
    region_start(r);
    register_some(r, "gone", 2);
    for (size_t at = 0; at < len; at += RESTORE_PART_BYTES)
        restore_part(r, at, file + at,
                     len - at < RESTORE_PART_BYTES ? len - at : RESTORE_PART_BYTES, 0, 0);
    Pb__Outcome bad = restore_part(r, len, NULL, 0, len, crc32c(0, file, len) + 1);
    cr_assert_eq(bad.code, PB__OUTCOME__CODE__INVALID, "a wrong sum");
    unsigned leader = region_leader(r, 10000);
    cr_assert(region_has(r, leader, "gone-1", true), "nothing has changed");
    for (size_t at = 0; at < len; at += RESTORE_PART_BYTES)
        restore_part(r, at, file + at,
                     len - at < RESTORE_PART_BYTES ? len - at : RESTORE_PART_BYTES, 0, 0);
    Pb__Outcome good = restore_part(r, len, NULL, 0, len, crc32c(0, file, len));
    cr_assert_eq(good.code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_gt(good.index, index, "indexes go on behind those of the file");
    register_some(r, "after", 2);
    region_expect_equal(r, 10000);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(region_has(r, i, "kept-299", false));
        cr_assert(region_has(r, i, "after-1", false));
        cr_assert_not(region_has(r, i, "gone-1", false));
    }
    /* And again after a crash of all. */
    for (unsigned i = 0; i < 3; i++)
        store_process_kill(r->servers[i], SIGKILL);
    region_start(r);
    register_some(r, "later", 1);
    region_expect_equal(r, 10000);
    cr_assert(region_has(r, 0, "kept-0", false));
    region_expect_voters(r, 3, 0, 5000);
    free(file);
    region_free(r);
}

Test(replicas, five_servers_outlive_any_two)
{
    struct region *r = region_new(5, 5, NULL);
    unsigned dead[2];
    region_start(r);
    register_some(r, "before", 10);
    for (unsigned i = 0; i < 2; i++) {
        dead[i] = region_leader(r, 10000);
        store_process_kill(r->servers[dead[i]], SIGKILL);
        char prefix[16];
        snprintf(prefix, sizeof prefix, "without%u", i + 1);
        register_some(r, prefix, 5);
    }
    for (unsigned i = 0; i < 2; i++)
        region_spawn(r, dead[i]);
    register_some(r, "after", 2);
    region_expect_equal(r, 10000);
    cr_assert(region_has(r, dead[0], "without2-4", false));
    region_free(r);
}

/* ---- by hand: NORN_LARGE_MB=1024, with programs built for speed */

/* Memory that no file backs, in KiB. */
static long anonymous_kib(pid_t pid)
{
    char path[64], line[200];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtol(line + 8, NULL, 10);
    fclose(f);
    return kib;
}

Test(replicas, memory_does_not_grow_with_a_large_state, .timeout = 900)
{
    const char *mb = getenv("NORN_LARGE_MB");
    if (mb == NULL)
        cr_skip_test("by hand: NORN_LARGE_MB=1024 in the environment");
    struct region *r = region_new(3, 3, NULL);
    region_start(r);
    unsigned leader = region_leader(r, 10000), away = (leader + 1) % 3;
    region_stabilize(r, 200);
    store_process_kill(r->servers[away], SIGKILL);
    for (unsigned i = 0; i < (unsigned)strtoul(mb, NULL, 10) * 2; i++)
        register_large(r, region_leader(r, 10000), i, 500u << 10);
    leader = region_leader(r, 10000);
    long before = anonymous_kib(r->servers[leader]->pid), most[2] = {0, 0};
    region_empty(r, away);
    region_spawn(r, away);
    uint64_t began = clock_monotonic_ms();
    unsigned written = 0; /* writes go on meanwhile */
    for (bool there = false; !there; written++) {
        char id[32];
        long now[2] = {anonymous_kib(r->servers[leader]->pid),
                       anonymous_kib(r->servers[away]->pid)};
        for (unsigned i = 0; i < 2; i++)
            most[i] = now[i] > most[i] ? now[i] : most[i];
        const Pb__JobstoreStatus *s = region_status(r, away, false);
        there = s != NULL && s->applied_index > 100;
        cr_assert_lt(clock_monotonic_ms() - began, 600000);
        snprintf(id, sizeof id, "during-%u", written);
        region_register(r, id, 30000);
    }
    cr_log_warn("taken over in %llu ms with %u writes meanwhile; the leader's own memory was %ld "
                "KiB before and at most %ld KiB, the new server's at most %ld KiB",
                (unsigned long long)(clock_monotonic_ms() - began), written, before, most[0],
                most[1]);
    cr_assert_lt(most[0] - before, 65536);
    region_register(r, "after", 10000);
    region_expect_equal(r, 120000);
    region_free(r);
}
