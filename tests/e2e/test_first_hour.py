"""tests/gpu/run --first-hour, gone through without a GPU: with the emulated build's programs (build/emulated, target
gpu_first_hour), and with stand-ins where a program must hang or fail at will."""
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from conftest import ROOT, environment

BUILD = ROOT / "build" / "emulated"
RUN = [sys.executable, str(ROOT / "tests" / "gpu" / "run"), "--first-hour", "--emulated", "--skip-build",
       "--carried", "none.tar.xz"]  # not those that may lie in .gpu
emulated = pytest.mark.skipif(not (BUILD / "bench_gpu_model").exists(),
                              reason=f"{BUILD}/bench_gpu_model is not built (target gpu_first_hour of --preset emulated)")


def order():
    text = subprocess.run([sys.executable, ROOT / "tests" / "gpu" / "run", "--list"], capture_output=True, text=True,
                          check=True).stdout
    return [(line.split()[0], int(line.split()[1])) for line in text.splitlines()]


def start(out, build, *args, env=None):
    return subprocess.Popen([*RUN, "--build", str(build), "--out", str(out), *map(str, args)], env=environment(env),
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(out, build, *args, env=None):
    """(exit status, what it printed, a dictionary of phases)"""
    process = start(out, build, *args, env=env)
    text, _ = process.communicate(timeout=150)
    return process.returncode, text, phases(out)


def phases(out):
    return {entry["phase"]: entry for entry in map(json.loads, (out / "first-hour.jsonl").read_text().splitlines())}


def only(*names):
    return [word for name in names for word in ("--phase", name)]


@pytest.fixture
def stand_ins(tmp_path):
    """A build folder whose programs are scripts: stand_ins(name, lines)."""
    folder = tmp_path / "stand-ins"
    (folder / "tests").mkdir(parents=True)

    def add(name, lines):
        (folder / name).write_text("#!/bin/sh\n" + lines)
        (folder / name).chmod(0o755)
        return folder
    add("tpo", "echo 'backends:  cpu (x), cuda (1 x stand-in)'\n")
    return add


def test_all_phases_fit_into_nine_minutes_in_the_order_of_their_worth():
    *listed, total = order()
    assert [name for name, _ in listed] == ["facts", "build", "operations", "invariance", "nccl", "kernels", "generate",
                                            "generate-no-graphs", "dpo-4096", "dpo-8192", "dpo-16384", "memcheck", "racecheck",
                                            "synccheck"]
    assert total[1] == sum(limit for _, limit in listed) <= 540


@emulated
def test_the_whole_hour_goes_through(tmp_path):
    status, text, found = run(tmp_path, BUILD)
    names = [name for name, _ in order()[:-1]]
    assert list(found) == names, text
    assert {name: found[name]["status"] for name in names} == {name: "passed" for name in names}, text
    assert status == 0
    assert all(entry["seconds"] <= entry["limit"] for entry in found.values())
    # What was asked for is what was measured.
    assert [found[name]["results"][0]["graphs"] for name in ("generate", "generate-no-graphs")] == [True, False]
    small, middle, large = (found[f"dpo-{n}"]["results"][0]["micro_batch"] for n in (4096, 8192, 16384))
    assert (middle, large) == (2 * small, 4 * small)
    assert len([line for line in found["kernels"]["results"] if "seconds" in line and "kernel" in line]) > 20
    assert "without racecheck, since the kernels ran on the host" in found["racecheck"]["note"]
    summary = (tmp_path / "first-hour.md").read_text()
    assert all(f"| {name} | passed |" in summary for name in names)
    assert "Emulated: these figures say nothing" in summary and "## Generation" in summary
    assert "test_backend_cuda_paged" in (tmp_path / "first-hour.log").read_text()
    assert not list(tmp_path.glob("*part*"))


@emulated
def test_a_phase_that_fails_is_told_and_the_rest_is_done(tmp_path):
    status, text, found = run(tmp_path, BUILD, *only("operations", "generate", "dpo-4096"),
                              env={"TPO_EMULATION_FAIL": "kernel:paged"})
    assert status == 1
    assert {name: entry["status"] for name, entry in found.items()} == {"operations": "failed", "generate": "failed",
                                                                        "dpo-4096": "passed"}, text
    failed = [r["name"] for r in found["operations"]["results"] if r["status"] == "failed"]
    assert failed == ["test_backend_cuda_paged"] and found["operations"]["note"].startswith("test_backend_cuda_paged")
    assert "## generate failed" in (tmp_path / "first-hour.md").read_text()


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_a_script_that_is_ended_leaves_what_it_wrote(tmp_path, stand_ins, kind):
    build = stand_ins("tests/test_backend_cuda_paged", f"echo so far\necho $$ >{tmp_path}/pid\nexec sleep 100\n")
    out = tmp_path / "out"
    process = start(out, build)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    process.send_signal(kind)
    process.communicate(timeout=20)
    found, summary = phases(out), (out / "first-hour.md").read_text()
    assert [found[name]["status"] for name in ("facts", "build")] == ["passed", "passed"]
    assert "| nccl | not reached |" in summary
    if kind == signal.SIGTERM:  # as Slurm does at a job's end
        assert process.returncode == 143 and found["operations"]["status"] == "stopped"
        assert "| operations | stopped |" in summary and "so far" in (out / "first-hour.log").read_text()
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)
    else:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        assert "operations" not in found
        assert any("so far" in part.read_text() for part in out.glob("first-hour-part-*.log"))


def until(holds, seconds=20):
    end = time.time() + seconds
    while not holds():
        assert time.time() < end, "it didn't come to that in time"
        time.sleep(0.05)


def test_what_hangs_is_ended_at_its_limit_and_what_does_not_fit_is_named(tmp_path, stand_ins):
    build = stand_ins("tests/test_backend_cuda_paged", "sleep 100\n")
    begin = time.time()
    status, text, found = run(tmp_path, build, "--limit", 4)
    assert time.time() - begin < 20, text
    assert status == 1 and found["operations"]["status"] == "failed"
    assert "test_backend_cuda_paged: did not end in time" in found["operations"]["note"]
    late = [name for name, entry in found.items() if entry["status"] == "no time"]
    assert late == ["invariance", "nccl", "kernels", "generate", "generate-no-graphs", "dpo-4096", "dpo-8192", "dpo-16384",
                    "memcheck", "racecheck", "synccheck"]
    assert "nothing left of 4 seconds" in found["nccl"]["note"]


def test_figures_before_a_program_is_ended_count(tmp_path, stand_ins):
    line = {"model": "generate", "layers": 2, "sequences": 4, "context": 8, "graphs": True, "step_seconds": 0.1,
            "tokens_per_second": 40, "step_bytes": 1, "step_flops": 1, "prefill_seconds": 1, "prefill_flops": 1}
    build = stand_ins("bench_gpu_model", f"echo '{json.dumps(line)}'\necho '{{\"cut'\nsleep 100\n")
    status, _, found = run(tmp_path, build, *only("generate"), "--limit", 3)
    assert status == 0 and found["generate"]["status"] == "out of time"
    assert found["generate"]["results"] == [line]
    assert "40 tokens/s" in (tmp_path / "first-hour.md").read_text()


def test_a_build_that_takes_too_long_is_ended(tmp_path):
    without = [word for word in RUN if word != "--skip-build"]
    done = subprocess.run([*without, "--build", tmp_path / "build", "--out", tmp_path, *only("build"), "--limit", "3"],
                          env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    found = phases(tmp_path)["build"]
    assert found["status"] == "failed" and "the build did not end within" in found["note"] and found["seconds"] < 15
    assert "cmake" in (tmp_path / "gpu-build.log").read_text()


@pytest.mark.parametrize("args", [["--programs"], ["--program", "90a-real"], ["90a-real"]])
def test_pack_tells_what_it_takes(args):
    done = subprocess.run([ROOT / "tests" / "gpu" / "pack", *args], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "expected no argument, or --programs ARCHITECTURE" in done.stderr


def carry(path, folder):
    with tarfile.open(path, "w:xz", preset=0) as tar:
        for name in ("tpo", "tests/test_backend_ops_flow"):
            tar.add(folder / name, name)
    return path


@emulated
def test_carried_programs_that_start_are_not_built_again(tmp_path):
    status, text, found = run(tmp_path / "out", tmp_path / "no-build", "--carried", carry(tmp_path / "programs.tar.xz", BUILD),
                              *only("build", "dpo-4096"))
    assert found["build"]["status"] == "passed" and "nothing was built" in found["build"]["note"], text
    assert status == 1 and found["dpo-4096"]["note"] == "bench_gpu_model was not built"  # it was not carried


@pytest.mark.parametrize("lines, words", [("echo error while loading shared libraries: libz.so.9 >&2; exit 127", "libz.so.9"),
                                          ("echo 'backends:  cpu (x), cuda (no driver)'", "no GPU")])
def test_carried_programs_that_do_not_start_are_told_and_others_taken(tmp_path, stand_ins, lines, words):
    build = stand_ins("tests/test_backend_ops_flow", "exit 0\n")
    good = (build / "tpo").read_text()
    stand_ins("tpo", lines + "\n")
    archive = carry(tmp_path / "programs.tar.xz", build)
    (build / "tpo").write_text(good)
    status, text, found = run(tmp_path / "out", build, "--carried", archive, *only("build"))
    assert status == 0 and found["build"]["status"] == "passed", text
    assert re.search(f"carried programs don't run here .*{words}", found["build"]["note"]) and str(build) in found["build"]["note"]


def test_a_damaged_archive_is_told(tmp_path, stand_ins):
    build = stand_ins("bench_gpu_model", "exit 0\n")
    (tmp_path / "programs.tar.xz").write_bytes(b"no archive")
    _, _, found = run(tmp_path / "out", build, "--carried", tmp_path / "programs.tar.xz", *only("build"))
    assert found["build"]["status"] == "passed" and "carried programs don't run here" in found["build"]["note"]
