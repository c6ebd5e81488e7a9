/* nsim: a whole cluster from one seed. Replays any run exactly: the same seed and shape give the
 * same trace. */
#include "world.h"
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "nsim: a simulated cluster: real daemons over virtual time, network and disks\n\n"
    "Usage: nsim [options]\n\n"
    "  --seed N        the run's seed; of several, the first (1)\n"
    "  --seeds N       so many runs, of consecutive seeds (1)\n"
    "  --minutes M     simulated minutes of load and faults (5)\n"
    "  --servers S     1 to 5 (1)\n"
    "  --workers W     schedworkers on each server, 1 to 8 (2)\n"
    "  --nodes K       1 to 32 (5)\n"
    "  --calm          no faults\n"
    "  --mutant NAME   with a deliberate fault in the product (docs/simulator.md)\n"
    "  --twice         each run twice: both must have the same trace\n"
    "  -v              prints the trace\n\n"
    "Exit codes: 0 all invariants held, 1 one was broken, 2 wrong usage.\n";

static unsigned number(const char *name, const char *text, unsigned low, unsigned high)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end == '\0' && end != text && n >= low && n <= high)
        return (unsigned)n;
    fprintf(stderr, "nsim: --%s takes a number from %u to %u, not \"%s\"\n", name, low, high, text);
    exit(2);
}

struct command {
    struct world_options world;
    unsigned seeds;
    bool twice;
};

static void parse(struct command *c, int argc, char **argv)
{
    enum { SEED = 256, SEEDS, MINUTES, SERVERS, WORKERS, NODES, CALM, MUTANT, TWICE };
    static const struct option options[] = {{"seed", 1, NULL, SEED},
                                            {"seeds", 1, NULL, SEEDS},
                                            {"minutes", 1, NULL, MINUTES},
                                            {"servers", 1, NULL, SERVERS},
                                            {"workers", 1, NULL, WORKERS},
                                            {"nodes", 1, NULL, NODES},
                                            {"calm", 0, NULL, CALM},
                                            {"mutant", 1, NULL, MUTANT},
                                            {"twice", 0, NULL, TWICE},
                                            {"help", 0, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct world_options *w = &c->world;
    int o;
    while ((o = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
        switch (o) {
        case SEED:
            w->seed = number("seed", optarg, 0, UINT32_MAX);
            break;
        case SEEDS:
            c->seeds = number("seeds", optarg, 1, UINT32_MAX);
            break;
        case MINUTES:
            w->minutes = number("minutes", optarg, 1, 1000);
            break;
        case SERVERS:
            w->servers = number("servers", optarg, 1, WORLD_SERVERS);
            break;
        case WORKERS:
            w->workers = number("workers", optarg, 1, WORLD_WORKERS);
            break;
        case NODES:
            w->nodes = number("nodes", optarg, 1, WORLD_NODES);
            break;
        case CALM:
            w->calm = true;
            break;
        case MUTANT:
            w->mutant = optarg;
            break;
        case TWICE:
            c->twice = true;
            break;
        case 'v':
            w->verbose = true;
            break;
        default:
            fputs(help, o == 'h' ? stdout : stderr);
            exit(o == 'h' ? 0 : 2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "nsim: \"%s\" is no option; --help lists them\n", argv[optind]);
        exit(2);
    }
}

static bool run_again(const struct world_options *w, const struct verdict *first)
{
    struct verdict again;
    world_run(w, &again);
    if (again.trace == first->trace && again.events == first->events)
        return true;
    printf("seed %" PRIu64 " went two ways: traces %016" PRIx64 " and %016" PRIx64 "\n", w->seed,
           first->trace, again.trace);
    return false;
}

int main(int argc, char **argv)
{
    struct command c = {.seeds = 1,
                        .world = {.seed = 1, .minutes = 5, .servers = 1, .workers = 2, .nodes = 5}};
    unsigned broken = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    parse(&c, argc, argv);
    for (unsigned i = 0; i < c.seeds; i++, c.world.seed++) {
        struct verdict v;
        bool good = world_check(&c.world, &v);
        if (good)
            printf("seed %" PRIu64 ": trace=%016" PRIx64 " events=%" PRIu64 " index=%" PRIu64
                   " acknowledged=%" PRIu64 " faults=%" PRIu64 " evals=%" PRIu64 " ended=%.1fs\n",
                   c.world.seed, v.trace, v.events, v.applied, v.acknowledged, v.faults, v.evals,
                   (double)v.at_us / 1e6);
        if (good && c.twice)
            good = run_again(&c.world, &v);
        broken += !good;
    }
    return broken > 0;
}
