/* Reads that must not miss what was committed before them: gathered into rounds, each confirmed by
 * a quorum at once, however many reads it has. */
#include "jobstore.h"

#define MOST_READS 65536u

struct read {
    struct link link;
    struct request *req;
    void (*read)(struct jobstore *js, struct request *req);
    uint64_t round;
};

void fail_not_leader(struct jobstore *js, struct request *req, const char *why)
{
    struct replica_status s;
    replica_status(js->replica, &s);
    const char *at = js->transport != NULL ? transport_address(js->transport, s.raft.leader) : NULL;
    if (s.raft.leader == 0 || s.raft.leader == s.raft.id)
        request_fail(req, PB__REPLY__CODE__NOT_LEADER, "%s", why);
    else
        request_fail(req, PB__REPLY__CODE__NOT_LEADER, "%s: the leader is %016llx at %s", why,
                     (unsigned long long)s.raft.leader, at != NULL ? at : "an unknown address");
}

/* What was once seen must not be unseen: until the log is applied again, nobody reads. */
static bool is_recovering(struct jobstore *js, struct request *req)
{
    struct replica_status s;
    if (js->caught_up)
        return false;
    replica_status(js->replica, &s);
    js->caught_up = s.caught_up;
    if (!s.caught_up)
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "jobstore is recovering: at %llu",
                     (unsigned long long)s.applied_index);
    return !s.caught_up;
}

static void gather(struct jobstore *js, struct request *req,
                   void (*read)(struct jobstore *js, struct request *req))
{
    enum err e = replica_read(js->replica, ++js->read_round);
    if (e == ERR_BUSY) {
        request_fail(req, PB__REPLY__CODE__BUSY, "the leader is new, or too many reads wait");
        return;
    }
    if (e != OK) {
        fail_not_leader(js, req, "this server does not lead");
        return;
    }
    struct read *r = arena_alloc(request_arena(req), sizeof *r);
    r->req = req;
    r->read = read;
    r->round = js->read_round;
    list_push_back(&js->reads, &r->link);
}

void reads_when(struct jobstore *js, struct request *req, bool consistent,
                void (*read)(struct jobstore *js, struct request *req))
{
    if (is_recovering(js, req))
        return;
    if (consistent)
        gather(js, req, read);
    else
        read(js, req);
}

void reads_ready(struct jobstore *js, uint64_t round)
{
    struct read *r;
    list_each(&js->reads, struct read, link, r)
    {
        if (r->round > round)
            return;
        list_remove(&r->link);
        r->read(js, r->req);
    }
}

void reads_fail(struct jobstore *js)
{
    struct read *r;
    list_each(&js->reads, struct read, link, r)
    {
        list_remove(&r->link);
        fail_not_leader(js, r->req, "leadership was lost");
    }
}

void reads_close(struct jobstore *js)
{
    struct read *r;
    list_each(&js->reads, struct read, link, r)
    {
        list_remove(&r->link); /* the server fails the request */
    }
}
