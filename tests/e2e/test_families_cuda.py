"""Families of models on the CUDA backend through the command line: what the CPU computes, and an iteration on two ranks."""
import json

import pytest

import families
import test_families
import tiny
from test_cuda import logprobs, ok, pytestmark  # noqa: F401

TEXT = test_families.lines([[3 + (i * 7 + j * 11) % 250 for j in range(n)] for i, n in enumerate((2, 40, 90))])


@pytest.mark.parametrize("family", [f for f in families.CONFIGS if f != "llama"])
def test_logprobs_are_the_cpus(tpo, tmp_path, family):
    model = families.make(tmp_path / "model", family)
    expected = logprobs(tpo.ok("logprobs", "--model", model, "--dtype", "fp32", stdin=TEXT))
    for dtype, tolerance in (("fp32", 5e-5), ("bf16", 0.25)):
        got = logprobs(ok("logprobs", "--model", model, "--dtype", dtype, "--backend", "cuda", stdin=TEXT))
        assert len(got) == len(expected) and max(abs(a - b) for a, b in zip(got, expected)) < tolerance


@pytest.mark.parametrize("family", ["gemma3_text"])
def test_an_iteration_draws_and_trains_as_on_the_cpu(tpo, tmp_path, family):
    h5py = pytest.importorskip("h5py")
    families.make(tmp_path / "model", family)
    (tmp_path / "thought.yaml").write_text(tiny.layout_with("x"))
    tiny.write_prompts(tmp_path / "prompts.jsonl", "p", 4)
    tiny.write_prompts(tmp_path / "validation.jsonl", "v", 2)
    (tmp_path / "run.yaml").write_text(test_families.CONFIG.format(model=tmp_path / "model", folder=tmp_path))
    few = ["--set", "sampling.k=2", "--set", "data.validation_prompts=1", "--set", "train.batch=3"]
    tpo.ok("run", tmp_path / "run.yaml", *few, ranks=2)
    ok("run", tmp_path / "run.yaml", *few, "--run-dir", tmp_path / "cuda", "--backend", "cuda", ranks=2)
    with h5py.File(tmp_path / "run/iter-001/samples.h5") as x, h5py.File(tmp_path / "cuda/iter-001/samples.h5") as y:
        assert x["token_ids"][:].tolist() == y["token_ids"][:].tolist()
    losses = [[e["loss"] for e in map(json.loads, (tmp_path / d / "metrics.jsonl").read_text().splitlines()) if e.get("event") == "step"]
              for d in ("run", "cuda")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and losses[0]
