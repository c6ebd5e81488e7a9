#include "restart.h"
#include "base/duration.h"
#include <stdio.h>

static struct restart_decision decision(enum restart_verdict v, int64_t delay_ns,
                                        const char *reason)
{
    struct restart_decision d = {.verdict = v, .delay_ns = delay_ns};
    snprintf(d.reason, sizeof d.reason, "%s", reason);
    return d;
}

static int64_t with_jitter(int64_t delay_ns, uint64_t random)
{
    uint64_t span = (uint64_t)delay_ns / 4;
    return delay_ns + (span == 0 ? 0 : (int64_t)(random % span));
}

static struct restart_decision exceeded(const struct restart_policy *p)
{
    char interval[32], text[128];
    duration_format(p->interval_ns, interval);
    snprintf(text, sizeof text, "Exceeded allowed attempts %u in interval %s and mode is \"fail\"",
             p->attempts, interval);
    return decision(RESTART_NOT, 0, text);
}

struct restart_decision restart_decide(const struct restart_policy *p, struct restart_window *w,
                                       enum restart_cause cause, int64_t now_ns, uint64_t random)
{
    if (cause == RESTART_SUCCESS && !p->on_success)
        return decision(RESTART_DONE, 0, "Restart unnecessary as task terminated successfully");
    if (p->attempts == 0 && !p->mode_delay)
        return decision(RESTART_NOT, 0, "Policy allows no restarts");
    if (cause == RESTART_UNRECOVERABLE)
        return decision(RESTART_NOT, 0, "Error was unrecoverable");
    if (w->start_ns == 0 || now_ns > w->start_ns + p->interval_ns)
        *w = (struct restart_window){.start_ns = now_ns};
    w->count++;
    if (w->count <= p->attempts)
        return decision(RESTART_AGAIN, with_jitter(p->delay_ns, random), "Restart within policy");
    if (!p->mode_delay)
        return exceeded(p);
    int64_t left = w->start_ns + p->interval_ns - now_ns;
    return decision(RESTART_AGAIN, left < p->delay_ns ? p->delay_ns : left,
                    "Exceeded allowed attempts, applying a delay");
}
