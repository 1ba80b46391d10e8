"""longrope's factors are chosen by the longest that a sequence could have come to: `tpo dpo` gets that number from where the
pairs do, whatever the commands before it were told."""
import json

import pytest

import families
import tiny

h5py = pytest.importorskip("h5py")

BUDGET, SHORT = 60, 400  # prompts and so few tokens are short; with the default's 1024 they aren't


@pytest.fixture(scope="module")
def made(tpo, tmp_path_factory):
    """A folder with a model, its pairs as both kinds of files, and what the sampler said of their outputs."""
    folder = tmp_path_factory.mktemp("budget")
    families.make(folder / "model", "phi3", original_max_position_embeddings=SHORT, max_position_embeddings=2048)
    tiny.write_prompts(folder / "prompts.jsonl", "p", 2)
    tpo.ok("generate", "--model", folder / "model", "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 3,
           "--thought", "none", "--temperature", 1, "--top-p", 1, "--max-tokens", BUDGET, "--dtype", "fp32")
    tpo.ok("judge", "--samples", folder / "samples.h5", "--out", folder / "scored.h5")
    tpo.ok("pairs", "--samples", folder / "scored.h5", "--out", folder / "pairs.h5")
    with h5py.File(folder / "pairs.h5") as f, h5py.File(folder / "samples.h5") as drawn:
        assert f.attrs["output_tokens"] == drawn.attrs["output_tokens"] == str(BUDGET)

        def ids(part, i):
            return f[part + "_token_ids"][f[part + "_token_offset"][i]:f[part + "_token_offset"][i + 1]].tolist()
        rows = [{part + "_ids": ids(part, i) for part in ("prompt", "chosen", "rejected")} for i in range(len(f["chosen"]))]
        said = [float(drawn["logprob"][row]) for row in f["chosen"][:]]
    assert rows and all(len(row["prompt_ids"]) + BUDGET <= SHORT for row in rows)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder, said


def train(tpo, made, tmp_path, pairs, *more, **kwargs):
    """Log-probabilities of the chosen outputs under the model that training begins with, and the messages."""
    args = ("dpo", "--model", made[0] / "model", "--pairs", made[0] / pairs, "--out", tmp_path / "out.h5", "--batch", 1,
            "--lr", "1e-12", "--no-shuffle", "--dtype", "fp32", "--metrics", tmp_path / "m.jsonl", *more)
    result = tpo(*args, **kwargs)
    assert result.returncode == 0, result.stderr
    return ([json.loads(line)["chosen_logprob"] for line in (tmp_path / "m.jsonl").read_text().splitlines()],
            result.stderr.decode())


@pytest.mark.parametrize("pairs, more, right, warned", [
    ("pairs.h5", [], True, None),
    ("pairs.h5", ["--max-tokens", BUDGET], True, None),
    ("pairs.h5", ["--set", "sampling.max_tokens=2000"], True, "sampled with up to 60 tokens"),
    ("pairs.jsonl", [], False, "doesn't tell how many tokens"),
    ("pairs.jsonl", ["--max-tokens", BUDGET], True, None),
    ("pairs.jsonl", ["--max-tokens", 1000], False, None)])
def test_training_begins_where_the_sampler_was(tpo, made, tmp_path, pairs, more, right, warned):
    found, messages = train(tpo, made, tmp_path, pairs, *more)
    assert (found == pytest.approx(made[1], abs=1e-3)) == right
    assert messages.count("longrope") == (warned is not None) and (warned or "") in messages


def test_one_rank_warns(tpo, made, tmp_path):
    _, messages = train(tpo, made, tmp_path, "pairs.jsonl", ranks=2)
    assert messages.count("--max-tokens N says another") == 1


def test_a_model_that_rotates_alike_is_not_warned_of(tpo, made, tiny_model, tmp_path):
    result = tpo("dpo", "--model", tiny_model, "--pairs", made[0] / "pairs.jsonl", "--out", tmp_path / "out.h5")
    assert result.returncode == 0 and b"longrope" not in result.stderr
