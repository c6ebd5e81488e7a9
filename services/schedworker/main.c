/* schedworker: turns (state, evaluation) into a plan.
 *
 * Asks      evalbroker (DEQUEUE: work, and what became of the last), jobstore (changes of nodes;
 *           JOB_VIEWS), planqueue (SUBMIT)
 * Owns      nothing: a view of the fleet. Start as many as you like, anywhere; one may be killed at
 *           any moment: evalbroker hands its evaluations to another when they are not acknowledged
 * Signals   TERM gives back what is in hand then exits; USR1 logs a summary
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug */
#include "schedworker/schedworker.h"

static const struct setting settings[] = {
    SETTING(schedworker, evalbroker, ADDR, "ipc:///run/norn/evalbroker.sock",
            "where evaluations come from"),
    SETTING(schedworker, planqueue, ADDR, "ipc:///run/norn/planqueue.sock", "where plans go"),
    SETTING(schedworker, jobstore, ADDR, "ipc:///run/norn/jobstore.sock",
            "where jobs and nodes are read"),
    SETTING(schedworker, jobstore_poll, ADDR, "ipc:///run/norn/jobstore-poll.sock",
            "where jobstore answers long polls"),
    SETTING(schedworker, gateway, ADDR, "ipc:///run/norn/gateway-poll.sock",
            "where to ask which server leads, when it is not this one"),
    SETTING(schedworker, servers, LIST, "",
            "for a worker on a machine without a server: the doors of servers, such as "
            "tcp://10.0.0.1:4647; the addresses above are then not used"),
    SETTING(schedworker, idle_beside_leader, BOOL, "false",
            "rest while this server leads, to leave a core to the leader's daemons"),
    SETTING(schedworker, types, LIST, "service,batch,system,sysbatch",
            "types of jobs that this worker plans"),
    SETTING(schedworker, batch, COUNT, "64", "evaluations in hand at most"),
    SETTING(schedworker, max_changes, COUNT, "10000",
            "placements, stops and updates of one plan at most; a larger change takes several"),
    SETTING(schedworker, max_round_changes, COUNT, "40000",
            "changes after which a round plans no further evaluation"),
    SETTING(schedworker, max_attempts, COUNT, "10",
            "plans refused in a row before an evaluation is given back"),
    SETTING(schedworker, wait_ms, MSEC, "30s", "how long one question to evalbroker may wait"),
    SETTING(schedworker, view_timeout_ms, MSEC, "10s",
            "how long to wait for the view to be new enough before giving evaluations back"),
    SETTING(schedworker, replay_plans, COUNT, "100",
            "plans kept with all they were made from, for `nctl eval replay`; 0: none"),
    SETTING(schedworker, replay_bytes, SIZE, "32MiB",
            "memory for them at most, beside one copy of the nodes' records"),
    SETTING_END,
};

const struct service schedworker_service = {
    .name = "schedworker",
    .summary = "turns (state, evaluation) into a plan",
    .size = sizeof(struct schedworker),
    .settings = settings,
    .start = schedworker_start,
    .drain = schedworker_drain,
    .close = schedworker_close,
    .summary_log = schedworker_summary_log,
    .metrics = schedworker_metrics,
};

DAEMON_MAIN(schedworker_service)
