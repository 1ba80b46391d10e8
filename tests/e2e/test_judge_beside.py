"""A judge that is waited for is asked while samples are drawn: what it is asked when, and that scores are the same."""
import json
import re
import subprocess
import threading
import time

import pytest

import tiny
from conftest import ROOT, command, environment
from fake_server import FakeServer
from http_judging import PLAIN, PROMPT, rate

h5py = pytest.importorskip("h5py")
CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: none
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, validation_prompts: 2}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 200, slots: 2}}
judge: {{kind: "{url}", model: judge-1, prompt: {prompt}, concurrency: 64}}
train: {{learning_rate: 1e-3, batch: 6, micro_batch_tokens: 4096, warmup: 0}}
pairs: {{length_penalty: 0}}
run: {{dir: {run_dir}, sync_steps: 2, steps: 2, kl_outputs: 0, deadline: 60}}
"""
PROMPTS, K = 12, 4


@pytest.fixture(scope="module")
def run(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside")
    tiny.write_prompts(folder / "train.jsonl", "train", PROMPTS)
    tiny.write_prompts(folder / "validation.jsonl", "validation", 2)

    def start(name, behave, ranks=1, how=tpo.ok, replace=(), sampling=None):
        """The run's folder, and for each request how many bytes of samples were in the journal when it came. `sampling`: a file
        that is there from the first one on that came when there were some."""
        run_dir, drawn = folder / name, []

        def look(request):
            drawn.append(sum(p.stat().st_size for p in (run_dir / "iter-001/samples.h5.journal").glob("*")))
            if sampling and drawn[-1] > 0:
                sampling.touch()
            return behave(request)

        with FakeServer(look) as server:
            config = folder / f"{name}.yaml"
            text = CONFIG.format(model=tiny_model, data=folder, run_dir=run_dir, url=f"http:{server.url}",
                                 prompt=json.dumps(PROMPT))
            for old, new in replace:
                assert old in text
                text = text.replace(old, new)
            config.write_text(text)
            how("run", config, ranks=ranks, env=PLAIN)
        return run_dir, drawn

    return start


def scores(run_dir):
    with h5py.File(run_dir / "iter-001/scored.h5") as f:
        return [(f["prompt_id"][i], int(f["k"][i]), f["response"][i], float(f["score"][i]), f["score_detail"][i])
                for i in range(len(f["k"]))]


def test_prompts_are_judged_while_others_are_sampled(run):
    run_dir, drawn = run("one", rate)
    asked = [n for n in drawn if n > 0]  # what validation asks comes without a journal of samples
    assert len(scores(run_dir)) == PROMPTS * K and len(asked) > PROMPTS
    assert asked[0] < max(asked) / 2
    over_two, drawn = run("two", rate, ranks=2)
    assert scores(over_two) == scores(run_dir)
    assert min(n for n in drawn if n > 0) < max(drawn) / 2


def references(run_dir):
    with h5py.File(run_dir / "iter-001/pairs.h5") as f:
        return [(f["prompt_id"][i], float(f["chosen_ref_logprob"][i]), float(f["rejected_ref_logprob"][i]))
                for i in range(len(f["prompt_id"]))]


def test_memory_that_is_short_beside_sampling_ends_nothing(tpo, run, tmp_path):
    """References are computed behind then, to the same."""
    library, asked = tmp_path / "little_memory.so", tmp_path / "asked"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/e2e/little_memory.c", "-ldl"], check=True)

    def start(name, more):
        def quietly(*args, ranks, env):
            done = tpo(*args, "-v", env={**env, **more})
            assert ranks == 1 and done.returncode == 0, done.stderr.decode()
            told.append(re.findall(r"references of (\d+) of|(no more references)", done.stderr.decode()))

        return references(run(name, rate, how=quietly, sampling=asked if more else None)[0])

    told = []
    plenty = start("plenty", {})
    little = start("little", {"LD_PRELOAD": str(library), "FAIL_FROM": str(asked), "FAIL_BYTES": str(1 << 20)})
    (none, end), (early, _) = told[1]  # some pairs are small enough to need no such block
    assert int(told[0][0][0]) > 0 and (none, end) == ("", "no more references") and int(early) < PROMPTS
    assert little == plenty and len(plenty) == PROMPTS


def test_a_segments_seconds_are_all_that_it_took(run):
    """Sampling, judging, references and training, from one segment's event to the next one's."""

    def slow(request):
        time.sleep(0.15)
        return rate(request)

    in_steps = [("batch: 6", "batch: 2"), ("sync_steps: 2, steps: 2", "sync_steps: 1, steps: 5"), ("concurrency: 64", "concurrency: 4")]
    for ranks in (1, 2):
        run_dir, _ = run(f"seconds-{ranks}", slow, ranks, replace=in_steps)
        found = [e for e in map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines()) if e["event"] == "segment"]
        took = found[-1]["time"] - found[0]["time"]
        told = sum(e["seconds"][name] for e in found[1:] for name in ("sample", "judge", "reference", "train"))
        assert len(found) == 5 and took > 0.8
        assert 0.8 * took - 0.1 <= told <= 1.05 * took + 0.1, (ranks, took, told)  # times are told to a tenth
        waited = [e["seconds"]["wait"] for e in found]
        assert all(0 < w <= e["seconds"]["sample"] + e["seconds"]["judge"] for w, e in zip(waited, found))


def test_a_signal_tells_what_the_judge_keeps(run):
    """The rank's own thread sees the signal first; what its judge's thread has to say of it comes behind that."""
    asked, answered = threading.Event(), []

    def slow(request):
        if len(answered) > 8:
            asked.set()
            time.sleep(0.5)
        answered.append(1)
        return rate(request)

    def stop(*args, ranks, env):  # one process, without mpirun
        assert ranks == 1
        with subprocess.Popen(command(args)[4:], env=environment(env), stderr=subprocess.PIPE) as process:
            assert asked.wait(60)
            process.terminate()
            text = process.communicate(timeout=60)[1].decode()
        assert text.count("stopped by SIGTERM") == 1, text
        assert text.count("answers are kept in") == 1 and "requests under way" in text, text

    run("signal", slow, how=stop, replace=[("validation_prompts: 2", "validation_prompts: 1")])
