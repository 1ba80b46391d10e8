"""A judge that is waited for is asked while samples are drawn: what it is asked when, and that scores are the same."""
import json

import pytest

import tiny
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

    def start(name, behave, ranks=1):
        """The run's folder, and for each request how many bytes of samples were in the journal when it came."""
        run_dir, drawn = folder / name, []

        def look(request):
            drawn.append(sum(p.stat().st_size for p in (run_dir / "iter-001/samples.h5.journal").glob("*")))
            return behave(request)

        with FakeServer(look) as server:
            config = folder / f"{name}.yaml"
            config.write_text(CONFIG.format(model=tiny_model, data=folder, run_dir=run_dir, url=f"http:{server.url}",
                                            prompt=json.dumps(PROMPT)))
            tpo.ok("run", config, ranks=ranks, env=PLAIN)
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
