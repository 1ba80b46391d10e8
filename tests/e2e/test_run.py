"""The whole loop on two ranks, and taking it up again after it was killed."""
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

import tiny
from conftest import command, environment

CONFIG = """
seed: 5
model: {{path: {model}, dtype: {dtype}}}
thought:
  name: generic
  thought_tokens: 10
  response_tokens: 16
  on_budget: force
data: {{train: {train}, validation: {validation}, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 1e-4, batch: 4, epochs: {epochs}, micro_batch_tokens: 4096, warmup: 0}}
run: {{dir: {run_dir}, iterations: 2, validation_temperature: 1, deadline: 60}}
"""
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def write_config(tmp_path, model, name="run", dtype="fp32", epochs=2):
    path, data = tmp_path / f"{name}.yaml", model.parent / "data"
    data.mkdir(exist_ok=True)
    train, validation = data / "train.jsonl", data / "validation.jsonl"
    tiny.write_prompts(train, "train", 16)
    tiny.write_prompts(validation, "validation", 4)
    path.write_text(CONFIG.format(model=model, run_dir=tmp_path / name, dtype=dtype, epochs=epochs, train=train,
                                  validation=validation))
    return path, tmp_path / name


def digests(run_dir):
    return {str(p.relative_to(run_dir)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(run_dir.rglob("*.h5"))}


@pytest.fixture(scope="module")
def finished(tpo, tiny_model, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("finished")
    config, run_dir = write_config(tmp_path, tiny_model)
    out = tpo.ok("run", config, ranks=2, env=EPOCH)
    return config, run_dir, out


def test_it_ends_with_what_a_person_wants_to_see(finished):
    _, run_dir, out = finished
    for words in ["mean judge score", "constraints that hold", "repeated text", "format kept", "thought, tokens", "response, tokens", "paired difference",
                  "standard error", str(run_dir / "report.html"), "iter-002/checkpoint.h5", "tpo chat"]:
        assert words in out
    held = re.search(r"constraints that hold +([\d.]+) % +([\d.]+) %\n +their difference +([+-][\d.]+) ± [\d.]+ points\n", out)
    before, after, difference = map(float, held.groups())
    assert difference == pytest.approx(after - before, abs=0.16)  # each is rounded to a tenth


@pytest.mark.parametrize("validation_prompts", [0, 4])
def test_a_run_without_any_difference_or_validation_says_so(tpo, tiny_model, tmp_path, validation_prompts):
    """A learning rate too small to change a greedy answer; with no validation prompts there is nothing to compare."""
    config, run_dir = write_config(tmp_path, tiny_model, epochs=1)
    out = tpo.ok("run", config, "--set", "run.iterations=1", "--set", "train.learning_rate=1e-12", "--set",
                 "run.validation_temperature=0", "--set", "run.validate_each_epoch=false", "--set",
                 f"data.validation_prompts={validation_prompts}")
    assert "better" not in out and "worse" not in out
    assert ("That is no difference." in out) == ("paired difference" in out) == (validation_prompts > 0)
    assert (run_dir / "report.html").exists() and str(run_dir / "iter-001" / "checkpoint.h5") in out


def test_the_run_folder_is_complete(finished):
    _, run_dir, _ = finished
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["done"] is True and manifest["ranks"] == 2
    steps = [(s["iteration"], s["step"]) for s in manifest["steps"]]
    one = ["prompts", "sample", "judge", "pairs", "dpo", "validate"]
    assert steps == [(0, "validate")] + [(i, s) for i in (1, 2) for s in one]
    for step in manifest["steps"]:
        for file in step["files"]:
            assert (run_dir / file["path"]).stat().st_size == file["size"]
    events = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert {e["event"] for e in events} == {"sample", "judge", "pairs", "left_out", "logprob_gap", "kl", "step", "epoch", "selected",
                                            "validate", "win_rate", "groups", "thoughts"}
    assert not list(run_dir.rglob("*.tmp.*")) and not list(run_dir.rglob("*.journal"))


def test_pairs_of_identical_outputs_are_left_out(tpo, tiny_model, tmp_path):
    config, run_dir = write_config(tmp_path, tiny_model, epochs=1)
    judge = tmp_path / "judge"
    judge.write_text("#!/usr/bin/env python3\nimport json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print("
                     "json.dumps({'id': r['id'], 'scores': [x['k'] for x in r['responses']]}), flush=True)\n")
    judge.chmod(0o755)
    layout = tmp_path / "layout.yaml"  # what the most likely tokens alone say may be nothing but space
    layout.write_text('prompt: "{instruction}"\nprefill: "Yes"\n')
    text = tpo.fails("run", config, "--set", "run.iterations=1", "--set", f"judge=command:{judge}", "--set", "sampling.top_p=1e-9",
                     "--set", "data.validation_prompts=0", "--set", "run.validate_each_epoch=false",
                     "--set", f"thought={layout}", ranks=2, code=1)
    assert "iteration 1: samples 3 and 0: pair \"train-" in text and "chosen and rejected are identical" in text
    assert "none of 8 pairs can be trained on: 0 too long, 0 without a response, 8 with chosen and rejected identical" in text
    assert not (run_dir / "iter-001" / "pairs.h5").exists()


def test_loss_starts_at_ln_2_and_leaves_it(finished):
    _, run_dir, _ = finished
    events = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    for iteration in (1, 2):
        losses = [e["loss"] for e in events if e["event"] == "step" and e["iteration"] == iteration]
        assert losses[0] == pytest.approx(0.6931472, abs=1e-6)
        assert abs(losses[-1] - 0.6931472) > 1e-3


def test_iterations_take_fresh_instructions(finished):
    _, run_dir, _ = finished
    seen = [json.loads(line)["instruction"] for name in ("iter-001/prompts.jsonl", "iter-002/prompts.jsonl",
                                                         "prompts/validation.jsonl")
            for line in (run_dir / name).read_text().splitlines()]
    assert len(seen) == 20 and len(set(seen)) == 20


def test_the_same_run_gives_the_same_bytes(tpo, finished, tiny_model, tmp_path):
    _, run_dir, _ = finished
    config, other = write_config(tmp_path, tiny_model)
    tpo.ok("run", config, "--run-dir", other, ranks=2, env=EPOCH)
    a, b = digests(run_dir), digests(other)
    # The run folder's own path stands in the stored configuration; contents are compared through content_hash there.
    h5py = pytest.importorskip("h5py")
    assert a.keys() == b.keys()
    for name in a:
        with h5py.File(run_dir / name) as x, h5py.File(other / name) as y:
            assert x.attrs["content_hash"] == y.attrs["content_hash"], name


def test_steps_alone_give_what_the_run_gives(tpo, finished, tiny_model, tmp_path):
    """tpo run is only the composition of the commands."""
    h5py = pytest.importorskip("h5py")
    config, run_dir, _ = finished
    common = ["--config", config]
    one = run_dir / "iter-001"
    tpo.ok("generate", *common, "--prompts", one / "prompts.jsonl", "--iteration", 1, "--out", tmp_path / "samples.h5",
           ranks=2)
    tpo.ok("judge", *common, "--samples", tmp_path / "samples.h5", "--out", tmp_path / "scored.h5", ranks=2)
    tpo.ok("pairs", *common, "--samples", tmp_path / "scored.h5", "--out", tmp_path / "pairs.h5")
    for name in ("samples.h5", "scored.h5"):
        with h5py.File(one / name) as x, h5py.File(tmp_path / name) as y:
            assert x.attrs["content_hash"] == y.attrs["content_hash"], name
    with h5py.File(one / "pairs.h5") as x, h5py.File(tmp_path / "pairs.h5") as y:
        assert x["chosen"][:].tolist() == y["chosen"][:].tolist()
        assert x["rejected"][:].tolist() == y["rejected"][:].tolist()


@pytest.mark.parametrize("attempt", range(3))
def test_killed_and_resumed_it_ends_with_the_same_bytes(tpo, finished, tiny_model, tmp_path, attempt):
    config, run_dir, _ = finished
    expected = digests(run_dir)
    other = tmp_path / "run"
    began = time.monotonic()
    # The uninterrupted run's own duration, from its manifest, is what the moment of death is drawn from.
    whole = sum(s["seconds"] for s in json.loads((run_dir / "manifest.json").read_text())["steps"])
    process = subprocess.Popen(command(["run", config, "--run-dir", other], ranks=2), env=environment(EPOCH),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(random.Random(attempt).uniform(0.3, 0.6 + whole))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(["pkill", "-KILL", "-f", str(other)], check=False)
    assert time.monotonic() - began < 120
    more = ["--resume"] if (other / "manifest.json").exists() else []
    tpo.ok("run", config, "--run-dir", other, *more, ranks=2, env=EPOCH)
    got = digests(other)
    h5py = pytest.importorskip("h5py")
    assert got.keys() == expected.keys()
    for name in expected:
        with h5py.File(run_dir / name) as x, h5py.File(other / name) as y:
            assert x.attrs["content_hash"] == y.attrs["content_hash"], name
    events = [[(e["event"], e["iteration"], e.get("loss"), e.get("score")) for e in map(json.loads, (d / "metrics.jsonl").read_text().splitlines())]
              for d in (run_dir, other)]
    assert events[0] == events[1]


def told(run_dir):
    """metrics.jsonl but for what a clock measured."""
    events = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in e.items() if k not in ("time", "seconds")} for e in events]


@pytest.mark.parametrize("step", ["prompts", "sample", "judge", "pairs", "dpo"])
def test_taken_up_after_any_step_it_ends_with_the_same_bytes(tpo, finished, tmp_path, step):
    """What the steps before handed on in memory is then read from their files."""
    h5py = pytest.importorskip("h5py")
    config, run_dir, out = finished
    other = shutil.copytree(run_dir, tmp_path / "run")
    manifest = json.loads((other / "manifest.json").read_text())
    names = [(s["iteration"], s["step"]) for s in manifest["steps"]]
    later = manifest["steps"][names.index((2, step)) + 1:]
    for file in (f for s in later for f in s["files"]):
        (other / file["path"]).unlink()
    (other / "manifest.json").write_text(json.dumps(dict(manifest, done=False, steps=manifest["steps"][:-len(later)])))
    assert tpo.ok("run", config, "--run-dir", other, "--resume", ranks=2, env=EPOCH).replace(str(other), str(run_dir)) == out
    assert digests(other).keys() == digests(run_dir).keys() and told(other) == told(run_dir)
    for name in digests(run_dir):
        with h5py.File(run_dir / name) as x, h5py.File(other / name) as y:
            assert x.attrs["content_hash"] == y.attrs["content_hash"], name


def test_resume_of_a_finished_run_says_the_same(tpo, finished):
    config, _, out = finished
    assert tpo.ok("run", config, "--resume", ranks=2, env=EPOCH) == out


def test_resume_removes_what_a_killed_run_left_and_nothing_else(tpo, finished, tmp_path):
    """Not before it is sure of the folder, and not through a link."""
    config, run_dir, _ = finished
    left = [run_dir / "report.html.tmp.0123456789abcdef", run_dir / "iter-001" / "samples.h5.tmp.fedcba9876543210"]
    own = [run_dir / name for name in ("notes.tmp.7", "notes.tmp.0123456789abcdeX", ".tmp.0123456789abcdef", "notes.tmp.")]
    elsewhere = tmp_path / "samples.h5.tmp.0123456789abcdef"
    links = [run_dir / "iter-009", run_dir / "notes.tmp.00000000deadbeef"]
    for path in [*left, *own, elsewhere]:
        path.write_text("x")
    links[0].symlink_to(tmp_path)
    links[1].symlink_to(elsewhere)
    tpo.fails("run", config, ranks=2, code=2)
    tpo.fails("run", config, "--resume", "--set", "train.beta=0.5", code=1)
    tpo.fails("run", config, "--resume", "--allow-changes", "--set", "data.validation_prompts=5", code=2)
    assert all(path.exists() for path in left), "a folder was tidied by a run that was refused"
    tpo.ok("run", config, "--resume", ranks=2, env=EPOCH)
    there = [path.exists() for path in [*left, *own, elsewhere, *links]]
    for path in own + links:
        path.unlink(missing_ok=True)
    assert there == [False] * len(left) + [True] * (len(own) + 3)


def test_a_run_is_not_overwritten(tpo, finished):
    config, run_dir, _ = finished
    assert "--resume" in tpo.fails("run", config, ranks=2, code=2)
    assert (run_dir / "manifest.json").exists()


def test_resume_refuses_another_configuration(tpo, finished):
    config, _, _ = finished
    text = tpo.fails("run", config, "--resume", "--set", "train.beta=0.5", code=1)
    assert "--allow-changes" in text


@pytest.fixture(scope="module")
def one_iteration(tpo, tiny_model, tmp_path_factory):
    """The same configuration as `finished`, told to end after the first iteration."""
    config, run_dir = write_config(tmp_path_factory.mktemp("one"), tiny_model)
    tpo.ok("run", config, "--set", "run.iterations=1", ranks=2, env=EPOCH)
    assert json.loads((run_dir / "manifest.json").read_text())["done"] is True
    return run_dir


def bytes_of(run_dir):
    """What a run never touches again once it stands there; metrics.jsonl only grows."""
    return {p.relative_to(run_dir): p.read_bytes() for p in sorted(run_dir.rglob("*"))
            if p.is_file() and p.parent.name in ("iter-000", "iter-001", "prompts")}


def test_a_finished_run_goes_on_to_more_iterations(tpo, finished, one_iteration, tmp_path):
    """As if it had been told so from the start."""
    h5py = pytest.importorskip("h5py")
    config, run_dir, _ = finished
    other = shutil.copytree(one_iteration, tmp_path / "run")
    before, told = bytes_of(other), (other / "metrics.jsonl").read_bytes()
    out = tpo.ok("run", config, "--run-dir", other, "--resume", ranks=2, env=EPOCH)
    assert (other / "config.yaml").read_text().replace(str(other), str(run_dir)) == (run_dir / "config.yaml").read_text()
    assert len(before) == 8 and bytes_of(other) == before, "the first iteration's files stay as they are"
    assert (other / "metrics.jsonl").read_bytes().startswith(told)
    assert digests(other).keys() == digests(run_dir).keys()
    for name in digests(other):
        with h5py.File(run_dir / name) as x, h5py.File(other / name) as y:
            assert x.attrs["content_hash"] == y.attrs["content_hash"], name
    assert (other / "iter-002/prompts.jsonl").read_bytes() == (run_dir / "iter-002/prompts.jsonl").read_bytes()
    steps = [[(s["iteration"], s["step"]) for s in json.loads((d / "manifest.json").read_text())["steps"]]
             for d in (run_dir, other)]
    assert steps[0] == steps[1] and "iter-002/checkpoint.h5" in out


def test_a_run_that_goes_on_is_not_finished_until_it_is(tpo, finished, one_iteration, tmp_path):
    config, _, _ = finished
    other = shutil.copytree(one_iteration, tmp_path / "run")
    go_on = ["run", config, "--run-dir", other, "--resume", "--allow-changes"]
    assert "judge program" in tpo.fails(*go_on, "--set", "judge.kind=command:false", ranks=2, code=1)
    manifest = json.loads((other / "manifest.json").read_text())
    assert (manifest["steps"][-1]["iteration"], manifest["steps"][-1]["step"]) == (2, "sample")
    assert manifest["done"] is False
    assert "command:false" in (other / "config.yaml").read_text(), "what it goes on with"
    assert "--allow-changes" in tpo.fails(*go_on[:-1], ranks=2, code=1)
    tpo.ok(*go_on, ranks=2)
    assert json.loads((other / "manifest.json").read_text())["done"] is True


@pytest.mark.parametrize("before, step", [('{"seconds":400,"step":100,"state":50,"checkpoint":50}', 100),
                                          ('{"seconds":400,"step":1e300,"state":50,"checkpoint":50}', 0), ("[", 0)])
def test_what_a_stop_takes_is_measured_over_all_of_a_run(tpo, finished, one_iteration, tmp_path, before, step):
    """The longest step of all, and the last state and checkpoint. What isn't such a file counts for nothing."""
    assert set(json.loads((finished[1] / "notice.json").read_text())) == {"seconds", "step", "state", "checkpoint"}
    other = shutil.copytree(one_iteration, tmp_path / "run")
    (other / "notice.json").write_text(before)
    tpo.ok("run", finished[0], "--run-dir", other, "--resume", "--set", "train.epochs=1", "--allow-changes", ranks=2, env=EPOCH)
    notice = json.loads((other / "notice.json").read_text())
    assert step <= notice["step"] < step + 30 and 0 < notice["state"] < 30 and 0 < notice["checkpoint"] < 30
    assert 2 * step < notice["seconds"] < 2 * step + 180


def test_a_run_pairs_and_takes_the_reference_as_configured(tpo, finished, tiny_model, tmp_path):
    """Mode `all` has every two outputs of a prompt whose scores differ, in place of the best and the worst; the reference
    `seed` is the start model in the second iteration too, where `previous` is the first one's result."""
    h5py = pytest.importorskip("h5py")
    config, run_dir = write_config(tmp_path, tiny_model, epochs=1)
    tpo.ok("run", config, "--set", "pairs.mode=all", "--set", "run.reference=seed")
    references = []
    for folder, all_pairs, batches in ((run_dir, True, 1), (finished[1], False, 2)):
        start = json.loads((folder / "manifest.json").read_text())["model_hash"]
        steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for iteration in (1, 2):
            with h5py.File(folder / f"iter-{iteration:03d}/scored.h5") as f:
                prompts, scores = f["prompt_id"][:].tolist(), f["score"][:].tolist()
            with h5py.File(folder / f"iter-{iteration:03d}/pairs.h5") as f:
                found = list(zip(f["chosen"][:].tolist(), f["rejected"][:].tolist()))
                references.append(f.attrs["ref_model"] == start)
            possible = {(i, j) for i in range(len(scores)) for j in range(len(scores))
                        if prompts[i] == prompts[j] and scores[i] > scores[j]}
            assert len(set(found)) == len(found) and set(found) <= possible
            assert (set(found) == possible) == all_pairs and len(possible) > 8
            assert all_pairs or len({prompts[i] for i, _ in found}) == len(found)
            count = sum(e["event"] == "step" and e["iteration"] == iteration for e in steps)
            assert count == batches * -(-len(found) // 4)
    assert references == [True, True, True, False]


def test_resume_refuses_a_changed_file(tpo, finished, tiny_model, tmp_path):
    config, run_dir = write_config(tmp_path, tiny_model, epochs=1)
    tpo.ok("run", config, ranks=2)
    samples = run_dir / "iter-001" / "samples.h5"
    data = bytearray(samples.read_bytes())
    data[len(data) // 2] ^= 1
    samples.write_bytes(bytes(data))
    assert "samples.h5" in tpo.fails("run", config, "--resume", ranks=2, code=1)


def test_bf16_and_one_rank(tpo, tiny_model, tmp_path):
    config, run_dir = write_config(tmp_path, tiny_model, dtype="bf16", epochs=1)
    assert "mean judge score" in tpo.ok("run", config)
    assert json.loads((run_dir / "manifest.json").read_text())["ranks"] == 1


def test_bf16_iterations_do_not_lose_small_updates(tpo, tiny_model, tmp_path):
    """The second iteration goes on from the first one's fp32 weights, not from what bf16 left of them."""
    h5py = pytest.importorskip("h5py")
    numpy = pytest.importorskip("numpy")
    config, run_dir = write_config(tmp_path, tiny_model, dtype="bf16", epochs=1)
    tpo.ok("run", config, "--set", "train.learning_rate=1e-6", "--set", "train.save_optimizer=false")
    name = "optimizer/master/model.layers.0.mlp.up_proj.weight"
    with h5py.File(run_dir / "iter-001/checkpoint.h5") as one, h5py.File(run_dir / "iter-002/checkpoint.h5") as two:
        change = numpy.abs(two[name][:] - one[name][:])
        assert 0 < change.max() < 5e-5  # rounding to bf16 would show as 1e-4 and more
        assert "optimizer/m" not in one
