#!/usr/bin/env bash
# Artifacts, with real processes and a real web server: archives, parts of them, checksums, refusals, and archives that try to get out.
. "$(dirname "$0")/lib.sh"
web=$WORK/web
mkdir -p "$web/app/conf"
echo 'key = 1' >"$web/app/conf/app.conf"
printf '#!/bin/sh\necho "tool says $1"\n' >"$web/app/tool"
chmod 755 "$web/app/tool"
tar -C "$web" -czf "$web/app.tar.gz" app
python3 - "$web" <<'PY'
import io, sys, tarfile, zipfile
web = sys.argv[1]
def bad(name, *members):
    with tarfile.open(f"{web}/{name}.tar", "w") as t:
        for m, data in members:
            t.addfile(m, io.BytesIO(data) if data is not None else None)
def member(name, **kw):
    m = tarfile.TarInfo(name)
    for k, v in kw.items():
        setattr(m, k, v)
    return m
up = member("../../evil", size=4)
bad("up", (up, b"evil"))
bad("absolute", (member("/tmp/norn-evil", size=4), b"evil"))
bad("link", (member("out", type=tarfile.SYMTYPE, linkname="/etc"), None), (member("out/evil", size=4), b"evil"))
bad("chain", (member("a/b", type=tarfile.DIRTYPE, mode=0o755), None), (member("a/b/up", type=tarfile.SYMTYPE, linkname="../.."), None),
    (member("out", type=tarfile.SYMTYPE, linkname="a/b/up/../.."), None))
bad("hard", (member("out", type=tarfile.LNKTYPE, linkname="../../../secret"), None))
bad("device", (member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), None))
bad("setuid", (member("su", size=4, mode=0o6755), b"evil"))
with zipfile.ZipFile(f"{web}/slip.zip", "w") as z:
    z.writestr("../../evil", "evil")
with zipfile.ZipFile(f"{web}/good.zip", "w") as z:
    z.writestr("a/b.txt", "zipped\n")
PY
python3 - "$web" "$WORK/port" >/dev/null 2>&1 <<'PY' &
import functools, http.server, os, sys
h = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), h)
open(sys.argv[2] + ".new", "w").write(str(s.server_port))
os.rename(sys.argv[2] + ".new", sys.argv[2])
s.serve_forever()
PY
server=$!
suites+=("$server")
wait_for 30 'the web server' test -s "$WORK/port"
url=http://127.0.0.1:$(cat "$WORK/port")
suite_start ''

# job ID ARTIFACTS-JSON COMMAND
job() { api PUT /v1/jobs "$(job_json "$1" batch 1 "$3" | jq -c --argjson a "$2" '.Job.TaskGroups[0].Tasks[0].Artifacts = $a')" >/dev/null; }
alloc_of() { allocs "$1" | jq -r '.[0].ID'; }
ended() { allocs "$1" | jq -e '.[0].ClientStatus == "complete" or .[0].ClientStatus == "failed"'; }
events() { api GET "/v1/allocation/$(alloc_of "$1")" | jq -r '.TaskStates.task.Events[] | "\(.Type): \(.DisplayMessage)"'; }

note 'an archive, a part of another, one file and a zip are there when the task starts'
sum=$(sha256sum "$web/app.tar.gz" | cut -d' ' -f1)
job good "[{\"GetterSource\": \"$url/app.tar.gz\", \"GetterOptions\": {\"checksum\": \"sha256:$sum\"}},
  {\"GetterSource\": \"$url/app.tar.gz//app/conf?x=1\", \"RelativeDest\": \"local/conf\"},
  {\"GetterSource\": \"$url/app/tool\", \"GetterMode\": \"file\", \"RelativeDest\": \"local/bin/renamed\"},
  {\"GetterSource\": \"$url/good.zip\", \"RelativeDest\": \"\${NOMAD_ALLOC_DIR}/data\"},
  {\"GetterSource\": \"$url/app.tar.gz\", \"GetterOptions\": {\"archive\": \"false\"}, \"RelativeDest\": \"local/whole\"}]" \
  'local/app/tool there; cat local/conf/app.conf; cat local/bin/renamed | head -n 1; cat alloc/data/a/b.txt ../alloc/data/a/b.txt 2>/dev/null; ls local/whole; ls -a local'
wait_for 60 'it has ended' ended good
"$NCTL" logs "$(alloc_of good)" >"$WORK/said" || true
[ "$(cat "$WORK/said")" = $'tool says there\nkey = 1\n#!/bin/sh\nzipped\napp.tar.gz\n.\n..\napp\nbin\nconf\nwhole' ] || fail "$(cat "$WORK/said"; events good)"
events good | grep -Fxq 'Downloading Artifacts: Client is downloading artifacts' || fail "$(events good)"

note 'a template made of a file that an artifact brought'
echo 'job {{ env "NOMAD_JOB_ID" }}' >"$web/file.tmpl"
api PUT /v1/jobs "$(job_json templated batch 1 'cat local/out' | jq -c --arg url "$url/file.tmpl" '.Job.TaskGroups[0].Tasks[0] += {
  Artifacts: [{GetterSource: $url}], Templates: [{SourcePath: "local/file.tmpl", DestPath: "local/out"}]}')" >/dev/null
wait_for 60 'it has ended' ended templated
[ "$("$NCTL" logs "$(alloc_of templated)")" = 'job templated' ] || fail "$(events templated)"

note 'what is wrong is said, and nothing runs'
# refused ID ARTIFACT-JSON WORDS
refused() {
  job "$1" "[$2]" 'echo ran'
  wait_for 60 "$1 has ended" ended "$1"
  events "$1" >"$WORK/events"
  grep -F 'Failed Artifact Download: ' "$WORK/events" | grep -Fq "$3" || fail "$1: $(cat "$WORK/events")"
  if grep -q '^Started' "$WORK/events"; then fail "$1 ran"; fi
}
refused sum "{\"GetterSource\": \"$url/app.tar.gz\", \"GetterOptions\": {\"checksum\": \"sha256:$(printf '0%.0s' {1..64})\"}}" 'checksums did not match'
refused missing "{\"GetterSource\": \"$url/nothing.tar\"}" 'bad response code: 404'
refused nowhere '{"GetterSource": "http://127.0.0.1:1/x"}' 'failed to download artifact'
refused scheme '{"GetterSource": "s3::https://host/x"}' 'is not supported'
refused noarchive "{\"GetterSource\": \"$url/app/tool\", \"GetterOptions\": {\"archive\": \"zip\"}}" 'it is no archive'
for kind in up absolute link chain hard device; do
  refused "bad-$kind" "{\"GetterSource\": \"$url/$kind.tar\"}" "$([ $kind = device ] && echo 'is no file' || echo 'leads out')"
done
refused slip "{\"GetterSource\": \"$url/slip.zip\"}" 'leads out'
[ ! -e /tmp/norn-evil ] || fail 'a file outside'
[ -z "$(find "$DIR" -name evil)" ] || fail "$(find "$DIR" -name evil)"

note 'set-user-id bits are left away'
job su "[{\"GetterSource\": \"$url/setuid.tar\"}]" 'stat -c %a local/su'
wait_for 60 'it has ended' ended su
[ "$("$NCTL" logs "$(alloc_of su)")" = 755 ] || fail "$("$NCTL" logs "$(alloc_of su)")"

note 'root in a root of its own is not brought what only the root of the node may read'
isolates() { api GET /v1/nodes | jq -r '.[0].ID' | { read -r id && api GET "/v1/node/$id"; } | jq -e '.Drivers.exec.Healthy' >/dev/null; }
if [ "$(id -u)" = 0 ] && isolates; then
  install -d -m 755 "$WORK.open"
  echo open >"$WORK.open/public"
  install -m 600 "$WORK.open/public" "$WORK.open/private"
  for file in public private; do
    api PUT /v1/jobs "$(job_json "$file" batch 1 'cat /local/*' | jq -c --arg f "$WORK.open/$file" '.Job.TaskGroups[0].Tasks[0] += {
      Driver: "exec", User: "root", Artifacts: [{GetterSource: ("file://" + $f)}]}')" >/dev/null
    wait_for 60 'it has ended' ended "$file"
  done
  api PUT /v1/jobs "$(job_json nobodys batch 1 'true' | jq -c --arg f "$WORK.open/private" '.Job.TaskGroups[0].Tasks[0] += {
    Driver: "exec", Artifacts: [{GetterSource: ("file://" + $f)}]}')" >/dev/null
  wait_for 60 'it has ended' ended nobodys
  rm -r "$WORK.open"
  [ "$("$NCTL" logs "$(alloc_of public)")" = open ] || fail "$(events public)"
  events nobodys | grep -q '^Failed Artifact Download: .*private: Permission denied' || fail "it was brought to nobody: $(events nobodys)"
  events private | grep -q '^Failed Artifact Download: .*private: Permission denied' || fail "it was brought: $(events private)"
else
  note 'skipped: it needs root and driver exec'
fi

note 'a kill stops a download that does not end'
python3 - "$WORK/slow" >/dev/null 2>&1 <<'PY' &
import os, socket, sys
s = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1] + ".new", "w").write(str(s.getsockname()[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
c, _ = s.accept()
c.recv(1000)
c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
c.recv(1)
PY
slow=$!
suites+=("$slow")
wait_for 30 'the slow server' test -s "$WORK/slow"
job slow "[{\"GetterSource\": \"http://127.0.0.1:$(cat "$WORK/slow")/x\"}]" 'echo ran'
fetching() { events slow | grep -q '^Downloading Artifacts'; }
wait_for 60 'it is under way' fetching
"$NCTL" stop slow >/dev/null
wait_for 60 'it has ended' ended slow
wait_for 30 'the server sees that the client has gone' gone "$slow"

if command -v git >/dev/null; then
  note 'a repository at a tag'
  git init -q "$web/repo"
  git -C "$web/repo" -c user.name=t -c user.email=t@t commit -q --allow-empty -m empty
  echo one >"$web/repo/file"
  git -C "$web/repo" add file
  git -C "$web/repo" -c user.name=t -c user.email=t@t commit -qm one
  git -C "$web/repo" tag v1
  echo two >"$web/repo/file"
  git -C "$web/repo" -c user.name=t -c user.email=t@t commit -qam two
  git -C "$web/repo" update-server-info
  job repo "[{\"GetterSource\": \"git::$url/repo/.git?ref=v1\", \"RelativeDest\": \"local/src\"}]" 'cat local/src/file'
  wait_for 60 'it has ended' ended repo
  [ "$("$NCTL" logs "$(alloc_of repo)")" = one ] || fail "$(events repo)"
  [ -z "$(find "$DIR/client-0/alloc/$(alloc_of repo)" -name '.norn-*')" ] || fail 'something was left on the way'

  note 'what lies in the destination already is not asked by git'
  mkdir -p "$web/trap/.git"
  printf '[core]\n\tfsmonitor = "touch %s/trapped; false"\n\trepositoryformatversion = 0\n' "$WORK" >"$web/trap/.git/config"
  tar -C "$web/trap" -cf "$web/trap.tar" .git
  job trapped "[{\"GetterSource\": \"$url/trap.tar\", \"RelativeDest\": \"local/src\"}, {\"GetterSource\": \"git::$url/repo/.git//\", \"RelativeDest\": \"local/src\"}]" 'cat local/src/file'
  wait_for 60 'it has ended' ended trapped
  [ "$("$NCTL" logs "$(alloc_of trapped)")" = two ] || fail "$(events trapped)"
  [ ! -e "$WORK/trapped" ] || fail 'a command of the old directory was run'
else
  note 'skipped: a repository: git is not installed'
fi
suite_stop
