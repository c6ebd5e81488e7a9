/* The leader's care for the set of members: autopilot driven by what is seen, the members' names in
 * the state, and what an operator asks for. */
#ifndef JOBSTORE_MEMBERSHIP_H
#define JOBSTORE_MEMBERSHIP_H

#include "net/net.h"
#include "raft/raft.h"
#include "jobstore.pb-c.h"

struct jobstore;
struct membership;

void membership_open(struct membership **out, struct jobstore *js);
void membership_close(struct membership *m);
/* Who leads has changed. */
void membership_role_changed(struct membership *m);
/* Something more is committed. */
void membership_settled(struct membership *m);
/* They take req. */
void membership_autopilot(struct membership *m, struct request *req);
void membership_remove(struct membership *m, struct request *req);
void membership_transfer(struct membership *m, struct request *req);
/* In a. c: the cluster's record. */
Pb__RaftPeer *member_describe(struct jobstore *js, struct arena *a, const struct raft_peer *p,
                              const Pb__Cluster *c, uint64_t leader);

#endif
