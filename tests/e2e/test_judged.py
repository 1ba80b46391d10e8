"""What was not judged is not trained on: tokens behind the response that the judge saw carry no loss."""
import codecs
import json
import shutil

import h5py
import pytest

import tiny

# One byte as marker, so that random outputs come to it again, and stop strings inside of the tokens the, ing and and.
LAYOUT = """
prompt: "{instruction}"
response_marker: "e"
thought_tokens: 6
on_budget: force
"""
SAMPLING = ["--k", 6, "--max-tokens", 60, "--temperature", 1, "--top-p", 1, "--dtype", "fp32", "--set",
            'sampling.stop=["he", "ng", "nd"]']


def bytes_of_tokens(model):
    """What each token says; a special one says nothing."""
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    letters = {letter: byte for byte, letter in enumerate(tiny.byte_alphabet())}
    special = {token["id"] for token in tokenizer["added_tokens"]}
    return {i: b"" if i in special else bytes(letters[c] for c in text) for text, i in tokenizer["model"]["vocab"].items()}


def ragged(file, offsets, name):
    at = file[offsets][:]
    return [file[name][a:b].tolist() for a, b in zip(at, at[1:])]


@pytest.fixture(scope="module")
def made(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 16)
    (folder / "layout.yaml").write_text(LAYOUT)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--thought", folder / "layout.yaml",
           "--out", folder / "samples.h5", *SAMPLING, ranks=2)
    tpo.ok("judge", "--samples", folder / "samples.h5", "--judge", "rule", "--out", folder / "scored.h5", ranks=2)
    tpo.ok("pairs", "--samples", folder / "scored.h5", "--out", folder / "pairs.h5", "--set", "pairs.mode=all",
           "--set", "pairs.max_pairs_per_prompt=4", ranks=2)
    return folder


def text_of(raw):
    """As the program tells bytes: each that is no UTF-8, and a NUL, is U+FFFD."""
    return raw.decode("utf-8", errors="one mark a byte").replace("\0", "\ufffd")


codecs.register_error("one mark a byte", lambda error: ("\ufffd" * (error.end - error.start), error.end))


def wanted_mask(says, sample, trained):
    """1 where a token has loss: the text to its end is within what was judged, white space at its end left out."""
    raw = b"".join(says[token] for token in sample["tokens"])
    assert text_of(raw).startswith(sample["text"])
    judged = len(sample["text"].rstrip() if sample["finish_reason"] == "stop_string" else text_of(raw))
    ends, raw, mask = [], b"", []
    for token in sample["tokens"]:
        raw += says[token]
        ends.append(len(text_of(raw)))
    for i, inserted in enumerate(sample["inserted"]):
        mask.append(int(min(ends[i:]) <= judged and (trained or not inserted)))
    return mask


def test_masks_end_with_what_was_judged(tiny_model, made):
    says = bytes_of_tokens(tiny_model)
    with h5py.File(made / "scored.h5") as f:
        tokens, inserted = ragged(f, "token_offset", "token_ids"), ragged(f, "token_offset", "inserted")
        behind = f["n_unjudged_tokens"][:].tolist()
        samples = [dict(zip(("finish_reason", "text", "tokens", "inserted", "ok"), row)) for row in
                   zip(f["finish_reason"].asstr()[:], f["text"].asstr()[:], tokens, inserted, f["format_ok"][:])]
    seen = {"whole": 0, "straddling": 0, "end token": 0, "tail": 0}
    with h5py.File(made / "pairs.h5") as f:
        for side, trained in (("chosen", True), ("rejected", False)):
            masks, ids = ragged(f, side + "_token_offset", side + "_mask"), ragged(f, side + "_token_offset", side + "_token_ids")
            for row, mask, own in zip(f[side][:], masks, ids):
                sample = samples[row]
                assert own == sample["tokens"]
                if not sample["ok"]:
                    continue
                assert mask == wanted_mask(says, sample, trained), (side, row)
                early = sample["finish_reason"] == "stop_string"
                seen["straddling"] += early and any(says[own[i]] in (b"the", b" the", b"ing", b"and")
                                                   for i in range(len(own)) if not mask[i])
                seen["tail"] += early and not mask[-1]
                seen["end token"] += own[-1] == 2 and mask[-1]
                seen["whole"] += not early and mask[-1]
        statistics = json.loads(f.attrs["statistics"])
        assert statistics["unjudged_tokens"] == sum(behind[row] for side in ("chosen", "rejected") for row in f[side][:])
    assert seen["straddling"] > 2 and seen["tail"] > 10 and seen["whole"] > 5 and seen["end token"] > 0, seen


def test_sums_of_training_are_over_the_mask(tpo, tiny_model, made):
    """The first step's log-probabilities are those of the tokens with loss alone."""
    with h5py.File(made / "pairs.h5") as f:
        prompts = ragged(f, "prompt_token_offset", "prompt_token_ids")
        sides = {side: (ragged(f, side + "_token_offset", side + "_token_ids"), ragged(f, side + "_token_offset", side + "_mask"))
                 for side in ("chosen", "rejected")}
    tpo.ok("dpo", "--model", tiny_model, "--pairs", made / "pairs.h5", "--out", made / "c.h5", "--dtype", "fp32", "--batch", 1000,
           "--metrics", made / "m.jsonl", ranks=2)
    step = json.loads((made / "m.jsonl").read_text().splitlines()[0])
    for side, (ids, masks) in sides.items():
        stdin = "".join(json.dumps({"ids": prompt + own}) + "\n" for prompt, own in zip(prompts, ids))
        lines = tpo.ok("logprobs", "--model", tiny_model, "--dtype", "fp32", stdin=stdin).splitlines()
        sums = [sum(p for p, m in zip(json.loads(line)["logprobs"][len(prompt) - 1:], mask) if m)
                for line, prompt, mask in zip(lines, prompts, masks)]
        assert step[side + "_logprob"] == pytest.approx(sum(sums) / len(sums), abs=1e-2)


def test_a_token_of_another_model_is_told_with_its_row(tpo, tiny_model, made, tmp_path):
    path = shutil.copy(made / "pairs.h5", tmp_path / "pairs.h5")
    with h5py.File(path, "r+") as f:
        f["rejected_token_ids"][f["rejected_token_offset"][2]] = 99999999
    text = tpo.fails("dpo", "--model", tiny_model, "--pairs", path, "--out", tmp_path / "c.h5", "--batch", 1, code=1)
    assert "pairs.h5: row 2: rejected_ids[0] is 99999999, but the model's vocabulary has" in text
