#include "region.h"
#include "apply.h"
#include "base/clock.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define METHOD(name) PB__JOBSTORE__METHOD__##name

struct region *region_new(unsigned count, unsigned expect, const char *const *extra)
{
    struct region *r = xcalloc(1, sizeof *r);
    r->count = count;
    snprintf(r->expect, sizeof r->expect, "%u", expect);
    for (unsigned i = 0; i < count; i++) {
        r->servers[i] = store_process_new();
        snprintf(r->names[i], sizeof r->names[i], "s%u", i + 1);
        snprintf(r->raft[i], sizeof r->raft[i], "ipc://%s/raft.sock", r->servers[i]->dir);
        snprintf(r->peers + strlen(r->peers), sizeof r->peers - strlen(r->peers), "%s%s=%s",
                 i > 0 ? "," : "", r->names[i], r->raft[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        const char *options[] = {"--server-name",
                                 r->names[i],
                                 "--listen-raft",
                                 r->raft[i],
                                 "--peers",
                                 r->peers,
                                 "--bootstrap-expect",
                                 i < expect ? r->expect : "0",
                                 "--exit-with-parent",
                                 "true",
                                 NULL};
        size_t n = 0;
        for (; options[n] != NULL; n++)
            r->servers[i]->extra[n] = options[n];
        for (size_t k = 0; extra != NULL && extra[k] != NULL; k++)
            r->servers[i]->extra[n++] = extra[k];
    }
    return r;
}

void region_free(struct region *r)
{
    for (unsigned i = 0; i < r->count; i++)
        store_process_free(r->servers[i]);
    free(r);
}

void region_spawn(struct region *r, unsigned i)
{
    store_process_spawn(r->servers[i], NULL);
}

void region_start(struct region *r)
{
    for (unsigned i = 0; i < r->count; i++)
        region_spawn(r, i);
}

const Pb__JobstoreStatus *region_status(struct region *r, unsigned i, bool digest)
{
    Pb__StatusWait ask = PB__STATUS_WAIT__INIT;
    struct store_process *p = r->servers[i];
    if (p->pid == 0)
        return NULL;
    ask.has_digest = ask.digest = digest;
    arena_reset(p->arena);
    struct response a = store_ask(p, METHOD(STATUS), &ask.base, &pb__jobstore_status__descriptor,
                                  digest ? 5000 : 300, NULL);
    return a.code == PB__REPLY__CODE__OK ? (const Pb__JobstoreStatus *)a.body : NULL;
}

unsigned region_leader(struct region *r, unsigned within_ms)
{
    uint64_t until = clock_monotonic_ms() + within_ms;
    do {
        for (unsigned i = 0; i < r->count; i++) {
            const Pb__JobstoreStatus *s = region_status(r, i, false);
            if (s != NULL && s->leading)
                return i;
        }
        usleep(5000);
    } while (clock_monotonic_ms() < until);
    cr_assert_fail("nobody leads within %u ms", within_ms);
    return 0;
}

static bool is_equal(struct region *r)
{
    uint64_t index = 0, digest = 0;
    for (unsigned i = 0; i < r->count; i++) {
        if (r->servers[i]->pid == 0)
            continue;
        const Pb__JobstoreStatus *s = region_status(r, i, true);
        if (s == NULL || (index != 0 && s->applied_index != index))
            return false;
        cr_assert(index == 0 || s->digest == digest, "at %llu the states differ",
                  (unsigned long long)index);
        index = s->applied_index;
        digest = s->digest;
    }
    return index != 0;
}

void region_expect_equal(struct region *r, unsigned within_ms)
{
    uint64_t until = clock_monotonic_ms() + within_ms;
    while (!is_equal(r)) {
        cr_assert_lt(clock_monotonic_ms(), until, "the servers do not come to one index");
        usleep(20000);
    }
}

void region_register(struct region *r, const char *job, unsigned within_ms)
{
    uint64_t until = clock_monotonic_ms() + within_ms;
    struct id id = id_new();
    for (unsigned i = 0;; i = (i + 1) % r->count) {
        cr_assert_lt(clock_monotonic_ms(), until, "%s is not registered in time", job);
        if (r->servers[i]->pid == 0)
            continue;
        struct store_process *p = r->servers[i];
        arena_reset(p->arena);
        struct response a = store_ask(p, METHOD(APPLY), &command_register(p->arena, job, 1)->base,
                                      &pb__outcome__descriptor, 1000, id.bytes);
        if (a.code == PB__REPLY__CODE__OK)
            return;
        if (i + 1 == r->count)
            usleep(5000);
    }
}

bool region_has(struct region *r, unsigned i, const char *job, bool consistent)
{
    struct store_process *p = r->servers[i];
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_consistent = true;
    key.table = PB__TABLE__NAME__JOBS;
    key.consistent = consistent;
    key.name = arena_strdup(p->arena, job);
    struct response a = store_ask(p, METHOD(GET), &key.base, &pb__object__descriptor, 3000, NULL);
    cr_assert(a.code == PB__REPLY__CODE__OK || a.code == PB__REPLY__CODE__NOT_FOUND, "%s",
              a.reason);
    return a.code == PB__REPLY__CODE__OK;
}

void region_stabilize(struct region *r, unsigned ms)
{
    Pb__Command cmd = PB__COMMAND__INIT;
    Pb__AutopilotSet set = PB__AUTOPILOT_SET__INIT;
    Pb__Autopilot config;
    autopilot_defaults(&config);
    config.server_stabilization_time_ns = ms * 1000000ll;
    set.autopilot = &config;
    cmd.body_case = PB__COMMAND__BODY_AUTOPILOT_SET;
    cmd.autopilot_set = &set;
    struct response a = store_ask(r->servers[region_leader(r, 10000)], METHOD(APPLY), &cmd.base,
                                  &pb__outcome__descriptor, 5000, NULL);
    cr_assert_eq(a.code, PB__REPLY__CODE__OK, "%s", a.reason);
}

void region_empty(struct region *r, unsigned i)
{
    char command[200];
    cr_assert_eq(r->servers[i]->pid, 0);
    snprintf(command, sizeof command, "rm -rf %s", r->servers[i]->data);
    cr_assert_eq(system(command), 0);
}

static bool log_has(struct region *r, unsigned i, const char *text)
{
    char path[100], line[2000];
    bool found = false;
    snprintf(path, sizeof path, "%s/log", r->servers[i]->dir);
    FILE *f = fopen(path, "r");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = strstr(line, text) != NULL;
    if (f != NULL)
        fclose(f);
    return found;
}

void region_expect_log(struct region *r, unsigned i, const char *text, unsigned within_ms)
{
    uint64_t until = clock_monotonic_ms() + within_ms;
    while (!log_has(r, i, text)) {
        cr_assert_lt(clock_monotonic_ms(), until, "%s does not log \"%s\"", r->names[i], text);
        usleep(10000);
    }
}

void region_expect_voters(struct region *r, unsigned voters, unsigned others, unsigned within_ms)
{
    uint64_t until = clock_monotonic_ms() + within_ms;
    for (;;) {
        const Pb__JobstoreStatus *s = region_status(r, region_leader(r, 10000), false);
        unsigned n[2] = {0, 0};
        for (size_t i = 0; s != NULL && i < s->n_members; i++)
            n[s->members[i]->voter ? 1 : 0]++;
        if (n[1] == voters && n[0] == others)
            return;
        cr_assert_lt(clock_monotonic_ms(), until, "%u vote and %u do not", n[1], n[0]);
        usleep(20000);
    }
}

void region_expect_named(struct region *r, unsigned i, unsigned within_ms)
{
    uint64_t until = clock_monotonic_ms() + within_ms;
    for (;;) {
        const Pb__JobstoreStatus *s = region_status(r, i, false);
        size_t named = 0;
        for (size_t k = 0; s != NULL && k < s->n_members; k++)
            named += s->members[k]->has_id && s->members[k]->name != NULL;
        if (s != NULL && s->n_members > 0 && named == s->n_members)
            return;
        cr_assert_lt(clock_monotonic_ms(), until, "%zu members are named", named);
        usleep(20000);
    }
}
