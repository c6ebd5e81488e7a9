/* The shell of the node agent: who this node is, and the parts that do the work put together. */
#ifndef NODEAGENT_NODEAGENT_H
#define NODEAGENT_NODEAGENT_H

#include "cgroup.h"
#include "daemon/daemon.h"
#include "local.h"
#include "diskwatch.h"
#include "forget.h"
#include "leave.h"
#include "networks.h"
#include "readers.h"
#include "sessions.h"
#include "runner.h"
#include "uplink.h"

struct nodeagent {
    /* settings */
    const char *gateway, *gateway_poll, *servers, *data_dir, *name, *datacenter, *node_pool,
        *node_class, *meta, *region;
    const char *network_interface, *taskshim, *cgroup, *chroot, *http_addr, *reserved_ports;
    const char *taskfetch, *taskmove;
    const char *syslog_socket, *journald_socket;
    const char *taskdock, *docker_socket, *docker_allow_caps, *docker_auth_config;
    bool docker_allow_privileged, docker_volumes, docker_devices, docker_gc_image;
    uint64_t docker_interval_ms, docker_pull_timeout_ms, docker_gc_image_delay_ms;
    uint64_t artifact_max_mb, artifact_max_unpacked_mb, artifact_max_files, artifact_timeout_ms;
    bool artifact_checksum_required;
    const char *tasknet, *bridge_network_name, *bridge_network_subnet, *cni_path, *cni_config_dir;
    const char *host_volumes, *reserved_cores, *device_file, *device_program;
    uint64_t device_interval_ms, device_timeout_ms;
    uint64_t cpu_mhz, memory_mb, disk_mb;
    uint64_t reserved_cpu, reserved_memory_mb, reserved_disk_mb;
    uint64_t max_kill_timeout_ms, gc_interval_ms, disk_interval_ms;
    uint64_t gc_check_interval_ms, gc_disk_usage_threshold, gc_inode_usage_threshold, gc_max_allocs;
    bool stop_tasks_on_exit;
    bool drain_on_shutdown, drain_force, drain_ignore_system_jobs;
    uint64_t drain_deadline_ms;

    struct loop *loop;
    struct arena *arena; /* of node; lives as long as we */
    Pb__Node *node;
    bool same_boot;
    uint32_t starts;          /* of reports' sequence: greater with each start of the agent */
    Pb__LocalNode *unwritten; /* who we are, which could not be noted yet; NULL: it is */
    struct cgroups cgroups;
    struct driver_host host;
    struct local *local;
    struct networks *networks;
    struct runner *runner;
    struct uplink *uplink;
    struct forget *forget;
    struct leave *leave;
    struct diskwatch *diskwatch;
    struct readers *readers;
    struct sessions *sessions;
    struct nodemeta *nodemeta;
    struct gcwatch *gcwatch;
    struct devicewatch *devicewatch; /* NULL: no program */
    struct dockwatch *dockwatch;     /* NULL: it is not looked at */
    void (*drained)(void *arg);
    void *drained_arg;
};

enum err nodeagent_open(void *self, struct loop *l, struct reason *why);
enum err nodeagent_start(void *self, struct loop *l, struct reason *why);
void nodeagent_drain(void *self, void (*drained)(void *arg), void *arg);
uint64_t nodeagent_drain_limit_ms(const void *self);
void nodeagent_close(void *self);
void nodeagent_summary(void *self);
struct metric *nodeagent_metrics(void *self, size_t *count);

#endif
