"""Ranks that don't come, come late or stop before all are together: the others don't wait for ever, and say for whom."""
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

import tiny
from conftest import BUILD, environment

HOST = socket.gethostname()
# As rank $WHO: what $WHAT says, before the program begins.
WRAPPER = f"""#!/bin/sh
if [ "$OMPI_COMM_WORLD_RANK" = "$WHO" ]; then
  case "$WHAT" in
  hang) exec sleep 100 ;;
  stop) kill -STOP $$ ;;
  late*) sleep "${{WHAT#late}}" ;;
  esac
fi
exec {BUILD}/tpo "$@"
"""


@pytest.fixture
def job(tiny_model, tmp_path):
    """job(count, who, what, *more) starts a small command over ranks, one of which goes wrong."""
    tiny.write_prompts(tmp_path / "p.jsonl", "p", 4)
    script = tmp_path / "rank.sh"
    script.write_text(WRAPPER)
    script.chmod(0o755)
    started = []

    def start(count, who, what, *more, command=None):
        args = command or ["generate", "--model", tiny_model, "--prompts", tmp_path / "p.jsonl", "--out", tmp_path / "o.h5",
                           "--k", 1, "--max-tokens", 4, "--thought", "none"]
        line = ["timeout", "-k", "2", "90", "mpirun", "-n", str(count), str(script), *[str(a) for a in [*args, *more]]]
        started.append(subprocess.Popen(line, env=environment({"WHO": str(who), "WHAT": what}), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def end(process):
    """Exit status, the lines that the program wrote, and the seconds that it took."""
    begin = time.monotonic()
    _, text = process.communicate(timeout=100)
    lines = text.decode(errors="replace").splitlines()
    return process.returncode, [line for line in lines if line.startswith("tpo")], time.monotonic() - begin


def within(seconds):
    return ["--set", f"run.start_deadline={seconds}"]


@pytest.mark.parametrize("count, who, what", [(2, 1, "hang"), (3, 0, "hang"), (3, 1, "stop")])
def test_a_rank_that_never_comes_is_named(job, tmp_path, count, who, what):
    code, told, seconds = end(job(count, who, what, *within(4)))
    assert code == 1 and 3 < seconds < 40
    assert len(told) == 1, told
    assert told[0].startswith(f"tpo: the {count} ranks were not together within 4 seconds (run.start_deadline): "
                              f"rank {who} did not come, on host {HOST}; ")
    assert not (tmp_path / "o.h5").exists()


def test_the_limit_stands_in_the_configuration_too(job, tiny_model, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"model: {{path: {tiny_model}}}\nrun: {{dir: {tmp_path}/run, start_deadline: 3}}\n")
    code, told, seconds = end(job(2, 1, "hang", command=["run", path, "--log-json"]))
    assert code == 1 and 2 < seconds < 40 and not told
    code, told, _ = end(job(2, 1, "hang", command=["run", path]))
    assert code == 1 and "within 3 seconds (run.start_deadline): rank 1 did not come" in told[0]


def test_a_mistake_is_told_although_a_rank_never_comes(job, tmp_path):
    """It waits for all ranks, to be told once; one that doesn't come must not take it away."""
    code, told, _ = end(job(3, 2, "hang", *within(4), "--set", "seed=x"))
    assert code == 1 and len(told) == 2, told
    assert "rank 2 did not come" in told[0] and told[1].startswith("tpo: --set: seed: expected"), told
    code, told, _ = end(job(2, 0, "hang", *within(4), "--k", "none"))
    assert code == 1 and len(told) == 2 and "--k" in told[1], told


@pytest.mark.parametrize("limit", [0, 60])
def test_a_late_rank_is_waited_for_within_the_limit(job, tmp_path, limit):
    code, told, _ = end(job(2, 1, "late3", *within(limit)))
    assert code == 0 and not told
    assert (tmp_path / "o.h5").exists()


def test_a_rank_that_is_stopped_while_mpi_starts_is_named(job):
    """Rank 1 waits in MPI for rank 0, which is late, and is stopped there."""
    process = job(2, 0, "late4", *within(10))
    pid = find_rank(process, 1)
    wait_for(lambda: "tpo-start-" in pathlib.Path("/proc/net/unix").read_text())
    time.sleep(0.5)
    os.kill(pid, signal.SIGSTOP)
    code, told, _ = end(process)
    assert code == 1 and len(told) == 1, told
    assert told[0].endswith(f"rank 1 (process {pid}) on host {HOST} is stopped by a signal or a debugger"), told


def test_what_comes_after_the_start_is_not_limited_by_it(job, tmp_path):
    """Reading a model from a slow disk is what a rank that stands still for a while stands for."""
    process = job(2, 1, "", *within(3), "--set", "run.deadline=60", "--max-tokens", 1000, "--k", 64)
    pid = find_rank(process, 1)
    wait_for(lambda: b"libhwloc" in pathlib.Path(f"/proc/{pid}/maps").read_bytes())
    wait_for(lambda: len(os.listdir(f"/proc/{pid}/task")) > 1)
    wait_for(lambda: "tpo-start-" not in pathlib.Path("/proc/net/unix").read_text())
    time.sleep(1)
    assert process.poll() is None
    os.kill(pid, signal.SIGSTOP)
    time.sleep(8)
    assert process.poll() is None, process.stderr.read().decode()
    os.kill(pid, signal.SIGCONT)
    code, told, _ = end(process)
    assert code == 0 and not told


def wait_for(what, seconds=30):
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "nothing happened"
        time.sleep(0.02)


def children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def find_rank(process, rank):
    """The process id of that rank, once it is the program."""
    found = []

    def look():
        for launcher in children(process.pid):
            for child in children(launcher):
                try:
                    own = f"OMPI_COMM_WORLD_RANK={rank}".encode() in pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
                    if own and os.readlink(f"/proc/{child}/exe") == os.path.realpath(BUILD / "tpo"):
                        found.append(child)
                except OSError:
                    continue
        return found

    wait_for(look)
    return found[0]


@pytest.mark.parametrize("value", ["-1", "soon"])
def test_a_limit_that_is_none_is_refused(tpo, value):
    text = tpo.fails("synth", "--constraints", "--n", 1, "--out", "-", "--set", f"run.start_deadline={value}", code=2)
    assert "run.start_deadline" in text and "0 to" in text
