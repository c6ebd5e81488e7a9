/* jobstore: orders every change, answers queries, tells what changed.
 *
 * Hears     everyone's commands and queries; long polls for changes on a socket of their
 *           own; the region's other jobstores by listen_raft
 * Owns      all durable state of the cluster, in its data directory: raft's log, the state in LMDB
 * Survives  kill -9 at any moment; loss of power (the state is rebuilt from a checkpoint and the
 *           log); a full disk (writes are refused, reads go on)
 * Signals   TERM answers what is under way, then exits; USR1 logs a summary
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug */
#include "daemon/daemon.h"
#include "jobstore.h"

static const struct setting settings[] = {
    SETTING(jobstore, listen, ADDR, "ipc:///run/norn/jobstore.sock", "where requests are taken"),
    SETTING(jobstore, listen_poll, ADDR, "ipc:///run/norn/jobstore-poll.sock",
            "where readers wait for changes"),
    SETTING(jobstore, data_dir, PATH, "/var/lib/norn/jobstore",
            "directory of the log and the state; made if missing"),
    SETTING(jobstore, map_size, SIZE, "64GiB",
            "how far each of log and state may grow; address space, not disk"),
    SETTING(jobstore, log_size, SIZE, "64MiB",
            "log beyond which a checkpoint is made and the log cut"),
    SETTING(jobstore, disk_reserve, SIZE, "32MiB",
            "disk space that stays free, at most 1/20 of the disk: below it writes are refused"),
    SETTING(jobstore, changes_kept, COUNT, "200000",
            "changed keys remembered for readers of the feed; one left further behind lists anew"),
    SETTING(jobstore, outcomes_kept, COUNT, "20000",
            "answers remembered by request, so that a repeated request gets the first"),
    SETTING(
        jobstore, poll_pause, MSEC, "3ms",
        "readers of changes are woken at most this often under load; at once when it was quiet"),
    SETTING(jobstore, server_name, TEXT, "",
            "name of this server, unlike that of any other; empty: the host's name"),
    SETTING(jobstore, region, TEXT, "global", "region of this server"),
    SETTING(jobstore, listen_raft, TEXT, "",
            "where the region's other servers reach this one; empty: it is the only one"),
    SETTING(jobstore, advertise_raft, TEXT, "",
            "what others are told of listen_raft; empty: the same"),
    SETTING(jobstore, gossip, TEXT, "", "who knows the region's servers; empty: only `peers` does"),
    SETTING(jobstore, peers, LIST, "", "addresses of listen_raft of others, as name=address"),
    SETTING(jobstore, bootstrap_expect, COUNT, "1",
            "servers that form the first cluster; 0: join one that exists"),
    SETTING(jobstore, non_voting, BOOL, "false", "follow and answer reads, but never vote"),
    SETTING(jobstore, election_ms, MSEC, "500ms",
            "a leader that is silent for this to twice this is replaced"),
    SETTING(jobstore, tick_ms, MSEC, "50ms", "how often a leader says that it lives"),
    SETTING(jobstore, dead_server_cleanup_ms, MSEC, "10m",
            "a server silent for this is removed from the cluster, if autopilot may"),
    SETTING_END,
};

const struct service jobstore_service = {
    .name = "jobstore",
    .summary = "orders every change, answers queries, tells what changed",
    .size = sizeof(struct jobstore),
    .settings = settings,
    .open = jobstore_open,
    .start = jobstore_start,
    .drain = jobstore_drain,
    .close = jobstore_close,
    .summary_log = jobstore_summary,
    .metrics = jobstore_metrics,
};

DAEMON_MAIN(jobstore_service)
