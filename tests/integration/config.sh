#!/usr/bin/env bash
# deploy/example.conf explains every setting of every daemon, with its default, and nothing else.
. "$(dirname "$0")/lib.sh"
example=$SOURCE/deploy/example.conf
for path in "$SOURCE"/services/*/main.c; do
  daemon=$(basename "$(dirname "$path")")
  "$BIN/$daemon" --config "$example" --check-config >"$WORK/out" 2>&1 || fail "$daemon refuses the example: $(cat "$WORK/out")"
  "$BIN/$daemon" --help >"$WORK/help" || fail "$daemon --help"
  # The group of this daemon, comments included.
  awk -v g="$daemon" '$0 ~ "^" g ": *{" {on = 1} on {print} on && /^};/ {exit}' "$example" >"$WORK/group"
  [ -s "$WORK/group" ] || fail "the example has no group $daemon"
  # The group tls is for all: its key x is the option --tls-x.
  awk '/^tls: *{/ {on = 1} on {print} on && /^};/ {exit}' "$example" | sed 's/^\( *#* *\)\([a-z_]* *=\)/\1tls_\2/' >>"$WORK/group"
  sed -n 's/^ *--\([a-z][a-z-]*\)[ =].*/\1/p; s/^ *--\([a-z][a-z-]*\)$/\1/p' "$WORK/help" | sort -u |
    grep -vxE 'config|check-config|help|version' | tr - _ >"$WORK/settings"
  [ "$(wc -l <"$WORK/settings")" -ge 3 ] || fail "$daemon --help lists no settings: $(cat "$WORK/help")"
  while read -r setting; do
    grep -qE "^ *#? *$setting *=" "$WORK/group" || fail "the example does not explain $daemon.$setting"
  done <"$WORK/settings"
  sed -n 's/^ *#\{0,1\} *\([a-z_]*\) *= .*/\1/p' "$WORK/group" | sort -u >"$WORK/explained"
  unknown=$(comm -13 "$WORK/settings" "$WORK/explained")
  [ -z "$unknown" ] || fail "the example explains what $daemon does not have: $unknown"
  for bad in '--nosuch 1' '--config /nonexistent' '--log-level loud'; do
    status=0
    # shellcheck disable=SC2086
    "$BIN/$daemon" $bad >"$WORK/out" 2>&1 || status=$?
    [ "$status" = 2 ] || fail "$daemon $bad exits $status, not 2"
    [ -s "$WORK/out" ] || fail "$daemon $bad says nothing"
  done
  # An unknown key is refused with the place and the nearest known one.
  sed "s/^$daemon: *{/&\n    log_levle = \"info\";/" "$example" >"$WORK/bad.conf"
  if "$BIN/$daemon" --config "$WORK/bad.conf" --check-config >"$WORK/out" 2>&1; then fail "$daemon accepts an unknown key"; fi
  grep -q 'bad.conf:[0-9]' "$WORK/out" && grep -q log_level "$WORK/out" || fail "no place or no cure: $(cat "$WORK/out")"
done
