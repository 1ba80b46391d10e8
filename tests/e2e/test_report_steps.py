"""The steps of samples drawn between them: through judge and pairs, in inspect and on the page of a recorded run."""
import json
import re
import shutil

import pytest

import tiny

h5py = pytest.importorskip("h5py")
PROMPTS, K, BATCH = 8, 3, 2


@pytest.fixture(scope="module")
def files(tpo, tiny_model, tmp_path_factory):
    """Samples of a tiny model with the steps that a run would have given them, scored and paired."""
    tmp = tmp_path_factory.mktemp("steps")
    tiny.write_prompts(tmp / "prompts.jsonl", "train", PROMPTS)
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp / "prompts.jsonl", "--k", K, "--temperature", 1, "--top-p", 1,
           "--thought", "none", "--max-tokens", 8, "--out", tmp / "samples.h5")
    with h5py.File(tmp / "samples.h5", "a") as f:
        assert "step" not in f  # no run's: as such files always were
        f["step"] = [1 + i // (K * BATCH) for i in range(PROMPTS * K)]
    assert "'step' has type int64, expected int32" in tpo.fails("inspect", tmp / "samples.h5", code=1)
    with h5py.File(tmp / "samples.h5", "a") as f:
        steps = f["step"][:].astype("int32")
        del f["step"]
        f["step"] = steps
    tpo.ok("judge", "--samples", tmp / "samples.h5", "--judge", "rule", "--out", tmp / "scored.h5")
    tpo.ok("pairs", "--samples", tmp / "scored.h5", "--out", tmp / "pairs.h5")
    return tmp


def test_pairs_have_the_steps_of_their_samples(tpo, files):
    with h5py.File(files / "scored.h5") as scored, h5py.File(files / "pairs.h5") as pairs:
        assert scored["step"][:].tolist() == [1 + i // (K * BATCH) for i in range(PROMPTS * K)]
        assert len(pairs["step"]) > 0 and pairs["step"].dtype == "int32"
        assert pairs["step"][:].tolist() == [scored["step"][row] for row in pairs["chosen"][:]]
        last = pairs["step"][-1]
    shown = tpo.ok("inspect", files / "scored.h5", "--limit", 100)
    assert "  steps    1 to 4\n" in shown and "\nstep 4\n\nprompt " in shown
    assert f"{last:8}" in tpo.ok("inspect", files / "pairs.h5", "--limit", 100).splitlines()[-1]


def test_the_page_tells_steps(tpo, files, tmp_path):
    iteration = tmp_path / "iter-001"
    iteration.mkdir()
    for name in ("scored.h5", "pairs.h5"):
        shutil.copy(files / name, iteration / name)
    (tmp_path / "config.yaml").write_text("train: {batch: 2}\nrun: {sync_steps: 2, steps: 4}\n")
    seconds = {"sample": 2, "judge": 1, "reference": 0.5, "train": 3, "wait": 0.25}
    events = [{"event": "step", "iteration": 1, "step": 0, "loss": 0.69, "pairs": 2, "prompts": 2, "rho": 0},
              {"event": "step", "iteration": 1, "step": 1, "skipped": True, "pairs": 0, "prompts": 2, "rho": 0}]
    events += [{"event": "segment", "iteration": 1, "first_step": first, "steps": 2, "prompts": 4, "samples": 12, "pairs": 3,
                "rho": 0.05, "mean_score": 0.5, "response_tokens": 8, "thought_tokens": 0, "seconds": seconds} for first in (1, 3)]
    events += [{"event": "validate", "iteration": i, "n": 4, "mean_score": 0.5 + 0.012 * i, "difference": 0.012 * i,
                "difference_se": 0.0024 * i} for i in (0, 1)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    tpo.ok("report", tmp_path)
    page = (tmp_path / "report.html").read_text()
    for part in ("<th scope=\"col\">step 4</th>", "<h3>Steps 1 to 4</h3>", "data-step=\"4\"", ">sample</th><td></td><td>4.0 s</td>",
                 ">samples drawn</th><td></td><td>24</td>", ">gain for 1000 samples</th><td></td><td>+0.5000 ± 0.1000</td>",
                 "1 of 2 training steps was skipped", "Scores of samples by step"):
        assert part in page, part


# Two checkpoints of two steps; the watch is of the validation's instructions.
SMALL = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: none}}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 12}}
train: {{batch: 2, micro_batch_tokens: 4096}}
pairs: {{length_penalty: 0}}
run: {{dir: {data}/run, sync_steps: 1, steps: 4, checkpoint_steps: 2, kl_outputs: 4, deadline: 60,
  watch: [{{name: also, prompts: {data}/watched.jsonl, kind: rule}}]}}
"""


def test_a_run_names_what_it_tells_of_by_its_steps(tpo, tiny_model, tmp_path):
    tiny.write_prompts(tmp_path / "train.jsonl", "train", 8)
    for name in ("validation", "watched"):
        tiny.write_prompts(tmp_path / f"{name}.jsonl", "validation", 4)
    (tmp_path / "config.yaml").write_text(SMALL.format(model=tiny_model, data=tmp_path))
    result = tpo("run", tmp_path / "config.yaml")
    told, out = result.stderr.decode(), result.stdout.decode()
    assert result.returncode == 0, told
    for part in ("start model: validation score", "start model: watch also", "step 2: validation score", "step 4: validation score",
                 "step 4: watch also", "against this run's step 2", "against this run's start model", "steps 1 to 2: 16 samples of 4 prompts",
                 "steps 3 to 4: mean score", "steps 1 to 2: KL to the start model"):
        assert part in told, (part, told)
    assert "iteration" not in told + out, told + out
    assert not re.search(r"\b1 (pairs|prompts|samples|outputs|instructions)\b", told + out), told + out
    assert re.search(r"step 1 of 4: \d pairs? of 2 prompts, ", told), told
    assert "won against this run's step 2: " in out
