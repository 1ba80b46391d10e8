#!/usr/bin/env bash
# One machine without a scheduler, one rank on each of its GPUs:
#
#   launch/mpirun-single-node.sh CONFIG.yaml RUN_DIR [options of tpo run]
#
# RANKS says how many ranks (default: one a GPU; without a GPU, one a socket), TPO names the program (default:
# build/cuda/tpo, or build/cpu/tpo where that isn't built). Started again, the run goes on where its folder stands.
# kill -USR1 of mpirun stops it at the next safe point.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}
[ $# -ge 2 ] || usage
config=$1 run_dir=$2
shift 2

tpo=${TPO:-$root/build/cuda/tpo}
[ -n "${TPO:-}" ] || [ -x "$tpo" ] || tpo=$root/build/cpu/tpo
gpus=$(nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU' || true)
sockets=$(lscpu --parse=SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l || true)
cores=$(lscpu --parse=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l || true)
ranks=${RANKS:-$((gpus > 0 ? gpus : sockets > 0 ? sockets : 1))}

# Each rank gets its share of the cores and stays on them (PE cores, bound): its threads then share caches and memory. With
# fewer cores than ranks there is nothing to bind, and ranks that wait must give way to those that work.
if [ "$cores" -ge "$ranks" ]; then
  binding=(--map-by "slot:PE=$((cores / ranks))" --bind-to core)
else
  binding=(--oversubscribe --bind-to none --mca mpi_yield_when_idle 1)
fi
# Containers often run as root, which Open MPI refuses unless it is told.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# NCCL says what goes wrong and nothing else. Within one machine it needs no other setting: it finds NVLink by itself. Don't
# set CUDA_VISIBLE_DEVICES for single ranks; rank r takes GPU r, and NCCL copies straight between GPUs that a rank sees.
export NCCL_DEBUG=${NCCL_DEBUG:-WARN}
resume=()
[ -f "$run_dir/manifest.json" ] && resume=(--resume)
# MPI carries control and text here, never tensors: shared memory is enough (ob1 with self and vader; tcp for the start).
# Without this, Open MPI may probe for InfiniBand or open UCX on the GPUs, which takes time and memory there.
command=(mpirun -n "$ranks" "${binding[@]}" --mca pml ob1 --mca btl "self,vader,tcp"
  "$tpo" run "$config" --run-dir "$run_dir" "$@" "${resume[@]}")
echo "${command[*]}" >&2
exec "${command[@]}"
