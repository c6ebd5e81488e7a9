/* What a scheduler answers when it is only asked: by the very code that plans, on the same view. */
#ifndef SCHED_QUESTION_H
#define SCHED_QUESTION_H

#include "base/arena.h"
#include "question.pb-c.h"
#include "sched/fleet.h"
#include "sched/sched.h"

/* view: the job's as it is, at index. Lives in a; borrows view, q and what o names. Says what
 * sched_plan would do with o after the job was registered (PLAN), or was looked at again (WHY);
 * only dynamic ports may differ. How many changes and scores is not for o to say; NULL: the
 * defaults. */
Pb__Answer *sched_answer(struct arena *a, const struct fleet *f, const Pb__JobView *view,
                         uint64_t index, const Pb__Question *q, const struct sched_options *o);

/* The same plan as sched_plan with these inputs, told as an answer. was: the one that was made of
 * them then. */
Pb__Answer *sched_answer_again(struct arena *a, const struct fleet *f, const Pb__JobView *view,
                               const Pb__Eval *eval, uint64_t seed, const struct sched_options *o,
                               const Pb__Plan *was);

#endif
