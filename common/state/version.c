/* A job's older versions, and which of all may be gone back to. */
#include "state/internal.h"
#include <string.h>

static Pb__Job *newest_stable_older(struct view *v, struct arena *a, const struct key *prefix)
{
    Pb__Job *found = NULL;
    struct cursor c;
    cursor_open(&c, v->txn, T_JOB_VERSIONS);
    bool more = cursor_seek(&c, key_bytes(prefix));
    for (; more && bytes_begin_with(c.key, key_bytes(prefix)); more = cursor_next(&c)) {
        Pb__Job *job = (Pb__Job *)record_message(v, a, T_JOB_VERSIONS, c.key, &pb__job__descriptor);
        if (job != NULL && job->stable)
            found = job;
    }
    cursor_close(&c);
    return found;
}

Pb__Job *state_stable_job(struct view *v, struct arena *a, const char *ns, const char *id)
{
    struct key prefix;
    Pb__Job *current = state_job(v, a, ns, id);
    if (current == NULL || current->stable)
        return current;
    return key_job_prefix(&prefix, ns, id) ? newest_stable_older(v, a, &prefix) : NULL;
}

bool state_set_stable(struct view *v, const char *ns, const char *id, uint64_t version, bool stable)
{
    struct key k;
    Pb__Job *job = state_job_version(v, v->arena, ns, id, version);
    if (job == NULL)
        return false;
    const Pb__Job *current = state_job(v, v->arena, ns, id);
    job->has_stable = true;
    job->stable = stable;
    if (current->version == version) {
        state_put_job(v, job);
        return true;
    }
    must(key_job_prefix(&k, ns, id));
    key_add_u64(&k, version);
    job->has_modify_index = true;
    job->modify_index = v->index;
    record_put(v, T_JOB_VERSIONS, key_bytes(&k), &job->base);
    return true;
}
