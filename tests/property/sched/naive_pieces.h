/* Cores and devices once more, for the naive reference: everything is looked for each time. */
#ifndef TESTS_NAIVE_PIECES_H
#define TESTS_NAIVE_PIECES_H

#include "onejob.h"

#define MOST_PIECES 32

/* One node: what it has, what is used there, and what the plan being followed has given there. */
struct naive_pieces {
    const Pb__Node *node;
    const Pb__NodeUsage *usage;
    char given[MOST_PIECES][64]; /* "core 3", "acme/gpu/x1/a" */
    size_t given_count;
};

/* MHz that the cores asked for are there. */
uint32_t naive_cores_cpu(const struct naive_pieces *p, const Pb__Resources *ask);
bool naive_pieces_fit(const struct naive_pieces *p, const Pb__Resources *ask);
/* What the affinities of the devices that would be given add up to, and all weights. */
double naive_device_affinity(const struct naive_pieces *p, const Pb__Resources *ask,
                             double *weights);
/* The placement's grants are what is asked for, there, healthy, and nobody's; they are now given.
 */
void naive_pieces_take(struct naive_pieces *p, const Pb__Resources *ask, const Pb__Placement *at,
                       const char *label);

#endif
