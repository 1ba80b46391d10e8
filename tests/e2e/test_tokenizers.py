"""Tokenizers as people's files have them, through the command line."""
import json

import pytest

import gguf
import tiny


@pytest.fixture
def folder(tmp_path):
    tiny.write_tokenizer(tmp_path)
    return tmp_path


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return content


def ids(tpo, model, text, *options):
    return [int(i) for i in tpo.ok("tokenize", "--no-special", "--model", model, *options, stdin=text).split()]


def mark_special(content, token):
    entry = dict(content["added_tokens"][0], id=content["model"]["vocab"][token], content=token)
    content["added_tokens"].append(entry)


def test_padding_set_to_a_byte_leaves_the_byte_in_texts(tpo, folder):
    before = ids(tpo, folder, "Stop! No!", "--plain")
    change(folder / "tokenizer.json", lambda c: mark_special(c, "!"))
    assert ids(tpo, folder, "Stop! No!", "--plain") == before
    assert ids(tpo, folder, "Stop! No!") == before
    text = tpo.ok("template", "--model", folder, stdin='[{"role": "user", "content": "Stop! No!"}]')
    assert "Stop! No!" in text
    assert tpo.ok("detokenize", "--model", folder, stdin=" ".join(map(str, before))) == "Stop! No!"


def test_a_gguf_with_a_special_byte_keeps_it_in_texts(tpo, tiny_model, tmp_path):
    meta = gguf.metadata(tiny_model)
    vocab = json.loads((tiny_model / "tokenizer.json").read_text())["model"]["vocab"]
    meta["tokenizer.ggml.token_type"][1][1][vocab["!"]] = 3
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf.build(meta, gguf.tensors(tiny_model)))
    assert ids(tpo, path, "Stop!!", "--plain") == ids(tpo, tiny_model, "Stop!!", "--plain")
    del meta["tokenizer.ggml.pre"]
    path.write_bytes(gguf.build(meta, gguf.tensors(tiny_model)))
    assert "tokenizer.ggml.pre is missing" in tpo.fails("tokenize", "--model", path, stdin="x")


def test_digits_after_byte_level_see_glyphs(tpo, folder):
    def edit(content):
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            content["pre_tokenizer"], {"type": "Digits", "individual_digits": False}]}
        content["model"]["merges"].append("\u00c2 \u00b2")
        content["model"]["vocab"]["\u00c2\u00b2"] = len(content["model"]["vocab"])

    vocab = change(folder / "tokenizer.json", edit)["model"]["vocab"]
    assert ids(tpo, folder, "a\u00b2") == [vocab["a"], vocab["\u00c2"], vocab["\u00b2"]]


def test_the_config_says_whether_a_space_is_put_first(tpo, folder):
    with_space = ids(tpo, folder, " the")
    assert ids(tpo, folder, "the") != with_space
    change(folder / "tokenizer_config.json", lambda c: c.update(tokenizer_class="GPT2Tokenizer", add_prefix_space=True))
    assert ids(tpo, folder, "the") == with_space
    change(folder / "tokenizer_config.json", lambda c: c.update(add_prefix_space=1))
    assert "add_prefix_space must be true, false or null" in tpo.fails("tokenize", "--model", folder, stdin="the")
