"""A run reads weights from files where they aren't in memory already, and goes on with those that training left there."""
import json
import re
import sys

import pytest

import tiny

CONFIG = """
model: {{path: {model}}}
thought: {{name: generic, thought_tokens: 6, response_tokens: 8, on_budget: force}}
data: {{train: {folder}/train.jsonl, validation: {folder}/validation.jsonl, prompts_per_iteration: 4, validation_prompts: 2}}
sampling: {{k: 2, temperature: 1, top_p: 1, max_tokens: 24, slots: 4}}
judge: {{kind: "{judge}"}}
train: {{learning_rate: 1e-4, batch: 2, micro_batch_tokens: 1024, epochs: 1}}
run: {{dir: {folder}/run, iterations: 2, kl_outputs: 0, deadline: 60}}
"""
# Passes of training that no machine could keep all states of, if it ever had so many pairs.
NO_ROOM = ["train.micro_batch_tokens=100000000", "train.batch=100000"]
# Scores validation lower each time, so that the first of an iteration's epochs is its best.
WORSE = """
import json, pathlib, sys
for line in sys.stdin:
    item = json.loads(line)
    scores = [len(r["text"]) + 0.01 * r["k"] for r in item["responses"]]
    if item["id"].startswith("validation"):
        seen = pathlib.Path(sys.argv[1]) / f"seen-{item['id']}"
        seen.write_text(seen.read_text() + "." if seen.exists() else ".")
        scores = [-float(len(seen.read_text()))] * len(scores)
    print(json.dumps({"id": item["id"], "scores": scores}), flush=True)
"""


@pytest.fixture
def config(tiny_model, tmp_path):
    tiny.write_prompts(tmp_path / "train.jsonl", "train", 12)
    tiny.write_prompts(tmp_path / "validation.jsonl", "validation", 2)
    (tmp_path / "worse.py").write_text(WORSE)
    judge = f"command:{sys.executable} {tmp_path}/worse.py {tmp_path}"
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG.format(model=tiny_model, folder=tmp_path, judge=judge))
    return path


def reads(tpo, config, *args, ranks=0):
    """The files that rank 0, which alone tells, read weights from, in order; a run's own without its folder."""
    done = tpo("run", config, "--verbose", *args, ranks=ranks)
    text = done.stderr.decode()
    assert done.returncode == 0, text
    return [path.split("/run/")[-1] for path in re.findall(r"weights of (\S+) read", text)]


def sets(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


@pytest.mark.parametrize("ranks", [0, 2])
def test_weights_are_read_once(tpo, config, tiny_model, ranks):
    assert reads(tpo, config, ranks=ranks) == [str(tiny_model)]


@pytest.mark.parametrize("more", ["run.reference=start", "run.kl_outputs=4"])
def test_those_of_another_model_are_read_once_besides(tpo, config, tiny_model, more):
    assert reads(tpo, config, *sets(more, "run.iterations=3")) == [str(tiny_model)] * 2


def test_without_room_they_are_read_for_each_use(tpo, config, tiny_model):
    assert reads(tpo, config, *sets("run.kl_outputs=4", "run.iterations=3", *NO_ROOM)) == [str(tiny_model)] * 3


STEPS = ["run.sync_steps=1", "run.steps=4", "run.iterations=1", "data.prompts_per_iteration=8"]


@pytest.mark.parametrize("reference, more", [("previous", 0), ("start", 0), ("every:2", 1)])
def test_a_run_in_steps_reads_a_reference_where_it_is_not_the_policy(tpo, config, tiny_model, reference, more):
    """The first segment's is the policy; that of every second step, too, of which the file is read for the step behind it."""
    found = reads(tpo, config, *sets(*STEPS, f"run.reference={reference}"), ranks=2)
    assert found == [str(tiny_model)] * 2 + ["training.state/reference-2.h5"] * more


def test_those_of_an_earlier_epoch_come_from_its_checkpoint(tpo, config, tiny_model, tmp_path):
    found = reads(tpo, config, *sets("train.epochs=2"))
    events = map(json.loads, (tmp_path / "run/metrics.jsonl").read_text().splitlines())
    assert [e["epoch"] for e in events if e["event"] == "selected"] == [1, 1]
    assert found == [str(tiny_model), "iter-001/checkpoint.h5", "iter-002/checkpoint.h5"]


def test_a_run_that_goes_on_reads_its_checkpoint(tpo, config, tiny_model):
    reads(tpo, config, *sets("run.iterations=1"))
    assert reads(tpo, config, "--resume") == [str(tiny_model), "iter-001/checkpoint.h5"]


def test_the_plan_says_which_weights_stay(tpo, config):
    def told(*settings):
        text = tpo.ok("run", config, "--plan-only", *sets(*settings))
        found = re.search(r"another model that .*weights (.*?)\n.*?\n", text[text.index("\nMemory"):])
        return found and " ".join(found.group(0).split())

    assert told("run.iterations=3") is None
    assert "read once, while nothing is trained" in told("run.reference=start")
    assert "which stay in memory" in told("run.reference=start", "run.iterations=3")
    assert "which stay in memory" in told("run.kl_outputs=4", "run.iterations=3")
    assert "read for each use" in told("run.kl_outputs=4", "run.iterations=3", *NO_ROOM)
