#include "schedule.h"
#include "invariants.h"
#include <setjmp.h>
#include <signal.h>
#include <string.h>

static sigjmp_buf aborted;

static void on_abort(int number)
{
    siglongjmp(aborted, number);
}

static void run(struct world *w, uint64_t events)
{
    signal(SIGABRT, on_abort);
    if (sigsetjmp(aborted, 1) != 0)
        fail(w, "the core stopped itself");
    else if (world_run(w, events))
        world_heal(w);
    signal(SIGABRT, SIG_DFL);
}

struct outcome schedule_run(uint64_t seed, uint64_t events, FILE *trace)
{
    static struct world w;
    world_init(&w, seed);
    w.trace = trace;
    run(&w, events);
    struct outcome out = {
        .ok = w.failure[0] == '\0', .trace_hash = w.trace_hash, .counts = w.counts};
    memcpy(out.failure, w.failure, sizeof out.failure);
    world_fini(&w);
    return out;
}
