/* How fast the raft core alone is: three members in one thread, messages handed over as they are,
 * disks that are always ready; entries per second of processor time. `meson test --benchmark raft`,
 * or run it with the number of runs. */
#include "base/err.h"
#include "raft/raft.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEMBERS 3
#define SECONDS 0.5

static struct raft *members[MEMBERS];
static uint64_t applied;

/* Of the processor: what else runs on the machine does not count. */
static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Messages live until the next call on their sender; they are stepped into others only, and
 * answers wait in what their sender has ready next. */
static bool turn(unsigned i)
{
    struct raft_ready ready;
    struct raft_entry e;
    if (!raft_ready(members[i], &ready))
        return false;
    for (size_t k = 0; k < ready.message_count; k++)
        raft_step(members[ready.messages[k].to - 1], &ready.messages[k]);
    if (ready.must_store) {
        for (size_t k = 0; k < ready.held_count; k++)
            raft_step(members[ready.held[k].to - 1], &ready.held[k]);
        raft_stored(members[i]);
    }
    uint64_t last = 0;
    while (raft_next_committed(members[i], &e))
        last = e.index;
    if (last > 0)
        raft_applied(members[i], last);
    if (i == 0 && last > applied)
        applied = last;
    return true;
}

static void until_quiet(void)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned i = 0; i < MEMBERS; i++)
            busy |= turn(i);
    }
}

static void begin(void)
{
    static const struct raft_member list[MEMBERS] = {{1, true}, {2, true}, {3, true}};
    struct reason why;
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct raft_config c = {
            .id = i + 1, .members = list, .member_count = MEMBERS, .seed = i + 1};
        must(raft_new(&members[i], &c, &why) == OK);
    }
    raft_campaign(members[0]);
    until_quiet();
    applied = 0;
}

static double measure(size_t bytes, unsigned batch)
{
    uint8_t data[256] = {0};
    uint64_t index = 0;
    begin();
    double start = now_s(), took;
    do {
        for (unsigned k = 0; k < batch; k++)
            must(raft_propose(members[0], data, bytes, &index) == OK);
        until_quiet();
        must(applied == index);
    } while ((took = now_s() - start) < SECONDS);
    for (unsigned i = 0; i < MEMBERS; i++)
        raft_free(members[i]);
    return (double)applied / took;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void median_of(unsigned runs, size_t bytes, unsigned batch)
{
    double *speeds = xcalloc(runs, sizeof *speeds);
    for (unsigned i = 0; i < runs; i++)
        speeds[i] = measure(bytes, batch);
    qsort(speeds, runs, sizeof *speeds, ascending);
    printf("entries of %3zu bytes, %4u at once: %6.2f million/s (median of %u; %.2f to %.2f)\n",
           bytes, batch, speeds[runs / 2] / 1e6, runs, speeds[0] / 1e6, speeds[runs - 1] / 1e6);
    free(speeds);
}

int main(int argc, char **argv)
{
    unsigned runs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 5;
    if (runs == 0)
        return 2;
    median_of(runs, 16, 1024);
    median_of(runs, 128, 1024);
    median_of(runs, 128, 64);
    median_of(runs, 128, 1);
    return 0;
}
