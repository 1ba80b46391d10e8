"""The program built with the CUDA backend by nvcc (build/cuda, or TPO_CUDA_BUILD), on a machine without a driver: it says so,
and works on the CPU."""
import os
import pathlib
import re
import subprocess

import pytest

from conftest import ROOT, environment

BUILD = pathlib.Path(os.environ.get("TPO_CUDA_BUILD", ROOT / "build" / "cuda"))
DRIVER = pathlib.Path("/proc/driver/nvidia/version").exists()
pytestmark = [pytest.mark.skipif(not (BUILD / "tpo").exists(), reason=f"{BUILD}/tpo is not built (cmake --preset cuda)"),
              pytest.mark.skipif(DRIVER, reason="this machine has a driver; tests/gpu/run is for it")]


def run(*args, ranks=0, stdin=""):
    launch = ["timeout", "-k", "2", "60"] + (["mpirun", "-n", str(ranks)] if ranks else [])
    return subprocess.run(launch + [str(BUILD / "tpo"), *(str(a) for a in args)], input=stdin, capture_output=True, text=True,
                          env=environment(), check=False)


def test_version_says_that_there_is_no_driver():
    result = run("--version")
    assert result.returncode == 0, result.stderr
    backends = next(line for line in result.stdout.splitlines() if line.startswith("backends:"))
    assert "cpu (" in backends and re.search(r"cuda \(no .*driver", backends)


@pytest.mark.parametrize("ranks", [0, 2])
def test_asking_for_cuda_ends_with_one_clear_message(tiny_model, tmp_path, ranks):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"instruction": "Say something."}\n')
    result = run("generate", "--backend", "cuda", "--model", tiny_model, "--prompts", prompts, "--out", tmp_path / "out.h5",
                 ranks=ranks)
    assert result.returncode in (1, 2), result.stderr
    messages = [line for line in result.stderr.splitlines() if line.startswith("tpo:")]
    assert len(messages) == 1, result.stderr
    assert "cuda" in messages[0] and "driver" in messages[0] and "use cpu" in messages[0]
    assert not (tmp_path / "out.h5").exists()


def test_auto_takes_the_cpu(tpo, tiny_model):
    lines = '{"ids": [3, 9, 27, 81, 5]}\n'
    got = run("logprobs", "--model", tiny_model, "--dtype", "fp32", stdin=lines)
    assert got.returncode == 0, got.stderr
    assert got.stdout == tpo.ok("logprobs", "--model", tiny_model, "--dtype", "fp32", "--backend", "cpu", stdin=lines)
