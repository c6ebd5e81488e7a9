#include "world.h"
#include "base/err.h"
#include "base/fault.h"
#define RAFT_MUTANTS /* here we are the ones that choose */
#undef MUTANT
#include "raft/mutants.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEACE_STEP_US 1000000
#define PEACE_MOST_US 600000000 /* by then all is as it should be */
#define NEW_LEADER_US 5000000

struct world *world;

extern const struct service jobstore_service, evalbroker_service, planqueue_service,
    schedworker_service, controller_service, gateway_service, gossip_service;

bool mutant_is(const char *name)
{
    const char *mutant = world != NULL ? world->options.mutant : NULL;
    return mutant != NULL && strcmp(mutant, name) == 0;
}

/* The core of raft has faults of its own: "raft:VOTE_TWICE". */
enum raft_mutant raft_mutant;

static const char *const raft_mutants[] = {
#define NAME(name, text) [RAFT_MUTANT_##name] = "raft:" #name,
    RAFT_MUTANT_LIST(NAME)
#undef NAME
};

static void choose_raft_mutant(void)
{
    raft_mutant = RAFT_MUTANT_NONE;
    for (size_t i = 0; i < COUNT_OF(raft_mutants); i++)
        if (raft_mutants[i] != NULL && mutant_is(raft_mutants[i]))
            raft_mutant = (enum raft_mutant)i;
}

/* base/fault.h: rare places fail as often as this run wants. */
bool fault_point(const char *place)
{
    return sim_chance(sim->weather.failing);
}

void world_fail(unsigned invariant, const char *format, ...)
{
    va_list args;
    if (world->verdict.invariant != 0)
        return;
    world->verdict.invariant = invariant;
    world->verdict.at_us = sim->now_us;
    va_start(args, format);
    vsnprintf(world->verdict.text, sizeof(world->verdict.text), format, args);
    va_end(args);
    trace_note("BROKEN: invariant %u: %s", invariant, world->verdict.text);
}

/* ---- the cluster */

/* Texts of the settings; the same for each run of the same shape. */
struct words {
    struct arena *arena;
    const char *list[40];
    int count;
};

static void add(struct words *w, const char *option, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add(struct words *w, const char *option, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    must(w->count + 2 <= (int)COUNT_OF(w->list));
    w->list[w->count++] = option;
    w->list[w->count++] = arena_strdup(w->arena, text);
}

static struct arena *words_arena;

/* Drawn for each run. */
static struct {
    const char *changes_kept, *dead_after;
    bool gossip; /* else the servers are told of one another by their settings */
} shape;

static struct words some(void)
{
    return (struct words){.arena = words_arena};
}

static void add_jobstore_addresses(struct words *w, const char *s)
{
    add(w, "--jobstore", "ipc:///%s/jobstore", s);
    add(w, "--jobstore-poll", "ipc:///%s/jobstore-poll", s);
}

static struct process *run(unsigned i, const char *name, const struct service *s, struct words *w)
{
    return sim_process(world->server[i], name, s, w->count, w->list);
}

/* The other servers, each as its name and an address, for the setting that tells them. */
static void add_peers(struct words *w, const char *option, unsigned own, const char *suffix,
                      unsigned port)
{
    char text[200] = "";
    size_t len = 0;
    for (unsigned i = 0; i < world->options.servers; i++) {
        const char *s = world->server[i]->name;
        if (i != own)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s=tcp://%s:%u",
                                    len > 0 ? "," : "", s, suffix, s, port);
    }
    if (len > 0)
        add(w, option, "%s", text);
}

/* Alone a server needs no raft listener. */
static void build_jobstore(unsigned i)
{
    static const char *const log_sizes[] = {"16KiB", "64KiB", "64MiB"};
    const char *s = world->server[i]->name;
    struct words w = some();
    add(&w, "--listen", "ipc:///%s/jobstore", s);
    add(&w, "--listen-poll", "ipc:///%s/jobstore-poll", s);
    add(&w, "--data-dir", "%s/jobstore", s);
    add(&w, "--map-size", "256MiB");
    add(&w, "--log-size", "%s", log_sizes[sim_below(COUNT_OF(log_sizes))]);
    add(&w, "--changes-kept", "%s", shape.changes_kept);
    if (world->options.servers > 1) {
        add(&w, "--server-name", "%s", s);
        add(&w, "--listen-raft", "tcp://%s:4649", s);
        add(&w, "--bootstrap-expect", "%u", world->options.servers);
        add(&w, "--dead-server-cleanup-ms", "%s", shape.dead_after);
        if (shape.gossip)
            add(&w, "--gossip", "ipc:///%s/gossip", s);
        else
            add_peers(&w, "--peers", i, "", 4649);
    }
    world->jobstore[i] = run(i, "jobstore", &jobstore_service, &w);
}

static void build_planning(unsigned i)
{
    const char *s = world->server[i]->name;
    struct words w = some();
    add(&w, "--listen", "ipc:///%s/evalbroker", s);
    add_jobstore_addresses(&w, s);
    run(i, "evalbroker", &evalbroker_service, &w);
    w = some();
    add(&w, "--listen", "ipc:///%s/planqueue", s);
    add_jobstore_addresses(&w, s);
    run(i, "planqueue", &planqueue_service, &w);
    w = some();
    add(&w, "--listen", "ipc:///%s/controller", s);
    add_jobstore_addresses(&w, s);
    run(i, "controller", &controller_service, &w);
    for (unsigned k = 0; k < world->options.workers; k++) {
        char name[24];
        snprintf(name, sizeof(name), "worker%u", k + 1);
        w = some();
        add(&w, "--evalbroker", "ipc:///%s/evalbroker", s);
        add(&w, "--planqueue", "ipc:///%s/planqueue", s);
        add(&w, "--gateway", "ipc:///%s/gateway-poll", s);
        add(&w, "--batch", "%u", k % 2 == 0 ? 64 : 2);
        add_jobstore_addresses(&w, s);
        run(i, name, &schedworker_service, &w);
    }
}

static void build_gateway(unsigned i)
{
    const char *s = world->server[i]->name;
    struct words w = some();
    add(&w, "--listen", "ipc:///%s/gateway", s);
    add(&w, "--listen-poll", "ipc:///%s/gateway-poll", s);
    add(&w, "--listen-rpc", "tcp://%s:4647", s);
    add(&w, "--controller", "ipc:///%s/controller", s);
    add(&w, "--evalbroker", "ipc:///%s/evalbroker", s);
    add(&w, "--planqueue", "ipc:///%s/planqueue", s);
    add(&w, "--gossip", "ipc:///%s/gossip", s);
    add(&w, "--name", "%s", s);
    if (!shape.gossip)
        add_peers(&w, "--known-servers", i, ".global", 4647);
    add_jobstore_addresses(&w, s);
    world->gateway[i] = run(i, "gateway", &gateway_service, &w);
    size_t len = strlen(world->doors);
    snprintf(world->doors + len, sizeof(world->doors) - len, "%stcp://%s:4647", i > 0 ? "," : "",
             s);
}

/* Who is there they learn of one another, from any that they can reach. */
static void build_gossip(unsigned i)
{
    const char *s = world->server[i]->name;
    char join[200] = "";
    size_t len = 0;
    struct words w = some();
    for (unsigned k = 0; k < world->options.servers; k++)
        len += (size_t)snprintf(join + len, sizeof(join) - len, "%s%s:4648", k > 0 ? "," : "",
                                world->server[k]->name);
    add(&w, "--listen", "ipc:///%s/gossip", s);
    add(&w, "--listen-gossip", "tcp://%s:4648", s);
    add(&w, "--name", "%s", s);
    add(&w, "--address", "%s", s);
    add(&w, "--advertise-raft", "%s:4649", s);
    add(&w, "--join", "%s", join);
    add(&w, "--jobstore", "ipc:///%s/jobstore", s);
    add(&w, "--bootstrap-expect", "%u", world->options.servers);
    run(i, "gossip", &gossip_service, &w);
}

/* What shapes the state is the same on all. A server alone has no others to find. */
static void choose_shape(void)
{
    static const char *const changes[] = {"2000", "20000"};
    static const char *const dead[] = {"10m", "30s"};
    shape.changes_kept = changes[sim_below(COUNT_OF(changes))];
    shape.gossip = world->options.servers > 1 && sim_chance(0.5);
    shape.dead_after = world->options.servers > 1 ? dead[sim_below(COUNT_OF(dead))] : dead[0];
}

static void build(void)
{
    for (unsigned i = 0; i < world->options.servers; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%u", i + 1);
        world->server[i] = sim_host(name);
    }
    choose_shape();
    for (unsigned i = 0; i < world->options.servers; i++) {
        build_jobstore(i);
        build_planning(i);
        build_gateway(i);
        if (shape.gossip)
            build_gossip(i);
    }
    agents_build();
    operators_build();
    for (unsigned i = 0; i < sim->process_count; i++)
        process_start(&sim->processes[i]);
}

/* ---- its directory */

/* Paths in log lines must not differ from run to run: all are relative. */
static void enter_dir(void)
{
    static const char *const roots[] = {"/dev/shm", "/tmp"};
    for (size_t i = 0; i < COUNT_OF(roots); i++) {
        snprintf(sim->dir, sizeof(sim->dir), "%s/nsim-XXXXXX", roots[i]);
        if (mkdtemp(sim->dir) != NULL && chdir(sim->dir) == 0)
            return;
    }
    fprintf(stderr, "nsim: no directory can be made in /dev/shm or /tmp\n");
    exit(2);
}

static void leave_dir(void)
{
    if (chdir("/") == 0)
        disk_remove(sim->dir);
}

/* ---- a run */

void world_process_ends(struct process *p)
{
    if (p->service == &jobstore_service)
        invariants_remember(p);
}

void world_state_changed(struct process *p)
{
    invariants_state_changed(p);
    consensus_state_changed(p);
}

static void run_until(uint64_t until_us)
{
    while (world->verdict.invariant == 0 && sim_step(until_us))
        continue;
}

static bool is_settled(char *why, size_t size)
{
    return operators_settled(why, size) && invariants_settled(why, size);
}

static void make_peace(void)
{
    char why[300];
    uint64_t most = sim->now_us + PEACE_MOST_US;
    trace_note("peace");
    world->peace = true;
    faults_end();
    run_until(sim->now_us + 30000000); /* what was under way, nodes that must first be missed */
    while (world->verdict.invariant == 0 && !is_settled(why, sizeof(why))) {
        if (sim->now_us > most)
            invariants_tell_evals();
        if (sim->now_us > most)
            world_fail(5, "not as desired %u s after the last fault: %s",
                       (unsigned)(PEACE_MOST_US / 1000000), why);
        run_until(sim->now_us + PEACE_STEP_US);
    }
    if (world->verdict.invariant == 0)
        clients_check_end();
    if (world->verdict.invariant == 0)
        invariants_end();
}

static void tear_down(void)
{
    sim->muted = true;
    for (unsigned i = 0; i < sim->process_count; i++) {
        sim->processes[i].wanted = false;
        process_kill(&sim->processes[i]);
        free(sim->processes[i].argv);
    }
    leave_dir();
    clients_free();
    agents_free();
    invariants_free();
    consensus_free();
    arena_free(words_arena);
    net_free();
    disk_free();
    sim_free();
    free(world);
    world = NULL;
}

static char how[400];
static size_t how_len;

static void note_how(const struct world_options *o)
{
    how_len = (size_t)snprintf(
        how, sizeof(how),
        "replay with: nsim --seed %llu --minutes %u --servers %u --workers %u --nodes %u%s%s%s\n",
        (unsigned long long)o->seed, o->minutes, o->servers, o->workers, o->nodes,
        o->calm ? " --calm" : "", o->mutant != NULL ? " --mutant " : "",
        o->mutant != NULL ? o->mutant : "");
}

/* A must() of the product that does not hold, or worse: which run it was must be told. */
static void on_crash(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, how, how_len);
    (void)ignored;
    signal(number, SIG_DFL);
    raise(number);
}

static void run_world(const struct world_options *o, struct verdict *out, bool tell)
{
    sim_new(o->seed, o->verbose);
    world = xcalloc(1, sizeof(*world));
    world->options = *o;
    words_arena = arena_new(1 << 20);
    choose_raft_mutant();
    enter_dir();
    invariants_begin();
    consensus_begin();
    build();
    clients_begin();
    faults_begin();
    if (o->script != NULL)
        o->script();
    run_until((uint64_t)o->minutes * 60000000);
    if (world->verdict.invariant == 0)
        make_peace();
    *out = world->verdict;
    out->trace = sim->trace;
    out->events = sim->events;
    if (out->at_us == 0)
        out->at_us = sim->now_us;
    if (tell && out->invariant != 0) {
        trace_print_last();
        printf("seed %llu broke invariant %u at %.6f s: %s\n", (unsigned long long)o->seed,
               out->invariant, (double)out->at_us / 1e6, out->text);
        printf("%s", how);
    }
    tear_down();
}

void world_run(const struct world_options *o, struct verdict *out)
{
    run_world(o, out, false);
}

bool world_check(const struct world_options *o, struct verdict *out)
{
    note_how(o);
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    run_world(o, out, true);
    return out->invariant == 0;
}
