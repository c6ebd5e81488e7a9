/* The fleet as it is not: a copy with nodes added or taken away, to plan on. */
#ifndef SCHED_WHATIF_H
#define SCHED_WHATIF_H

#include "base/err.h"
#include "question.pb-c.h"
#include "sched/fleet.h"

#define WHATIF_MOST_NODES 100000 /* added in all */

/* *out is the caller's to free; on error untouched. A copied node has nothing on it. */
enum err whatif_fleet(struct fleet **out, const struct fleet *f, Pb__WhatIf *const *changes,
                      size_t count, struct reason *why);

#endif
