#include "state/internal.h"
#include <string.h>

const char *namespace_or_default(const char *ns)
{
    return ns == NULL || ns[0] == '\0' ? "default" : ns;
}

bool key_job(struct key *k, const char *ns, const char *id)
{
    ns = namespace_or_default(ns);
    if (id == NULL || id[0] == '\0')
        return false;
    size_t ns_len = strnlen(ns, STATE_MAX_NAMESPACE + 1);
    size_t id_len = strnlen(id, STATE_MAX_JOB_ID + 1);
    if (ns_len > STATE_MAX_NAMESPACE || id_len > STATE_MAX_JOB_ID)
        return false;
    k->len = 0;
    key_add(k, ns, ns_len + 1);
    key_add(k, id, id_len);
    return true;
}

bool key_job_prefix(struct key *k, const char *ns, const char *id)
{
    if (!key_job(k, ns, id))
        return false;
    key_add(k, "", 1);
    return true;
}

void key_add(struct key *k, const void *data, size_t len)
{
    must(k->len + len <= sizeof k->data);
    memcpy(k->data + k->len, data, len);
    k->len += len;
}

void key_add_u64(struct key *k, uint64_t v)
{
    uint8_t be[8];
    u64_store_be(be, v);
    key_add(k, be, sizeof be);
}
