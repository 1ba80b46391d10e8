# Shell functions that the jobs of this folder share. Source it in a job; it runs nothing by itself.
#
# A job's end is not the run's. Before its time is over the job asks the ranks to stop, which they do after the training
# step, or the batch of samples, that is being computed; it goes back into the queue, and its next start goes on from
# there. So does a job that is pre-empted. A run that fails ends its job with the run's exit status. Two jobs of one name
# are never at work together (--dependency=singleton): name each job after its run.

# An element of an array must not signal the others, nor put all of them back into the queue.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID}

tell() { echo "$(date -Is) job $job: $*"; }
refuse() {
  echo "$*" >&2
  exit 2
}

# How many seconds before its end the job must ask: `notice` of the site's block, or more where the run has measured
# (notice.json) that a step and its checkpoints take longer; a minute is for Slurm and for what else ends with a job.
notice_of() { # RUN_DIR
  local measured=0
  [ ! -r "$1/notice.json" ] || measured=$(sed -n 's/^{"seconds": *\([0-9]\{1,6\}\),.*/\1/p' "$1/notice.json")
  measured=$((${measured:-0} > 0 ? measured + 60 : 0))
  echo $((measured > notice ? measured : notice))
}

# When Slurm will end the job, seconds since 1970; nothing where it can't be asked, or where there is no limit. A user's own
# settings for squeue (SQUEUE_STATES, a time format) would have it answer something else.
end_of_job() {
  local end
  end=$(unset "${!SQUEUE_@}" SLURM_TIME_FORMAT && squeue --noheader --jobs="$job" --format=%e 2>/dev/null) || return 0
  [[ $end =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T ]] || return 0
  end=$(date -d "$end" +%s 2>/dev/null) || return 0
  [ "$end" -le "$(date +%s)" ] || echo "$end"
}

# When to ask the run to stop: so long before the end, though not before half of the time that is left has been used, or
# a job that is too short for its run would come back for ever.
ask_at() { # RUN_DIR END START
  local by_notice=$(($2 - $(notice_of "$1"))) half=$((($2 + $3) / 2))
  echo $((by_notice > half ? by_notice : half))
}

# In the background: USR1 to this script when it is time, and every 20 seconds from then on, since a rank that is only
# starting may miss one. The end may be moved meanwhile, so Slurm is asked again every ten minutes, and at last.
watch_end() { # RUN_DIR
  local start end asked
  start=$(date +%s)
  end=$(end_of_job)
  asked=$start
  trap 'kill "$!" 2>/dev/null; exit' TERM
  while [ -z "$end" ] || [ "$(date +%s)" -lt "$(ask_at "$1" "$end" "$start")" ] || is_moved; do
    sleep 5 &
    wait "$!"
    [ $(($(date +%s) - asked)) -lt 600 ] || is_moved || true
  done
  while kill -USR1 $$ 2>/dev/null; do
    sleep 20 &
    wait "$!"
  done
}

# Of watch_end: whether the end is another one than it believed.
is_moved() {
  local now
  now=$(end_of_job)
  asked=$(date +%s)
  [ -n "$now" ] && [ "$now" != "$end" ] && end=$now
}

# A pre-empted job that Slurm ends and doesn't put back itself (PreemptMode=CANCEL) still runs for its grace time. One that
# somebody cancelled doesn't.
is_preempted() {
  local known
  known=$(scontrol show job --oneliner "$job" 2>/dev/null) || return 1
  [[ $known == *" JobState=RUNNING "* && $known == *" PreemptTime="[0-9]* ]]
}

# The last command of a job: the run, over all ranks of the job.
run_job() { # CONFIG RUN_DIR [OPTION OF tpo run...]
  [ $# -ge 2 ] || refuse "usage: sbatch --job-name=NAME launch/slurm/SCRIPT.sbatch CONFIG.yaml RUN_DIR [options of tpo run]"
  [[ $notice =~ ^[1-9][0-9]{0,5}$ ]] || refuse "notice=$notice in the site block: expected whole seconds, from 1 to 999999"
  local config=$1 run_dir=$2 resume=() step='' watcher status=0 interrupted
  shift 2
  [ -f "$run_dir/manifest.json" ] && resume=(--resume)
  tell "start ${SLURM_RESTART_COUNT:-0} on $SLURM_JOB_NODELIST: tpo run $config --run-dir $run_dir $* ${resume[*]}"
  # NCCL carries the tensors, and says what goes wrong and nothing else. Within one machine it needs no setting; between
  # machines it takes InfiniBand or RoCE by itself where the driver shows them. Where machines have several networks:
  #   NCCL_SOCKET_IFNAME=ib0     the interface over which ranks first meet (and the way when there is no InfiniBand)
  #   NCCL_IB_HCA=mlx5           which adapters carry data, when one of them is for storage alone
  #   NCCL_DEBUG=INFO            shows the way taken: "via NET/IB/GDRDMA" is the fast one, "NET/Socket" the slow one
  export NCCL_DEBUG=${NCCL_DEBUG:-WARN}
  # MPI carries control and text, never tensors: shared memory and TCP do, nothing is probed at the start, and it needs
  # neither UCX nor a CUDA-aware build. Where the site's Open MPI insists on UCX, set OMPI_MCA_pml=ucx
  # UCX_TLS=tcp,self,sm, which keeps UCX away from the GPUs. OMPI_MCA_btl_tcp_if_include=10.0.0.0/8 names the network
  # where machines have one that doesn't reach the others.
  export OMPI_MCA_pml=${OMPI_MCA_pml:-ob1} OMPI_MCA_btl=${OMPI_MCA_btl:-self,vader,tcp}
  # pmix is how Open MPI's ranks find one another under srun (pmi2 does not work). Ranks 0-7 on the first machine, 8-15 on
  # the second (block), so that neighbours in NCCL's rings share NVLink, each on the cores that it was given.
  # --kill-on-bad-exit ends the others at once when a rank dies; one that hangs ends the job after `run.deadline` seconds.
  # In the background: bash runs a trap only when no command in the foreground holds it up.
  asked=0
  trap ask_run USR1
  trap 'interrupted=1' TERM # Slurm sends it to the ranks as well
  srun --mpi=pmix --distribution=block --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --cpu-bind=cores --kill-on-bad-exit=1 \
    "${container[@]}" "$tpo" run "$config" --run-dir "$run_dir" "$@" "${resume[@]}" &
  step=$!
  watch_end "$run_dir" &
  watcher=$!
  # A trap ends `wait` early, with the signal's status. Asked again, it tells the step's own, also of one that is over.
  interrupted=1
  while [ "$interrupted" = 1 ]; do
    interrupted=0 status=0
    wait "$step" || status=$?
  done
  trap '' USR1
  kill "$watcher" 2>/dev/null || true
  end_job "$status"
}

# shellcheck disable=SC2317 # called by the trap
ask_run() {
  [ "$asked" = 1 ] || tell "asking the run to stop"
  asked=1 interrupted=1
  [ -z "${step:-}" ] || kill -USR1 "$step" 2>/dev/null || true # srun hands it on to every rank
}

# tpo ends with 128 + signal where it stopped because of one.
end_job() { # STATUS
  local back=0
  case "$1" in
    $((128 + 10))) back=$asked ;;
    $((128 + 15))) if [ "$asked" = 1 ] || is_preempted; then back=1; fi ;;
  esac
  [ "$back" = 0 ] || { tell "stopped with status $1; back into the queue" && scontrol requeue "$job"; } ||
    tell "Slurm doesn't take the job back: it did so itself, or submit it again, and the run goes on"
  exit "$1"
}
