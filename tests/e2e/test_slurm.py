"""The scripts of launch/slurm in a Slurm of our own with two nodes. Where it is a job's fate that is looked at, and not a
run's, the program is a stand-in that waits for a signal."""
import datetime
import json
import re

import h5py
import pytest

import slurm
import tiny
from conftest import BUILD, ROOT

FOLDER = ROOT / "launch" / "slurm"
NAMES = sorted(p.stem for p in FOLDER.glob("*.sbatch"))
CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{train: {folder}/train.jsonl, validation: {folder}/validation.jsonl, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 1e-4, batch: 1, epochs: {epochs}, micro_batch_tokens: 4096, warmup: 0}}
run: {{iterations: 1, validation_temperature: 1, deadline: 60}}
"""
# Ends as tpo does: 128 + signal where it is told to stop, 0 where it is taken up again.
STAND_IN = """#!/bin/bash
while [ "$1" != --run-dir ]; do shift; done
mkdir -p "$2"
[ ! -f "$2/manifest.json" ] || exit 0
touch "$2/manifest.json"
{more}
for signal in USR1=138 TERM=143; do trap "exit ${{signal#*=}}" "${{signal%=*}}"; done
touch "$2/begun"
for ((i = 0; i < 1200; i++)); do sleep 0.1; done
exit 1
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    why = slurm.missing()
    if why:
        pytest.skip(f"no Slurm: {why}")
    cluster = slurm.Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def write_config(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("launch")
    tiny.write_prompts(folder / "train.jsonl", "train", 16)
    tiny.write_prompts(folder / "validation.jsonl", "validation", 4)

    def write(epochs):
        path = folder / f"{epochs}.yaml"
        path.write_text(CONFIG.format(model=tiny_model, folder=folder, epochs=epochs))
        return path
    return write


@pytest.fixture
def stand_in(tmp_path):
    def write(more=""):
        path = tmp_path / "stand-in"
        path.write_text(STAND_IN.format(more=more))
        path.chmod(0o755)
        return {"TPO": str(path)}
    return write


def submit(cluster, script, *args, options=(), env=None, per_node=2):
    """So many ranks a node in place of eight; the two nodes are one machine, so memory must not be shared between them."""
    script = script if "/" in str(script) else FOLDER / f"{script}.sbatch"
    return cluster.submit(f"--ntasks-per-node={per_node}", f"--gpus-per-node={per_node}", "--cpus-per-task=1", "--mem=100",
                          f"--chdir={ROOT}", f"--output={cluster.folder}/job-%j.log", *options, script, *args,
                          env={"TPO": str(BUILD / "tpo"), "OMPI_MCA_btl": "self,tcp", "SOURCE_DATE_EPOCH": "1700000000"} |
                          (env or {}))


def log(cluster, job):
    return (cluster.folder / f"job-{cluster.state(job)[1]['JobId']}.log").read_text()


def completes(cluster, job):
    assert cluster.finish(job) == "COMPLETED", log(cluster, job)


def contents(run_dir):
    files = {}
    for path in sorted(run_dir.rglob("*.h5")):
        with h5py.File(path) as f:
            files[str(path.relative_to(run_dir))] = f.attrs["content_hash"]
    return files


def begun(cluster, run_dir):
    cluster.wait((run_dir / "begun").exists, f"the program in {run_dir}")


def comes_back(cluster, job):
    """The job is in the queue again after its first start."""
    def is_back():
        state, known = cluster.state(job)
        return state == "PENDING" and known["Restarts"] == "1"
    cluster.wait(is_back, f"job {job} in the queue again")


def start_again(cluster, job):
    """In 3 seconds rather than Slurm's two minutes; within those, nodes take it for the start that was taken back."""
    cluster.run("scontrol", "update", f"jobid={job}", "StartTime=now+3")
    cluster.wait(lambda: "start 1 " in log(cluster, job), f"the second start of job {job}")


@pytest.fixture(scope="module")
def ending(cluster, tmp_path_factory):
    """A job of a minute, whose end comes while other tests are at work. It has measured that stopping takes long."""
    folder = tmp_path_factory.mktemp("ending")
    program = folder / "stand-in"
    program.write_text(STAND_IN.format(more="""echo '{"seconds":20,"step":1,"state":6,"checkpoint":3}' >"$2/notice.json" """))
    program.chmod(0o755)
    job = submit(cluster, "single-node", "config.yaml", folder / "run", options=["--time=1", "--signal=B:CONT@1", "--job-name=end"],
                 env={"TPO": str(program), "TPO_NOTICE": "3"})
    return job


@pytest.mark.parametrize("name", NAMES)
def test_slurm_accepts_script(cluster, ending, name):
    assert " to start at " in cluster.run("sbatch", "--test-only", FOLDER / f"{name}.sbatch", "config.yaml", "runs/x")


@pytest.mark.parametrize("name", NAMES)
def test_every_script_has_the_same_guarantees_and_one_site_block(name):
    text = (FOLDER / f"{name}.sbatch").read_text()
    head = text[:text.index("\nset -euo pipefail\n")]
    for option in ["--signal=B:USR1@", "--requeue", "--open-mode=append", "--dependency=singleton", "--job-name="]:
        assert re.search(f"^#SBATCH .*{option}", head, re.M), option
    site = head[head.index("# ---- The site"):]
    for line in ["##SBATCH --account=", "##SBATCH --partition=", "##SBATCH --qos=", "#SBATCH --time=", "# module load ",
                 "# source ", "container=(", "tpo=", "notice="]:
        assert f"\n{line}" in site, line
    assert site.rstrip().endswith("# ---- The site's part ends here. ----")
    assert "\nrun_job " in text[len(head):] and "srun" not in text.replace("tasks", "")


@pytest.fixture(scope="module")
def whole(tpo, cluster, ending, write_config, tmp_path_factory):
    """A run that nothing disturbed, by a script of whose site block every line was edited."""
    folder = tmp_path_factory.mktemp("whole")
    text = (FOLDER / "single-node.sbatch").read_text()
    (folder / "environment").write_text(f"export OF_THE_SITE=1 TPO={BUILD / 'tpo'}\n")
    edits = [("##SBATCH --account=NAME", "#SBATCH --account=ours"), ("##SBATCH --partition=NAME", "#SBATCH --partition=high"),
             ("##SBATCH --qos=NAME", "#SBATCH --qos=normal"), ("# source /shared/tpo/environment", f"source {folder}/environment"),
             ("container=() #", f"container=(env -u OF_THE_SITE sh -c 'echo contained >>{folder}/contained; exec \"$@\"' sh) #"),
             ("--time=24:00:00", "--time=00:10:00")]
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "site.sbatch").write_text(text)
    job = submit(cluster, folder / "site.sbatch", write_config(12), folder / "run", options=["--job-name=whole"],
                 env={"TPO": "/nowhere"})
    completes(cluster, job)
    return folder, cluster.state(job)[1]


def test_the_site_block_is_all_that_a_site_edits(whole):
    folder, known = whole
    assert (known["Account"], known["Partition"], known["TimeLimit"]) == ("ours", "high", "00:10:00")
    assert (folder / "contained").read_text().split() == ["contained"] * 2
    assert json.loads((folder / "run" / "manifest.json").read_text())["done"] and (folder / "run" / "report.html").exists()


def test_a_run_tells_how_long_before_its_end_it_must_be_told(whole):
    notice = json.loads((whole[0] / "run" / "notice.json").read_text())
    assert list(notice) == ["seconds", "step", "state", "checkpoint"]
    assert all(0 < notice[k] < 60 for k in ["step", "state", "checkpoint"])
    # The file is written again where a quarter has changed.
    assert 1 <= notice["seconds"] == pytest.approx(2 * (notice["step"] + notice["state"] + notice["checkpoint"]), abs=1)


@pytest.mark.parametrize("name, args, env, message", [
    ("single-node", ["{folder}/nothing.yaml", "{folder}/run"], {}, "nothing.yaml"),
    ("sweep", ["{folder}/config.yaml"], {}, "usage: sbatch --job-name=NAME"),
    ("single-node", ["--chdir"], {}, "submit this script in the repository's folder instead"),
    ("preempt", ["c.yaml", "{folder}/run"], {"TPO_NOTICE": "2m"}, "notice=2m in the site block: expected whole seconds"),
])
def test_a_job_that_fails_does_so_with_its_status_and_stays_away(cluster, tmp_path, name, args, env, message):
    job = submit(cluster, name, *[a.format(folder=tmp_path) for a in args], env=env,
                 options=["--job-name=fails", *["--array=0"] * (name == "sweep"), *[f"--chdir={tmp_path}"] * ("--chdir" in args)])
    assert cluster.finish(job) == "FAILED"
    known = cluster.state(job)[1]
    assert known["ExitCode"] == "2:0" and known["Restarts"] == "0" and message in log(cluster, job)


def test_a_sweep_makes_a_folder_for_each_combination(cluster, write_config, tmp_path):
    job = submit(cluster, "sweep", write_config(1), tmp_path, options=["--array=0-4"],
                 env={"RHOS": "0 0.5", "THOUGHTS": "none generic"})
    for i in range(4):
        completes(cluster, f"{job}_{i}")
    assert cluster.finish(f"{job}_4") == "FAILED" and cluster.state(f"{job}_4")[1]["ExitCode"] == "2:0"
    assert "array element 4: there are only 2 x 2 combinations" in log(cluster, f"{job}_4")
    for thought in ["none", "generic"]:
        for rho in ["0", "0.5"]:
            settings = (tmp_path / f"{thought}-rho-{rho}" / "config.yaml").read_text()
            assert f"length_penalty: {rho}" in settings and f"name: {thought}" in settings


def test_an_element_of_a_sweep_stops_and_comes_back_alone(cluster, stand_in, tmp_path):
    """The last one, whose job has the array's own number."""
    job = submit(cluster, "sweep", "config.yaml", tmp_path / "runs", options=["--array=0-1", "--job-name=alone"],
                 env=stand_in() | {"RHOS": "0 1", "THOUGHTS": "none"})
    for rho in "01":
        begun(cluster, tmp_path / "runs" / f"none-rho-{rho}")
    last, other = [f"{job}_{i}" for i in (1, 0)]
    assert cluster.state(last)[1]["JobId"] == job
    cluster.run("scancel", "--batch", "--signal=USR1", last)
    comes_back(cluster, last)
    assert cluster.state(other)[0] == "RUNNING" and cluster.state(other)[1]["Restarts"] == "0"
    start_again(cluster, last)
    completes(cluster, last)
    cluster.run("scancel", "--batch", "--signal=USR1", other)
    comes_back(cluster, other)
    cluster.run("scancel", other)


def test_told_to_stop_it_comes_back_on_two_nodes_to_the_same_files(tpo, cluster, whole, write_config, tmp_path):
    """And a second job of the same run waits all the while, then finds that nothing is left to do."""
    run_dir, metrics = tmp_path / "run", tmp_path / "run" / "metrics.jsonl"
    job, second = [submit(cluster, "multi-node", write_config(12), run_dir, options=["--job-name=twice"], per_node=1)
                   for _ in range(2)]

    def second_waits():
        state, known = cluster.state(second)
        return state == "PENDING" and known["Reason"] in ["Dependency", "None", "Priority"]

    cluster.wait(lambda: metrics.exists() and metrics.read_text().count('"event":"epoch"') >= 3, "the third epoch")
    assert cluster.state(job)[1]["NodeList"] == "n[0-1]" and second_waits()
    cluster.run("scancel", "--batch", "--signal=USR1", job)
    comes_back(cluster, job)
    assert not json.loads((run_dir / "manifest.json").read_text())["done"] and second_waits()
    assert list((run_dir / "iter-001" / "checkpoint.h5.journal").glob("state-*")), "no state was kept"
    start_again(cluster, job)
    completes(cluster, job)
    assert "stopped with status 138; back into the queue" in log(cluster, job) and " --resume" in log(cluster, job)
    assert contents(run_dir) == contents(whole[0] / "run")
    events = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [e["step"] for e in events if e["event"] == "step"]
    assert steps == list(range(len(steps)))
    before = metrics.read_bytes()
    completes(cluster, second)
    assert metrics.read_bytes() == before and "start 0" in log(cluster, second)


def test_a_preempted_job_comes_back_and_a_cancelled_one_does_not(cluster, stand_in, tmp_path):
    job = submit(cluster, "preempt", "config.yaml", tmp_path / "run", options=["--partition=low", "--job-name=low", "--exclusive"],
                 env=stand_in())
    begun(cluster, tmp_path / "run")
    other = submit(cluster, "preempt", "config.yaml", tmp_path / "other", env=stand_in(),
                   options=["--partition=high", "--exclusive", "--nodes=2", "--job-name=high"])
    begun(cluster, tmp_path / "other")
    comes_back(cluster, job)
    assert "stopped with status 143; back into the queue" in log(cluster, job)
    cluster.run("scancel", other)
    assert cluster.finish(other) == "CANCELLED"
    start_again(cluster, job)
    completes(cluster, job)
    assert "back into the queue" not in log(cluster, other) and cluster.state(other)[1]["Restarts"] == "0"


def test_the_job_stops_so_long_before_its_end_as_its_run_needs(cluster, ending):
    """A minute for what ends with a job and the measured 20 seconds are more than half of it, and half is what is given."""
    job = ending
    cluster.wait(lambda: cluster.state(job)[1]["Restarts"] == "1", f"job {job} in the queue again")
    start, asked = [datetime.datetime.fromisoformat(re.search(f"^(\\S+) job {job}: {what}", log(cluster, job), re.M)[1])
                    for what in ["start 0 ", "asking the run to stop"]]
    assert 27 <= (asked - start).total_seconds() <= 45, log(cluster, job)
    cluster.run("scancel", job)
