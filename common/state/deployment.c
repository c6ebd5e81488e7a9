#include "state/internal.h"

Pb__Deployment *state_deployment(struct view *v, struct arena *a, const uint8_t *id)
{
    return (Pb__Deployment *)record_message(v, a, T_DEPLOYMENTS, id_bytes(id),
                                            &pb__deployment__descriptor);
}

Pb__Deployment *state_latest_deployment(struct view *v, struct arena *a, const char *ns,
                                        const char *job_id)
{
    struct key k;
    struct bytes id;
    if (!key_job(&k, ns, job_id) || !txn_get(v->txn, T_LATEST_DEPLOYMENT, key_bytes(&k), &id))
        return NULL;
    return state_deployment(v, a, id.data);
}

static void by_job(struct key *k, const Pb__Deployment *d)
{
    must(key_job_prefix(k, d->namespace_, d->job_id));
    key_add(k, d->id.data, ID_SIZE);
}

void state_put_deployment(struct view *v, Pb__Deployment *d)
{
    (void)job_edit(v, d->namespace_, d->job_id, 0); /* who waits for the job may go on now */
    struct record old;
    d->has_modify_index = true;
    d->modify_index = v->index;
    if (!record_get(v, T_DEPLOYMENTS, id_bytes(d->id.data), &old)) {
        struct key k;
        d->has_create_index = true;
        d->create_index = v->index;
        by_job(&k, d);
        txn_put(v->txn, T_DEPLOYMENTS_BY_JOB, key_bytes(&k), bytes_of("", 0));
        must(key_job(&k, d->namespace_, d->job_id));
        txn_put(v->txn, T_LATEST_DEPLOYMENT, key_bytes(&k), id_bytes(d->id.data));
    }
    record_put(v, T_DEPLOYMENTS, id_bytes(d->id.data), &d->base);
}

void state_delete_deployment(struct view *v, const Pb__Deployment *d)
{
    struct key k;
    struct bytes latest;
    by_job(&k, d);
    txn_del(v->txn, T_DEPLOYMENTS_BY_JOB, key_bytes(&k));
    must(key_job(&k, d->namespace_, d->job_id));
    if (txn_get(v->txn, T_LATEST_DEPLOYMENT, key_bytes(&k), &latest) &&
        id_equal(latest.data, d->id.data))
        txn_del(v->txn, T_LATEST_DEPLOYMENT, key_bytes(&k));
    record_del(v, T_DEPLOYMENTS, id_bytes(d->id.data));
}
