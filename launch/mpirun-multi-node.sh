#!/usr/bin/env bash
# Several machines without a scheduler, one rank on each of their GPUs:
#
#   launch/mpirun-multi-node.sh HOSTFILE CONFIG.yaml RUN_DIR [options of tpo run]
#
# HOSTFILE has a line for each machine, `name slots=8`, with a slot for each GPU (1 where none are given); blanks around
# the =, tabs, comments behind a # and line ends of other systems are fine. The first machine starts the others by
# ssh without a password, and the program, the model and the run folder lie at the same place on all of them.
# CORES says how many cores each rank gets (default: those of this machine over its slots), TPO names the program (default:
# build/cuda/tpo), MPIRUN_OPTIONS holds further options of mpirun, such as those named below. Started again, the run goes
# on where its folder stands; the number of machines may differ.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}
[ $# -ge 3 ] || usage
hostfile=$1 config=$2 run_dir=$3
shift 3
[ -r "$hostfile" ] || {
  echo "mpirun-multi-node.sh: $hostfile cannot be read; expected a line \"name slots=GPUS\" for each machine" >&2
  exit 2
}
# What Open MPI reads of a hostfile differs by version, so it gets the machines by --host, "a:8,b:8".
read_hosts() {
  LC_ALL=C awk 'function refuse(what) {
      printf "mpirun-multi-node.sh: %s:%d: %s; expected \"name slots=GPUS\"\n", file, NR, what >"/dev/stderr"
      failed = 1
      exit 2
    }
    NR == 1 { sub(/^\357\273\277/, "") }
    {
      gsub(/\r/, " ")
      sub(/#.*/, "")
      gsub(/[ \t]*=[ \t]*/, "=")
    }
    NF == 0 { next }
    {
      n = 1
      if ($1 !~ /^[A-Za-z0-9._-]+$/) refuse("\"" $1 "\" is no name of a machine")
      for (i = 2; i <= NF; i++) {
        if ($i !~ /^(slots|max[-_]slots)=[0-9]+$/) refuse("\"" $i "\" is not read here")
        if ($i ~ /^slots=/) n = substr($i, 7) + 0
      }
      if (n < 1 || n > 1024) refuse("slots must be from 1 to 1024")
      if (!($1 in of)) names[++machines] = $1
      of[$1] += n
      sum += n
    }
    END {
      if (failed) exit 2
      for (m = 1; m <= machines; m++) {
        if (of[names[m]] > most) most = of[names[m]]
        list = list (m > 1 ? "," : "") names[m] ":" of[names[m]]
      }
      print sum + 0, most + 0, list
    }' file="$hostfile" "$hostfile"
}
listed=$(read_hosts) || exit 2
read -r ranks slots hosts <<<"$listed"
[ "$ranks" -gt 0 ] || {
  echo "mpirun-multi-node.sh: $hostfile names no machine" >&2
  exit 2
}
machine_cores=$(lscpu --parse=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l || true)
cores=${CORES:-$((machine_cores / slots))}

# Slots are filled machine by machine (slot), so that neighbours in NCCL's rings share NVLink, and each rank stays on its
# own cores.
if [ "$cores" -ge 1 ]; then
  binding=(--map-by "slot:PE=$cores" --bind-to core)
else
  binding=(--map-by slot --bind-to none --mca mpi_yield_when_idle 1)
fi
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# NCCL carries the tensors. It takes InfiniBand or RoCE by itself where the driver shows them; where a machine has several
# networks, set these before starting (they are passed on to all machines):
#   NCCL_SOCKET_IFNAME=ib0     the interface over which ranks first meet (and the way when there is no InfiniBand)
#   NCCL_IB_HCA=mlx5           which adapters carry data, when one of them is for storage alone
#   NCCL_DEBUG=INFO            shows the way that was taken: "via NET/IB/GDRDMA" is the fast one, "NET/Socket" the slow one
export NCCL_DEBUG=${NCCL_DEBUG:-WARN}
environment=()
for name in $(compgen -e | grep -E '^(NCCL|TPO|UCX)_' || true) LD_LIBRARY_PATH OMPI_ALLOW_RUN_AS_ROOT \
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM; do
  [ -n "${!name:-}" ] && environment+=(-x "$name")
done
# MPI carries control and text, never tensors: TCP is enough, and it needs neither UCX nor a CUDA-aware build. Where the
# site's Open MPI insists on UCX, MPIRUN_OPTIONS="--mca pml ucx" with UCX_TLS=tcp,self,sm keeps UCX away from the GPUs.
# MPIRUN_OPTIONS="--mca btl_tcp_if_include 10.0.0.0/8 --mca oob_tcp_if_include 10.0.0.0/8" names the network where machines
# have one that doesn't reach the others (docker0, for one).
# The keep-alive settings end a job within seconds when a machine or its link dies; without them it would wait for ever.
resume=()
[ -f "$run_dir/manifest.json" ] && resume=(--resume)
read -r -a more <<<"${MPIRUN_OPTIONS:-}"
command=(mpirun -n "$ranks" --host "$hosts" "${binding[@]}" "${environment[@]}"
  --mca pml ob1 --mca btl "self,vader,tcp"
  --mca oob_tcp_keepalive_time 4 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 2 "${more[@]}"
  "${TPO:-$root/build/cuda/tpo}" run "$config" --run-dir "$run_dir" "$@" "${resume[@]}")
echo "${command[*]}" >&2
exec "${command[@]}"
