#include "state/internal.h"
#include <string.h>

Pb__Deployment *state_deployment(struct view *v, struct arena *a, const uint8_t *id)
{
    return (Pb__Deployment *)record_message(v, a, T_DEPLOYMENTS, id_bytes(id),
                                            &pb__deployment__descriptor);
}

Pb__Deployment *state_latest_deployment(struct view *v, struct arena *a, const char *ns,
                                        const char *job_id)
{
    struct walk w;
    const uint8_t *id;
    uint8_t last[ID_SIZE];
    bool found = false;
    walk_open(&w, v, PB__TABLE__NAME__DEPLOYMENTS, PB__LIST__BY__JOB, ns, job_id, NULL, NULL);
    for (; (id = walk_next(&w)) != NULL; found = true)
        memcpy(last, id, ID_SIZE);
    walk_close(&w);
    return found ? state_deployment(v, a, last) : NULL;
}

static void by_job(struct key *k, const Pb__Deployment *d)
{
    must(key_job_prefix(k, d->namespace_, d->job_id));
    key_add(k, d->id.data, ID_SIZE);
}

void state_put_deployment(struct view *v, Pb__Deployment *d)
{
    struct record old;
    d->has_modify_index = true;
    d->modify_index = v->index;
    if (!record_get(v, T_DEPLOYMENTS, id_bytes(d->id.data), &old)) {
        struct key k;
        d->has_create_index = true;
        d->create_index = v->index;
        by_job(&k, d);
        txn_put(v->txn, T_DEPLOYMENTS_BY_JOB, key_bytes(&k), bytes_of("", 0));
    }
    record_put(v, T_DEPLOYMENTS, id_bytes(d->id.data), &d->base);
}

void state_delete_deployment(struct view *v, const Pb__Deployment *d)
{
    struct key k;
    by_job(&k, d);
    txn_del(v->txn, T_DEPLOYMENTS_BY_JOB, key_bytes(&k));
    record_del(v, T_DEPLOYMENTS, id_bytes(d->id.data));
}
