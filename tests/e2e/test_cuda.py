"""The CUDA backend through the command line, on a GPU emulated by the host (build/emulated), or on a real one where
TPO_CUDA_BUILD names a build for it. Two ranks share the one GPU."""
import json
import os
import pathlib
import random
import subprocess
import time

import pytest

import conftest
import test_run
import tiny

BUILD = pathlib.Path(os.environ.get("TPO_CUDA_BUILD", conftest.ROOT / "build" / "emulated"))
EMULATED = BUILD.name.startswith("emulated")
pytestmark = pytest.mark.skipif(not (BUILD / "tpo").exists(), reason=f"{BUILD}/tpo is not built (cmake --preset emulated)")
emulated_only = pytest.mark.skipif(not EMULATED, reason="plants a fault in the emulated GPU")
SHARE = {"TPO_CUDA_SHARE_GPU": "1"}
# Emulated kernels take their time: half of test_run's prompts and steps of half the pairs, so as many of them.
SMALL = ["--set", "data.prompts_per_iteration=4", "--set", "data.validation_prompts=2", "--set", "train.batch=2", "--set",
         "thought.thought_tokens=6", "--set", "thought.response_tokens=10"]


def run(*args, ranks=0, stdin="", env=None, timeout=300):
    launch = ["timeout", "-k", "2", str(timeout)] + (["mpirun", "-n", str(ranks)] if ranks else [])
    return subprocess.run(launch + [str(BUILD / "tpo")] + [str(a) for a in args], input=stdin.encode(),
                          capture_output=True, env=conftest.environment({**SHARE, **(env or {})}), check=False)


def ok(*args, **kwargs):
    result = run(*args, **kwargs)
    assert result.returncode == 0, f"{args}: exit {result.returncode}\n{result.stderr.decode(errors='replace')}"
    return result.stdout.decode()


def refused(*args, words=(), code=None, **kwargs):
    """Fails with one message that holds the words."""
    result = run(*args, **kwargs)
    text = result.stderr.decode(errors="replace")
    assert 0 < result.returncode < 124, f"exit {result.returncode}\n{text}"
    assert code is None or result.returncode == code, text
    lines = [line for line in text.splitlines() if line.startswith("tpo:")]
    assert len(lines) == 1, text
    for word in words:
        assert word in lines[0], lines[0]
    return lines[0]


def sequences():
    rng = random.Random(3)
    return "".join(json.dumps({"ids": [rng.randrange(3, 250) for _ in range(n)]}) + "\n" for n in (2, 40, 133))


def logprobs(text):
    return [x for line in text.splitlines() for x in json.loads(line)["logprobs"]]


@pytest.mark.parametrize("dtype, tolerance", [("fp32", 5e-5), ("bf16", 0.05)])
def test_logprobs_are_the_cpus(tpo, tiny_model, dtype, tolerance):
    expected = logprobs(tpo.ok("logprobs", "--model", tiny_model, "--dtype", "fp32", stdin=sequences()))
    got = logprobs(ok("logprobs", "--model", tiny_model, "--dtype", dtype, "--backend", "cuda", stdin=sequences()))
    assert len(got) == len(expected) and max(abs(a - b) for a, b in zip(got, expected)) < tolerance


@pytest.fixture(scope="module")
def both_runs(tpo, tiny_model, tmp_path_factory):
    """The same run on two ranks, on the CPU and on the GPU."""
    folder = tmp_path_factory.mktemp("cuda")
    config, cpu = test_run.write_config(folder, tiny_model, name="cpu")
    tpo.ok("run", config, *SMALL, ranks=2)
    ok("run", config, *SMALL, "--run-dir", folder / "cuda", "--backend", "cuda", ranks=2)
    return cpu, folder / "cuda"


def test_a_run_draws_the_cpus_samples(both_runs):
    h5py = pytest.importorskip("h5py")
    for name in ("iter-001/samples.h5", "iter-001/pairs.h5", "iter-002/samples.h5"):
        with h5py.File(both_runs[0] / name) as x, h5py.File(both_runs[1] / name) as y:
            tokens = [name for name in x if name.endswith("ids")]
            assert tokens, list(x)
            for dataset in tokens:
                assert (x[dataset][()] == y[dataset][()]).all(), f"{name}: {dataset}"


def test_a_run_trains_as_the_cpu_does(both_runs):
    steps = [[e for e in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if e["event"] == "step"]
             for folder in both_runs]
    assert len(steps[0]) == len(steps[1]) > 4
    for a, b in zip(*steps):
        for key in ("loss", "margin", "chosen_logprob", "rejected_logprob", "grad_norm"):
            assert b[key] == pytest.approx(a[key], rel=2e-3, abs=2e-4), (key, a["step"])
    assert steps[1][0]["loss"] == pytest.approx(0.6931472, abs=1e-6) and abs(steps[1][-1]["loss"] - 0.6931472) > 1e-3


def test_bf16_training_starts_at_ln_2_and_samples_do_not_depend_on_ranks_or_slots(tiny_model, tmp_path):
    config, run_dir = test_run.write_config(tmp_path, tiny_model, dtype="bf16", epochs=1)
    ok("run", config, *SMALL, "--backend", "cuda", "--set", "run.iterations=1")
    ok("run", config, *SMALL, "--backend", "cuda", "--set", "run.iterations=1", "--set", "sampling.slots=3", "--run-dir",
       tmp_path / "other", ranks=2)
    h5py = pytest.importorskip("h5py")
    with h5py.File(run_dir / "iter-001/samples.h5") as x, h5py.File(tmp_path / "other/iter-001/samples.h5") as y:
        assert (x["token_ids"][()] == y["token_ids"][()]).all() and (x["logprob"][()] == y["logprob"][()]).all()
    losses = [json.loads(line)["loss"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()
              if '"step"' in line and '"loss"' in line]
    assert losses[0] == pytest.approx(0.6931472, abs=1e-6)


def test_version_and_log_name_the_gpu(tiny_model):
    assert "cuda (1 x " in ok("--version")
    result = run("logprobs", "--model", tiny_model, "--backend", "cuda", "--verbose", stdin='{"ids":[1,2]}\n')
    assert b"cuda: GPU 0" in result.stderr


@emulated_only
@pytest.mark.parametrize("env, words", [
    ({"TPO_EMULATION_DEVICES": "0"}, ["no GPU is visible"]),
    ({"TPO_EMULATION_DRIVER": "11040"}, ["CUDA 11.4", "update the driver"]),
    ({"TPO_EMULATION_MEMORY": "33600000"}, ["GPU 0", "free"]),
    ({"TPO_EMULATION_MEMORY": "1000000"}, ["GPU 0", "free"]),
])
def test_a_gpu_that_cannot_be_used_is_one_message(tiny_model, env, words):
    refused("logprobs", "--model", tiny_model, "--backend", "cuda", stdin=sequences(), env=env, words=words)


@emulated_only
def test_more_ranks_than_gpus_are_refused_with_advice(tiny_model, tmp_path):
    refused("generate", "--model", tiny_model, "--prompts", tmp_path / "none.jsonl", "--out", tmp_path / "o.h5",
            "--backend", "cuda", ranks=2, env={"TPO_CUDA_SHARE_GPU": "0"},
            words=["2 ranks on this host, but 1 GPU", "TPO_CUDA_SHARE_GPU"])


@emulated_only
@pytest.mark.parametrize("kernel, goes_on", [("norm:3", False), ("paged_plain:40", True), ("sample_rows:3", False),
                                             ("plain_forward:2", False), ("adamw:2", True)])
def test_a_kernel_that_fails_ends_all_ranks_with_one_message_and_loses_nothing(tpo, tiny_model, tmp_path, kernel, goes_on):
    """Inside sampling and inside training what was done is gone on from."""
    config, run_dir = test_run.write_config(tmp_path, tiny_model, epochs=1)
    arguments = ("run", config, *SMALL, "--backend", "cuda", "--set", "run.iterations=1")
    begin = time.monotonic()
    line = refused(*arguments, ranks=2, env={"TPO_EMULATION_FAIL": f"kernel:{kernel}"}, words=["GPU 0", "rank "])
    assert time.monotonic() - begin < 60 and "fail" in line
    for path in run_dir.rglob("*.h5"):
        tpo.ok("inspect", path)
    if not goes_on:
        return
    ok(*arguments, "--resume", ranks=2)
    assert json.loads((run_dir / "manifest.json").read_text())["done"] is True


@emulated_only
def test_an_nccl_peer_that_fails_ends_all_ranks_with_one_message(tiny_model, tmp_path):
    config, run_dir = test_run.write_config(tmp_path, tiny_model, epochs=1)
    arguments = ("run", config, *SMALL, "--backend", "cuda", "--set", "run.iterations=1")
    refused(*arguments, ranks=2, env={"TPO_EMULATION_FAIL": "nccl:3", "TPO_EMULATION_DEVICES": "2"}, words=["NCCL"])
    assert json.loads((run_dir / "manifest.json").read_text())["steps"][-1]["step"] == "pairs"
    ok(*arguments, "--resume", ranks=2)
    assert json.loads((run_dir / "manifest.json").read_text())["done"] is True


@emulated_only
def test_training_that_cannot_fit_is_refused_before_the_model_is_loaded(tiny_model, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt_ids":[1,2],"chosen_ids":[3,4],"rejected_ids":[5]}\n')
    refused("dpo", "--model", tiny_model, "--pairs", pairs, "--out", tmp_path / "c.h5", "--backend", "cuda",
            env={"TPO_EMULATION_MEMORY": "500000000"}, words=["training needs", " MB are there", "micro_batch_tokens"])
    assert not (tmp_path / "c.h5").exists()


@emulated_only
@pytest.mark.parametrize("devices", [1, 2])
def test_ranks_that_share_a_gpu_train_as_those_with_their_own(tiny_model, tmp_path, devices):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt_ids":[1,2],"chosen_ids":[3,4],"rejected_ids":[5]}\n' * 2)
    env = {"TPO_EMULATION_DEVICES": str(devices)}
    result = run("dpo", "--model", tiny_model, "--pairs", pairs, "--out", tmp_path / "c.h5", "--backend", "cuda", "--batch", 1,
                 "--verbose", ranks=2, env=env)
    assert result.returncode == 0 and (b"share a GPU" in result.stderr) == (devices == 1), result.stderr


def trained(folder, model, name, env=None, ranks=0):
    """Losses and gradient norms of a bf16 training."""
    pairs, metrics = folder / "pairs.jsonl", folder / f"{name}.jsonl"
    rng = random.Random(5)
    pairs.write_text("".join(json.dumps({f"{part}_ids": [rng.randrange(3, 250) for _ in range(40)]
                                         for part in ("prompt", "chosen", "rejected")}) + "\n" for _ in range(4)))
    ok("dpo", "--model", model, "--pairs", pairs, "--out", folder / f"{name}.h5", "--metrics", metrics, "--batch", 2, "--dtype", "bf16",
       "--lr", "1e-3", "--backend", "cuda", ranks=ranks, env=env)
    steps = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert len(steps) >= 2
    return [(step["loss"], step["grad_norm"]) for step in steps]


@emulated_only
def test_a_gpu_with_less_shared_memory_trains_heads_of_128_to_the_same_bits(tmp_path):
    model = tiny.make(tmp_path / "model", hidden=128, heads=1, kv_heads=1)
    assert trained(tmp_path, model, "large") == trained(tmp_path, model, "small", {"TPO_EMULATION_SHARED": "101376"})


@emulated_only
def test_numbers_of_rows_that_cublaslt_refuses_change_nothing_or_end_in_one_message(tiny_model):
    text = ok("logprobs", "--model", tiny_model, "--dtype", "bf16", "--backend", "cuda", stdin=sequences())
    assert ok("logprobs", "--model", tiny_model, "--dtype", "bf16", "--backend", "cuda", stdin=sequences(),
              env={"TPO_EMULATION_REFUSE": "133"}) == text
    refused("logprobs", "--model", tiny_model, "--dtype", "bf16", "--backend", "cuda", stdin=sequences(),
            env={"TPO_EMULATION_REFUSE": "133:all"}, words=["GPU 0", "x 133 over", "order of sums"])


@emulated_only
def test_two_ranks_with_a_gpu_each_update_weights_as_one_rank_does(tiny_model, tmp_path):
    one = trained(tmp_path, tiny_model, "one")
    two = trained(tmp_path, tiny_model, "two", {"TPO_EMULATION_DEVICES": "2"}, ranks=2)
    for a, b in zip(one, two):
        assert b == pytest.approx(a, rel=2e-2)
