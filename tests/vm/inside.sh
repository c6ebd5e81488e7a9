#!/usr/bin/env bash
# In the virtual machine of run.sh: the tests that /host/tests names. Says "ok" or "not ok" of each in /host/out, and "done".
exec >>/host/out 2>&1
cp -r /host/source /host/programs /root/
export TERM=xterm HOME=/root BIN=/root/source/bin NORN_BIN=/root/source/bin SOURCE=/root/source PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
modprobe -a loop quota_v2
echo '+cpu +cpuset +io +memory +pids' >/sys/fs/cgroup/cgroup.subtree_control
echo "# kernel $(uname -r), cgroups: $(stat -fc %T /sys/fs/cgroup), $(cat /sys/fs/cgroup/cgroup.controllers)"
while read -r name; do
  begun=$(date +%s)
  if [ -e "/root/programs/$name" ]; then
    timeout 900 "/root/programs/$name" --tap -j1 >/tmp/said 2>&1
  else
    timeout 900 bash "/root/source/tests/integration/$name.sh" >/tmp/said 2>&1
  fi
  status=$?
  if [ $status = 0 ]; then word=ok; else word='not ok'; fi
  echo "$word $name: exit $status, $(grep -c '^ok' /tmp/said) cases, $(grep -ciE 'skip' /tmp/said) skipped, $(($(date +%s) - begun)) s"
  [ $status = 0 ] || grep -a '^not ok\|^  \|FAILED' /tmp/said | head -40
done </host/tests
echo 'done'
