"""Two runs in one folder where locks don't work: told apart by the owner's file, its host, process and heartbeat."""
import json
import os
import signal
import subprocess
import time

import pytest

import tiny
from conftest import ROOT
from test_faults import CONFIG, Job

WATCH = 20  # seconds that a heartbeat is watched, as src/run/README.md has it
PROGRAM = """#!/usr/bin/env python3
import json, os, sys, time
for line in sys.stdin:
    r = json.loads(line)
    while "train" in r["instruction"] and os.path.exists(%r):
        time.sleep(0.05)
    print(json.dumps({"id": r["id"], "scores": [len(x["text"]) for x in r["responses"]]}), flush=True)
"""


@pytest.fixture(scope="module")
def no_locks(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "no_locks.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/e2e/no_locks.c"], check=True)
    return lambda host: {"LD_PRELOAD": str(library), "HOST_NAME": host}


@pytest.fixture
def held(tiny_model, tmp_path):
    """A run whose judge waits for training's prompts while the file `hold` is there: configuration, run folder, hold."""
    for name, n in (("train", 8), ("validation", 4)):
        tiny.write_prompts(tmp_path / f"{name}.jsonl", name, n)
    hold, judge = tmp_path / "hold", tmp_path / "judge.py"
    hold.touch()
    judge.write_text(PROGRAM % str(hold))
    judge.chmod(0o755)
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG.format(model=tiny_model, data=tmp_path, run_dir=tmp_path / "run", deadline=60,
                                  epochs=1) + f"judge: 'command:{judge}'\n")
    return path, tmp_path / "run", hold


def owner(run_dir):
    return json.loads((run_dir / "owner.json").read_text())


def begin(held, env, ranks=0):
    path, run_dir, _ = held
    job = Job(["run", path], ranks, env=env)
    job.wait_for(lambda: (run_dir / "iter-001" / "samples.h5").exists())
    return job


def kill(job):
    for pid in job.ranks():
        os.kill(pid, signal.SIGKILL)
    job.end(30)


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_second_run_on_the_same_host_is_refused_at_once(tpo, held, no_locks, ranks):
    path, run_dir, hold = held
    job = begin(held, no_locks("b07"), ranks)
    pid = owner(run_dir)["pid"]
    assert pid == job.ranks()[0] and owner(run_dir)["host"] == "b07"
    before = time.monotonic()
    text = tpo.fails("run", path, "--resume", env=no_locks("b07"), ranks=ranks, code=2)
    assert time.monotonic() - before < WATCH - 2
    assert f"{run_dir}: another process is running in this folder, pid {pid} on host b07, whose heartbeat is " in text
    assert owner(run_dir)["pid"] == pid
    hold.unlink()
    code, text, _ = job.end(90)
    assert code == 0, text
    assert not (run_dir / "owner.json").exists()


def test_a_second_run_on_another_host_sees_the_heartbeat_move(tpo, held, no_locks):
    path, run_dir, hold = held
    job = begin(held, no_locks("b07"))
    beat = owner(run_dir)["beat"]
    text = tpo.fails("run", path, "--resume", env=no_locks("b08"), code=2)
    assert f"pid {job.ranks()[0]} on host b07, whose heartbeat is " in text and "another process is running" in text
    assert owner(run_dir)["beat"] > beat and owner(run_dir)["host"] == "b07"
    job.process.send_signal(signal.SIGTERM)
    hold.unlink()
    assert job.end(60)[0] == 128 + signal.SIGTERM
    assert not (run_dir / "owner.json").exists()
    tpo.ok("run", path, "--resume", env=no_locks("b08"))


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_killed_run_is_taken_over(tpo, held, no_locks, ranks):
    """At once where it is known to be dead, after the watch from another host, which is long: tried on two ranks."""
    path, run_dir, hold = held
    job = begin(held, no_locks("b07"), ranks)
    pid = job.ranks()[0]
    kill(job)
    assert owner(run_dir)["pid"] == pid
    second = Job(["run", path, "--resume"], ranks, env=no_locks("b07"))
    second.wait_for(lambda: owner(run_dir)["pid"] != pid, WATCH - 5)
    pid = owner(run_dir)["pid"]
    if ranks == 0:
        hold.unlink()
        code, text, _ = second.end(90)
        assert code == 0 and json.loads((run_dir / "manifest.json").read_text())["done"], text
        return
    time.sleep(1.5)  # it is certain of the folder
    kill(second)
    hold.unlink()
    before = time.monotonic()
    result = tpo("run", path, "--resume", env=no_locks("b08"), ranks=ranks)
    text = result.stderr.decode()
    assert result.returncode == 0, text
    assert WATCH < time.monotonic() - before < WATCH + 60
    assert f"owner.json: taken over from pid {pid} on host b07, whose heartbeat doesn't move" in text
    assert not (run_dir / "owner.json").exists()
    assert json.loads((run_dir / "manifest.json").read_text())["done"]


def test_a_watch_can_be_interrupted(held, no_locks):
    path, run_dir, _ = held
    job = begin(held, no_locks("b07"))
    kill(job)
    second = Job(["run", path, "--resume"], env=no_locks("b08"))
    time.sleep(3)
    second.process.send_signal(signal.SIGTERM)
    code, text, seconds = second.end(30)
    assert code == 128 + signal.SIGTERM and seconds < 10, text
    assert "for 20 s it is watched whether its heartbeat moves" in text and owner(run_dir)["host"] == "b07"


def test_a_run_that_was_replaced_stops(tpo, held, no_locks):
    """One that was stopped for longer than the watch finds another's name in the file."""
    path, run_dir, hold = held
    job = begin(held, no_locks("b07"))
    job.process.send_signal(signal.SIGSTOP)
    second = Job(["run", path, "--resume"], env=no_locks("b08"))
    second.wait_for(lambda: owner(run_dir)["host"] == "b08", WATCH + 30)
    job.process.send_signal(signal.SIGCONT)
    time.sleep(6)
    hold.unlink()
    code, text, _ = job.end(60)
    assert code == 128 + signal.SIGTERM, text
    assert f"no longer names this process but pid {second.process.pid} on host b08" in text
    code, text, _ = second.end(90)
    assert code == 0, text


def test_what_stands_in_the_place_of_the_file_is_refused(tpo, held):
    path, run_dir, hold = held
    hold.unlink()
    run_dir.mkdir()
    (run_dir / "owner.json").symlink_to(run_dir / "elsewhere")
    assert "owner.json" in tpo.fails("run", path, code=1)
    assert not (run_dir / "elsewhere").exists()
