#!/usr/bin/env bash
# In the virtual machine of run.sh: Norn as an operator installs it. The first boot ends by a power cut, the second by a shutdown.
exec >>/host/out 2>&1
export HOME=/root PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
is() { # WHAT COMMAND...: within a minute
  local what=$1 end=$(($(date +%s) + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt $end ] || { echo "not ok $what"; systemctl list-units 'norn*' --no-legend --plain; journalctl -u 'norn*' --no-pager | tail -20; exit 1; }
    sleep 0.2
  done
  echo "ok $what"
}
api() { curl -sf "http://127.0.0.1:4646/v1/$1"; }
sleeper() { pgrep -x -f '/bin/sleep 7777'; }
same() { [ "$(sleeper)" = "$before" ]; }
alloc_is() { api allocations | jq -e "length == 1 and (.[0] | $1)"; }

if [ ! -e /var/first ]; then
  cp -a /host/installed/. /
  systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload
  systemctl enable --now norn-server.target norn-nodeagent.service
  is 'a leader' api status/leader
  is 'eight services run' eval '[ "$(systemctl list-units "norn-*.service" --state=running --no-legend | wc -l)" = 8 ]'
  is 'the node is ready, driver exec healthy' eval 'api nodes | jq -e ".[0].Status == \"ready\" and .[0].Drivers.exec.Healthy"'
  cat >/root/job.json <<'J'
{"Job": {"ID": "sleeper", "Type": "service", "Datacenters": ["dc1"], "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [
  {"Name": "isolated", "Driver": "exec", "Config": {"command": "/bin/sh", "args": ["-c", "while :; do sleep 1; done"]}, "Resources": {"CPU": 100, "MemoryMB": 64}},
  {"Name": "plain", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": ["7777"]}, "Resources": {"CPU": 100, "MemoryMB": 64}}]}]}}
J
  is 'the job runs' nctl submit /root/job.json
  before=$(sleeper)
  systemctl restart norn-nodeagent
  is 'the agent is back' systemctl is-active norn-nodeagent
  is 'its task was not touched by a restart' same
  kill -9 "$(systemctl show -p MainPID --value norn-nodeagent)"
  is 'nor by kill -9' same
  pkill -9 -u norn
  is 'all server daemons are back' api jobs
  is 'nor by kill -9 of every server daemon' same
  is 'its allocation is the same and runs' alloc_is '.ClientStatus == "running"'
  touch /var/first
  sync
  echo '# the power is cut'
  echo 1 >/proc/sys/kernel/sysrq
  echo b >/proc/sysrq-trigger
else
  is 'after the boot: a leader' api status/leader
  is 'the task runs again' sleeper
  is 'as the same allocation, which says why' alloc_is \
    '.ClientStatus == "running" and (.TaskStates.plain.Events | any(.DisplayMessage // .Message | contains("the machine was restarted")))'
  echo 'done'
fi
