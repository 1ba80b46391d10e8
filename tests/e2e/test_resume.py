"""Sampling that was stopped goes on with what is kept, on any number of ranks, to the same bytes."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

import pytest

import tiny
from conftest import command, environment

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
SAMPLES = 96


def arguments(model, prompts, out):
    return ["generate", "--model", model, "--prompts", prompts, "--out", out, "--k", 4, "--temperature", 1, "--top-p", 1,
            "--max-tokens", 90]


@pytest.fixture(scope="module")
def whole(tpo, tiny_model, tmp_path_factory):
    """Prompts, and what an uninterrupted command makes of them."""
    folder = tmp_path_factory.mktemp("whole")
    prompts = folder / "p.jsonl"
    tiny.write_prompts(prompts, "p", SAMPLES // 4)
    tpo.ok(*arguments(tiny_model, prompts, folder / "o.h5"), env=EPOCH)
    return prompts, (folder / "o.h5").read_bytes()


def size_of(journal):
    try:
        return sum(p.stat().st_size for p in journal.iterdir())
    except OSError:
        return 0


def start(args, ranks, limit=None):
    return subprocess.Popen(command(args, ranks)[4:], env=environment(EPOCH), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit)


def ranks_of(process):
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children] if process.args[0] == "mpirun" else [process.pid]


def stop_at(process, journal, size, number):
    """Signals the whole job once its journal holds so many bytes; standard error."""
    end = time.monotonic() + 60
    while size_of(journal) < size and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    assert process.poll() is None, "ended before it could be stopped\n" + process.stderr.read().decode()
    for pid in ranks_of(process) if number == signal.SIGKILL else [process.pid]:
        os.kill(pid, number)
    return process.communicate(timeout=30)[1].decode()


def interrupted(model, prompts, out, size, number=signal.SIGKILL, ranks=2, more=()):
    """A command that was stopped in the middle; its journal. A few slots, so that samples end one after the other."""
    journal = pathlib.Path(f"{out}.journal")
    text = stop_at(start([*arguments(model, prompts, out), "--slots", 4, *more], ranks), journal, size, number)
    assert not out.exists() and size_of(journal) >= size
    return journal, text


def kept(text):
    """How many samples the program says that it took from the journal."""
    lines = [line for line in text.splitlines() if "samples are kept there" in line]
    assert len(lines) == 1, text
    return int(lines[0].split(": ")[1].split()[0])


def goes_on(tpo, args, ranks):
    result = tpo(*args, "--resume", ranks=ranks, env=EPOCH)
    text = result.stderr.decode()
    assert result.returncode == 0, text
    return text


def test_killed_on_two_ranks_only_the_rest_is_drawn(tpo, tiny_model, whole, tmp_path):
    prompts, expected = whole
    out = tmp_path / "o.h5"
    args = arguments(tiny_model, prompts, out)
    journal, _ = interrupted(tiny_model, prompts, out, 20_000)
    # Again, at another place, on as many ranks as before: what both left counts.
    first = len(list(journal.iterdir()))
    interrupted(tiny_model, prompts, out, size_of(journal) + 20_000, more=["--resume"])
    assert len(list(journal.iterdir())) > first
    refused = tpo.fails(*args, code=2)
    assert str(journal) in refused and "--resume" in refused and not out.exists()
    text = goes_on(tpo, args, 3)
    there = kept(text)
    assert 0 < there < SAMPLES and f"{SAMPLES} samples of {SAMPLES // 4} prompts ({there} of them kept" in text
    assert out.read_bytes() == expected and not journal.exists()


def test_a_signal_tells_what_is_kept(tpo, tiny_model, whole, tmp_path):
    prompts, expected = whole
    out = tmp_path / "o.h5"
    journal, text = interrupted(tiny_model, prompts, out, 20_000, signal.SIGTERM, 0)
    told = [line for line in text.splitlines() if line.startswith("tpo: ")]
    assert len(told) == 1 and "stopped by SIGTERM" in told[0] and f"of {SAMPLES} samples are kept in {journal}: " in told[0], text
    assert "--resume" in told[0]
    text = goes_on(tpo, arguments(tiny_model, prompts, out), 2)
    assert f"; {kept(text)} of {SAMPLES} samples are kept" in told[0]
    assert out.read_bytes() == expected


def test_a_command_that_is_given_again_begins_or_ends(tpo, tiny_model, whole, tmp_path):
    """As a requeued job does it: with --resume from the first time on."""
    prompts, expected = whole
    out = tmp_path / "o.h5"
    text = goes_on(tpo, arguments(tiny_model, prompts, out), 0)
    assert "nothing is kept there" in text and out.read_bytes() == expected
    assert "--resume goes with a file" in tpo.fails(*arguments(tiny_model, prompts, "-"), "--jsonl", "--resume", code=2)


@pytest.fixture(scope="module")
def stopped(tiny_model, whole, tmp_path_factory):
    """An interrupted command's output, which is not there, and the journal's files."""
    out = tmp_path_factory.mktemp("stopped") / "o.h5"
    journal, _ = interrupted(tiny_model, whole[0], out, 40_000)
    return out, {p.name: p.read_bytes() for p in journal.iterdir()}


def put_back(stopped, tmp_path):
    out, files = tmp_path / "o.h5", stopped[1]
    journal = tmp_path / "o.h5.journal"
    journal.mkdir()
    for name, content in files.items():
        (journal / name).write_bytes(content)
    return out, journal


@pytest.mark.parametrize("setting, line", [("seed=1", "`seed: 0` there, `seed: 1` now"),
                                           ("sampling.temperature=0.5", "sampling.temperature: 0.5` now"),
                                           ("thought.prompt=Say {instruction}", "`thought.prompt: "),
                                           ("sampling.stop=[x]", "`sampling.stop: []` there")])
def test_other_work_is_refused_by_what_differs(tpo, tiny_model, whole, stopped, tmp_path, setting, line):
    out, journal = put_back(stopped, tmp_path)
    text = tpo.fails(*arguments(tiny_model, whole[0], out), "--resume", "--set", setting, code=2)
    assert line in text and str(journal) in text and not out.exists()
    assert {p.name: p.read_bytes() for p in journal.iterdir()} == stopped[1]


def test_another_model_or_another_prompt_is_refused(tpo, tiny_model, whole, stopped, tmp_path):
    out, _ = put_back(stopped, tmp_path)
    other = tiny.make(tmp_path / "model", seed=2)
    assert "`model: " in tpo.fails(*arguments(other, whole[0], out), "--resume", code=2, ranks=2)
    lines = whole[0].read_text().replace("p number 7.", "p number seven.")
    (tmp_path / "p.jsonl").write_text(lines)
    assert "`prompts: " in tpo.fails(*arguments(tiny_model, tmp_path / "p.jsonl", out), "--resume", code=2)


def test_what_bears_on_no_sample_may_change(tpo, tiny_model, whole, stopped, tmp_path):
    """More samples of each prompt than before, fewer slots."""
    h5py = pytest.importorskip("h5py")
    out, _ = put_back(stopped, tmp_path)
    args = arguments(tiny_model, whole[0], out)
    tpo.ok(*args, "--resume", "--k", 5, "--slots", 3, ranks=2)
    tpo.ok(*arguments(tiny_model, whole[0], tmp_path / "all.h5"), "--k", 5)
    with h5py.File(out) as a, h5py.File(tmp_path / "all.h5") as b:
        assert a.attrs["content_hash"] == b.attrs["content_hash"]


def test_damage_costs_what_it_struck(tpo, tiny_model, whole, stopped, tmp_path):
    prompts, expected = whole
    out, journal = put_back(stopped, tmp_path)
    largest = max(journal.iterdir(), key=lambda p: p.stat().st_size)
    bytes_ = bytearray(largest.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    largest.write_bytes(bytes_[:-5])
    text = goes_on(tpo, arguments(tiny_model, prompts, out), 2)
    assert "1 entries are damaged" in text and 0 < kept(text) < SAMPLES
    assert out.read_bytes() == expected


def test_a_disk_that_fills_up_keeps_what_was_there(tpo, tiny_model, whole, tmp_path):
    prompts, expected = whole
    out, journal = tmp_path / "o.h5", tmp_path / "o.h5.journal"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    process = start(arguments(tiny_model, prompts, out), 0, limit)
    text = process.communicate(timeout=60)[1].decode()
    told = [line for line in text.splitlines() if line.startswith("tpo: ")]
    assert process.returncode == 1 and len(told) == 1 and "can't be written: File too large" in told[0], text
    assert f"of {SAMPLES} samples are kept in {journal}" in told[0] and not out.exists()
    assert kept(goes_on(tpo, arguments(tiny_model, prompts, out), 0)) > 0 and out.read_bytes() == expected


def test_json_lines_go_on_too_and_a_journal_is_no_result(tpo, tiny_model, whole, tmp_path):
    prompts, _ = whole
    out, all_ = tmp_path / "o.jsonl", tmp_path / "all.jsonl"
    journal, _ = interrupted(tiny_model, prompts, out, 20_000, more=["--jsonl"])
    for path in (journal, next(journal.iterdir())):
        assert f"{path}: a journal of unfinished work" in tpo.fails("inspect", path, code=2)
    judge = ["judge", "--samples", journal, "--judge", "rule", "--out", tmp_path / "x.h5"]
    assert f"{journal}: a journal of unfinished work" in tpo.fails(*judge, code=2)
    goes_on(tpo, [*arguments(tiny_model, prompts, out), "--jsonl"], 2)
    tpo.ok(*arguments(tiny_model, prompts, all_), "--jsonl")
    assert out.read_bytes() == all_.read_bytes()


CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_marker: "", response_marker: "a", prefill: "", on_budget: stop}}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, prompts_per_iteration: 12, validation_prompts: 6}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 90, slots: 4}}
train: {{learning_rate: 1e-4, batch: 4, epochs: 2, micro_batch_tokens: 4096, warmup: 0}}
pairs: {{length_penalty: 0}}
run: {{dir: {run_dir}, iterations: 1, validation_k: 1, validation_temperature: 0, validation_resample: 2, deadline: 60}}
"""


@pytest.fixture(scope="module")
def run(tpo, tiny_model, tmp_path_factory):
    """A run whose validation draws again what doesn't parse: most of it, where random bytes must hold an `a`."""
    folder = tmp_path_factory.mktemp("run")
    tiny.write_prompts(folder / "train.jsonl", "train", 12)
    tiny.write_prompts(folder / "validation.jsonl", "validation", 6)
    config = folder / "run.yaml"
    config.write_text(CONFIG.format(model=tiny_model, data=folder, run_dir=folder / "run"))
    tpo.ok("run", config, ranks=2, env=EPOCH)
    return config, folder / "run"


def told(run_dir):
    """metrics.jsonl but for what a clock measured."""
    events = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in e.items() if k not in ("time", "seconds")} for e in events]


def stop_run(config, run_dir, journal, size, number, more=()):
    process = start(["run", config, "--run-dir", run_dir, "--set", "sampling.slots=2", *more], 2)
    return stop_at(process, run_dir / journal, size, number)


@pytest.mark.parametrize("journal, size, number", [("iter-001/validation.h5.journal", 15_000, signal.SIGKILL),
                                                   ("iter-001/samples.h5.journal", 30_000, signal.SIGUSR1)])
def test_a_run_goes_on_inside_a_step(tpo, run, tmp_path, journal, size, number):
    config, run_dir = run
    other = tmp_path / "run"
    text = stop_run(config, other, journal, size, number)
    assert number == signal.SIGKILL or f"samples are kept in {other / journal}" in text
    result = tpo("run", config, "--run-dir", other, "--resume", ranks=2, env=EPOCH)
    text = result.stderr.decode()
    assert result.returncode == 0 and "samples are kept there" in text, text
    assert told(other) == told(run_dir)
    assert not list(other.rglob("*.journal")) and not list(run_dir.rglob("*.journal"))
