"""What the end-to-end tests share: the program, a tiny model, and mpirun."""
import os
import pathlib
import subprocess
import sys

import pytest

import tiny

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TPO_BUILD", ROOT / "build" / "cpu"))


def environment(extra=None):
    env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
               OMPI_MCA_mpi_yield_when_idle="1", OMPI_MCA_rmaps_base_oversubscribe="1",
               OMPI_MCA_hwloc_base_binding_policy="none")
    env.update(extra or {})
    return env


def command(args, ranks=0, timeout=120):
    launch = ["timeout", "-k", "2", str(timeout)] + (["mpirun", "-n", str(ranks)] if ranks else [])
    return launch + [str(BUILD / "tpo")] + [str(a) for a in args]


# A process begins with its parent's peak: one that is small starts the program, and tells the largest of its processes'.
WATCH = """import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)"""


def watched(args, env=None):
    """A command as subprocess.run has it, without its standard output, and the most memory that one of its processes took, bytes."""
    done = subprocess.run([sys.executable, "-S", "-c", WATCH, *args], capture_output=True, env=environment(env), check=False, text=True)
    return done, float(done.stdout)


class Tpo:
    """Runs the program; .ok() expects success and .fails(code) a failure with one message."""

    def __call__(self, *args, ranks=0, stdin=b"", timeout=120, env=None):
        if isinstance(stdin, str):
            stdin = stdin.encode()
        return subprocess.run(command(args, ranks, timeout), input=stdin, capture_output=True, env=environment(env),
                              check=False)

    def ok(self, *args, **kwargs):
        result = self(*args, **kwargs)
        assert result.returncode == 0, f"{args}: exit {result.returncode}\n{result.stderr.decode(errors='replace')}"
        return result.stdout.decode()

    def fails(self, *args, code=None, **kwargs):
        result = self(*args, **kwargs)
        text = result.stderr.decode(errors="replace")
        assert result.returncode != 0, f"{args}: should have failed\n{result.stdout.decode()}"
        assert result.returncode < 124, f"{args}: exit {result.returncode}, a hang or a crash\n{text}"
        if code is not None:
            assert result.returncode == code, f"{args}: exit {result.returncode}, expected {code}\n{text}"
        return text


@pytest.fixture(scope="session")
def tpo():
    if not (BUILD / "tpo").exists():
        pytest.exit(f"{BUILD / 'tpo'} is not built", returncode=2)
    return Tpo()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return tiny.make(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def smollm2():
    path = os.environ.get("TPO_SMOLLM2")
    if not path:
        pytest.skip("TPO_SMOLLM2 does not name the SmolLM2 GGUF")
    return pathlib.Path(path)


@pytest.fixture
def prompts(tpo, tmp_path):
    path = tmp_path / "prompts.jsonl"
    tpo.ok("synth", "--constraints", "--n", 6, "--seed", 3, "--out", path)
    return path


@pytest.fixture(scope="module")
def files(tpo, tiny_model, tmp_path_factory):
    """A folder with prompts, samples, scores, pairs and a checkpoint."""
    folder = tmp_path_factory.mktemp("files")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 8)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 4,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 60, "--set", "thought.thought_tokens=10", "--set",
           "thought.response_tokens=16")
    tpo.ok("judge", "--samples", folder / "samples.h5", "--judge", "rule", "--out", folder / "scored.h5")
    tpo.ok("pairs", "--samples", folder / "scored.h5", "--out", folder / "pairs.h5")
    tpo.ok("dpo", "--model", tiny_model, "--pairs", folder / "pairs.h5", "--out", folder / "checkpoint.h5", "--batch", 2)
    return folder
