#!/usr/bin/env bash
# Driver docker and images of registries, with real engines: by tag and by digest, with the job's credentials, those of a file, and those
# that a helper knows, over TLS and without; pulled again when asked, while the agent is killed; and taken away when they are not used.
# usage: registries.sh [podman|docker]...
. "$(dirname "$0")/engines_lib.sh"
command -v docker-registry >/dev/null || skip 'docker-registry is not installed'
image "$WORK/older.tar" localhost/norn/older:1 older
image "$WORK/newer.tar" localhost/norn/newer:1 newer

trusted=$WORK/ca.pem
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$WORK/key.pem" -out "$trusted" -days 2 -subj /CN=registry.test -addext subjectAltName=DNS:registry.test 2>/dev/null
printf '%s\n' 'ann:$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW' >"$WORK/users"
registry() { # registry PORT [TLS]: sets registry_pid
  cat >"$home/registry-$1.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$home/registry-$1"}}
auth: {htpasswd: {realm: test, path: "$WORK/users"}}
http: {addr: "127.0.0.1:$1"${2:+, tls: {certificate: "$trusted", key: "$WORK/key.pem"\}}}
END
  "${agent_runs[@]}" docker-registry serve "$home/registry-$1.yml" >>"$home/registry.log" 2>&1 &
  registry_pid=$!
  suites+=("$registry_pid")
  wait_for 30 'the registry answers' inside curl -sk "http${2:+s}://127.0.0.1:$1/v2/"
}
# push IMAGE NAME TAG: to a registry; the engine forgets that name
push() {
  local auth said
  auth=$(printf '{"username": "ann", "password": "sesame", "serveraddress": "%s"}' "${2%%/*}" | base64 -w 0 | tr '+/' '-_')
  ask "/images/$1/tag?repo=$2&tag=$3" -X POST >/dev/null || fail "$name does not tag $1"
  said=$(ask "/images/$2/push?tag=$3" -X POST -H "X-Registry-Auth: $auth") || fail "$name does not push $2: $said"
  case $said in *'"error"'*) fail "$name does not push $2: $said" ;; esac
  ask "/images/$2:$3" -X DELETE >/dev/null || fail "$name does not forget $2"
}
digest_of() { # NAME TAG, of the registry without TLS
  inside curl -sf -u ann:sesame -I -H 'Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json' \
    "http://$plain_registry/v2/$1/manifests/$2" | tr -d '\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p'
}

says() { [ "$(logs "$(id_of "$1")")" = "from $2" ]; }
run_image() { # run_image JOB IMAGE WORD [MORE]: runs, and is the one that WORD is in
  run_job "$1" batch "$(jq -n --arg image "$2" --argjson more "${4:-{\}}" '{image: $image, command: "sh", args: ["-c", "echo from $FROM"]} + $more')"
  await "$1" complete
  wait_for 30 "$1 speaks" says "$1" "$3"
}
fails_for() { # fails_for JOB PATTERN
  await "$1" failed
  events "$1" | grep -qE "^Driver Failure: .*$2" || fail "why $1 has no image: $(events "$1")"
}
brought() { ask '/images/json' | jq -r '.[] | (.RepoTags // [])[], (.RepoDigests // [])[]' | grep -E "^($plain_registry|registry.test)" || true; }
none_brought() { [ -z "$(brought)" ] && [ "$(ask '/images/json?all=1' | jq length)" = 1 ]; }
loading() { events "$1" | grep -q "^Driver: Downloading image $plain_registry/norn/box:1"; }

own='{"auth": {"username": "ann", "password": "sesame"}}'
of_registries() {
  local box=$plain_registry/norn/box digest long
  note "$name: credentials of the job, tags and digests"
  load "$WORK/older.tar"
  load "$WORK/newer.tar"
  echo '{}' >"$WORK/auth.json"
  registry 5443 tls
  registries=("$registry_pid")
  registry 5000
  registries+=("$registry_pid")
  push localhost/norn/older:1 "$box" 1
  push localhost/norn/newer:1 "$box" 2
  push localhost/norn/newer:1 registry.test:5443/norn/box 1
  for digest in older newer; do ask "/images/localhost/norn/$digest:1" -X DELETE >/dev/null || fail "$name does not forget $digest"; done
  digest=$(digest_of norn/box 1)
  [ -n "$digest" ] || fail 'the registry tells no digest'
  run_job nobody batch '{"image": "'"$box"':1"}'
  fails_for nobody "pull $box:1: .*(no basic auth|authentication required|unauthorized|denied)"
  run_job wrong batch '{"image": "'"$box"':1", "auth": {"username": "ann", "password": "guess"}}'
  fails_for wrong "pull $box:1: .*([Uu]nauthorized|authentication required|denied|invalid username)"
  run_image tagged "$box:1" older "$own"
  loading tagged || fail "how far it came is not told: $(events tagged)"
  wait_for 120 'what was brought has gone' none_brought
  run_image digested "$box@$digest" older "$own"
  run_job another batch "$(jq -n --arg image "$box@sha256:$(printf %064d 1)" --argjson own "$own" '{image: $image} + $own')"
  fails_for another "pull .*sha256:0*1: .*(not found|unknown)"

  note "$name: credentials of the node: a file, and a helper, over TLS"
  jq -n --arg auth "$(printf ann:sesame | base64)" --arg plain "$plain_registry" '{auths: {($plain): {auth: $auth}}, credHelpers: {"registry.test:5443": "vault"}}' >"$WORK/auth.json"
  wait_for 120 'what was brought has gone' none_brought
  run_image filed "$box:1" older
  run_image helped https://registry.test:5443/norn/box:1 newer

  note "$name: what is in use stays, and what is newer comes when asked"
  run_job long service "$(jq -n --arg image "$box:1" '{image: $image, command: "sleep", args: ["3600"]}')"
  await long running
  run_image second "$box:2" newer
  only_one() { [ "$(brought | grep -v @)" = "$box:1" ]; }
  wait_for 120 'what is not used has gone, and no more' only_one
  inside curl -sf -u ann:sesame -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "http://$plain_registry/v2/norn/box/manifests/2" >"$WORK/manifest.json"
  inside curl -sf -u ann:sesame -X PUT -H 'Content-Type: application/vnd.docker.distribution.manifest.v2+json' --data-binary "@$WORK/manifest.json" \
    "http://$plain_registry/v2/norn/box/manifests/1" || fail 'the registry takes no manifest'
  run_image kept "$box:1" older
  run_image forced "$box:1" newer '{"force_pull": true}'
  long=$(id_of long)
  "$NCTL" stop -detach long >/dev/null
  await long complete
  wait_for 120 'all that was brought has gone' none_brought

  note "$name: the agent is killed while an image comes"
  kill -STOP "$registry_pid"
  run_job slow service "$(jq -n --arg image "$box:2" '{image: $image, command: "sleep", args: ["3600"]}')"
  coming() { events slow | grep -q '^Driver: Downloading image'; }
  wait_for 60 'it comes' coming
  kill -KILL "$agent"
  wait "$agent" 2>/dev/null || true
  start_agent
  kill -CONT "$registry_pid"
  await slow running
  wait_for 60 'it is one container' one_container
  "$NCTL" stop -detach slow >/dev/null
  await slow complete
  wait_for 120 'its image has gone' none_brought
  kill -TERM "${registries[@]}"
  wait "${registries[@]}" 2>/dev/null || true
}
mkdir "$WORK/helpers"
cat >"$WORK/helpers/docker-credential-vault" <<'END'
#!/bin/sh
[ "$1 $(cat)" = 'get registry.test:5443' ] || { echo 'credentials not found'; exit 1; }
echo '{"Username": "ann", "Secret": "sesame"}'
END
chmod 755 "$WORK/helpers/docker-credential-vault"
PATH=$PATH:$WORK/helpers
agent_options=(--docker-interval-ms 200ms --docker-gc-image-delay-ms 4s --docker-auth-config "$WORK/auth.json")
user='' # the image's
each_engine of_registries
