#!/bin/sh
# Keeps a Ray node going: `sh supervise.sh FOLDER ray start --block ...` in the background; `sh supervise.sh FOLDER stop`.
#
# A raylet that the head has given up, as after a cut link, exits and nobody starts it again; so this does. It ends when
# `ray start` ends with 0, and gives up after 20 ends in a row that came within half a minute each.
# FOLDER holds its log and its process id; a second call there takes the place of the first. Stop it before `ray stop`,
# or it starts again what that has stopped.
set -u
folder=$1
shift
mkdir -p "$folder"
if [ -f "$folder/supervisor.pid" ]; then
  kill "$(cat "$folder/supervisor.pid")" 2>/dev/null || true
fi
if [ "$1" = stop ]; then
  rm -f "$folder/supervisor.pid"
  exit 0
fi
if [ "${BASEREWARD_SUPERVISED:-}" != yes ]; then
  export BASEREWARD_SUPERVISED=yes
  rm -f "$folder/supervisor.pid"
  nohup sh "$0" "$folder" "$@" >>"$folder/supervisor.log" 2>&1 </dev/null &
  echo "supervising: $* (log: $folder/supervisor.log)"
  exit 0
fi
echo $$ >"$folder/supervisor.pid"
child=
trap 'kill "$child" 2>/dev/null; exit 0' TERM INT
short=0
while [ "$short" -lt 20 ]; do
  began=$(date +%s)
  "$@" &
  child=$!
  wait "$child"
  code=$?
  took=$(($(date +%s) - began))
  echo "$(date -u +%FT%TZ) ray start ended with $code after $took s"
  [ "$code" -eq 0 ] && exit 0
  if [ "$took" -lt 30 ]; then short=$((short + 1)); else short=0; fi
  sleep 3
done
echo "given up: $short ends in a row within 30 s each"
exit 1
