/* The handlers, one file per noun. Each takes a request and answers it, now or later. */
#ifndef GATEWAY_NOUNS_H
#define GATEWAY_NOUNS_H

#include "routes.h"

/* jobs.c: reads */
route_fn jobs_list, job_get, job_summary, job_versions;
/* deployments.c */
route_fn deployments_list, deployment_get, job_deployments, job_deployment;
/* deployment_writes.c */
route_fn deployment_promote_put, deployment_pause_put, deployment_fail_put, deployment_unblock_put,
    deployment_health_put;
/* versions.c */
route_fn job_revert, job_stable;
/* scaling.c */
route_fn job_scale_get, job_scale_put;
/* scaling_policies.c */
route_fn scaling_policies_list, scaling_policy_get;
/* register.c: writes */
route_fn jobs_put, job_put, job_delete, job_validate_put;
/* periodic.c */
route_fn job_periodic_force;
/* dispatch.c */
route_fn job_dispatch;
/* plan.c */
route_fn job_plan;
/* why.c */
route_fn job_why, evaluation_why, allocation_why;
/* allocs.c */
route_fn allocations_list, allocation_get, job_allocations, evaluation_allocations,
    node_allocations, deployment_allocations;
/* alloc_stop.c */
route_fn allocation_stop;
/* exec.c */
route_fn allocation_exec;
/* port_forward.c */
route_fn allocation_forward;
/* evals.c */
route_fn evaluations_list, evaluation_get, job_evaluations;
/* node_pools.c */
route_fn node_pools_list, node_pool_get, node_pool_put, node_pool_delete, node_pool_nodes,
    node_pool_jobs;
/* replay.c */
route_fn evaluation_replay;
/* evaluate.c */
route_fn job_evaluate;
/* system.c */
route_fn system_gc, system_reconcile_summaries;
/* nodes.c */
route_fn nodes_list, node_get;
/* drain.c */
route_fn node_eligibility_put, node_drain_put;
/* node_writes.c */
route_fn node_evaluate_put, node_purge_put;
/* fs.c */
route_fn fs_any, alloc_snapshot_get;
route_fn alloc_restart_put, alloc_signal_put, alloc_stats_get, alloc_collect, alloc_no_action;
route_fn client_stats_get, client_collect, client_metadata_get, client_metadata_put;
/* status.c */
route_fn status_leader, status_peers, regions_list;
/* namespaces.c */
route_fn namespaces_list, namespace_get, namespace_put, namespace_delete;
/* agent.c */
route_fn agent_self, agent_members, agent_servers, agent_health;
/* operator.c */
route_fn operator_raft_configuration, operator_raft_peer, operator_raft_transfer,
    operator_autopilot_get, operator_autopilot_put, operator_autopilot_health;
/* scheduler.c */
route_fn operator_scheduler_get, operator_scheduler_put;
/* snapshot.c */
route_fn operator_snapshot_get, operator_snapshot_put;
/* pool.c */
route_fn agent_join, agent_force_leave;
/* metrics.c */
route_fn metrics_get;

#endif
