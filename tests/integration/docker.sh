#!/usr/bin/env bash
# Driver docker with an engine of the test's own: what it is asked to make, output, exit codes, signals, adoption, commands,
# images, and that nothing is left behind.
. "$(dirname "$0")/docker_lib.sh"
suite_start ''
engine=$WORK/engine.sock
python3 "$(dirname "$0")/fake_engine.py" "$engine" "$WORK/engine.txt" 2>"$WORK/engine.err" &
engine_pid=$!
suites+=("$engine_pid")
wait_for 60 'the engine answers' curl -sf --unix-socket "$engine" http://engine/v1.40/version
echo '{"auths": {"https://index.docker.io/v1/": {"auth": "'"$(printf node:sesame | base64)"'"}},
  "credHelpers": {"helped.io": "test", "other.io": "test", "gone.io": "missing"}}' >"$WORK/auth.json"
mkdir "$WORK/helpers"
cat >"$WORK/helpers/docker-credential-test" <<'END'
#!/bin/sh
[ "$1 $(cat)" = 'get helped.io' ] || { echo 'the vault is locked'; exit 1; }
echo '{"ServerURL": "helped.io", "Username": "helper", "Secret": "sesame"}'
END
chmod +x "$WORK/helpers/docker-credential-test"
PATH=$PATH:$WORK/helpers
agent_options=(--docker-interval-ms 200ms --docker-gc-image-delay-ms 1s --docker-auth-config "$WORK/auth.json")
start_agent
wait_for 60 'the node is ready' node_ready
wait_for 60 'the driver is healthy' healthy true

note 'what a container is made of'
run_job words batch '{"image": "box:1", "port_map": [{"web": 9090}], "command": "sh", "args": ["-c", "echo out $COLOR $NOMAD_TASK_NAME $NOMAD_TASK_DIR; echo err >&2; exit 3"], "ports": ["web"],
  "work_dir": "/", "cap_drop": ["mknod"], "volumes": ["data:/data:ro"], "labels": [{"a": "b"}], "readonly_rootfs": true, "memory_hard_limit": 128}'
wait_for 60 'it has ended' allocs_are words failed 1
words=$(id_of words)
said() { [ "$(logs "$words") $(logs -stderr "$words")" = 'out red t /local err' ]; }
wait_for 60 'its output is there' said
api GET "/v1/allocation/$words" | jq -e '[.TaskStates.t.Events[].DisplayMessage] | any(. == "Exit Code: 3")' >/dev/null || fail 'not exit code 3'
sed -n 's/^created //p' "$WORK/engine.txt" | head -1 >"$WORK/made.json"
port=$(api GET "/v1/allocation/$words" | jq -r '.AllocatedResources.Shared.Ports[0].Value')
jq -e --arg id "$words" --arg port "$port" --arg dir "$WORK/docks/alloc/$words" '
  .Image == "box:1" and .User == "web" and .WorkingDir == "/" and .Labels == {a: "b", "org.norn.alloc": $id, "org.norn.task": "t"} and
  .HostConfig.PortBindings["8080/tcp"] == [{HostPort: $port}] and .HostConfig.PortBindings["9090/udp"] == [{HostPort: $port}] and
  (.ExposedPorts | keys) == ["8080/tcp", "8080/udp", "9090/tcp", "9090/udp"] and .HostConfig.ReadonlyRootfs and .HostConfig.CapDrop == ["mknod", "net_raw"] and
  .HostConfig.Memory == 134217728 and .HostConfig.MemoryReservation == 67108864 and
  .HostConfig.Binds == [$dir + "/alloc:/alloc", $dir + "/t/local:/local", $dir + "/t/secrets:/secrets", $dir + "/t/data:/data:ro"] and
  (.Env | any(. == "COLOR=red")) and (.Env | any(. == "LD_PRELOAD=/nonexistent.so")) and .HostConfig.LogConfig.Type == "none" and (.Env | all(startswith("PATH=") | not))' "$WORK/made.json" >/dev/null || fail "$(jq . "$WORK/made.json")"
wait_for 60 'it is taken away' grep -q "^removed t-$words" "$WORK/engine.txt"

note 'what cannot be made is said'
run_job missing batch '{"image": "nobody:2"}'
wait_for 60 'it has failed' allocs_are missing failed 1
events missing | grep -q '^Driver Failure: .*pull nobody:2: nobody has it' || fail "not why there is no image: $(events missing)"
events missing | grep -q '^Driver: Downloading image nobody:2' || fail "not that it was looked for: $(events missing)"
run_job unmade batch '{"image": "box:1", "command": "/nowhere/at/all"}'
wait_for 60 'it has failed' allocs_are unmade failed 1
events unmade | grep -q '^Terminated: Exit Code: 125, Exit Message: "start the container: ' || fail "not why there is no container: $(events unmade)"
run_job memory batch '{"image": "box:1", "labels": {"OOM": "1"}, "command": "sh", "args": ["-c", "exit 137"]}'
wait_for 60 'it has failed' allocs_are memory failed 1
events memory | grep -q '^Terminated: Exit Code: 137, Exit Message: "OOM Killed"' || fail "not what killed it: $(events memory)"
run_job told batch '{"image": "box:1", "labels": {"EVENTS": "1"}, "command": "sh", "args": ["-c", "exit 9"]}'
wait_for 60 'it has ended, as an event says' allocs_are told failed 1
events told | grep -q '^Terminated: Exit Code: 9' || fail "its exit code: $(events told)"
run_job wrong batch '{"image": "box:1", "volumes": ["/etc:/etc"]}'
wait_for 60 'it is refused' allocs_are wrong failed 1
api GET "/v1/allocation/$(id_of wrong)" | grep -q 'must be one of its host volumes' || fail 'not why a directory of the node is refused'

note 'a symlink of the task leads no engine out of its directory'
restarts=1
run_job link batch '{"image": "box:1", "command": "sh", "volumes": ["local/x/etc:/mnt"],
  "args": ["-c", "cd '"$WORK"'/docks/alloc/$NOMAD_ALLOC_ID/t/local && rm -r x && ln -s / x; exit 1"]}'
restarts=0
wait_for 60 'it has failed' allocs_are link failed 1
events link | grep -q 'a symlink is on the way' || fail "it was followed: $(events link)"

note 'images come with credentials, and go when they are not used'
run_job own batch '{"image": "private:1", "command": "true", "auth": {"username": "job", "password": "sesame"}}'
wait_for 60 'it has ended' allocs_are own complete 1
grep -q '^pulled private:1 job$' "$WORK/engine.txt" || fail "$(grep private "$WORK/engine.txt")"
wait_for 60 'the image has gone' grep -q '^image removed private:1' "$WORK/engine.txt"
run_job nodes batch '{"image": "private:1", "command": "true"}'
wait_for 60 'it has ended' allocs_are nodes complete 1
grep -q '^pulled private:1 node$' "$WORK/engine.txt" || fail "$(grep private "$WORK/engine.txt")"
run_job helped batch '{"image": "https://helped.io/private:1", "command": "true"}'
wait_for 60 'it has ended' allocs_are helped complete 1
grep -q '^pulled helped.io/private:1 helper$' "$WORK/engine.txt" || fail "$(grep helped "$WORK/engine.txt")"
run_job locked batch '{"image": "other.io/private:1", "command": "true"}'
wait_for 60 'it has failed' allocs_are locked failed 1
events locked | grep -q 'docker-credential-test: it failed: the vault is locked' || fail "not why: $(events locked)"
run_job gone batch '{"image": "gone.io/box:1", "command": "true", "auth_soft_fail": true}'
wait_for 60 'it has ended without credentials' allocs_are gone complete 1
grep -q '^pulled gone.io/box:1 -$' "$WORK/engine.txt" || fail "$(grep gone "$WORK/engine.txt")"
run_job soft batch '{"image": "box:1", "command": "true", "force_pull": true, "auth_soft_fail": true, "auth": {"username": "job", "password": "x"}}'
wait_for 60 'it has ended' allocs_are soft complete 1
run_job late batch '{"image": "slow:1", "command": "true", "image_pull_timeout": "1s"}'
wait_for 60 'it has failed' allocs_are late failed 1
events late | grep -q 'its time was over (image_pull_timeout)' || fail "not that its time was over: $(events late)"
run_job stopped service '{"image": "slow:1", "command": "sleep", "args": ["3600"]}'
downloading() { events stopped | grep -q '^Driver: Downloading image slow:1'; }
wait_for 60 'it is being downloaded' downloading
"$NCTL" stop -detach stopped >/dev/null
wait_for 60 'it has ended' allocs_are stopped complete 1

note 'it runs on while the agent is away, and hears signals'
run_job long service '{"image": "box:1", "command": "sh", "args": ["-c", "trap \"echo caught; exit 0\" TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"]}'
wait_for 60 'it runs' allocs_are long running 1
long=$(id_of long)
kill -KILL "$agent"
wait "$agent" 2>/dev/null || true
start_agent
lines() { [ "$(logs "$long" | grep -c '^line')" -gt "$1" ]; }
wait_for 60 'its output goes on' lines 30
[ "$(grep -c "created.*$long" "$WORK/engine.txt")" = 1 ] || fail 'it was made twice'

note 'commands run in it, and end with their client'
status=0
echo in | "$NCTL" alloc exec -t=false "$long" sh -c 'cat; echo err >&2; exit 6' >"$WORK/out" 2>"$WORK/err" || status=$?
[ "$status $(cat "$WORK/out" "$WORK/err")" = $'6 in\nerr' ] || fail "a command: $status $(cat "$WORK/out" "$WORK/err")"
[ "$(head -c 1000000 /dev/zero | "$NCTL" alloc exec -t=false "$long" wc -c)" = 1000000 ] || fail 'input was lost'
"$NCTL" alloc exec -t=false "$long" sh -c "sleep 3600 & echo \$! >$WORK/command; wait" </dev/null &
client=$!
wait_for 60 'the command runs' test -s "$WORK/command"
kill -KILL "$client"
wait "$client" 2>/dev/null || true
wait_for 60 'the command has ended' gone "$(cat "$WORK/command")"

"$NCTL" stop -detach long >/dev/null
wait_for 60 'it has ended' allocs_are long complete 1
[ "$(logs "$long" | tail -n 1)" = caught ] || fail "the last it said: $(logs "$long" | tail -n 1)"

note 'what is killed leaves no container'
run_job killed service '{"image": "box:1", "command": "sleep", "args": ["3600"]}'
wait_for 60 'it runs' allocs_are killed running 1
killed=$(id_of killed)
made() { grep -q "created.*$killed" "$WORK/engine.txt"; }
wait_for 60 'its container is there' made
pkill -KILL -f "^taskdock run $engine t-$killed" || fail 'there is no taskdock'
wait_for 60 'it has failed' allocs_are killed failed 1
wait_for 60 'its container has gone' grep -q "^removed t-$killed" "$WORK/engine.txt"
none_left() { [ "$(curl -s --unix-socket "$engine" 'http://engine/v1.40/containers/json?all=1&filters=%7B%22label%22%3A%5B%22org.norn.task%3Dt%22%5D%7D')" = '[]' ]; }
wait_for 60 'no container is left' none_left
[ ! -s "$WORK/engine.err" ] || grep -q BrokenPipe "$WORK/engine.err" || fail "the engine: $(tail -n 3 "$WORK/engine.err")"

note 'an engine that goes makes the driver unhealthy'
kill -TERM "$engine_pid"
wait_for 60 'the driver is not healthy' healthy false
api GET "/v1/node/$(node_of .ID | tr -d '"')" |
  jq -e '.Attributes["driver.docker.unhealthy"] != null and .Attributes["driver.docker"] == null' >/dev/null || fail 'its attributes do not say so'
kill -TERM "$agent"
wait "$agent" || fail "the agent exited $?"
suite_stop
