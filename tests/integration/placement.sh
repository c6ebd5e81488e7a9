#!/usr/bin/env bash
# A plan says what then happens, why says what is missing; both change nothing.
. "$(dirname "$0")/lib.sh"
suite_start ''

plan() { # plan EXIT FILE [flags]: into $WORK/out
  local want=$1 file=$2 code=0
  shift 2
  "$NCTL" plan "$@" "$file" >"$WORK/out" 2>&1 || code=$?
  [ "$code" = "$want" ] || fail "plan $file exits $code, not $want: $(cat "$WORK/out")"
}
says() { grep -q -- "$1" "$WORK/out" || fail "\"$1\" is not said: $(cat "$WORK/out")"; }
write_job() { # write_job FILE ID COUNT MEMORY SCRIPT [CONSTRAINTS]
  printf '{"Job": {"ID": "%s", "Name": "%s", "Type": "service", "Datacenters": ["dc1"], "Constraints": %s, "TaskGroups": [{"Name": "g", "Count": %s,
   "EphemeralDisk": {"SizeMB": 10}, "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sh", "args": ["-c", "%s"]},
   "LogConfig": {"MaxFiles": 2, "MaxFileSizeMB": 2}, "Resources": {"CPU": 20, "MemoryMB": %s}}]}]}}' "$2" "$2" "${6:-null}" "$3" "$5" "$4" >"$1"
}
index() { api GET /v1/jobs | jq -c '[.[] | [.ID, .ModifyIndex]]'; }

note 'a new job: all of it would be created, and nothing is'
write_job "$WORK/web.json" web 2 16 'exec sleep 3600'
plan 1 "$WORK/web.json"
says '(2 create)'
says 'All tasks successfully allocated'
says 'check-index 0'
[ "$(index)" = '[]' ] || fail "a plan registered a job: $(index)"
[ "$(api GET /v1/evaluations)" = '[]' ] || fail 'a plan made an evaluation'

note 'with the index that was said it is registered, and then nothing would change'
"$NCTL" run -check-index 0 "$WORK/web.json" >/dev/null || fail 'run -check-index 0'
wait_for 30 'web runs' allocs_are web running 2
plan 0 "$WORK/web.json"
says '(2 ignore)'
modify=$(api GET /v1/job/web | jq .JobModifyIndex)
says "check-index $modify"

note 'one more, another command, one fewer'
write_job "$WORK/web3.json" web 3 16 'exec sleep 3600'
plan 1 "$WORK/web3.json"
says '(1 create, 2 in-place update)'
write_job "$WORK/other.json" web 2 16 'exec sleep 7200'
plan 1 "$WORK/other.json"
says 'create/destroy update'
write_job "$WORK/web1.json" web 1 16 'exec sleep 3600'
plan 1 "$WORK/web1.json"
says '1 destroy, 1 in-place update'
! "$NCTL" run -check-index 1 "$WORK/web3.json" >"$WORK/out" 2>&1 || fail 'a wrong index is taken'
says 'Enforcing job modify index 1'

note 'where it would go'
plan 1 "$WORK/web3.json" -where
name=$(api GET /v1/nodes | jq -r '.[0].Name')
grep -q "g .*$name .*1" "$WORK/out" || fail "the node is not named: $(cat "$WORK/out")"

note 'what does not fit, and what would be enough'
memory=$(api GET "/v1/node/$(api GET /v1/nodes | jq -r '.[0].ID')" | jq '.NodeResources.Memory.MemoryMB - .ReservedResources.Memory.MemoryMB')
write_job "$WORK/big.json" big 1 $((memory + 68)) 'exec sleep 3600'
plan 1 "$WORK/big.json"
says 'failed to place 1 allocation'
says 'Dimension "memory" exhausted on 1 nodes'
"$NCTL" run -detach "$WORK/big.json" >/dev/null
blocked() { [ "$(api GET /v1/job/big/evaluations | jq '[.[] | select(.Status == "blocked")] | length')" = 1 ]; }
wait_for 30 'big is blocked' blocked
"$NCTL" why big >"$WORK/out" || fail "why big: $(cat "$WORK/out")"
says '1 wanted: 0 there, 1 find no place'
says '1 node short of 100 MB memory' # 68, and what the two of web have
api GET /v1/job/big/why | jq -e '.Groups[0].Lacks[0].ShortOf.MemoryMB == 100' >/dev/null || fail "$(api GET /v1/job/big/why)"
eval=$(api GET /v1/job/big/evaluations | jq -r '.[] | select(.Status == "blocked").ID')
"$NCTL" why "$eval" >"$WORK/out" || fail "why EVAL: $(cat "$WORK/out")"
says '1 node short of 100 MB memory'

note 'a constraint that nothing meets'
write_job "$WORK/odd.json" odd 1 16 'exec sleep 3600' '[{"LTarget": "${attr.kernel.name}", "RTarget": "plan9", "Operand": "="}]'
"$NCTL" run -detach "$WORK/odd.json" >/dev/null
odd_explained() { "$NCTL" why odd >"$WORK/out" && grep -q 'ruled out by "${attr.kernel.name} = plan9"' "$WORK/out"; }
wait_for 30 'why names the constraint' odd_explained

note 'what one asks for, whatever it is'
sed 's/"CPU": 20/"Cores": 64/; s/"odd"/"wide"/g; s/"Tasks"/"Networks": [{"ReservedPorts": [{"Label": "a", "Value": 20080}], "DynamicPorts": [{"Label": "b"}]}], &/' "$WORK/odd.json" >"$WORK/wide.json"
"$NCTL" run -detach "$WORK/wide.json" >/dev/null
wide_explained() { "$NCTL" why wide >"$WORK/out" && grep -q 'one asks for 16 MB memory, 10 MB disk, 64 cores, port 20080, 1 dynamic port$' "$WORK/out"; }
wait_for 30 'why says what one asks for' wide_explained

note 'why an allocation is where it is'
alloc=$(allocs web | jq -r '.[0].ID')
"$NCTL" why "$alloc" >"$WORK/out" || fail "why ALLOC: $(cat "$WORK/out")"
says 'when its first was placed'
says binpack

note 'nodes that are not there, and without the one that is'
plan 1 "$WORK/big.json" -what-if "nodes+=2 like $name"
says 'failed to place 1 allocation'
plan 1 "$WORK/web3.json" -what-if "nodes+=2 like $name"
says '(1 create, 2 in-place update)'
plan 1 "$WORK/web.json" -what-if "nodes-=$name"
says 'failed to place 2 allocations'
plan 255 "$WORK/web.json" -what-if "nodes*=2"
says 'nodes+=10 like NODE'
plan 255 "$WORK/web.json" -what-if "nodes-=nobody"

note 'a worker that dies with a question leaves it to the next'
worker=$(pid_of schedworker-0)
[ -n "$worker" ] || fail "which is the worker? $(cat "$DIR/dev.state")"
kill -STOP "$worker"
answered() { [ -s "$WORK/code" ]; }
{ code=0; "$NCTL" plan "$WORK/web3.json" >"$WORK/asked" 2>&1 || code=$?; echo "$code" >"$WORK/code"; } &
idle() { api GET /v1/metrics | jq -e '[.Gauges[] | select(.Name | endswith("broker.workers")).Value] | add == 0'; }
wait_for 30 'the question is in its hands' idle
kill -KILL "$worker"
wait_for 60 'another has answered' answered
[ "$(cat "$WORK/code")" = 1 ] || fail "plan exits $(cat "$WORK/code"): $(cat "$WORK/asked")"

note 'errors exit 255'
plan 255 "$WORK/nothing.json"
code=0
"$NCTL" why nothing-of-that-name >"$WORK/out" 2>&1 || code=$?
[ "$code" = 1 ] || fail "why of nothing exits $code"
says 'No job, allocation or evaluation'
suite_stop
