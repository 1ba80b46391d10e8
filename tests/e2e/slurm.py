"""A Slurm of one's own: controller and two nodes as processes of this machine, with their files in one folder. Needs
root and Debian's slurm-wlm and munge."""
import os
import pathlib
import shutil
import socket
import subprocess
import time

CONF = """
ClusterName=tpo
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
MpiDefault=pmix
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=5
SlurmdTimeout=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
TmpFS={folder}/tmp-%n
GresTypes=gpu
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={port0} CPUs={cpus} RealMemory=4000 Gres=gpu:8
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs={cpus} RealMemory=4000 Gres=gpu:8
PartitionName=main Nodes=n0,n1 Default=YES MaxTime=INFINITE State=UP PreemptMode=OFF
PartitionName=low Nodes=n0,n1 MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL GraceTime=60
PartitionName=high Nodes=n0,n1 MaxTime=INFINITE State=UP PriorityTier=9 PreemptMode=OFF
"""


def missing():
    """Why there can be no Slurm here; None if there can."""
    for tool in ["slurmctld", "slurmd", "munged", "mungekey", "sbatch"]:
        if not shutil.which(tool):
            return f"{tool} is not installed (Debian: slurm-wlm, munge)"
    return None if os.getuid() == 0 else "it takes root to start one"


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Slurm:
    def __init__(self, folder, cpus=96):
        self.folder = pathlib.Path(folder)
        self.processes = []
        for name in ["munge", "state", "spool/n0", "spool/n1", "tmp-n0", "tmp-n1"]:
            (self.folder / name).mkdir(parents=True)
        port, port0, port1 = free_ports(3)
        conf = self.folder / "slurm.conf"
        conf.write_text(CONF.format(folder=self.folder, host=socket.gethostname(), port=port, port0=port0, port1=port1,
                                    cpus=cpus))
        for i in range(8):  # stand for /dev/nvidia0 to 7
            (self.folder / f"gpu{i}").touch()
        (self.folder / "gres.conf").write_text(f"NodeName=n[0-1] Name=gpu File={self.folder}/gpu[0-7]\n")
        self.env = dict(os.environ, SLURM_CONF=str(conf), OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        for name in [n for n in self.env if n.startswith("OMPI_MCA_")]:
            del self.env[name]

    def start(self):
        munge = self.folder / "munge"
        subprocess.run(["mungekey", "--create", "--keyfile", munge / "key"], check=True)
        self.spawn("munged", "--foreground", "--force", "--key-file", munge / "key", "--socket", munge / "socket",
                   "--pid-file", munge / "pid", "--log-file", munge / "log", "--seed-file", munge / "seed")
        self.wait(lambda: (munge / "socket").exists(), "munged")
        self.spawn("slurmctld", "-D", "-c")
        self.spawn("slurmd", "-D", "-N", "n0")
        self.spawn("slurmd", "-D", "-N", "n1")
        self.wait(lambda: self.run("sinfo", "-h", "-o", "%T %D", check=False).split() == ["idle", "2"], "the nodes")
        return self

    def spawn(self, *command):
        out = open(self.folder / f"{command[0]}-{len(self.processes)}.out", "wb")
        self.processes.append(subprocess.Popen([str(c) for c in command], env=self.env, stdout=out, stderr=out))

    def run(self, *command, check=True, env=None):
        done = subprocess.run([str(c) for c in command], env=self.env | (env or {}), capture_output=True, text=True,
                              check=False)
        assert not check or done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def wait(self, done, what, seconds=120):
        end = time.time() + seconds
        while not done():
            assert time.time() < end, f"{what}: not within {seconds} seconds (files in {self.folder})"
            time.sleep(0.1)

    def submit(self, *args, env=None):
        return self.run("sbatch", "--parsable", *args, env=env).strip()

    def state(self, job):
        words = dict(w.split("=", 1) for w in self.run("scontrol", "show", "job", job).split() if "=" in w)
        return words["JobState"], words

    def finish(self, job, seconds=120):
        ends = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"]
        self.wait(lambda: self.state(job)[0] in ends, f"job {job}", seconds)
        return self.state(job)[0]

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
