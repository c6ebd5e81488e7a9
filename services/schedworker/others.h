/* What might be displaced for a job that finds no room: the allocations on nodes where only room
 * was missing, read page by page until the job finds its place or there are no such nodes left. */
#ifndef SCHEDWORKER_OTHERS_H
#define SCHEDWORKER_OTHERS_H

#include "sched/sched.h"
#include "schedworker/schedworker.h"

struct others;

/* Planning options as the region has them: with an algorithm, and, where jobs of this type may
 * displace others, with what o knows and the place for what is to be read next. *o is made when it
 * is needed. config and job may be NULL. */
struct sched_options others_options(struct others **o, const Pb__SchedulerConfig *config,
                                    const Pb__Job *job);
/* After a plan with these options that left something unplaced: whether there is more to be read
 * before it is submitted. NULL: there is not. */
bool others_wanted(const struct others *o);
/* Reads it. done(owner, ok) is called once, not before this returns. */
void others_read(struct others *o, struct schedworker *w, void (*done)(void *owner, bool ok),
                 void *owner);
void others_free(struct others *o); /* cancels what is being read; NULL is fine */
/* As others_free, when the client of jobstore is closed and its calls are gone. */
void others_drop(struct others *o);

#endif
