/* evalbroker: hands each pending evaluation to one worker at a time, at least once.
 *
 * Hears     jobstore (evaluations, nodes and their usage, by the changes feed), schedworkers
 *           (DEQUEUE with acks and nacks)
 * Says      to jobstore: APPLY of evaluations that are superseded or have failed
 * Owns      nothing durable: the queue is rebuilt from jobstore at every start
 * Signals   TERM exits; USR1 logs a summary
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug */
#include "daemon/daemon.h"
#include "evalbroker.h"

static const struct setting settings[] = {
    SETTING(evalbroker, listen, ADDR, "ipc:///run/norn/evalbroker.sock",
            "where schedworkers ask for work"),
    SETTING(evalbroker, jobstore, ADDR, "ipc:///run/norn/jobstore.sock",
            "where changes are proposed"),
    SETTING(evalbroker, jobstore_poll, ADDR, "ipc:///run/norn/jobstore-poll.sock",
            "where evaluations come from"),
    SETTING(evalbroker, ack_timeout_ms, MSEC, "60000",
            "a silent worker loses its evaluation after this"),
    SETTING(evalbroker, nack_delay_ms, MSEC, "1000",
            "a refused evaluation comes again after this, doubled each further time"),
    SETTING(evalbroker, max_deliveries, COUNT, "3", "deliveries of an evaluation before it fails"),
    SETTING(evalbroker, follow_up_delay_ms, MSEC, "60000",
            "a failed evaluation is followed by another after this, doubled up to four times"),
    SETTING(evalbroker, max_evals, COUNT, "500000",
            "evaluations held in memory; those beyond it stay in jobstore until there is room"),
    SETTING(evalbroker, max_workers, COUNT, "1024", "requests of workers that may wait at once"),
    SETTING_END,
};

const struct service evalbroker_service = {
    .name = "evalbroker",
    .summary = "hands each pending evaluation to one scheduler at a time, at least once",
    .size = sizeof(struct evalbroker),
    .settings = settings,
    .open = evalbroker_open,
    .start = evalbroker_start,
    .close = evalbroker_close,
    .summary_log = evalbroker_summary,
    .metrics = evalbroker_metrics,
};

DAEMON_MAIN(evalbroker_service)
