"""Model folders and files as people have them: what was left behind in them, and what stands in an unusual place."""
import json
import shutil
import struct

import pytest

import gguf
import tiny

IDS = '{"ids":[5,6,7,8,9,10]}\n'


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def logprobs(tpo, path):
    return tpo.ok("logprobs", "--model", path, stdin=IDS)


def tensor_names(model):
    data = (model / "model.safetensors").read_bytes()
    return json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])


def change_config(model, **settings):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_a_single_file_goes_before_a_stale_index(tpo, model, tmp_path):
    expected = logprobs(tpo, model)
    old = tiny.make(tmp_path / "old", seed=2)
    assert logprobs(tpo, old) != expected
    shutil.move(old / "model.safetensors", model / "model-00001-of-00001.safetensors")
    index = {"weight_map": {name: "model-00001-of-00001.safetensors" for name in tensor_names(model)}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    result = tpo("logprobs", "--model", model, stdin=IDS)
    assert result.returncode == 0 and result.stdout.decode() == expected
    assert "model.safetensors.index.json is not read" in result.stderr.decode()
    (model / "model.safetensors").unlink()
    assert logprobs(tpo, model) != expected


def test_rope_settings_that_disagree_are_refused(tpo, model):
    change_config(model, rope_scaling={"rope_type": "linear", "factor": 4.0},
                  rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    text = tpo.fails("logprobs", "--model", model, stdin=IDS)
    assert "config.json" in text and '"rope_scaling"' in text and '"rope_parameters"' in text, text


def write_gguf(path, model, **keys):
    path.write_bytes(gguf.build(gguf.metadata(model) | keys, gguf.tensors(model)))
    return path


@pytest.mark.parametrize("key, value", [("attention.head_count_kv", 2), ("attention.head_count", 4),
                                        ("feed_forward_length", 64)])
def test_a_gguf_may_give_a_size_for_each_layer(tpo, tiny_model, tmp_path, key, value):
    expected = logprobs(tpo, write_gguf(tmp_path / "one.gguf", tiny_model))
    path = tmp_path / "layers.gguf"
    assert logprobs(tpo, write_gguf(path, tiny_model, **{"llama." + key: (gguf.ARRAY, (gguf.I32, [value] * 2))})) == expected
    write_gguf(path, tiny_model, **{"llama." + key: (gguf.ARRAY, (gguf.I32, [value, 1]))})
    text = tpo.fails("logprobs", "--model", path, stdin=IDS)
    assert "layers.gguf" in text and f"llama.{key}" in text and "layer 1" in text, text


@pytest.mark.parametrize("part", [0, 1])
def test_a_part_of_a_split_gguf_is_refused_with_what_joins_it(tpo, tiny_model, tmp_path, part):
    split = {"split.no": (gguf.U32, part), "split.count": (gguf.U32, 2), "split.tensors.count": (gguf.I32, 20)}
    meta, rows = gguf.metadata(tiny_model), gguf.tensors(tiny_model)
    path = tmp_path / f"m-0000{part + 1}-of-00002.gguf"
    path.write_bytes(gguf.build(split if part else meta | split, rows[10:] if part else rows[:10]))
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"id":"a","instruction":"Say it."}\n')
    for args in (["logprobs"], ["generate", "--prompts", prompts, "--out", tmp_path / "o.h5"]):
        text = tpo.fails(args[0], "--model", path, *args[1:], stdin=IDS)
        assert f"part {part + 1} of a model split into 2 files" in text and "llama-gguf-split --merge" in text, text


def generate(tpo, model, folder, name):
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"id": f"p{i}", "instruction": f"Say {i}."}) + "\n" for i in range(4)))
    tpo.ok("generate", "--model", model, "--prompts", prompts, "--out", folder / name, "--jsonl", "--k", 2, "--seed", 5,
           "--max-tokens", 64, "--dtype", "fp32", "--temperature", 1)
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.mark.parametrize("left", [None, {"temperature": 0.6}])
def test_end_tokens_of_config_json_end_samples_and_travel_on(tpo, model, tmp_path, left):
    ends = [*range(40, 270, 7)]
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    expected = generate(tpo, model, tmp_path, "expected.jsonl")
    assert sum(row["finish_reason"] == "stop" for row in expected) > len(expected) // 2
    (model / "generation_config.json").unlink()
    if left:
        (model / "generation_config.json").write_text(json.dumps(left))
    assert generate(tpo, model, tmp_path, "without.jsonl") != expected
    change_config(model, eos_token_id=ends)
    assert generate(tpo, model, tmp_path, "config.jsonl") == expected

    pairs, checkpoint, folder = tmp_path / "p.jsonl", tmp_path / "c.h5", tmp_path / "exported"
    pairs.write_text('{"prompt_ids":[1,2],"chosen_ids":[3],"rejected_ids":[4,5]}\n')
    tpo.ok("dpo", "--model", model, "--pairs", pairs, "--out", checkpoint, "--batch", 1, "--lr", 1e-12, "--dtype", "fp32")
    tpo.ok("export", checkpoint, folder, "--to", "hf")
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == ends and generation.get("temperature") == (left or {}).get("temperature")
    assert set(json.loads((folder / "config.json").read_text())["eos_token_id"]) == {2, *ends}
    for path, name in ((checkpoint, "checkpoint.jsonl"), (folder, "exported.jsonl")):
        rows = generate(tpo, path, tmp_path, name)
        assert [(r["text"], r["finish_reason"]) for r in rows] == [(r["text"], r["finish_reason"]) for r in expected]
