"""Chats and tokens shown with where they come from."""
import json
import re

import pytest

import tiny

TEMPLATE = """{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}
<|im_start|>{{ m.role }}
{{ m.content }}{% for call in m.tool_calls %}{{ call.function.name }}{% endfor %}<|im_end|>{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}"""


@pytest.fixture
def model(tmp_path):
    folder = tiny.make(tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": TEMPLATE}))
    return folder


def stretches(text):
    """(origin, id or "", quoted text) of each line."""
    return [re.fullmatch(r"(.+?) +(\d*)  (\".*\")", line).groups() for line in text.splitlines()]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_chat_is_told_stretch_by_stretch(tpo, model, ranks):
    chat = [{"role": "user", "content": 'say "<|im_end|>"\tnow'}]
    plain = tpo.ok("template", "--model", model, stdin=json.dumps(chat))
    told = stretches(tpo.ok("template", "--model", model, "--explain", stdin=json.dumps(chat), ranks=ranks))
    shown = plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    assert "".join(text[1:-1] for _, _, text in told) == shown
    assert ("messages[0].content", "", r'"say \"<|im_end|>\"\tnow"') in told
    assert [text for _, token, text in told if token].count('"<|im_end|>"') == 1  # the template's own


def test_tools_are_data_for_the_template(tpo, model):
    request = {"messages": [{"role": "user", "content": "x"},
                            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "<|im_end|>"}}]},
                            {"role": "tool", "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]}],
               "tools": [{"name": "f"}]}
    told = stretches(tpo.ok("template", "--model", model, "--explain", stdin=json.dumps(request)))
    assert ("messages[1].tool_calls", "", '"<|im_end|>"') in told
    assert ("messages[2].content", "", '"42"') in told
    assert any(origin == "tools" for origin, _, _ in told)
    deaf = TEMPLATE.replace("{% if tools %}", "{% if 0 %}").replace("m.tool_calls", "[]")
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": deaf}))
    def warning(asked):
        done = tpo("template", "--model", model, stdin=json.dumps(asked))
        assert done.returncode == 0
        return done.stderr.decode()
    assert "shows nothing of tools, messages[1].tool_calls\n" in warning(request)
    odd = {"messages": [{"role": "user", "content": "x", "foo": "3", "name": ""}], "tools": [], "documents": [{"title": "t"}]}
    assert "shows nothing of documents, messages[0].foo\n" in warning(odd)
    assert warning({"messages": [{"role": "user", "content": "x", "name": "n", "tool_calls": []}], "tools": None}) == ""
    many = {"messages": [{"role": "user", "content": "x", "foo": "y"}] * 9}
    assert "messages[4].foo and 4 more\n" in warning(many) and "[5]" not in warning(many)


def test_a_prompt_is_shown_as_it_is_sampled_from(tpo, model, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"instruction": "Name a bird."}\n')
    tpo.ok("generate", "--model", model, "--prompts", tmp_path / "p.jsonl", "--out", tmp_path / "s.h5", "--k", 1, "--max-tokens", 40,
           "--thought", "generic")
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "s.h5") as file:
        sampled = file["prompt_text"][0].decode()
    chat = json.dumps([{"role": "user", "content": "Name a bird."}])
    assert tpo.ok("template", "--model", model, "--thought", "generic", stdin=chat) == sampled
    told = stretches(tpo.ok("template", "--model", model, "--thought", "generic", "--explain", stdin=chat))
    assert told[-1] == ("thought.prefill", "", r'"Notes to myself:\n"')


def test_what_an_answer_begins_with_is_gone_on_with(tpo, model):
    chat = json.dumps([{"role": "user", "content": "x"}, {"role": "assistant", "content": "Once upon"}])
    text = tpo.ok("template", "--model", model, "--continue-final-message", stdin=chat)
    assert text.endswith("<|im_start|>assistant\nOnce upon")


@pytest.mark.parametrize("stdin, options, words", [
    ('{"messages": [], "tools": []}', [], "expected a JSON array of messages"),
    ('{"tools": []}', [], "expected a JSON array of messages"),
    ('{"messages": [{"role": "user", "content": "x"}], "tool": []}', [], '"tool" is none of messages, tools'),
    ('{"messages": [{"role": "user", "content": "x"}], "tools": {}}', [], "tools"),
    ('[{"role": "user", "content": "x", "image": "a.png"}]', [], '"image" is not supported'),
    ('[{"role": "user"}]', [], 'lacks "content"'),
    ('[{"role": "user", "content": "x"}]', ["--thought", "none", "--no-generation-prompt"], "exclude each other"),
    ('{"messages": [{"role": "user", "content": "x"}], "tools": [{}]}', ["--thought", "none"], '"tools" is no part'),
])
def test_what_cant_be_shown_is_refused(tpo, model, stdin, options, words):
    text = tpo.fails("template", "--model", model, *options, stdin=stdin)
    assert words in text and len(text.splitlines()) == 1


@pytest.mark.parametrize("ranks", [1, 2])
def test_tokens_are_told_one_a_line(tpo, model, ranks):
    text = 'Hi <|im_end|> "é"\n'
    ids = tpo.ok("tokenize", "--model", model, stdin=text).split()
    lines = tpo.ok("tokenize", "--model", model, "--explain", stdin=text, ranks=ranks).splitlines()
    assert [line.split()[0] for line in lines] == ids
    assert [line.split()[1] for line in lines].count("control") == 1
    assert [line.split()[1] for line in lines].count("byte") == 2  # of the é
    plain = tpo.ok("tokenize", "--model", model, "--plain", "--explain", stdin=text).splitlines()
    assert all(line.split()[1] != "control" for line in plain)
