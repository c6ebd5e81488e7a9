/* nodeagent: registers the machine, keeps its heartbeat, and runs the allocations placed on it.
 *
 * Hears     gateway (what is to run here, who wants to read a file: answers to its own polls)
 * Owns      DATA/state  its identity, its allocations and their tasks
 *           DATA/spare  a copy of it, for when it is damaged
 *           DATA/alloc  the allocations' directories
 *           DATA/shim   one directory per task for its taskshim
 * Signals   TERM leaves the tasks running, unless stop_tasks_on_exit; USR1 logs a summary
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug
 *
 * kill -9 of it does no harm: tasks belong to their taskshims. The next agent on the same DATA
 * finds them again and reports what ended meanwhile. */
#include "daemon/daemon.h"
#include "nodeagent.h"

static const struct setting settings[] = {
    SETTING(nodeagent, gateway, LIST, "ipc:///run/norn/gateway.sock",
            "gateways' addresses for agents; one is used, the next when it fails"),
    SETTING(nodeagent, gateway_poll, LIST, "ipc:///run/norn/gateway-poll.sock",
            "the same gateways' addresses for long polls, in the same order"),
    SETTING(nodeagent, servers, LIST, "",
            "doors of servers elsewhere, such as tcp://10.0.0.1:4647; the two above are then not "
            "used. Servers tell of others; one is used, the next when it fails"),
    SETTING(nodeagent, data_dir, PATH, "/var/lib/norn/client",
            "where allocations and the agent's own state live"),
    SETTING(nodeagent, name, TEXT, "", "name of the node; empty: the host name"),
    SETTING(nodeagent, region, TEXT, "global", "region the servers are of; tasks are told"),
    SETTING(nodeagent, datacenter, TEXT, "dc1", "datacenter of the node"),
    SETTING(nodeagent, node_pool, TEXT, "default",
            "node pool of the node: it gets the jobs that name it; made if it is not there"),
    SETTING(nodeagent, node_class, TEXT, "", "free label; jobs may ask for it as ${node.class}"),
    SETTING(nodeagent, meta, LIST, "", "KEY=VALUE pairs; jobs may ask for them as ${meta.KEY}"),
    SETTING(nodeagent, network_interface, TEXT, "",
            "whose address ports are reached at; empty: that of the default route, or lo"),
    SETTING(nodeagent, http_addr, TEXT, "127.0.0.1:4646",
            "HTTP address told to clients as this node's"),
    SETTING(nodeagent, cpu_mhz, COUNT, "0", "MHz the node has in all; 0: as found"),
    SETTING(nodeagent, memory_mb, COUNT, "0", "MiB of memory; 0: as found"),
    SETTING(nodeagent, disk_mb, COUNT, "0", "MiB of disk; 0: what is free below data_dir"),
    SETTING(nodeagent, reserved_cpu, COUNT, "0", "MHz that no task gets"),
    SETTING(nodeagent, reserved_memory_mb, COUNT, "0", "MiB of memory that no task gets"),
    SETTING(nodeagent, reserved_disk_mb, COUNT, "0", "MiB of disk that no task gets"),
    SETTING(nodeagent, reserved_ports, LIST, "", "ports and ranges (8000-8010) that no task gets"),
    SETTING(nodeagent, host_volumes, LIST, "",
            "directories that jobs may mount by name: NAME=PATH, or NAME=PATH:ro"),
    SETTING(nodeagent, reserved_cores, TEXT, "",
            "cores (0-1,4) that no task gets; their MHz are reserved with them"),
    SETTING(nodeagent, device_file, TEXT, "",
            "devices of the node in JSON (docs/devices.md); empty: none"),
    SETTING(nodeagent, device_program, TEXT, "",
            "a program that prints further devices in the same form; empty: none"),
    SETTING(nodeagent, device_interval_ms, MSEC, "60000", "it is run so often; 0: once"),
    SETTING(nodeagent, device_timeout_ms, MSEC, "5000", "it is killed when it takes longer"),
    SETTING(nodeagent, max_kill_timeout_ms, MSEC, "30000", "a job's kill_timeout is cut to this"),
    SETTING(nodeagent, disk_interval_ms, MSEC, "30s",
            "how often to measure what allocations hold of their ephemeral_disk; 0: never"),
    SETTING(nodeagent, gc_interval_ms, MSEC, "5m",
            "how often to ask whether the servers still know what is over and kept here"),
    SETTING(nodeagent, gc_check_interval_ms, MSEC, "1m",
            "how often to see whether allocations that are over must make room"),
    SETTING(nodeagent, gc_disk_usage_threshold, COUNT, "80",
            "they do while more than this percentage of the disk is in use"),
    SETTING(nodeagent, gc_inode_usage_threshold, COUNT, "70", "... of its inodes"),
    SETTING(nodeagent, gc_max_allocs, COUNT, "50",
            "... and while more allocations than this are kept, those that run included"),
    SETTING(nodeagent, cgroup, TEXT, "auto",
            "where tasks' cgroups go: auto, none, or the mount point of a hierarchy"),
    SETTING(nodeagent, chroot, LIST,
            "/bin,/etc,/lib,/lib32,/lib64,/run/resolvconf,/run/systemd/resolve,/sbin,/usr",
            "directories that tasks of driver exec see, read-only: PATH or SOURCE:PATH"),
    SETTING(nodeagent, bridge_network_name, TEXT, "norn",
            "the bridge of allocations with network mode bridge; made when it is needed"),
    SETTING(nodeagent, bridge_network_subnet, TEXT, "172.26.64.0/20",
            "IPv4 network their addresses are of; the first is the bridge's"),
    SETTING(nodeagent, cni_path, LIST, "/opt/cni/bin,/usr/lib/cni",
            "directories of CNI's plugins, for network mode cni/NAME"),
    SETTING(nodeagent, cni_config_dir, TEXT, "/opt/cni/config",
            "where CNI's configurations are: *.conflist, *.conf, *.json"),
    SETTING(nodeagent, artifact_max_mb, COUNT, "102400", "MiB that an artifact may have"),
    SETTING(nodeagent, artifact_max_unpacked_mb, COUNT, "102400",
            "MiB that what it holds may have"),
    SETTING(nodeagent, artifact_max_files, COUNT, "4096", "files that it may hold"),
    SETTING(nodeagent, artifact_timeout_ms, MSEC, "30m", "it is given up after this time"),
    SETTING(nodeagent, artifact_checksum_required, BOOL, "false",
            "refuse artifacts whose job names no checksum"),
    SETTING(nodeagent, docker_socket, TEXT, "",
            "socket of the container engine for driver docker; empty: of docker, or of podman"),
    SETTING(nodeagent, taskdock, TEXT, "", "the program taskdock; empty: beside this one"),
    SETTING(nodeagent, taskfetch, TEXT, "", "the program taskfetch; empty: beside this one"),
    SETTING(nodeagent, taskmove, TEXT, "", "the program taskmove; empty: beside this one"),
    SETTING(nodeagent, tasknet, TEXT, "", "the program tasknet; empty: beside this one"),
    SETTING(nodeagent, taskshim, TEXT, "", "the program taskshim; empty: beside this one"),
    SETTING(nodeagent, stop_tasks_on_exit, BOOL, "false",
            "on TERM kill all tasks instead of leaving them to the next agent"),
    SETTING_END,
};

const struct service nodeagent_service = {
    .name = "nodeagent",
    .summary = "runs allocations on this machine",
    .size = sizeof(struct nodeagent),
    .settings = settings,
    .open = nodeagent_open,
    .start = nodeagent_start,
    .drain = nodeagent_drain,
    .close = nodeagent_close,
    .summary_log = nodeagent_summary,
    .metrics = nodeagent_metrics,
};

DAEMON_MAIN(nodeagent_service)
