"""Model folders and files as people have them: what was left behind in them, and what stands in an unusual place."""
import json
import shutil
import struct

import pytest

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
