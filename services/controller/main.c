/* controller: what time makes happen. Nodes that are silent too long are down, nodes heard again
 * are ready; nodes that are being drained lose their allocations a few at a time; periodic jobs are
 * launched; what nobody needs any more is collected.
 *
 * Hears     gateway (SEEN: which nodes sent a heartbeat), jobstore (nodes and jobs, by the changes
 * feed) Says      jobstore (APPLY: changes of nodes' status; LIST and JOB_VIEWS and steps of
 * drains; launches) Owns      nothing durable: after a start every node has its full time to live
 * again Signals   TERM exits; USR1 logs a summary Exits     0 asked to stop, 1 failed, 2 bad usage
 * or settings (do not restart), abort: a bug */
#include "controller.h"
#include "daemon/daemon.h"

static const struct setting settings[] = {
    SETTING(controller, listen, ADDR, "ipc:///run/norn/controller.sock",
            "where gateways tell who was heard"),
    SETTING(controller, jobstore, ADDR, "ipc:///run/norn/jobstore.sock",
            "where changes are proposed"),
    SETTING(controller, jobstore_poll, ADDR, "ipc:///run/norn/jobstore-poll.sock",
            "where nodes and jobs come from"),
    SETTING(controller, min_heartbeat_ttl_ms, MSEC, "10000",
            "agents send heartbeats at least this often"),
    SETTING(controller, heartbeat_grace_ms, MSEC, "10000",
            "a node silent this long beyond its time is down"),
    SETTING(controller, max_heartbeats_per_second, COUNT, "50",
            "of all nodes together; a larger fleet beats less often. 0: no bound"),
    SETTING(controller, job_gc_interval_ms, MSEC, "5m", "how often to collect what is old"),
    SETTING(controller, job_gc_threshold_ms, MSEC, "4h",
            "jobs that ended or were stopped are kept this long"),
    SETTING(controller, eval_gc_threshold_ms, MSEC, "1h",
            "evaluations that ended are kept this long, with their allocations"),
    SETTING(controller, batch_eval_gc_threshold_ms, MSEC, "24h",
            "the same, of jobs of type batch and sysbatch"),
    SETTING(controller, deployment_gc_threshold_ms, MSEC, "1h",
            "deployments that ended are kept this long"),
    SETTING(controller, node_gc_threshold_ms, MSEC, "24h",
            "nodes that are down and empty are kept this long"),
    SETTING_END,
};

const struct service controller_service = {
    .name = "controller",
    .summary = "does what time makes happen: missed heartbeats, drains, launches, collection",
    .size = sizeof(struct controller),
    .settings = settings,
    .open = controller_open,
    .start = controller_start,
    .close = controller_close,
    .summary_log = controller_summary,
    .metrics = controller_metrics,
};

DAEMON_MAIN(controller_service)
