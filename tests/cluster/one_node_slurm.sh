#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One-node Slurm of our own (munge, proctrack/linuxproc, task/none) under which the batch script of docs/SCALING.md runs: the
# merged captions must be the bytes of a single run. Needs slurmctld, slurmd, slurm-client and munge; leaves nothing running.
#     tests/cluster/one_node_slurm.sh PROGRAM PICTURES
set -euo pipefail
program=$(realpath "$1") pictures=$(realpath "$2")
export PATH=$PATH:/usr/sbin
work=$(mktemp -d) && chmod 755 "$work"
daemons=()
finish() {
  [ ${#daemons[@]} -eq 0 ] || kill "${daemons[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap finish EXIT
start() {  # start NAME COMMAND...: a daemon in the foreground of a job of this shell
  local log=$work/$1.log
  shift
  "$@" >"$log" 2>&1 &
  daemons+=($!)
}
fail() {
  echo "one_node_slurm: $1" >&2
  tail -n 20 "$work"/*.log >&2
  exit 1
}
free_port() {  # no one listens there now; the kernel does not give it to others below its own range
  local port
  for ((port = $1; port < $1 + 400; ++port)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

head -c 1024 /dev/urandom >"$work/munge.key" && chmod 600 "$work/munge.key"
start munged munged --foreground --force --key-file "$work/munge.key" --socket "$work/munge.socket" \
  --pid-file "$work/munged.pid" --log-file "$work/munged.txt" --seed-file "$work/munge.seed"

node=$(uname -n)
node=${node%%.*}
export SLURM_CONF=$work/slurm.conf
cat >"$SLURM_CONF" <<END
ClusterName=one
SlurmctldHost=$node(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthInfo=socket=$work/munge.socket
SlurmctldPort=$(free_port 16817)
SlurmdPort=$(free_port 17817)
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
ReturnToService=2
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES
END
mkdir "$work/state" "$work/spool"
start slurmctld slurmctld -D -i
start slurmd slurmd -D

for ((try = 0; ; ++try)); do
  sinfo -h -o %T 2>"$work/sinfo.log" | grep -qx idle && break
  [ $try -lt 300 ] || fail "the node did not become idle"
  sleep 0.2
done

cd "$work"
"$program" caption "$pictures" --threads 1 --out whole.jsonl --quiet
cat >job.sh <<END
#!/bin/bash
#SBATCH --ntasks=$(($(nproc) < 2 ? 1 : 2))
srun "$program" caption "$pictures" --threads 1 --out captions.jsonl --shard auto --quiet
"$program" merge-results captions.jsonl captions.*-of-*.jsonl.journal --overwrite
END
sbatch --wait --output=job.log job.sh >sbatch.log 2>&1 || fail "the job failed"
cmp whole.jsonl captions.jsonl || fail "the merged captions are not those of a single run"
echo "Slurm $(slurmd -V | cut -d' ' -f2): $(ls captions.*-of-*.journal | wc -l) tasks, $(wc -l <captions.jsonl) captions, equal to a single run"
