#include "sched/rank.h"
#include "sched/rows.h"
#include <string.h>

/* Branch-free, so that the compiler turns a loop over it into vector code: e^y by its Taylor series
 * around the middle of a quarter of the range, then squared twice. */
static inline double pow10_unit(double x)
{
    const double middle = 0.28782313662425573;   /* ln(10) / 8 */
    const double at_middle = 1.3335214321633240; /* e^middle */
    double y = x * 0.57564627324851148 - middle; /* x * ln(10) / 4 */
    double p =
        1.0 +
        y * (1.0 + y * (1.0 / 2 +
                        y * (1.0 / 6 +
                             y * (1.0 / 24 +
                                  y * (1.0 / 120 +
                                       y * (1.0 / 720 + y * (1.0 / 5040 + y * (1.0 / 40320))))))));
    p *= at_middle;
    p *= p;
    return p * p;
}

double rank_pow10(double x)
{
    return pow10_unit(x);
}

static inline double free_share(int32_t left, int32_t total)
{
    left = left < 0 ? 0 : left;
    total = total < 1 ? 1 : total;
    left = left > total ? total : left;
    return (double)left / (double)total;
}

/* The clamps are on whole numbers, because those on floating point would keep the loop below from
 * becoming vector code. */
static inline double emptiness(int32_t cpu_left, int32_t memory_left, int32_t cpu_total,
                               int32_t memory_total)
{
    return pow10_unit(free_share(cpu_left, cpu_total)) +
           pow10_unit(free_share(memory_left, memory_total));
}

/* Both algorithms are (start + sign * emptiness) / 18. */
static double start_of(const struct rank *r)
{
    return r->spreads_load ? -2.0 / 18 : 20.0 / 18;
}

static double sign_of(const struct rank *r)
{
    return r->spreads_load ? 1.0 / 18 : -1.0 / 18;
}

static void score_all(uint32_t n, double start, double sign, int32_t ask_cpu, int32_t ask_memory,
                      const int32_t *restrict cpu, const int32_t *restrict memory,
                      const int32_t *restrict cpu_total, const int32_t *restrict memory_total,
                      double *restrict scores)
{
    for (uint32_t i = 0; i < n; i++)
        scores[i] = start + sign * emptiness(cpu[i] - ask_cpu, memory[i] - ask_memory, cpu_total[i],
                                             memory_total[i]);
}

void rank_init(struct rank *r, struct arena *a, const struct ask *ask, uint32_t room)
{
    *r = (struct rank){.ask = ask};
    size_t n = (size_t)room + 1;
    r->slots = arena_array(a, uint32_t, n);
    r->cpu = arena_array(a, int32_t, n);
    r->memory = arena_array(a, int32_t, n);
    r->disk = arena_array(a, int32_t, n);
    r->cpu_total = arena_array(a, int32_t, n);
    r->memory_total = arena_array(a, int32_t, n);
    r->collisions = arena_array(a, uint32_t, n);
    r->others = arena_array(a, uint32_t, n);
    r->dynamic_ports = arena_array(a, uint32_t, n);
    r->taken = arena_array(a, struct taken_port *, n);
    r->scores = arena_array(a, double, n);
    if (ask->pieces == NULL)
        return;
    r->likes_devices = pieces_have_affinity(ask->pieces);
    r->cores_cpu = arena_array(a, int32_t, n);
    r->find = arena_array(a, struct pieces_room, n);
    r->given = arena_array(a, struct given *, n);
}

/* What is not asked for fits even where a shrunken node is over its capacity already. */
static inline bool lacks(int32_t left, uint32_t ask)
{
    return ask > 0 && left < (int64_t)ask;
}

void rank_look(struct rank *r, const struct fleet *f, uint32_t i)
{
    r->find[i] = pieces_look(r->ask->pieces, f, r->slots[i], r->given[i]);
}

/* What comes first is what makes an allocation impossible there whatever else is freed. */
static size_t pieces_exhausted(const struct rank *r, uint32_t i)
{
    const struct ask *k = r->ask;
    if (r->find[i].cores < pieces_cores(k->pieces))
        return EXHAUSTED_CORES;
    if (!r->find[i].devices)
        return EXHAUSTED_DEVICES;
    /* The MHz of cores are asked for where no others are. */
    return r->cores_cpu[i] > 0 && r->cpu[i] < (int64_t)k->amount->cpu ? EXHAUSTED_CPU
                                                                      : EXHAUSTED_NOT;
}

static inline size_t exhausted(const struct rank *r, const struct fleet *f, uint32_t i)
{
    const struct ask *k = r->ask;
    if (lacks(r->cpu[i], k->amount->cpu))
        return EXHAUSTED_CPU;
    if (lacks(r->memory[i], k->amount->memory_mb))
        return EXHAUSTED_MEMORY;
    if (lacks(r->disk[i], k->amount->disk_mb))
        return EXHAUSTED_DISK;
    if (r->distinct_hosts && r->others[i] > 0)
        return EXHAUSTED_HOSTS;
    if (k->fixed_count == 0 && k->dynamic_count == 0)
        return EXHAUSTED_NOT;
    if (k->conflicting)
        return EXHAUSTED_CONFLICT;
    if (r->dynamic_ports[i] < k->dynamic_count)
        return EXHAUSTED_DYNAMIC;
    size_t taken = ask_taken_static(k, f, r->slots[i], r->taken[i]);
    return taken < k->fixed_count ? EXHAUSTED_STATIC + taken : EXHAUSTED_NOT;
}

size_t rank_exhausted(const struct rank *r, const struct fleet *f, uint32_t i)
{
    size_t lack = r->find != NULL ? pieces_exhausted(r, i) : EXHAUSTED_NOT;
    return lack != EXHAUSTED_NOT ? lack : exhausted(r, f, i);
}

static bool has_room(const struct rank *r, const struct fleet *f, uint32_t i)
{
    bool pieces = r->find == NULL || pieces_exhausted(r, i) == EXHAUSTED_NOT;
    return pieces && exhausted(r, f, i) == EXHAUSTED_NOT;
}

double rank_binpack(const struct rank *r, uint32_t i)
{
    return start_of(r) + sign_of(r) * emptiness(r->cpu[i] - (int32_t)r->ask->amount->cpu,
                                                r->memory[i] - (int32_t)r->ask->amount->memory_mb,
                                                r->cpu_total[i], r->memory_total[i]);
}

double rank_anti_affinity(const struct rank *r, uint32_t i)
{
    if (r->collisions[i] == 0)
        return 0;
    return -((double)r->collisions[i] + 1) / (r->group_count > 0 ? r->group_count : 1);
}

double rank_affinity(const struct rank *r, uint32_t i)
{
    return r->affinity != NULL ? r->affinity[i] : 0;
}

static inline bool is_penalized(const struct rank *r, uint32_t i)
{
    for (uint32_t k = 0; k < r->n_penalized; k++)
        if (r->penalized[k] == i)
            return true;
    return false;
}

double rank_penalty(const struct rank *r, uint32_t i)
{
    return is_penalized(r, i) ? -1 : 0;
}

double rank_devices(const struct rank *r, uint32_t i)
{
    return r->likes_devices ? r->find[i].affinity : 0;
}

static inline double combine(const struct rank *r, uint32_t i, double packing)
{
    double sum = packing;
    int parts = 1;
    if (r->collisions[i] > 0)
        sum += rank_anti_affinity(r, i), parts++;
    if (r->affinity != NULL)
        sum += r->affinity[i], parts++;
    if (is_penalized(r, i))
        sum -= 1, parts++;
    if (r->likes_devices)
        sum += r->find[i].affinity, parts++;
    return sum / parts;
}

void rank_build(struct rank *r, struct arena *a, const struct fleet *f)
{
    const Pb__Amount *ask = r->ask->amount;
    bool absurd = ask->cpu > INT32_MAX || ask->memory_mb > INT32_MAX || ask->disk_mb > INT32_MAX;
    if (!absurd)
        score_all(r->count, start_of(r), sign_of(r), (int32_t)ask->cpu, (int32_t)ask->memory_mb,
                  r->cpu, r->memory, r->cpu_total, r->memory_total, r->scores);
    for (uint32_t i = 0; i < r->count; i++)
        r->scores[i] =
            !absurd && exhausted(r, f, i) == EXHAUSTED_NOT ? combine(r, i, r->scores[i]) : KEY_NONE;
    for (uint32_t i = 0; r->find != NULL && i < r->count; i++)
        if (pieces_exhausted(r, i) != EXHAUSTED_NOT)
            r->scores[i] = KEY_NONE;
    if (r->cells != NULL)
        cells_build(r->cells, r->slots, r->count, r->scores);
    else if (r->count > 0)
        winner_init(&r->winner, a, NULL, r->count, r->scores, NULL);
}

uint32_t rank_best(const struct rank *r)
{
    if (r->cells != NULL)
        return cells_best(r->cells);
    uint32_t best = r->count > 0 ? winner_best(&r->winner) : UINT32_MAX;
    return best != UINT32_MAX && r->scores[best] > KEY_NONE ? best : UINT32_MAX;
}

uint32_t rank_find(const struct rank *r, const struct fleet *f, const uint8_t *node_id)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int c = memcmp(f->ids[r->slots[middle]].bytes, node_id, ID_SIZE);
        if (c == 0)
            return middle;
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return UINT32_MAX;
}

void rank_update(struct rank *r, const struct fleet *f, uint32_t candidate)
{
    r->scores[candidate] =
        has_room(r, f, candidate) ? combine(r, candidate, rank_binpack(r, candidate)) : KEY_NONE;
    if (r->cells != NULL)
        cells_changed(r->cells, candidate);
    else
        winner_update(&r->winner, candidate);
}

void rank_placed(struct rank *r, const struct fleet *f, uint32_t candidate)
{
    rank_update(r, f, candidate);
    if (r->cells != NULL)
        cells_placed(r->cells, candidate);
}

void rank_penalize(struct rank *r, const struct fleet *f, const uint32_t *candidates, uint32_t n)
{
    uint32_t before[RANK_PENALIZED], n_before = r->n_penalized;
    memcpy(before, r->penalized, sizeof before);
    r->n_penalized = 0;
    for (uint32_t i = 0; i < n && r->n_penalized < RANK_PENALIZED; i++)
        if (candidates[i] < r->count && !is_penalized(r, candidates[i]))
            r->penalized[r->n_penalized++] = candidates[i];
    for (uint32_t i = 0; i < n_before; i++)
        if (!is_penalized(r, before[i]))
            rank_update(r, f, before[i]);
    for (uint32_t i = 0; i < r->n_penalized; i++)
        rank_update(r, f, r->penalized[i]);
}

double rank_score(const struct rank *r, uint32_t i)
{
    return r->cells != NULL ? cells_score(r->cells, i) : r->scores[i];
}
