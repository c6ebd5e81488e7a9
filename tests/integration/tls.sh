#!/usr/bin/env bash
# Certificates from nctl tls, a gateway and an agent that meet by tls+tcp, strangers who are refused, and new certificates on HUP.
. "$(dirname "$0")/lib.sh"
mkdir "$WORK/run" "$WORK/foreign" "$WORK/us"
conf=$WORK/norn.conf
run=$WORK/run

note 'nctl tls makes what openssl takes'
cd "$WORK"
"$NCTL" tls ca create >out || fail "$(cat out)"
"$NCTL" tls cert create -server -additional-ipaddress 10.1.2.3 -additional-dnsname one.example,two.example >out || fail "$(cat out)"
"$NCTL" tls cert create -client -days 20 >out || fail "$(cat out)"
for name in global-server-norn global-client-norn; do
  openssl verify -CAfile norn-ca.pem -x509_strict "$name.pem" >out 2>&1 || fail "$(cat out)"
  [ "$(stat -c %a "$name-key.pem")" = 600 ] || fail "$name-key.pem has mode $(stat -c %a "$name-key.pem")"
  [ "$(openssl x509 -in "$name.pem" -noout -pubkey)" = "$(openssl pkey -in "$name-key.pem" -pubout)" ] || fail "$name: another's key"
done
openssl verify -CAfile norn-ca.pem -purpose sslserver global-server-norn.pem >out 2>&1 || fail "$(cat out)"
openssl verify -CAfile norn-ca.pem -purpose sslclient global-client-norn.pem >out 2>&1 || fail "$(cat out)"
if openssl verify -CAfile norn-ca.pem -purpose sslserver global-client-norn.pem >out 2>&1; then fail 'a client may listen'; fi
[ "$(stat -c %a norn-ca-key.pem)" = 600 ] || fail 'the key of the CA is open'
openssl x509 -in norn-ca.pem -noout -ext basicConstraints | grep -q 'CA:TRUE' || fail 'the CA is none'
"$NCTL" tls cert info global-server-norn.pem >out
for word in 'Role *= server' 'Region *= global' 'DNS:server.global.norn, DNS:localhost, DNS:one.example, DNS:two.example' 10.1.2.3 'Status *= valid'; do
  grep -q "$word" out || fail "cert info lacks $word: $(cat out)"
done
"$NCTL" tls ca info | grep -q 'May Sign *= yes' || fail 'ca info'

note 'nothing is overwritten, and bad usage is refused'
before=$(cat ./*.pem | sha256sum)
for args in 'ca create' 'cert create -server' 'cert create' 'cert create -server -client' 'cert create -server -region a.b' \
  'cert create -server -region us -days 9999' 'cert create -server -region us -days 0' 'cert create -server -region us -ca nowhere.pem' \
  'cert create -server -region us -key global-server-norn-key.pem' 'cert info norn-ca-key.pem' 'cert info nowhere' \
  'cert create -server -region us -additional-ipaddress 1.2.3'; do
  # shellcheck disable=SC2086
  if "$NCTL" tls $args >out 2>err; then fail "nctl tls $args is taken"; fi
  [ -s err ] || fail "nctl tls $args says nothing"
  [ "$before" = "$(cat ./*.pem | sha256sum)" ] || fail "nctl tls $args left something: $(ls)"
done
[ -z "$(find . -name '*.pem.*')" ] || fail "files were left: $(ls)"
(cd foreign && "$NCTL" tls ca create && "$NCTL" tls cert create -client) >out || fail "$(cat out)"
"$NCTL" tls cert create -client -region us >out || fail "$(cat out)"

# conf_write CA CERT: CERT without .pem
conf_write() {
  cat >"$conf" <<END
tls: { ca_file = "$1"; cert_file = "$2.pem"; key_file = "$2-key.pem"; };
jobstore: { listen = "ipc://$run/j.sock"; listen_poll = "ipc://$run/jp.sock"; data_dir = "$WORK/store"; tls_ca_file = ""; tls_cert_file = ""; tls_key_file = ""; };
controller: { listen = "ipc://$run/c.sock"; jobstore = "ipc://$run/j.sock"; jobstore_poll = "ipc://$run/jp.sock"; tls_ca_file = ""; tls_cert_file = ""; tls_key_file = ""; };
gateway: { listen = "ipc://$run/g.sock"; listen_poll = "ipc://$run/gp.sock"; http = "127.0.0.1:0"; jobstore = "ipc://$run/j.sock";
  jobstore_poll = "ipc://$run/jp.sock"; controller = "ipc://$run/c.sock"; evalbroker = "ipc://$run/e.sock"; planqueue = "ipc://$run/q.sock";
  gossip = "ipc://$run/s.sock"; };
END
}
started=() # pids
start() { # start LOGNAME PROGRAM OPTIONS
  local log=$WORK/$1.log
  shift
  "$BIN/$1" "${@:2}" 2>"$log" &
  started+=("$!")
  suites+=("$!") # lib.sh ends them
}
is_ready() { grep -q 'event=ready' "$WORK/$1.log"; }
says() { grep -qE "$2" "$WORK/$1.log"; }

note 'servers start, and the gateway listens by tls+tcp'
conf_write "$WORK/norn-ca.pem" "$WORK/global-server-norn"
start jobstore jobstore --config "$conf"
wait_for 20 'jobstore is ready' is_ready jobstore
start controller controller --config "$conf"
wait_for 20 'controller is ready' is_ready controller
for _ in 1 2 3 4 5 6 7 8 9; do
  rpc=127.0.0.1:$((10000 + RANDOM % 9000))
  start gateway gateway --config "$conf" --listen-rpc "tls+tcp://$rpc"
  gateway=$!
  up_or_out() { is_ready gateway || gone "$gateway"; }
  wait_for 20 'gateway is up' up_or_out
  if is_ready gateway; then break; fi
  says gateway 'another process listens' || fail "gateway: $(cat "$WORK/gateway.log")"
done
NORN_ADDR=http://127.0.0.1:$(sed -n 's/.*event=listening.* port=\([0-9]*\).*/\1/p' "$WORK/gateway.log")
says gateway 'event=certificate name=server.global.norn until=' || fail "no word of the certificate: $(cat "$WORK/gateway.log")"
says jobstore event=certificate && fail 'jobstore has certificates that its own group takes away'
grep -q norn-tls.so "/proc/$gateway/maps" || fail 'the module is not there'
if grep -qE 'norn-tls|libssl' "/proc/${started[0]}/maps"; then fail 'jobstore has loaded OpenSSL'; fi

agent() { # agent NAME CA CERT
  start "$1" nodeagent --servers "tls+tcp://$rpc" --data-dir "$WORK/client-$1" --name "$1" --cgroup none \
    --tls-ca-file "$2" --tls-cert-file "$3.pem" --tls-key-file "$3-key.pem"
}
node_is() { [ "$(api GET /v1/nodes | jq -r --arg n "$1" '.[] | select(.Name == $n) | .Status')" = "$2" ]; }
note 'an agent with a certificate of its region is a node'
agent good "$WORK/norn-ca.pem" "$WORK/global-client-norn"
wait_for 30 'the agent is a node' node_is good ready

note 'strangers are refused, and both logs tell why'
agent foreign "$WORK/foreign/norn-ca.pem" "$WORK/foreign/global-client-norn"
wait_for 30 'the gateway was refused' says foreign 'event=peer_refused.*is not of the CA in ca_file'
agent us "$WORK/norn-ca.pem" "$WORK/us-client-norn"
wait_for 30 'the agent of the other region refuses' says us 'event=peer_refused.*tls.tcp://.*is of server.global.norn, and here only servers of region us'
wait_for 30 'the gateway is told' says gateway 'event=peer_refused.*127.0.0.1:.*does not take our certificate .server.global.norn'
kill "${started[@]: -2}" # the two
wait_for 20 'the strangers are gone' gone "${started[-1]}"
wait_for 20 'the strangers are gone' gone "${started[-2]}"
node_is foreign ready && fail 'a stranger is a node'
[ "$(api GET /v1/nodes | jq length)" = 1 ] || fail "nodes: $(api GET /v1/nodes)"

note 'a bad new certificate is refused, and the old one goes on'
cp global-server-norn.pem kept.pem
cp global-client-norn.pem global-server-norn.pem # with the key of the other
kill -HUP "$gateway"
wait_for 20 'the refusal' says gateway 'event=certificate_refused.*is not the .unencrypted. private key.*kept='
alive "$gateway" || fail 'the gateway is gone'
node_is good ready || fail 'the agent is gone'

note 'new certificates are taken on HUP: connections stay, and who comes later sees them'
connections() { ss -Htn state established "( sport = :${rpc##*:} )" | awk '{print $4}' | sort; }
before=$(connections)
"$NCTL" tls cert create -server -force >out || fail "$(cat out)"
serial=$(openssl x509 -in global-server-norn.pem -noout -serial)
kill -HUP "$gateway"
wait_for 20 'the reload' says gateway 'event=certificate_reloaded name=server.global.norn'
shown() { openssl s_client -connect "$rpc" -cert global-client-norn.pem -key global-client-norn-key.pem </dev/null 2>/dev/null | openssl x509 -noout -serial; }
[ "$(shown)" = "$serial" ] || fail "shown is $(shown), not $serial"
for connection in $before; do
  connections | grep -qxF "$connection" || fail "a connection was lost: $connection"
done
agent late "$WORK/norn-ca.pem" "$WORK/global-client-norn"
wait_for 30 'another agent is a node' node_is late ready
node_is good ready || fail 'the first agent is gone'

note 'what is wrong with the settings is said at once'
refused() { # refused WHAT WORDS OPTIONS
  local status=0
  timeout 20 "$BIN/gossip" --listen "ipc://$run/x.sock" "${@:3}" >out 2>&1 || status=$?
  [ "$status" = 2 ] || fail "$1: exit $status: $(cat out)"
  grep -q "$2" out || fail "$1: $(cat out)"
}
cert=(--tls-ca-file norn-ca.pem --tls-cert-file global-server-norn.pem)
refused 'plain tcp' 'allow_plain_tcp = true' --listen "tcp://0.0.0.0:1"
refused 'TLS without certificates' 'set ca_file, cert_file and key_file in the group tls' --listen "tls+tcp://127.0.0.1:1"
refused 'two of three files' 'key_file is missing' "${cert[@]}"
refused 'another key' 'private key of' "${cert[@]}" --tls-key-file global-client-norn-key.pem
refused 'no file' 'No such file' "${cert[@]}" --tls-key-file nowhere.pem
refused 'an open key' 'anybody may read' "${cert[@]}" --tls-key-file norn-ca.pem
mkdir alone
cp "$BIN/gossip" alone/
if alone/gossip --listen "ipc://$run/x.sock" "${cert[@]}" --tls-key-file global-server-norn-key.pem >out 2>&1; then fail 'TLS without its module'; fi
grep -q 'norn-tls.so.*install it' out || fail "without the module: $(cat out)"
