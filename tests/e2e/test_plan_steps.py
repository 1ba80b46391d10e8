"""`tpo run --plan-only` of a run in steps (run.sync_steps)."""
import json
import re

import pytest

import families
import tiny
from test_plan import UNITS, calls, files, plan, sampling, validation, write_hollow

CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{train: {train}, validation: {validation}, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 1e-4, batch: 3, micro_batch_tokens: 4096, warmup: 0}}
run: {{dir: {run_dir}, sync_steps: 2, steps: 7, checkpoint_steps: 4, validation_temperature: 1, deadline: 60}}
"""


@pytest.fixture
def config(tiny_model, tmp_path):
    tiny.write_prompts(tmp_path / "train.jsonl", "train", 21)
    tiny.write_prompts(tmp_path / "validation.jsonl", "validation", 4)
    path = tmp_path / "steps.yaml"
    path.write_text(CONFIG.format(model=tiny_model, train=tmp_path / "train.jsonl", validation=tmp_path / "validation.jsonl",
                                  run_dir=tmp_path / "run"))
    return path


def with_keys(*keys):
    return [x for key in keys for x in ("--set", key)]


def test_rows_end_at_checkpoints(tpo, config):
    text = plan(tpo, config)
    assert "7 steps, with a checkpoint after each 4. Nothing was computed or written." in text
    rows = sampling(text)
    assert list(rows) == ["4", "7", "total"]
    assert [rows[row]["prompts"] for row in rows] == [12, 9, 21]
    assert [rows[row]["samples"] for row in rows] == [48, 36, 84]
    assert [rows[row]["steps"] for row in rows] == [4, 3, 7] and rows["total"]["pairs <="] == 21
    assert rows["4"]["at most"] == 48 * 26
    validations = validation(text)
    assert list(validations) == ["start", "4", "7", "total"] and validations["total"]["validations"] == 3
    assert "7 steps. Nothing" in plan(tpo, config, *with_keys("run.checkpoint_steps=0"))


def test_segments_are_told(tpo, config):
    text = " ".join(plan(tpo, config, *with_keys("judge.kind=command:cat")).split())
    assert ("Segments: 4 of 2 steps, the last one shorter. Each begins with fresh samples of the model as it is then: of 6 "
            "instructions 24 outputs, about 312 tokens (at most 624), 6 judge calls; of an instruction one pair at most.") in text
    assert "The reference is the model of the last checkpoint." in text and "by the samples of the last 256 instructions" in text
    text = plan(tpo, config, *with_keys("run.sync_steps=1", "run.reference=start", "pairs.length_penalty=0.1"))
    assert "Segments: 7 of 1 step. " in text and "The reference is the start model." in text
    assert "The length penalty is 0.1." in text
    assert "after the last step that 4 divides" in plan(tpo, config, *with_keys("run.reference=every:4"))
    assert "Segments" not in plan(tpo, config, *with_keys("run.sync_steps=0", "run.steps=0", "run.checkpoint_steps=0",
                                                          "data.prompts_per_iteration=5"))


def test_judge_calls_are_of_samples_and_checkpoints(tpo, config):
    text = plan(tpo, config, *with_keys("judge.kind=command:cat"))
    assert calls(text, "command:cat") == (21 + 3 * 4, 21, 3 * 4)
    assert sampling(text)["total"]["judge calls"] == 21 and validation(text)["total"]["judge calls"] == 12


def test_a_file_of_instructions_must_have_a_batch_for_each_step(tpo, config, tmp_path):
    text = tpo.fails("run", config, "--plan-only", *with_keys("run.steps=8"), code=2)
    assert "train.jsonl has 21 instructions; fresh ones for 8 steps of 3 need 24 (run.steps, train.batch)" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("keys, words", [
    (["run.sync_steps=8", "run.checkpoint_steps=0"], "run.sync_steps is 8, more than the 7 steps"),
    (["run.iterations=3"], "run.iterations is 3 beside run.steps"),
    (["run.reference=every:0"], "run.reference: expected previous, start (or seed) or every:N"),
    (["run.reference=every:3"], "run.reference is every:3, which run.sync_steps, 2, doesn't divide"),
])
def test_what_can_not_be_is_refused(tpo, config, keys, words):
    assert words in tpo.fails("run", config, "--plan-only", *with_keys(*keys), code=2)


def test_files_and_disk(tpo, config):
    text = plan(tpo, config)
    told = files(text)
    assert "Files of the first 4 steps" in text
    assert set(told) == {"prompts.jsonl", "samples.h5", "scored.h5", "pairs.h5", "checkpoint.h5", "validation.h5",
                         "steps.journal"}
    assert told["scored.h5"][0] < told["steps.journal"][0] < 2 * (told["scored.h5"][0] + told["pairs.h5"][0])
    assert re.search(r"^  training\.state ", text, re.M)
    assert "training.state/reference-" not in text
    text = plan(tpo, config, *with_keys("run.reference=every:4", "run.checkpoint_steps=0"))
    line = re.search(r"^  training\.state/reference-\*\.h5 +([\d.]+) (\w+) ", text, re.M)
    assert float(line.group(1)) * UNITS[line.group(2)] < told["checkpoint.h5"][0] / 2  # no optimizer
    for keys in (["run.reference=every:4"],  # a checkpoint's
                 ["run.reference=every:2", "run.checkpoint_steps=0"],  # of the segment that begins there alone
                 ["run.reference=every:6", "run.checkpoint_steps=0"]):  # so is the last one's
        assert "training.state/reference-" not in plan(tpo, config, *with_keys(*keys)), keys


def memory(text, what):
    number, unit = re.search(rf"^  {what}: ([\d.]+) (\w+)", text, re.M).groups()
    return float(number) * UNITS[unit]


def size(what, text):
    number, unit = re.search(rf"{what} ([\d.]+) (\w+)", text).groups()
    return float(number) * UNITS[unit]


def write_judge(folder, width=1024, intermediate_size=8192):
    """A reward model that takes no room; with the bytes of its weights in fp32."""
    judge = families.make_reward(folder, "qwen3")
    settings = {**json.loads((judge / "config.json").read_text()), "hidden_size": width, "intermediate_size": intermediate_size}
    (judge / "config.json").write_text(json.dumps(settings))
    return judge, 4 * write_hollow(judge / "model.safetensors",
                                   {**families.tensors(settings, head=False), "score.weight": [1, width]})


@pytest.mark.parametrize("stays", [True, False])
def test_a_judges_model_stays_where_memory_has_room(tpo, config, tmp_path, stays):
    judge, weights = write_judge(tmp_path / "judge", *[] if stays else [1 << 14, 1 << 19])  # hundreds of GB
    without, with_judge = plan(tpo, config), plan(tpo, config, *with_keys(f"judge.kind=reward:{judge}"))
    told = " ".join(with_judge.split())
    assert ("Its weights stay in memory from their first use on" in told) == stays
    assert ("Its weights are read for each segment: beside training there is no room" in told) == (not stays)
    judging, unit = re.search(r"the judge's ([\d.]+) (\w+), and what training keeps between steps", with_judge).groups()
    assert float(judging) * UNITS[unit] == pytest.approx(weights, rel=0.03)
    assert memory(with_judge, "judging") > 0.99 * weights  # three digits are told
    assert "references computed meanwhile" not in told  # such a judge is asked behind sampling
    for what, less in ("training", 0), ("sampling", size("references computed meanwhile", " ".join(without.split()))):
        assert memory(with_judge, what) == pytest.approx(memory(without, what) - less + stays * weights, rel=0.02), what


def test_between_iterations_no_judge_stays(tpo, config, tmp_path):
    judge, _ = write_judge(tmp_path / "judge")
    iterations = with_keys("run.sync_steps=0", "run.steps=0", "run.checkpoint_steps=0", "data.prompts_per_iteration=5")
    assert "It is closed while sampling and training go on." in plan(tpo, config, *iterations, *with_keys(f"judge.kind=reward:{judge}"))


def test_another_model_than_the_policy_is_told(tpo, config):
    """One that segments are compared with when the weights have gone on."""
    told = "another model that the policy is compared with"
    assert told in plan(tpo, config) and told in plan(tpo, config, *with_keys("run.reference=start"))
    assert told not in plan(tpo, config, *with_keys("run.reference=every:2", "run.kl_outputs=0"))
    # The start model that an interval's samples are compared with, at its end.
    own = "run.reference=every:2", "run.kl_outputs=4"
    once = " ".join(plan(tpo, config, *with_keys(*own, "run.checkpoint_steps=0")).split())
    assert told in once and "read once, while nothing is trained" in once
    assert "which stay in memory" in " ".join(plan(tpo, config, *with_keys(*own)).split())


def test_parts_of_the_memory_add_up_to_what_is_told(tpo, config):
    text = plan(tpo, config, *with_keys("run.reference=start"))
    flat = " ".join(text[text.index("Memory of each"):].split())
    training, sampling_text = flat[flat.index("training: "):flat.index("another model")], flat[flat.index("sampling: "):]
    other = size(r"run.kl_outputs\): weights", flat)
    parts = [size(p, training) for p in (": weights", "moments", "gradient", r"activations of \d+ tokens", "the rest")]
    assert size("training:", training) == pytest.approx(sum(parts) + other, rel=0.01)
    assert "the other model's weights" in training and size("references computed meanwhile", sampling_text) > 0
    assert all(len(line) < 120 for line in text[text.index("Memory of each"):].splitlines())


def test_the_run_takes_what_was_planned(tpo, config, tmp_path):
    h5py = pytest.importorskip("h5py")
    text = plan(tpo, config, "--expect-tokens", 24)
    tpo.ok("run", config, ranks=2)
    run_dir = tmp_path / "run"
    events = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert sum(e["event"] == "step" for e in events) == sampling(text)["total"]["steps"]
    assert sum(e["event"] == "segment" for e in events) == 4
    assert sum(e["event"] == "validate" for e in events) == validation(text)["total"]["validations"]
    told = files(text)
    for i, row in (1, sampling(text)["4"]), (2, sampling(text)["7"]):
        with h5py.File(run_dir / f"iter-00{i}" / "scored.h5") as f:
            assert len(f["k"]) == row["samples"] and len(set(f["prompt_id"][:])) == row["prompts"]
            assert len(f["token_ids"]) - f["inserted"][:].sum() <= row["at most"]
        with h5py.File(run_dir / f"iter-00{i}" / "pairs.h5") as f:
            assert len(f["prompt_id"]) <= row["pairs <="]
    assert not (run_dir / "training.state").exists() and not list(run_dir.rglob("*.journal"))
    for name in "prompts.jsonl", "samples.h5", "scored.h5", "checkpoint.h5", "validation.h5":
        real = (run_dir / "iter-001" / name).stat().st_size
        assert told[name][0] == pytest.approx(real, rel=0.01 if name == "checkpoint.h5" else 0.5), name
    number, unit = re.search(r"Disk: about ([\d.]+) (\w+) when done", text).groups()
    assert float(number) * UNITS[unit] == pytest.approx(sum(p.stat().st_size for p in run_dir.rglob("*.h5")), rel=0.1)
