/* A job's older versions: going back to one, and which may be gone back to. */
#include "apply_internal.h"

static bool names_a_job(struct view *v, const char *ns, const char *id, Pb__Outcome *out)
{
    if (id != NULL && id[0] != '\0' && strlen(id) <= STATE_MAX_JOB_ID &&
        strlen(namespace_or_default(ns)) <= STATE_MAX_NAMESPACE)
        return true;
    refuse(v, out, PB__OUTCOME__CODE__INVALID, "no job has such an id");
    return false;
}

static void refuse_version(struct view *v, const char *ns, const char *id, uint64_t version,
                           Pb__Outcome *out)
{
    refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND,
           "job \"%s\" in namespace \"%s\" at version %llu not found", id, namespace_or_default(ns),
           (unsigned long long)version);
}

/* The older specification is registered as if it were sent again. */
void apply_job_revert(struct view *v, const Pb__JobRevert *cmd, Pb__Outcome *out)
{
    struct arena *a = state_command_arena(v);
    if (!names_a_job(v, cmd->namespace_, cmd->job_id, out))
        return;
    const Pb__Job *now = state_job(v, a, cmd->namespace_, cmd->job_id);
    if (now == NULL) {
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "job \"%s\" not found", cmd->job_id);
        return;
    }
    if (cmd->version == now->version) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "can't revert to current version");
        return;
    }
    Pb__Job *then = state_job_version(v, a, cmd->namespace_, cmd->job_id, cmd->version);
    if (then == NULL) {
        refuse_version(v, cmd->namespace_, cmd->job_id, cmd->version, out);
        return;
    }
    if (cmd->enforce_prior && cmd->prior_version != now->version) {
        refuse(v, out, PB__OUTCOME__CODE__STALE,
               "Current job has version %llu; enforcing version %llu",
               (unsigned long long)now->version, (unsigned long long)cmd->prior_version);
        return;
    }
    Pb__JobRegister again = PB__JOB_REGISTER__INIT;
    again.job = then;
    apply_job_register(v, &again, out);
}

void apply_job_stable(struct view *v, const Pb__JobStable *cmd, Pb__Outcome *out)
{
    if (names_a_job(v, cmd->namespace_, cmd->job_id, out) &&
        !state_set_stable(v, cmd->namespace_, cmd->job_id, cmd->version, cmd->stable))
        refuse_version(v, cmd->namespace_, cmd->job_id, cmd->version, out);
}
