/* The rules of a task's life, as its job has them. */
#include "run.h"
#include <string.h>

#define SECOND_NS 1000000000ll

static bool is_batch(const Pb__Job *job)
{
    return job->type != NULL &&
           (strcmp(job->type, "batch") == 0 || strcmp(job->type, "sysbatch") == 0);
}

struct task_rules task_rules_of(const Pb__Job *job, const Pb__TaskGroup *group,
                                const Pb__Task *task, int64_t max_kill_timeout_ns)
{
    const Pb__RestartPolicy *p =
        task->restart_policy != NULL ? task->restart_policy : group->restart_policy;
    struct task_rules rules = {
        .kill_timeout_ns = task->has_kill_timeout_ns ? task->kill_timeout_ns : 5 * SECOND_NS,
        .shutdown_delay_ns = task->shutdown_delay_ns,
        .max_run_ns = task->max_run_duration_ns,
    };
    if (rules.kill_timeout_ns > max_kill_timeout_ns)
        rules.kill_timeout_ns = max_kill_timeout_ns;
    if (p == NULL)
        rules.restart =
            is_batch(job)
                ? (struct restart_policy){3, 24 * 3600 * SECOND_NS, 15 * SECOND_NS, false, false}
                : (struct restart_policy){2, 30 * 60 * SECOND_NS, 15 * SECOND_NS, false, true};
    else
        rules.restart = (struct restart_policy){
            .attempts = p->attempts,
            .interval_ns = p->interval_ns,
            .delay_ns = p->delay_ns,
            .mode_delay = p->mode != NULL && strcmp(p->mode, "delay") == 0,
            .on_success = !is_batch(job),
        };
    rules.restart.on_success &= group_role_is_lasting(group_role_of(task));
    if (group_role_of(task) == GROUP_PRESTOP) { /* the others wait for it to stop */
        rules.restart = (struct restart_policy){0};
        if (rules.max_run_ns == 0)
            rules.max_run_ns = GROUP_PRESTOP_NS;
    }
    return rules;
}
