"""Configurations and the scripts that start them on machines and clusters: what can be checked of them without a cluster.
test_slurm.py has those that need one."""
import os
import shutil
import signal
import subprocess

import pytest

import tiny
from conftest import BUILD, ROOT, environment

SBATCH = sorted((ROOT / "launch" / "slurm").glob("*.sbatch"))
MPIRUN = sorted((ROOT / "launch").glob("mpirun-*.sh"))
SCRIPTS = SBATCH + MPIRUN + [ROOT / "launch" / "quickstart", ROOT / "launch" / "fetch-smollm2"]
SOURCED = [ROOT / "launch" / "lib.sh", ROOT / "launch" / "slurm" / "job.sh"]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
PAPER = sorted(set((ROOT / "configs").glob("llama3-8b-*.yaml")) - {ROOT / "configs" / "llama3-8b-semi-online.yaml"})
CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{train: {train}, validation: {validation}, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 1e-4, batch: 4, epochs: 1, micro_batch_tokens: 4096, warmup: 0}}
run: {{iterations: 1, validation_temperature: 1, deadline: 60}}
"""


def named(path):
    return path.name


@pytest.fixture(scope="module")
def config(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("launch")
    train, validation = folder / "train.jsonl", folder / "validation.jsonl"
    tiny.write_prompts(train, "train", 16)
    tiny.write_prompts(validation, "validation", 4)
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(model=tiny_model, train=train, validation=validation))
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=named)
def test_configuration_is_accepted(tpo, path):
    assert "model:" in tpo.ok("config", path)


@pytest.mark.parametrize("path", PAPER, ids=named)
def test_paper_configuration_has_the_papers_values(tpo, path):
    effective = tpo.ok("config", path)
    for line in ["k: 8", "temperature: 0.8", "top_p: 0.95", "prompts_per_iteration: 5000", "validation_prompts: 1500",
                 "iterations: 4", "epochs: 10", "validate_each_epoch: true", "length_penalty: auto", "mode: best-worst",
                 "on_budget: stop", "max_failure_share: 0.1"]:
        assert f"  {line}  #" in effective, line


def test_semi_online_configuration_has_the_published_values(tpo):
    """Of the recipe, and what follows from its steps."""
    effective = tpo.ok("config", ROOT / "configs" / "llama3-8b-semi-online.yaml")
    for line in ["beta: 0.01", "learning_rate: 1e-06", "batch: 32", "sync_steps: 10", "reference: start", "loss: dpo",
                 "mode: best-worst", "k: 8", "name: generic", "iterations: 4", "prompts_per_iteration: 4800"]:
        assert f"  {line}  #" in effective, line
    assert "  iterations: 4  # from run.steps\n" in effective and "  prompts_per_iteration: 4800  # from run.steps\n" in effective


def settings(tpo, name):
    return {line.split("  #")[0].rstrip() for line in tpo.ok("config", ROOT / "configs" / name).splitlines()}


@pytest.mark.parametrize("thinking, direct", [("llama3-8b-armorm.yaml", "llama3-8b-direct.yaml"),
                                              ("llama3-8b-armorm-specific.yaml", "llama3-8b-direct.yaml"),
                                              ("smollm2-study.yaml", "smollm2-study-direct.yaml")])
def test_the_direct_baseline_differs_in_the_thought_alone(tpo, thinking, direct):
    ours, baseline = settings(tpo, thinking), settings(tpo, direct)
    differing = {line.split(":")[0].strip() for line in ours ^ baseline}
    assert "name" in differing and "  name: none" in baseline
    assert differing <= {"name", "prompt", "system", "thought_marker", "response_marker", "prefill", "thought_tokens",
                         "response_tokens", "on_budget", "parse", "train_forced", "dir", "baseline"}


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_script_is_valid_bash(path):
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text


@pytest.mark.parametrize("path", SCRIPTS + SOURCED, ids=named)
def test_shellcheck_finds_nothing(path):
    """But for variables of launch/lib.sh, and its lists of packages, which are meant to be split into words."""
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    checked = subprocess.run(["shellcheck", "--external-sources", "--shell=bash", "--severity=warning", "--exclude=SC2154,SC2086,SC2034",
                              path], capture_output=True, text=True, check=False, cwd=ROOT)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", MPIRUN, ids=named)
def test_mpirun_script_says_how_it_is_used(path):
    done = subprocess.run([path], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and f"launch/{path.name}" in done.stderr and "RUN_DIR" in done.stderr


def test_mpirun_scripts_run_and_take_up_again(tpo, config, tmp_path):
    env = environment({"TPO": str(BUILD / "tpo"), "RANKS": "2"})
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"# a comment\r\nlocalhost\tslots = 2\r\n")
    for command in [[MPIRUN[1], config, tmp_path / "single"], [MPIRUN[0], hosts, config, tmp_path / "multi"]]:
        for start in range(2):
            done = subprocess.run(["timeout", "-k", "2", "60", *command, "-q"], capture_output=True, text=True, env=env,
                                  check=False)
            assert done.returncode == 0, done.stderr
            assert "report.html" in done.stdout
            assert ("mpirun -n 2 " in done.stderr) and (" --resume" in done.stderr) == (start == 1)


def multi_node(tmp_path, hostfile):
    """What mpirun would be given for this hostfile: the script's exit status, its options, what it said."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    fake = tmp_path / "bin" / "mpirun"
    fake.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    fake.chmod(0o755)
    (tmp_path / "hosts").write_bytes(hostfile)
    env = environment({"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CORES": "1"})
    done = subprocess.run([MPIRUN[0], tmp_path / "hosts", "config.yaml", tmp_path / "run"], capture_output=True, text=True,
                          env=env, check=False)
    options = done.stdout.splitlines()
    return done.returncode, dict(zip(options, options[1:])), done.stderr


@pytest.mark.parametrize("hostfile, hosts, ranks", [
    (b"a slots=8\nb slots=8\n", "a:8,b:8", "16"),
    (b"a slots=8\r\nb slots=4\r\n", "a:8,b:4", "12"),
    (b"a slots = 2\nb slots= 3\nc\tslots =4", "a:2,b:3,c:4", "9"),
    (b"\xef\xbb\xbf# machines\n\n \t\n\ta.b-c.org\tslots=2\t# two of them\n#b slots=9\nb#c\n", "a.b-c.org:2,b:1", "3"),
    (b"a slots=1\nb slots=1 max_slots=4\na slots = 2 max-slots=4\r\n", "a:3,b:1", "4"),
    (b"10.0.0.1 slots=08\r\n\r\n\x20", "10.0.0.1:8", "8"),
])
def test_a_hostfile_is_read_however_it_is_written(tmp_path, hostfile, hosts, ranks):
    code, options, said = multi_node(tmp_path, hostfile)
    assert code == 0, said
    assert options["--host"] == hosts and options["-n"] == ranks and "--hostfile" not in options


@pytest.mark.parametrize("hostfile, words", [
    (b"a slots=2\n\nb slots=two\n", ':3: "slots=two" is not read here'),
    (b"a slots=\n", ':1: "slots=" is not read here'),
    (b"a slots=0\n", ":1: slots must be from 1 to 1024"),
    (b"a slots=99999999999999999999\n", ":1: slots must be from 1 to 1024"),
    (b"a slots=-1\n", ':1: "slots=-1" is not read here'),
    (b"a slots=2 user=root\n", ':1: "user=root" is not read here'),
    (b"slots=2\n", ':1: "slots=2" is no name of a machine'),
    (b"a,b slots=2\n", ':1: "a,b" is no name of a machine'),
    (b"$(id) slots=2\n", 'is no name of a machine'),
    (b"a 8\n", ':1: "8" is not read here'),
    (b"# none\r\n\r\n", "names no machine"),
    (b"", "names no machine"),
])
def test_a_hostfile_that_is_none_is_refused_by_its_line(tmp_path, hostfile, words):
    code, _, said = multi_node(tmp_path, hostfile)
    assert code == 2 and words in said and len(said.splitlines()) == 1


@pytest.fixture
def job(tmp_path):
    """Runs job.sh's run_job with a stand-in for srun and an answer of squeue; starts it, or waits for its end."""
    def start(srun, squeue="N/A", **env):
        for name, text in {"srun": srun, "squeue": f'echo "{squeue}"', "scontrol": "exit 0"}.items():
            (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
            (tmp_path / name).chmod(0o755)
        script = f"set -euo pipefail; container=() tpo=tpo notice=120; source {ROOT}/launch/slurm/job.sh; run_job c.yaml run"
        env = environment({"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "1", "SLURM_JOB_NODELIST": "n0", **env})
        return subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    return start


def test_a_job_ends_with_its_steps_status_however_soon(job):
    assert [job("exit 3").wait(60) for _ in range(20)] == [3] * 20


def test_a_job_that_was_asked_to_stop_ends_with_its_steps_status(job, tmp_path):
    """Not with that of the signal, and a step that then failed doesn't come back."""
    ready = tmp_path / "ready"
    running = job(f"trap 'exit 7' USR1; touch {ready}; while :; do sleep 0.05; done")
    while not ready.exists():
        assert running.poll() is None
    os.kill(running.pid, signal.SIGUSR1)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 7 and "asking the run to stop" in out and "back into the queue" not in out


@pytest.mark.parametrize("squeue", ["", "10:00", "N/A", "2001-01-01T00:00:00"])
def test_a_job_whose_end_is_not_known_is_not_asked_to_stop(job, squeue):
    out, _ = job("trap 'exit 138' USR1; for i in {1..10}; do sleep 0.05; done", squeue).communicate(timeout=60)
    assert "asking" not in out


def test_a_users_settings_for_squeue_do_not_reach_it(job, tmp_path):
    running = job("sleep 0.5", f"$(env | grep -c -e ^SQUEUE_ -e ^SLURM_TIME_FORMAT >> {tmp_path}/set)", SQUEUE_STATES="PD",
                  SLURM_TIME_FORMAT="%H:%M")
    assert running.wait(60) == 0 and set((tmp_path / "set").read_text().split()) == {"0"}
