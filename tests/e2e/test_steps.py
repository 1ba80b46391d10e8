"""A run in steps (run.sync_steps): files, events, taking it up where it was killed, and what is refused."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import families
import tiny
from conftest import command, environment

h5py = pytest.importorskip("h5py")
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
# Each output is scored by letters that random bytes hold or not, and has its layout where there is an `a`.
CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_marker: "", response_marker: "a", prefill: "", on_budget: stop}}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 24, slots: 2}}
train: {{learning_rate: 1e-3, batch: 3, micro_batch_tokens: 4096, warmup: 0}}
pairs: {{length_penalty: 0}}
run: {{dir: {run_dir}, sync_steps: 2, steps: 10, checkpoint_steps: 4, rho_window: 9, validation_resample: 1, kl_outputs: 4,
  deadline: 60}}
"""
STEPS, BATCH, K = 10, 3, 4


@pytest.fixture(scope="module")
def make(tiny_model, tmp_path_factory):
    """Writes a configuration whose run folder is `name`, with other settings."""
    folder = tmp_path_factory.mktemp("steps")
    tiny.write_prompts(folder / "train.jsonl", "train", STEPS * BATCH)
    tiny.write_prompts(folder / "validation.jsonl", "validation", 4)

    def write(name, replace=()):
        text = CONFIG.format(model=tiny_model, data=folder, run_dir=folder / name)
        for old, new in replace:
            assert old in text
            text = text.replace(old, new)
        path = folder / f"{name}.yaml"
        path.write_text(text)
        return path, folder / name

    return write


# rho moves, and the reference of steps 7 and 8 is a file beside the state, which the interval before wrote.
MOVING = [("length_penalty: 0", "length_penalty: auto"), ("run: {", "run: {reference: every:4, "),
          ("checkpoint_steps: 4", "checkpoint_steps: 6")]


@pytest.fixture(scope="module")
def whole(tpo, make):
    """A run that nothing stopped, over two ranks."""
    config, run_dir = make("whole", MOVING)
    (run_dir.parent / "closing.txt").write_text(tpo.ok("run", config, ranks=2, env=EPOCH))
    return run_dir


def events(run_dir, *names):
    found = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [e for e in found if not names or e["event"] in names]


def told(run_dir):
    """metrics.jsonl but for what a clock measured."""
    return [{k: v for k, v in e.items() if k not in ("time", "seconds")} for e in events(run_dir)]


def content(path):
    """What a file holds, but for the configuration, which has the run's folder."""
    if path.suffix != ".h5":
        return path.read_bytes()
    with h5py.File(path) as f:
        return f.attrs["content_hash"]


def results(run_dir):
    return {str(p.relative_to(run_dir)): content(p) for pattern in ("iter-*/*", "prompts/*") for p in run_dir.glob(pattern)
            if p.is_file()}


def test_a_run_leaves_what_iterations_leave(whole):
    manifest = json.loads((whole / "manifest.json").read_text())
    done = [(s["iteration"], s["step"]) for s in manifest["steps"]]
    assert manifest["done"] and done == [(0, "validate")] + [(i, s) for i in (1, 2) for s in ("steps", "validate")]
    for i in (1, 2):
        names = {p.name for p in (whole / f"iter-00{i}").iterdir()}
        assert names == {"prompts.jsonl", "samples.h5", "scored.h5", "pairs.h5", "checkpoint.h5", "validation.h5"}
    assert not list(whole.rglob("*.journal")) and not (whole / "training.state").exists()
    ids = [json.loads(line)["id"] for i in (1, 2) for line in (whole / f"iter-00{i}/prompts.jsonl").read_text().splitlines()]
    assert len(ids) == len(set(ids)) == STEPS * BATCH


def test_files_tell_the_step(whole):
    for i, first, n in ((1, 1, 6), (2, 7, 4)):
        with h5py.File(whole / f"iter-00{i}/scored.h5") as s, h5py.File(whole / f"iter-00{i}/pairs.h5") as p:
            steps = list(s["step"])
            assert steps == [first + row // (BATCH * K) for row in range(n * BATCH * K)]
            for pair, step, chosen in zip(p["prompt_id"], p["step"], p["chosen"]):
                assert s["prompt_id"][chosen] == pair and steps[chosen] == step


def test_events_tell_each_step_and_segment(whole):
    steps, segments = events(whole, "step"), events(whole, "segment")
    assert [e["step"] for e in steps] == list(range(STEPS)) and all(e["prompts"] == BATCH for e in steps)
    assert [e["first_step"] for e in segments] == [1, 3, 5, 7, 9] and all(e["samples"] == 2 * BATCH * K for e in segments)
    assert all(set(e["seconds"]) == {"sample", "judge", "reference", "train", "wait"} for e in segments)
    for segment, of in zip(segments, zip(steps[::2], steps[1::2])):
        assert segment["pairs"] == sum(e["pairs"] for e in of) and {e["rho"] for e in of} == {segment["rho"]}
    rhos = [e["rho"] for e in segments]
    assert rhos[0] == 0 and all(abs(b - a) < 0.051 for a, b in zip(rhos, rhos[1:]))
    assert sum(e["drawn_tokens"] for e in segments) == sum(e["tokens"] for e in events(whole, "sample"))
    # The learning rate falls through the whole run, and a reference that is the policy leaves no margin.
    rates = [e["lr"] for e in steps]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == STEPS
    assert all((e["margin"] == 0) == (e["step"] % 4 == 0) for e in steps if not e.get("skipped"))
    assert [e["event"] for e in events(whole, "sample", "judge", "pairs", "left_out")] == ["sample", "judge", "pairs", "left_out"] * 2


def test_text_and_page_tell_what_it_took(whole):
    text, page = (whole.parent / "closing.txt").read_text(), (whole / "report.html").read_text()
    gain = events(whole, "validate")[-1]["difference"]
    skipped = sum(e.get("skipped", False) for e in events(whole, "step"))
    assert f"Training steps {STEPS}" in text and ("skipped" in text) == (skipped > 0)
    assert f"  samples drawn            {STEPS * BATCH * K}, of {STEPS * BATCH} prompts\n" in text
    assert f"  gain for 1000 of them    {1000 * gain / (STEPS * BATCH * K):+.3f}" in text
    spent = re.search(r"  seconds +sample ([\d.]+) .*, judge ([\d.]+) .*, reference ([\d.]+) .*, train ([\d.]+) .*; waiting", text)
    for name, value in zip(("sample", "judge", "reference", "train"), spent.groups()):
        assert abs(float(value) - sum(e["seconds"][name] for e in events(whole, "segment"))) <= 0.06, name
    for part in ("<th scope=\"col\">step 6</th><th scope=\"col\">step 10</th>", "<h3>Steps 7 to 10</h3>",
                 f">samples drawn</th><td></td><td>72</td><td>{STEPS * BATCH * K}</td>", "Scores of samples by step"):
        assert part in page, part


def start(config, run_dir, ranks=2, more=()):
    args = command(["run", config, "--run-dir", run_dir, *more], ranks)[4:]
    return subprocess.Popen(args, env=environment(EPOCH), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def stop_when(process, reached, number):
    """Signals the whole job at a place of its work."""
    end = time.monotonic() + 60
    while not reached() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    assert process.poll() is None, "ended before it could be stopped\n" + process.stderr.read().decode()
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in map(int, children) if number == signal.SIGKILL and process.args[0] == "mpirun" else [process.pid]:
        os.kill(pid, number)
    return process.communicate(timeout=30)[1].decode()


def has_steps(run_dir, n):
    try:
        return (run_dir / "metrics.jsonl").read_text().count('"event":"step"') >= n
    except OSError:
        return False


def is_drawing(run_dir, interval, size=1500):
    """Whether some of a segment's samples are kept."""
    try:
        journal = run_dir / f"iter-{interval:03}/samples.h5.journal"
        return sum(p.stat().st_size for p in journal.iterdir()) > size
    except OSError:
        return False


PLACES = {
    "sampling": (lambda r: has_steps(r, 2) and is_drawing(r, 1), signal.SIGKILL),
    "training": (lambda r: has_steps(r, 3), signal.SIGUSR1),
    "files": (lambda r: (r / "iter-001/samples.h5").exists(), signal.SIGKILL),
    "validation": (lambda r: (r / "iter-001/validation.h5.journal").exists(), signal.SIGKILL),
    "reference": (lambda r: is_drawing(r, 2), signal.SIGKILL),
    "again": (lambda r: has_steps(r, 9), signal.SIGKILL),
}


def test_killed_anywhere_it_goes_on_to_the_same_bytes(tpo, make, whole):
    """One run that is stopped at one place after the other, and goes on each time."""
    config, run_dir = make("killed", MOVING)
    state, report = run_dir / "training.state", run_dir / "report.html"
    for place, (reached, number) in PLACES.items():
        more = ["--resume"] if run_dir.exists() else []
        stop_when(start(config, run_dir, more=more), lambda: reached(run_dir), number)
        if place == "training":  # its words may be lost, where mpirun ends one rank for another
            assert list(state.glob("state-*"))
        if place == "reference":
            assert (state / "reference-4.h5").exists() and report.exists()
            report.unlink()
        if place == "again":  # the first interval's was written before
            assert not report.exists()
    tpo.ok("run", config, "--resume", ranks=2, env=EPOCH)
    assert told(run_dir) == told(whole)
    assert results(run_dir) == results(whole)
    assert not list(run_dir.rglob("*.journal")) and not state.exists() and report.exists()


def test_weights_that_no_segment_reads_are_not_kept(tpo, make):
    config, run_dir = make("unread", [("run: {", "run: {reference: every:2, "), ("checkpoint_steps: 4", "checkpoint_steps: 0")])
    stop_when(start(config, run_dir, ranks=0), lambda: has_steps(run_dir, 5), signal.SIGUSR1)
    assert list(run_dir.glob("training.state/state-*")) and not list(run_dir.glob("training.state/reference-*"))


def test_one_segment_is_an_iteration(tpo, make):
    """The samples and pairs of a run whose only segment is all of it are those of an iteration on the same prompts."""
    one, in_steps = make("one", [("sync_steps: 2, steps: 10, checkpoint_steps: 4", "sync_steps: 10, steps: 10")])
    iteration, in_one = make("iteration", [("sync_steps: 2, steps: 10, checkpoint_steps: 4, rho_window: 9", "iterations: 1"),
                                           ("validation_prompts: 4", f"validation_prompts: 4, prompts_per_iteration: {STEPS * BATCH}")])
    for config in (one, iteration):
        tpo.ok("run", config, env=EPOCH)
    assert (in_steps / "iter-001/prompts.jsonl").read_bytes() == (in_one / "iter-001/prompts.jsonl").read_bytes()
    for name in ("samples.h5", "scored.h5", "pairs.h5"):
        with h5py.File(in_steps / "iter-001" / name) as a, h5py.File(in_one / "iter-001" / name) as b:
            assert set(a) - set(b) == {"step"} and len(b["prompt_id"]) > 0
            for column in b:  # as text, in which no score equals no score
                assert repr(list(a[column])) == repr(list(b[column])), (name, column)


def test_other_steps_are_refused_on_resume(tpo, make, whole):
    config, _ = make("other", MOVING)
    before = [(whole / name).read_bytes() for name in ("config.yaml", "manifest.json")]
    for more, says in ((["run.sync_steps=1"], "run.sync_steps was 2 and is 1"), (["run.steps=12"], "run.steps was 10 and is 12"),
                       (["train.batch=2"], "train.batch was 3 and is 2"), (["train.beta=0.2"], "train.beta was 0.1 and is 0.2"),
                       (["run.reference=every:2"], "run.reference was every:4 and is every:2"), (["seed=6"], "seed was 5 and is 6")):
        for allow in ([], ["--allow-changes"]):
            sets = [x for m in more for x in ("--set", m)]
            text = tpo.fails("run", config, "--run-dir", whole, "--resume", *sets, *allow, code=1)
            assert says in text and "--allow-changes" not in text, text
            assert [(whole / name).read_bytes() for name in ("config.yaml", "manifest.json")] == before
    text = tpo.fails("run", config, "--run-dir", whole, "--resume", "--set", "sampling.temperature=0.5", code=1)
    assert "sampling.temperature was 1" in text and "is 0.5" in text and "--allow-changes" in text


def test_with_allowed_changes_finished_segments_stay(tpo, make):
    """What was drawn of the segment under way is dropped, and drawn as it is now asked for."""
    config, run_dir = make("changed")
    stop_when(start(config, run_dir, ranks=0), lambda: has_steps(run_dir, 2) and is_drawing(run_dir, 1), signal.SIGKILL)
    result = tpo("run", config, "--resume", "--set", "sampling.max_tokens=12", "--allow-changes", env=EPOCH)
    text = result.stderr.decode()
    assert result.returncode == 0 and "samples.h5.journal: holds work of another kind" in text and "it is begun anew" in text, text
    with h5py.File(run_dir / "iter-001/samples.h5") as f:
        ends = list(f["token_offset"])
        lengths = [(step, end - begin) for step, begin, end in zip(f["step"], ends, ends[1:])]
    assert max(n for step, n in lengths if step <= 2) == 24 and max(n for step, n in lengths if step > 2) == 12


# A judge to which all responses are alike.
EVEN = """import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"id": asked["id"], "scores": [0.5] * len(asked["responses"])}), flush=True)
"""


def test_steps_without_pairs_are_counted_and_end_the_run(tpo, make, tmp_path):
    script = tmp_path / "even.py"
    script.write_text(EVEN)
    config, run_dir = make("even", [("sync_steps: 2, steps: 10, checkpoint_steps: 4", "sync_steps: 5, steps: 30, checkpoint_steps: 10"),
                                    ("train: {", f"judge: {{kind: 'command:python3 {script}'}}\ntrain: {{"),
                                    ("batch: 3", "batch: 1"), ("pairs: {", "pairs: {reject_failures: false, ")])
    # What is kept leads to the same end, with the same counts.
    said = [tpo.fails("run", config, *more, code=1).splitlines()[-1] for more in ([], ["--resume"])]
    counts = re.search(r"steps 1 to 20 had no preference pair to train on, and 20 such steps in a row end a run: of their 20 prompts (\d+) had "
                       r"equal scores only, (\d+) too few usable samples, .*, 0 were not judged in full; .* tells responses apart", said[0])
    assert said[0] == said[1] and counts and int(counts[1]) > 0 and int(counts[1]) + int(counts[2]) == 20, said
    steps = events(run_dir, "step")
    assert len(steps) == 20 and all(e["skipped"] and e["pairs"] == 0 and "loss" not in e for e in steps)
    assert len(events(run_dir, "segment")) == 4


def test_pairs_that_are_too_long_are_told_as_that(tpo, make):
    config, _ = make("long", [("checkpoint_steps: 4", "checkpoint_steps: 0")])
    text = tpo.fails("run", config, "--set", "train.max_pair_tokens=16", code=1)
    found = re.search(r"steps 1 to 10 had no preference pair to train on, and the run has no others: of their 30 prompts .*, (\d+) had a "
                      r"pair that can't be trained on, (\d+) of these longer than train.max_pair_tokens, 16 tokens; a larger", text)
    assert found and found[1] == found[2] and int(found[1]) > 15, text


def test_no_score_at_all_is_told_as_that(tpo, make):
    config, _ = make("none", [('response_marker: "a"', 'response_marker: "zqxj"')])
    text = tpo.fails("run", config, code=1)
    assert "the run has no others: of their 30 prompts 0 had equal scores only, 30 too few usable samples" in text, text
    assert "0 pairs of 6 prompts, no score, format kept in 0 %" in text and "mean score nan" not in text, text


def test_goes_on_with_more_ranks(tpo, make):
    """To the same first samples; the rest may differ where a draw tips."""
    config, run_dir = make("ranks")
    stop_when(start(config, run_dir), lambda: has_steps(run_dir, 5), signal.SIGUSR1)
    tpo.ok("run", config, "--resume", env=EPOCH)
    assert len(events(run_dir, "step")) == STEPS and json.loads((run_dir / "manifest.json").read_text())["done"]


@pytest.mark.parametrize("sets, says", [
    (["run.sync_steps=11", "run.checkpoint_steps=0"], "run.sync_steps is 11, more than the 10 steps of the run (run.steps)"),
    (["run.iterations=2"], "run.iterations is 2 beside run.steps"),
    (["run.reference=every:0"], "run.reference"),
    (["sampling.k=1", "pairs.length_penalty=auto"], "sampling.k is 1: a pair needs at least 2 samples"),
    (["train.batch=4"], "has 30 instructions; fresh ones for 10 steps of 4 need 40 (run.steps, train.batch)"),
])
def test_what_cannot_be_is_refused_first(tpo, make, sets, says):
    config, run_dir = make("refused")
    text = tpo.fails("run", config, *[x for s in sets for x in ("--set", s)], code=2)
    assert says in text, text
    assert not run_dir.exists()


def test_what_is_done_while_others_are_sampled_changes_nothing(tpo, make, whole):
    """References of judged prompts' pairs are computed where slots stand empty: with many slots, at other times."""
    config, run_dir = make("early", MOVING)
    result = tpo("run", config, "-v", "--set", "sampling.slots=64", ranks=2, env=EPOCH)
    text = result.stderr.decode()
    assert result.returncode == 0, text
    early = [line for line in text.splitlines() if "were computed while others were sampled" in line]
    assert len(early) == 5 and any(" references of 0 of " not in line for line in early), text
    assert told(run_dir) == told(whole) and results(run_dir) == results(whole)


def judgements(path):
    """Of a scored file: each sample with its score, and what the judge counted."""
    with h5py.File(path) as f:
        scores = [score if scored else None for score, scored in zip(f["score"][:], f["scored"][:])]
        return list(zip(f["prompt_id"][:], f["k"][:], scores, f["score_detail"][:])), json.loads(f.attrs["judge_counts"])


JUDGES = {
    "reward": (lambda folder: families.make_reward(folder, "llama"), []),
    "pairwise": (lambda folder: tiny.end_often(tiny.make(folder, context=2048, seed=9)),
                 ["judge.max_tokens=64", "judge.temperature=1", "judge.pattern=(?i)([abc])", "judge.comparisons=3"]),
}


@pytest.mark.parametrize("kind", JUDGES)
def test_a_judges_model_is_read_once_and_judges_as_a_fresh_one(tpo, make, tmp_path, kind):
    """In three segments and at two validations, over two ranks, of which the first tells."""
    write, settings = JUDGES[kind]
    model = write(tmp_path / "judge")
    judge = [x for s in [f"judge.kind={kind}:{model}", *settings] for x in ("--set", s)]
    config, run_dir = make(f"judge-{kind}", [("steps: 10, checkpoint_steps: 4", "steps: 6, checkpoint_steps: 6")])
    result = tpo("run", config, "-v", *judge, ranks=2)
    text = result.stderr.decode()
    assert result.returncode == 0, text
    assert re.findall(r"weights of (\S+) read", text).count(str(model)) == 1, text
    assert len(events(run_dir, "segment")) == 3 and "the judge's model stays open" in text
    tpo.ok("judge", "--config", config, *judge, "--samples", run_dir / "iter-001/scored.h5", "--out", tmp_path / "again.h5")
    scored, again = judgements(run_dir / "iter-001/scored.h5"), judgements(tmp_path / "again.h5")
    assert scored == again and len({row[2] for row in again[0]}) > 2
