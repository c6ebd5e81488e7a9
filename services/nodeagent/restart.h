/* Whether a task that ended, or did not start, is started again, and when: Nomad's rules. Pure:
 * time and chance are arguments. */
#ifndef NODEAGENT_RESTART_H
#define NODEAGENT_RESTART_H

#include <stdbool.h>
#include <stdint.h>

struct restart_policy {
    uint32_t attempts; /* within one interval */
    int64_t interval_ns, delay_ns;
    bool mode_delay; /* beyond the attempts wait for the next interval; else the task fails */
    bool on_success; /* services start again even after exit code 0 */
};

/* How much of the policy is used up: survives the agent in its local state. */
struct restart_window {
    int64_t start_ns; /* 0: none yet */
    uint32_t count;
};

enum restart_cause { RESTART_SUCCESS, RESTART_FAILURE, RESTART_UNRECOVERABLE };

enum restart_verdict {
    RESTART_AGAIN, /* after delay_ns */
    RESTART_DONE,  /* it ended well and that is all */
    RESTART_NOT,   /* the task has failed */
};

struct restart_decision {
    enum restart_verdict verdict;
    int64_t delay_ns;
    char reason[128]; /* as Nomad words it */
};

/* random: any 64 bits, for the jitter of up to a quarter of the delay. */
struct restart_decision restart_decide(const struct restart_policy *p, struct restart_window *w,
                                       enum restart_cause cause, int64_t now_ns, uint64_t random);

#endif
