# shellcheck shell=bash
# Sourced by the tests of driver docker: an agent of node class $class beside the suite, and jobs of one container for it.
. "$(dirname "$0")/lib.sh"

class=docks engine=''
agent_runs=()    # what the agent is started through
agent_options=() # its further settings
start_agent() {
  "${agent_runs[@]+"${agent_runs[@]}"}" "$BIN/nodeagent" --gateway "ipc://$DIR/run/gateway.sock" --gateway-poll "ipc://$DIR/run/gateway-poll.sock" \
    --data-dir "$WORK/$class" --name "$class" --node-class "$class" --docker-socket "$engine" --stop-tasks-on-exit true \
    "${agent_options[@]+"${agent_options[@]}"}" >>"$WORK/agent.log" 2>&1 &
  agent=$!
  suites+=("$agent")
}
node_of() { api GET /v1/nodes | jq -e --arg n "$class" ".[] | select(.Name == \$n) | $1"; }
node_ready() { node_of 'select(.Status == "ready")' >/dev/null; }
healthy() { node_of "select(.Drivers.docker.Healthy == $1)" >/dev/null; }

restarts=0 user=web network='{"DynamicPorts": [{"Label": "web", "To": 8080}]}'
run_job() { # run_job ID TYPE CONFIG
  jq -n --argjson restarts "$restarts" --arg id "$1" --arg type "$2" --argjson config "$3" --arg class "$class" --arg user "$user" --argjson network "$network" '
    {Job: {ID: $id, Name: $id, Type: $type, Datacenters: ["dc1"], Constraints: [{LTarget: "${node.class}", RTarget: $class, Operand: "="}],
      TaskGroups: [{Name: "g", Count: 1, EphemeralDisk: {SizeMB: 10}, ReschedulePolicy: {Attempts: 0, Unlimited: false},
        RestartPolicy: {Attempts: $restarts, Mode: "fail", Interval: 60000000000, Delay: 1000000000}, Networks: [$network],
        Tasks: [{Name: "t", Driver: "docker", User: $user, Config: $config, Env: {COLOR: "red", LD_PRELOAD: "/nonexistent.so"}, KillTimeout: 20000000000,
          Resources: {CPU: 100, MemoryMB: 64}, LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}]}]}}' >"$WORK/$1.json"
  api PUT /v1/jobs "$(cat "$WORK/$1.json")" >/dev/null
}
id_of() { allocs "$1" | jq -r '.[0].ID'; }
logs() { "$NCTL" alloc logs "$@"; }
events() { api GET "/v1/allocation/$(id_of "$1")" | jq -r '.TaskStates.t.Events[] | .Type + ": " + .DisplayMessage'; }
