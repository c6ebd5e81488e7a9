/* STATUS: who leads, and how far this replica is; at once, or when the former changes. */
#include "jobstore.h"
#include "wire/wire.h"
#include <stdlib.h>

#define LONGEST_WAIT_MS 60000u

/* Someone who waits for another leader. */
struct status_waiter {
    struct link link;
    struct jobstore *js;
    struct request *req;
    struct timer timer;
};

static Pb__JobstoreStatus__Role role_of(enum raft_role role)
{
    switch (role) {
    case RAFT_LEADER:
        return PB__JOBSTORE_STATUS__ROLE__LEADER;
    case RAFT_CANDIDATE:
    case RAFT_PRE_CANDIDATE:
        return PB__JOBSTORE_STATUS__ROLE__CANDIDATE;
    default:
        return PB__JOBSTORE_STATUS__ROLE__FOLLOWER;
    }
}

/* What only STATUS asked for at length carries; in a. */
static void fill_members(struct jobstore *js, struct arena *a, Pb__JobstoreStatus *out)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    size_t count = replica_peers(js->replica, peers);
    struct view *v = state_read(replica_state(js->replica));
    const Pb__Cluster *c = state_cluster(v, a);
    view_abort(v);
    out->members = arena_array(a, Pb__RaftPeer *, count + 1);
    for (size_t i = 0; i < count; i++) {
        Pb__RaftPeer *m = member_describe(js, a, &peers[i], c, out->leader_raft_id);
        out->members[out->n_members++] = m;
        if (m->leader)
            out->leader_name = m->name;
    }
}

static uint64_t digest_of(struct jobstore *js)
{
    struct view *v = state_read(replica_state(js->replica));
    uint64_t digest = state_digest(v);
    view_abort(v);
    return digest;
}

static void fill_identity(struct jobstore *js, Pb__JobstoreStatus *out)
{
    const uint8_t *cluster = replica_cluster_id(js->replica);
    out->has_cluster_id = cluster != NULL;
    out->cluster_id = (ProtobufCBinaryData){.len = cluster != NULL ? ID_SIZE : 0,
                                            .data = (uint8_t *)(uintptr_t)cluster};
    out->has_server_id = out->has_raft_id = true;
    out->server_id = (ProtobufCBinaryData){
        .len = ID_SIZE, .data = (uint8_t *)(uintptr_t)replica_server_id(js->replica)};
    out->raft_id = replica_raft_id(js->replica);
    out->server_name = js->name;
    if (js->transport != NULL)
        out->raft_address = (char *)(uintptr_t)js->address;
    out->has_bootstrap_expect = out->has_non_voting = true;
    out->bootstrap_expect = (uint32_t)js->bootstrap_expect;
    out->non_voting = js->non_voting;
}

/* The message refers to *s. */
static void fill(struct jobstore *js, struct replica_status *s, Pb__JobstoreStatus *out)
{
    pb__jobstore_status__init(out);
    replica_status(js->replica, s);
    out->has_role = out->has_term = out->has_commit_index = out->has_applied_index = true;
    out->role = role_of(s->raft.role);
    out->term = s->raft.term;
    out->commit_index = s->raft.commit;
    out->applied_index = s->applied_index;
    out->has_first_log_index = true;
    out->first_log_index = s->first_log_index;
    out->write_refused = (char *)(uintptr_t)s->write_refused;
    out->has_leader_raft_id = out->has_leading = out->has_last_contact_ms = true;
    out->leader_raft_id = s->raft.leader;
    out->leading = s->leading;
    out->last_contact_ms = s->last_contact_ms;
    out->has_log_bytes = out->has_state_bytes = out->has_last_log_index = true;
    out->log_bytes = s->log_bytes;
    out->state_bytes = s->state_bytes;
    out->last_log_index = s->raft.last;
    if (js->transport != NULL)
        out->leader_address = (char *)(uintptr_t)transport_address(js->transport, s->raft.leader);
    fill_identity(js, out);
}

static bool differs(const Pb__JobstoreStatus *s, const Pb__StatusWait *known)
{
    return s->term != known->term || s->leader_raft_id != known->leader_raft_id ||
           s->leading != known->leading;
}

static void waiter_free(struct status_waiter *w)
{
    timer_cancel(w->js->loop, &w->timer);
    list_remove(&w->link);
    free(w);
}

static void on_waiter_gone(void *owner, struct request *req)
{
    waiter_free(owner);
}

static void answer(struct status_waiter *w)
{
    struct replica_status s;
    Pb__JobstoreStatus out;
    struct request *req = w->req;
    fill(w->js, &s, &out);
    fill_members(w->js, request_arena(req), &out);
    waiter_free(w);
    request_reply(req, &out.base, s.applied_index);
}

static void on_wait_over(void *owner)
{
    answer(owner);
}

void status_answer(struct jobstore *js, struct request *req)
{
    const Pb__StatusWait *ask = (const Pb__StatusWait *)request_body(req);
    struct replica_status s;
    Pb__JobstoreStatus out;
    fill(js, &s, &out);
    if (ask->wait_ms == 0 || js->draining || differs(&out, ask)) {
        fill_members(js, request_arena(req), &out);
        out.has_digest = ask->digest != 0;
        out.digest = ask->digest ? digest_of(js) : 0;
        request_reply(req, &out.base, s.applied_index);
        return;
    }
    struct status_waiter *w = xcalloc(1, sizeof *w);
    w->js = js;
    w->req = req;
    list_push_back(&js->status_waiters, &w->link);
    request_park(req, on_waiter_gone, w);
    timer_arm(js->loop, &w->timer, ask->wait_ms < LONGEST_WAIT_MS ? ask->wait_ms : LONGEST_WAIT_MS,
              on_wait_over, w);
}

void status_look(struct jobstore *js)
{
    struct replica_status s;
    Pb__JobstoreStatus out;
    struct status_waiter *w;
    if (list_empty(&js->status_waiters))
        return;
    fill(js, &s, &out);
    list_each(&js->status_waiters, struct status_waiter, link, w)
    {
        if (js->draining || differs(&out, (const Pb__StatusWait *)request_body(w->req)))
            answer(w);
    }
}

void status_close(struct jobstore *js)
{
    struct status_waiter *w;
    list_each(&js->status_waiters, struct status_waiter, link, w)
    {
        waiter_free(w); /* the server fails the request */
    }
}
