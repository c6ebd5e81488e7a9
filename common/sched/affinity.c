#include "sched/affinity.h"
#include "sched/condition.h"

struct wish {
    struct condition condition;
    int32_t weight;
};
struct wishes {
    struct wish *wishes;
    size_t count;
    int64_t sum;
    bool unique; /* one of them looks at what only one node has */
};

static void add(struct wishes *w, struct arena *a, Pb__Affinity *const *affinities, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Pb__Affinity *f = affinities[i];
        struct wish *wish = &w->wishes[w->count++];
        condition_init(&wish->condition, a, f->l_target, f->operand, f->r_target);
        wish->weight = f->weight;
        w->sum += f->weight < 0 ? -(int64_t)f->weight : f->weight;
        w->unique |= wish->condition.is_unique;
    }
}

static void collect(struct wishes *w, struct arena *a, const Pb__Job *job,
                    const Pb__TaskGroup *group)
{
    size_t room = job->n_affinities + group->n_affinities;
    for (size_t i = 0; i < group->n_tasks; i++)
        room += group->tasks[i]->n_affinities;
    w->wishes = arena_array(a, struct wish, room + 1);
    add(w, a, job->affinities, job->n_affinities);
    add(w, a, group->affinities, group->n_affinities);
    for (size_t i = 0; i < group->n_tasks; i++)
        add(w, a, group->tasks[i]->affinities, group->tasks[i]->n_affinities);
}

static double score(const struct wishes *w, const struct texts *kind, const struct texts *unique)
{
    int64_t held = 0;
    for (size_t i = 0; i < w->count; i++)
        if (condition_holds(&w->wishes[i].condition, kind, unique))
            held += w->wishes[i].weight;
    return (double)held / (double)w->sum;
}

double *affinity_scores(struct arena *a, const struct fleet *f, const Pb__Job *job,
                        const Pb__TaskGroup *group, const uint32_t *slots, uint32_t count)
{
    struct wishes w = {.wishes = NULL};
    collect(&w, a, job, group);
    if (w.sum == 0)
        return NULL;
    double *scores = arena_array(a, double, count + 1), *of_kind = NULL;
    if (!w.unique) {
        of_kind = arena_array(a, double, f->kind_count + 1);
        for (uint32_t i = 0; i < f->kind_count; i++)
            if (f->kinds[i].nodes > 0)
                of_kind[i] = score(&w, &f->kinds[i].texts, NULL);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t kind = f->kind_of[slots[i]];
        scores[i] = of_kind != NULL ? of_kind[kind]
                                    : score(&w, &f->kinds[kind].texts, &f->unique[slots[i]]);
    }
    return scores;
}
