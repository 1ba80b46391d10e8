"""Other programs read our HDF5 files: opens each file given with h5py and checks what the documentation promises of it.

Usage: python h5py_reads.py FILE.h5 ...   (exit 77 without h5py: nothing was checked)"""

import json
import math
import sys

try:
    import h5py
    import numpy as np
except ImportError:
    print("h5py is not installed: nothing checked")
    sys.exit(77)

TEXT = ["prompt_id", "instruction", "prompt_text", "text", "thought", "response", "finish_reason"]


def texts(dataset):
    assert h5py.check_string_dtype(dataset.dtype).encoding == "utf-8", dataset.name
    return [value.decode() for value in dataset[()]]


def ragged(file, offsets, values, n):
    """Checks the offsets and gives the rows' arrays."""
    at, flat = file[offsets][()], file[values][()]
    assert at.shape == (n + 1,) and at[0] == 0 and at[-1] == len(flat), offsets
    assert (np.diff(at) >= 0).all(), offsets
    return [flat[at[i]:at[i + 1]] for i in range(n)]


def check_steps(file, n):
    if "step" in file:  # of a run that samples between steps
        steps = file["step"]
        assert steps.dtype == np.int32 and steps.shape == (n,) and (steps[()] >= 0).all() and steps[()].any()


def check_samples(file, is_scored):
    n = len(file["prompt_id"])
    columns = {name: texts(file[name]) for name in TEXT}
    assert all(len(column) == n for column in columns.values())
    assert set(columns["finish_reason"]) <= {"stop", "stop_string", "length", "context"}
    assert all(isinstance(json.loads(meta), dict) for meta in texts(file["meta"]))
    assert file["k"].dtype == np.int32 and set(file["format_ok"][()]) <= {0, 1}
    tokens = ragged(file, "token_offset", "token_ids", n)
    logprobs = ragged(file, "token_offset", "token_logprob", n)
    inserted = ragged(file, "token_offset", "inserted", n)
    prompts = ragged(file, "prompt_token_offset", "prompt_token_ids", n)
    for i in range(n):
        assert tokens[i].dtype == np.int32 and (tokens[i] >= 0).all() and (prompts[i] >= 0).all()
        assert len(logprobs[i]) == len(inserted[i]) == len(tokens[i])
        assert 0 <= file["n_thought_tokens"][i] <= len(tokens[i])
        assert 0 <= file["n_unjudged_tokens"][i] <= len(tokens[i])
    assert file["logprob"].dtype == np.float64
    check_steps(file, n)
    assert ("score" in file) == is_scored
    if is_scored:
        details = texts(file["score_detail"])
        for scored, score, detail in zip(file["scored"][()], file["score"][()], details):
            assert math.isnan(score) == (scored == 0)
            assert isinstance(json.loads(detail), dict)
    return n


def check_pairs(file):
    n = len(texts(file["prompt_id"]))
    check_steps(file, n)
    for name in ("chosen", "rejected", "chosen_score", "rejected_score", "margin"):
        assert file[name].shape == (n,), name
    ragged(file, "prompt_token_offset", "prompt_token_ids", n)
    for side in ("chosen", "rejected"):
        tokens = ragged(file, f"{side}_token_offset", f"{side}_token_ids", n)
        masks = ragged(file, f"{side}_token_offset", f"{side}_mask", n)
        assert all(len(mask) == len(ids) and set(mask) <= {0, 1} for mask, ids in zip(masks, tokens))
        assert file[f"{side}_ref_logprob"].shape == (n,)
    assert isinstance(json.loads(file.attrs["statistics"]), dict)
    return n


def check_checkpoint(file):
    for name in ("state", "architecture"):
        assert isinstance(json.loads(file[name][()].decode()), dict), name
    for name, tensor in file["model"].items():
        is_bf16 = tensor.dtype == np.uint16 and tensor.attrs["dtype"] == "bfloat16"
        assert is_bf16 or tensor.dtype in (np.float32, np.float16), name
        tensor[()]
    for group in file.get("optimizer", {}).values():
        assert set(group) <= set(file["model"])
    return len(file["model"])


def check(path):
    with h5py.File(path, "r") as file:
        kind = file.attrs["tpo_format"]
        for name in ("tpo_version", "created", "config", "content_hash"):
            assert isinstance(file.attrs[name], str), name
        assert len(file.attrs["content_hash"]) == 32
        if kind == "pairs":
            n = check_pairs(file)
        elif kind == "checkpoint":
            n = check_checkpoint(file)
        else:
            assert kind in ("samples", "scored")
            n = check_samples(file, kind == "scored")
        print(f"{path}: {kind}, {n} rows or tensors")


if len(sys.argv) < 2:
    sys.exit(__doc__)
for argument in sys.argv[1:]:
    check(argument)
