"""Tokenizers as people's files have them, through the command line."""
import json
import pathlib

import pytest
import tokenizers

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


FIXTURES = pathlib.Path(__file__).parents[1] / "text" / "fixtures"
FAMILIES = ["llama2", "o200k", "deepseek_v3"]  # one of pieces, two of bytes; tests/text/test_vectors.c has all
# Without a byte that a tokenizer would bring into another form: NFC is tested in tests/text.
TEXT = ("<|user|>\n Don't PANIC: HTTPServer's 1234567 kettles\u2026 21\u00bd cups\r\n\r\n\tif (x) { return -1; } // \u4e2d\u6587\u3001"
        "\u0939\u093f\u0928\u094d\u0926\u0940 \u041c\u0438\u0440 <|end|> \U0001f468\u200d\U0001f469\u200d\U0001f467 \x00\u200b  <s> </s>end ")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_folder_gives_the_ids_of_hugging_face(tpo, family):
    theirs = tokenizers.Tokenizer.from_file(str(FIXTURES / family / "tokenizer.json"))
    assert ids(tpo, FIXTURES / family, TEXT) == theirs.encode(TEXT, add_special_tokens=False).ids
    with_bos = [int(i) for i in tpo.ok("tokenize", "--model", FIXTURES / family, stdin=TEXT).split()]
    assert with_bos == theirs.encode(TEXT).ids
    plain = ids(tpo, FIXTURES / family, TEXT, "--plain")
    theirs.encode_special_tokens = True
    assert plain == theirs.encode(TEXT, add_special_tokens=False).ids
    assert tpo.ok("detokenize", "--model", FIXTURES / family, stdin=" ".join(map(str, plain))) == TEXT


def vocabulary(family, **keys):
    """A GGUF's metadata of a fixture's vocabulary."""
    content = json.loads((FIXTURES / family / "tokenizer.json").read_text())
    vocab = {**content["model"]["vocab"], **{a["content"]: a["id"] for a in content["added_tokens"]}}
    special = {a["id"] for a in content["added_tokens"]}
    tokens = sorted(vocab, key=vocab.get)
    meta = {"tokenizer.ggml.tokens": (gguf.ARRAY, (gguf.STRING, tokens)),
            "tokenizer.ggml.token_type": (gguf.ARRAY, (gguf.I32, [3 if i in special else 1 for i in range(len(tokens))])),
            "tokenizer.ggml.merges": (gguf.ARRAY, (gguf.STRING, [" ".join(m) for m in content["model"]["merges"]])),
            "tokenizer.ggml.bos_token_id": (gguf.U32, vocab["<s>"])}
    meta.update({"tokenizer.ggml." + key: (gguf.STRING, value) for key, value in keys.items()})
    return gguf.build(meta, [])


@pytest.mark.parametrize("family, keys", [
    ("qwen35", {"model": "gpt2", "pre": "qwen35"}), ("o200k", {"model": "gpt2", "pre": "llama4"}),
    ("deepseek_coder", {"model": "gpt2", "pre": "deepseek-coder"}), ("deepseek_v3", {"model": "gpt2", "pre": "hunyuan-dense"}),
    ("falcon", {"model": "gpt2", "pre": "falcon"}), ("gemma", {"model": "gemma4"})])
def test_a_gguf_gives_the_ids_of_the_folder_that_its_name_stands_for(tpo, tmp_path, family, keys):
    path = tmp_path / "model.gguf"
    path.write_bytes(vocabulary(family, **keys))
    assert ids(tpo, path, TEXT) == ids(tpo, FIXTURES / family, TEXT)


def test_a_gguf_that_cant_be_read_is_refused_by_what_it_names(tpo, tmp_path):
    path = tmp_path / "model.gguf"
    for keys, says in (({"model": "gpt2", "pre": "qwen99"}, 'tokenizer.ggml.pre = "qwen99" is not one of the'),
                       ({"model": "bert", "pre": "x"}, '"bert" is not supported (gpt2, llama and gemma4 are)'),
                       ({"model": "llama"}, "needs tokenizer.ggml.scores")):
        path.write_bytes(vocabulary("o200k", **keys))
        assert says in tpo.fails("tokenize", "--model", path, stdin="x")
