/* What the leader does about the set of members. Pure: what is seen goes in, at most one change
 * comes out. A new server is added as a learner and votes when it has been healthy for a while; one
 * that is dead for long is removed, never so that those that remain could not decide. */
#ifndef JOBSTORE_AUTOPILOT_H
#define JOBSTORE_AUTOPILOT_H

#include "raft/raft.h"
#include "types.pb-c.h"
#include <stdbool.h>

struct autopilot;

/* A server that is a member, was seen, or both. */
struct autopilot_server {
    uint64_t raft_id;
    const char *name; /* "": not known */
    bool member, voter, leader;
    uint64_t match;           /* member: known to be in its log */
    uint64_t last_contact_ms; /* member: since it answered */
    bool alive;               /* seen lately, by itself or by gossip */
    bool may_join;            /* belongs to no other cluster */
    bool non_voting;          /* does not want to vote */
};

struct autopilot_input {
    uint64_t now_ms, last_index;
    bool change_out; /* a change is not yet committed */
    const Pb__Autopilot *config;
    uint64_t dead_after_ms;
    const struct autopilot_server *servers;
    size_t count;
};

enum autopilot_kind { AUTOPILOT_NOTHING, AUTOPILOT_ADD, AUTOPILOT_PROMOTE, AUTOPILOT_REMOVE };
struct autopilot_action {
    enum autopilot_kind kind;
    uint64_t raft_id;
    const char *why; /* for the log */
};

struct autopilot *autopilot_new(void);
void autopilot_free(struct autopilot *a);
/* Leadership is new: what was seen by an earlier leader does not count. */
void autopilot_reset(struct autopilot *a);
struct autopilot_action autopilot_step(struct autopilot *a, const struct autopilot_input *in);

struct autopilot_health {
    bool healthy;
    uint64_t since_ms; /* that it has been so */
};
/* Of a member, as of the last step. */
struct autopilot_health autopilot_health(const struct autopilot *a, uint64_t raft_id);

#endif
