/* Questions that evalbroker hands out with the work: what a plan would do, why things are as they
 * are (sched/question.h). Each goes its own way beside the rounds: the view of the nodes reaches
 * the index that the question is about, the job is fetched, the view catches up with that, the
 * answer goes back. */
#ifndef SCHEDWORKER_ASKED_H
#define SCHEDWORKER_ASKED_H

#include "question.pb-c.h"
#include "schedworker/schedworker.h"

void asked_take(struct schedworker *w, const Pb__Question *q);
/* The view has moved on. */
void asked_synced(struct schedworker *w);
/* Whoever asked is gone, and our calls are cancelled. */
void asked_drop_all(struct schedworker *w);

#endif
