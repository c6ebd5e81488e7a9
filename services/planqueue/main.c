/* planqueue: checks each plan against the newest state; commits all, part or none of it.
 *
 * Hears     schedworkers (SUBMIT), jobstore (changes of nodes and of what is used on them)
 * Says      to jobstore: APPLY of what is accepted
 * Owns      nothing durable: the view is listed from jobstore at every start, and jobstore checks
 *           each placement once more, so that a planqueue that is killed leaves nothing to repair
 * Signals   TERM answers what is in flight then exits; USR1 logs a summary
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug */
#include "planqueue/planqueue.h"

static const struct setting settings[] = {
    SETTING(planqueue, listen, ADDR, "ipc:///run/norn/planqueue.sock", "where plans come in"),
    SETTING(planqueue, jobstore, ADDR, "ipc:///run/norn/jobstore.sock",
            "where plans are committed and nodes are listed"),
    SETTING(planqueue, jobstore_poll, ADDR, "ipc:///run/norn/jobstore-poll.sock",
            "where jobstore answers long polls"),
    SETTING(planqueue, max_in_flight, COUNT, "1024", "plans being committed at once; then BUSY"),
    SETTING(planqueue, max_waiting, COUNT, "256",
            "submissions that wait for the view to catch up; then BUSY"),
    SETTING_END,
};

const struct service planqueue_service = {
    .name = "planqueue",
    .summary = "checks each plan against the newest state; commits all, part or none of it",
    .size = sizeof(struct planqueue),
    .settings = settings,
    .open = planqueue_open,
    .start = planqueue_start,
    .drain = planqueue_drain,
    .close = planqueue_close,
    .summary_log = planqueue_summary_log,
    .metrics = planqueue_metrics,
};

DAEMON_MAIN(planqueue_service)
