/* sim-raft: the raft core under random faults, from a seed.
 *
 *   sim-raft --seed N --schedules M --events K    runs the seeds N .. N+M-1
 *   --twice      each seed twice: both runs must be the same, event by event
 *   -v           prints what happens
 *
 * Exits 0: all held; 1: the seed of the first failure is printed; 2: bad usage. */
#include "schedule.h"
#include <getopt.h>
#include <stdlib.h>

struct options {
    uint64_t seed, schedules, events;
    bool verbose, twice;
};

static void add(struct counts *all, const struct counts *one)
{
    uint64_t *sum = (uint64_t *)(void *)all;
    const uint64_t *more = (const uint64_t *)(const void *)one;
    for (size_t i = 0; i < sizeof *all / sizeof *sum; i++)
        sum[i] += more[i];
}

static bool run_seed(const struct options *o, uint64_t seed, struct counts *all, uint64_t *hash)
{
    struct outcome out = schedule_run(seed, o->events, o->verbose ? stdout : NULL);
    add(all, &out.counts);
    *hash = mix(*hash, out.trace_hash);
    if (!out.ok)
        printf("seed %llu: %s\nreplay: sim-raft --seed %llu --schedules 1 --events %llu -v\n",
               (unsigned long long)seed, out.failure, (unsigned long long)seed,
               (unsigned long long)o->events);
    if (!out.ok || !o->twice)
        return out.ok;
    bool same = schedule_run(seed, o->events, NULL).trace_hash == out.trace_hash;
    if (!same)
        printf("seed %llu: the second run was another\n", (unsigned long long)seed);
    return same;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (*end != '\0' || end == text) {
        fprintf(stderr, "sim-raft: \"%s\" is no number\n", text);
        exit(2);
    }
    return n;
}

static void parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"schedules", required_argument, NULL, 'n'},
        {"events", required_argument, NULL, 'e'},
        {"twice", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "v", longs, NULL)) != -1;) {
        switch (c) {
        case 's':
            o->seed = number(optarg);
            break;
        case 'n':
            o->schedules = number(optarg);
            break;
        case 'e':
            o->events = number(optarg);
            break;
        case 't':
            o->twice = true;
            break;
        case 'v':
            o->verbose = true;
            break;
        default:
            exit(2);
        }
    }
}

static void say(const char *name, uint64_t value)
{
    printf("%s=%llu ", name, (unsigned long long)value);
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .schedules = 100, .events = SCHEDULE_EVENTS};
    struct counts all = {.events = 0};
    uint64_t hash = 0, done = 0;
    bool ok = true;
    parse(&o, argc, argv);
    for (; ok && done < o.schedules; done++)
        ok = run_seed(&o, o.seed + done, &all, &hash);
    say("schedules", done);
    say("events", all.events);
    say("messages", all.messages);
    say("elections", all.elections);
    say("acks", all.acks);
    say("reads", all.reads);
    say("crashes", all.crashes);
    say("failed_writes", all.failed_writes);
    say("cuts", all.cuts);
    say("pauses", all.pauses);
    say("snapshots", all.snapshots);
    say("changes", all.changes);
    say("transfers", all.transfers);
    printf("trace=%016llx\n", (unsigned long long)hash);
    return ok ? 0 : 1;
}
