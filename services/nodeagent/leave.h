/* The end of an agent whose node is to be empty by then, and what the next agent makes of it: the
 * servers move the allocations away, the agent ends when the last has ended here and they have
 * heard of it, and the node takes work again when its agent is back. */
#ifndef NODEAGENT_LEAVE_H
#define NODEAGENT_LEAVE_H

#include "local.h"
#include "loop/loop.h"
#include "runner.h"
#include "uplink.h"

struct leave;

struct leave_options {
    uint64_t deadline_ms; /* 0: none */
    bool force;           /* all at once */
    bool ignore_system_jobs;
    uint64_t max_kill_timeout_ms;
    struct local *local;
    const Pb__Node *node;
    struct runner *runner;
    struct uplink *uplink;
};

/* Tells the servers that the node is back, if it left when the last agent ended. */
struct leave *leave_new(struct loop *l, const struct leave_options *o);
void leave_free(struct leave *v);
/* Has the node drained and calls done once it is empty, or the time is over. Once. */
void leave_begin(struct leave *v, void (*done)(void *owner), void *owner);
/* As long as leave_begin may take. */
uint64_t leave_limit_ms(const struct leave_options *o);

#endif
