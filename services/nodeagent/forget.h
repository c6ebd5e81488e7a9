/* Removes what is left of allocations that the servers have forgotten. Directories, logs and the
 * local record of an allocation stay when it is over, for those who read them; each interval the
 * servers are asked which of them they still know. */
#ifndef NODEAGENT_FORGET_H
#define NODEAGENT_FORGET_H

#include "local.h"
#include "loop/loop.h"
#include "runner.h"
#include "uplink.h"

struct forget;

struct forget_options {
    uint64_t interval_ms;
    const Pb__Node *node; /* with its secret */
    struct local *local;
    struct runner *runner;
    struct uplink *uplink;
};

struct forget *forget_new(struct loop *l, const struct forget_options *o); /* all borrowed */
void forget_free(struct forget *f);

#endif
