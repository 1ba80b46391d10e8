"""An exported model's chat template asks for the thought as training did: rendered by jinja2, it gives the prompts that
were sampled from, byte for byte."""
import json
import pathlib
import shutil

import pytest

import tiny

h5py = pytest.importorskip("h5py")
jinja2 = pytest.importorskip("jinja2")
LAYOUTS = sorted(path.stem for path in (pathlib.Path(__file__).resolve().parents[2] / "configs" / "thought").glob("*.yaml"))
# What a layout's texts may hold: marks of Jinja, quotes, backslashes, and characters beyond ASCII.
ODD = r"""
prompt: "{{ x }} {% if %} {# c #} \\ \" ' \n\t\u2028 \U0001F600 {instruction} }} %} #}\\n"
system: "It's {{ this }} \\ one."
thought_marker: "<T>"
response_marker: "<R>{{"
prefill: "<T> {{ '\\n' }} \n"
thought_tokens: 10
response_tokens: 16
on_budget: force
"""


def render(source, messages, prompt=True, **variables):
    """As transformers renders a chat."""
    import jinja2.ext
    import jinja2.sandbox

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(source).render(messages=messages, add_generation_prompt=prompt, bos_token="<|im_start|>",
                                                  eos_token="<|im_end|>", **variables)


def user(content):
    return {"role": "user", "content": content}


def parts(text):
    return [{"type": "text", "text": text[:5]}, {"type": "text", "text": text[5:]}]


def prompts_of(samples):
    """Instruction and prompt of each sample."""
    with h5py.File(samples) as file:
        rows = zip(*([text.decode() for text in file[name][:]] for name in ("instruction", "prompt_text")))
        return sorted(set(rows))


# Our own miniatures of how other models' templates are made: the system message within the user's first turn and a space before each answer;
# none at all; a switch whose empty thought is what training had; a thought that the prompt opens.
TEMPLATES = {
    "within": "{% if messages[0]['role'] == 'system' %}{% set head = '<<' + messages[0]['content'] + '>> ' %}{% set messages = messages[1:] %}"
              "{% else %}{% set head = '' %}{% endif %}{% for m in messages %}{% if m['role'] == 'user' %}"
              "{{ bos_token + '[I] ' + (head if loop.first else '') + m['content'].strip() + ' [/I]' }}"
              "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}\n",
    "no system": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system message, please') }}{% endif %}"
                 "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}\n{% endfor %}{% if add_generation_prompt %}<model>\n{% endif %}",
    "switch": "{%- for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{%- if add_generation_prompt %}{{- '\\n<assistant>' }}"
              "{%- if not (enable_thinking | default(true)) %}{{- '<think></think>' }}{%- endif %}{%- endif %}",
    "opened": "\n{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant><think>\n{% endif %}",
}


def train(tpo, folder, model, layout, *settings):
    """A checkpoint, by the commands that each do a part, on two ranks; and the prompts of its samples."""
    tiny.write_prompts(folder / "prompts.jsonl", "p", 3)
    tpo.ok("generate", "--model", model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 3, "--temperature", 1,
           "--top-p", 1, "--max-tokens", 60, "--thought", layout, "--set", "thought.thought_tokens=10", "--set", "thought.response_tokens=16",
           *settings, ranks=2)
    tpo.ok("judge", "--samples", folder / "samples.h5", "--judge", "rule", "--out", folder / "scored.h5")
    tpo.ok("pairs", "--samples", folder / "scored.h5", "--out", folder / "pairs.h5", "--set", "pairs.mode=all")
    tpo.ok("dpo", "--model", model, "--pairs", folder / "pairs.h5", "--out", folder / "checkpoint.h5", "--batch", 2, ranks=2)
    return folder / "checkpoint.h5", prompts_of(folder / "samples.h5")


@pytest.fixture(scope="module")
def trained(tpo, tiny_model, tmp_path_factory):
    """With the layout whose texts are the hardest to carry on."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "odd.yaml").write_text(ODD)
    return train(tpo, folder, tiny_model, folder / "odd.yaml")


@pytest.fixture(scope="module")
def asked(tpo, tiny_model, tmp_path_factory):
    """The prompts that are sampled from with a layout."""
    folder = tmp_path_factory.mktemp("asked")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 3)

    def get(layout):
        samples = folder / f"{layout}.h5"
        if not samples.exists():
            tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", samples, "--k", 1, "--max-tokens", 60,
                   "--set", "thought.thought_tokens=0", "--thought", layout)
        return prompts_of(samples)
    return get


def template_of(folder):
    """The one that transformers takes; readers of the settings alone find the same."""
    jinja, settings = folder / "chat_template.jinja", json.loads((folder / "tokenizer_config.json").read_text())
    if not jinja.exists():
        return settings["chat_template"]
    assert settings["chat_template"] == jinja.read_text()
    return jinja.read_text()


def gguf_template(path):
    """The string behind its key: type 8, then the length."""
    key, data = b"tokenizer.chat_template", path.read_bytes()
    assert data.count(key) == 1
    at = data.index(key) + len(key)
    assert int.from_bytes(data[at:at + 4], "little") == 8
    size = int.from_bytes(data[at + 4:at + 12], "little")
    return data[at + 12:at + 12 + size].decode()


@pytest.mark.parametrize("layout", [*LAYOUTS, "odd"])
def test_an_export_renders_the_prompts_of_training(tpo, trained, asked, tmp_path, layout):
    checkpoint, prompts = trained
    named = []  # the checkpoint's own
    if layout != "odd":
        prompts, named = asked(layout), ["--thought", layout]
    tpo.ok("export", checkpoint, tmp_path / "hf", "--to", "hf", *named)
    tpo.ok("export", checkpoint, tmp_path / "model.gguf", "--to", "gguf", *named)
    source = template_of(tmp_path / "hf")
    assert gguf_template(tmp_path / "model.gguf") == source
    for instruction, prompt in prompts:
        assert render(source, [user(instruction)]) == prompt
        if source != tiny.CHATML:
            assert render(source, [user(parts(instruction))]) == prompt


@pytest.mark.parametrize("kind", TEMPLATES)
def test_templates_of_other_kinds(tpo, tiny_model, tmp_path, kind):
    """As GGUF files of the model as it is, whose layouts are named."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "chat_template.jinja").write_text(TEMPLATES[kind])
    (tmp_path / "odd.yaml").write_text(ODD)
    tiny.write_prompts(tmp_path / "prompts.jsonl", "p", 1)
    for layout in "generic", "think-tags", "system", "none", tmp_path / "odd.yaml":
        command = ["export", model, tmp_path / "model.gguf", "--to", "gguf", "--thought", layout]
        sample = ["generate", "--prompts", tmp_path / "prompts.jsonl", "--k", 1, "--max-tokens", 60, "--set", "thought.thought_tokens=0"]
        if kind == "no system" and layout not in ("generic", "think-tags", "none"):
            for words in command, [*sample, "--model", model, "--out", tmp_path / "samples.h5", "--thought", layout]:
                assert "no system message, please" in tpo.fails(*words, code=1)
            continue
        tpo.ok(*command)
        tpo.ok(*sample, "--model", model, "--out", tmp_path / "samples.h5", "--thought", layout)
        (instruction, prompt), = prompts_of(tmp_path / "samples.h5")
        source = gguf_template(tmp_path / "model.gguf")
        if layout == "none":
            assert source == TEMPLATES[kind]
            continue
        assert render(source, [user(instruction)]) == prompt
        tpo.ok(*sample, "--model", tmp_path / "model.gguf", "--out", tmp_path / "again.h5", "--thought", "none")
        with h5py.File(tmp_path / "samples.h5") as a, h5py.File(tmp_path / "again.h5") as b:
            assert a["prompt_token_ids"][:].tolist() == b["prompt_token_ids"][:].tolist()
    assert kind != "switch" or render(source, [user("x")], enable_thinking=True) == render(source, [user("x")]).replace("<think></think>", "")


def test_chats_of_several_turns(tpo, trained, tmp_path):
    """As training renders them, earlier answers given with their thoughts or without, other members of messages kept."""
    checkpoint, _ = trained
    tpo.ok("export", checkpoint, tmp_path / "hf", "--to", "hf")
    source = template_of(tmp_path / "hf")
    chat = [{"role": "system", "content": "Be {{ kind }}."}, user("One?"), {"role": "assistant", "content": "1."}, user("Two?")]
    for n, first in enumerate((0, 1)):
        (tmp_path / "chats.jsonl").write_text(json.dumps({"id": "a", "messages": chat[first:]}) + "\n")
        (tmp_path / "odd.yaml").write_text(ODD)
        tpo.ok("generate", "--model", checkpoint, "--prompts", tmp_path / "chats.jsonl", "--out", tmp_path / f"{n}.h5", "--k", 1,
               "--max-tokens", 40, "--thought", tmp_path / "odd.yaml")
        (_, expected), = prompts_of(tmp_path / f"{n}.h5")
        assert render(source, chat[first:]) == expected
        for answer in ("<T> one\n<R>{{ 1. ", " hm\n<R>{{\n1.", parts("<T> one <R>{{ 1.")):
            given = [dict(m, content=answer) if m["role"] == "assistant" else m for m in chat[first:]]
            assert render(source, given) == expected
    image = {"type": "image", "url": "x"}
    shown = render("{{ messages | tojson }}".join(source.rsplit(tiny.CHATML, 1)), [
        dict(user([image]), name="Ann"), {"role": "assistant", "tool_calls": [1]}, {"role": "tool", "content": "2"}])
    messages = json.loads(shown[:shown.index("<T>")])
    assert messages[1]["name"] == "Ann" and messages[1]["content"][1] == image and messages[1]["content"][0]["text"].startswith("{{ x }}")
    assert messages[2:] == [{"role": "assistant", "tool_calls": [1]}, {"role": "tool", "content": "2"}]


def test_a_chat_that_asks_for_nothing_is_the_models_own(tpo, trained, tmp_path):
    checkpoint, _ = trained
    tpo.ok("export", checkpoint, tmp_path / "hf", "--to", "hf")
    source = template_of(tmp_path / "hf")
    for chat in ([user("One?"), {"role": "assistant", "content": "a <R>{{ 1."}], [user("One?")]):
        assert render(source, chat, prompt=False) == render(tiny.CHATML, chat, prompt=False)
    for chat in ([{"role": "system", "content": "s"}], [{"role": "assistant", "content": "a"}]):  # nobody asks
        assert render(source, chat) == render(tiny.CHATML, chat)


def test_an_export_can_be_made_again_with_another_layout(tpo, trained, asked, tmp_path):
    checkpoint, prompts = trained
    sources = []
    for layout, expected in (None, prompts), ("specific", asked("specific")), ("none", None), (None, prompts):
        tpo.ok("export", checkpoint, tmp_path / "hf", "--to", "hf", *(["--thought", layout] if layout else []))
        sources.append(template_of(tmp_path / "hf"))
        if expected:
            assert [render(sources[-1], [user(instruction)]) for instruction, _ in expected] == [prompt for _, prompt in expected]
    assert sources[0] == sources[3] != sources[1] and sources[2] == tiny.CHATML
    tpo.ok("export", checkpoint, tmp_path / "hf", "--to", "hf", "--thought", "none")
    assert not (tmp_path / "hf" / "chat_template.jinja").exists()


def test_settings_beside_the_template_stay_as_they_are(tpo, tiny_model, tmp_path):
    """Large numbers, unknown keys; several templates become one, which is told."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    templates = [{"name": "default", "template": tiny.CHATML}, {"name": "rag", "template": "{{ documents }}"}]
    text = '{"model_max_length": 1000000000000000019884624838656, "z": {"chat_template": "\\"}"}, "chat_template": %s, "n": 1.50, ' \
           '"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}' % json.dumps(templates)
    (model / "tokenizer_config.json").write_text(text)
    pairs = [{"prompt": f"Say {i}.", "chosen": "the one", "rejected": "and"} for i in range(2)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    tpo.ok("dpo", "--model", model, "--pairs", tmp_path / "pairs.jsonl", "--out", tmp_path / "c.h5", "--batch", 2)
    tpo.ok("export", tmp_path / "c.h5", tmp_path / "own", "--to", "hf")  # pairs of JSON Lines have no layout
    assert (tmp_path / "own" / "tokenizer_config.json").read_text() == text
    result = tpo("export", tmp_path / "c.h5", tmp_path / "hf", "--to", "hf", "--thought", "generic")
    assert result.returncode == 0 and b'template "rag" is left out' in result.stderr
    source = (tmp_path / "hf" / "chat_template.jinja").read_text()
    assert (tmp_path / "hf" / "tokenizer_config.json").read_text() == text.replace(json.dumps(templates), json.dumps(source)) \
        or json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())["chat_template"] == source
    assert '"model_max_length": 1000000000000000019884624838656, "z": {"chat_template": "\\"}"}' in \
        (tmp_path / "hf" / "tokenizer_config.json").read_text()


@pytest.mark.parametrize("lacks", ["tokenizer", "template", "a template that runs"])
def test_a_model_that_was_not_asked_needs_no_template(tpo, tiny_model, tmp_path, lacks):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    if lacks == "tokenizer":
        (model / "tokenizer.json").unlink()
    else:
        settings = json.loads((model / "tokenizer_config.json").read_text())
        settings |= {"chat_template": "{% include 'x' %}"} if "runs" in lacks else {"chat_template": None}
        (model / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "pairs.jsonl").write_text('{"prompt_ids":[1,2],"chosen_ids":[3],"rejected_ids":[4,5]}\n')
    tpo.ok("dpo", "--model", model, "--pairs", tmp_path / "pairs.jsonl", "--out", tmp_path / "c.h5", "--batch", 1)
    result = tpo("export", tmp_path / "c.h5", tmp_path / "hf", "--to", "hf")
    assert result.returncode == 0 and b"stays as it is" in result.stderr, result.stderr
    if lacks != "tokenizer":
        assert (tmp_path / "hf" / "tokenizer_config.json").read_text() == (model / "tokenizer_config.json").read_text()
    assert not (tmp_path / "hf" / "chat_template.jinja").exists()
    tpo.fails("export", tmp_path / "c.h5", tmp_path / "other", "--to", "hf", "--thought", "generic")
    assert not (tmp_path / "other").exists()


def test_pieces_become_a_template(tpo, tiny_model, tmp_path):
    pieces = {"bos": "<|endoftext|>", "system_prefix": "S'{{", "system_suffix": "\\n\n", "user_prefix": "<|im_start|>U ", "user_suffix": "<|im_end|>",
              "assistant_prefix": "A: ", "assistant_suffix": "\n", "default_system": "de {% fault"}
    config = tmp_path / "pieces.yaml"
    config.write_text(json.dumps({"template": pieces}))
    checkpoint, prompts = train(tpo, tmp_path, tiny_model, "generic", "--config", config)
    tpo.ok("export", checkpoint, tmp_path / "hf", "--to", "hf")
    source = template_of(tmp_path / "hf")
    for instruction, prompt in prompts:
        assert prompt.startswith("<|endoftext|>S'{{de {% fault\\n\n<|im_start|>U ")
        assert render(source, [user(instruction)]) == prompt and render(source, [user(parts(instruction))]) == prompt
    chat = [{"role": "system", "content": "s"}, user("One?"), {"role": "assistant", "content": "1"}]
    shown = tpo.ok("template", "--model", tiny_model, "--config", config, "--no-generation-prompt", stdin=json.dumps(chat))
    assert render(source, chat, prompt=False) == shown
    with pytest.raises(jinja2.exceptions.TemplateError, match="the role tool is none of"):
        render(source, [{"role": "tool", "content": "x"}])


def checkpoint_of(tpo, model, out, *settings):
    """One that tells a layout, from pairs that need none."""
    pairs = out.with_suffix(".jsonl")
    pairs.write_text(json.dumps({"prompt": "Say it.", "chosen": "the one", "rejected": "and"}) + "\n")
    tpo.ok("dpo", "--model", model, "--pairs", pairs, "--out", out, "--batch", 1, *settings)
    return out


def test_auto_is_settled_by_the_template(tpo, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "chat_template.jinja").write_text(TEMPLATES["opened"])
    checkpoint = checkpoint_of(tpo, model, tmp_path / "c.h5", "--set", "thought=generic")
    (tmp_path / "run.yaml").write_text("thought: auto\n")
    for i, given in enumerate((["--thought", "think-tags"], ["--thought", "auto"], ["--config", tmp_path / "run.yaml"])):
        tpo.ok("export", checkpoint, tmp_path / f"{i}.gguf", "--to", "gguf", *given)
        assert gguf_template(tmp_path / f"{i}.gguf") == gguf_template(tmp_path / "0.gguf")
    assert "Notes to myself" not in gguf_template(tmp_path / "0.gguf")


def test_pieces_have_no_switches(tpo, tiny_model, tmp_path):
    config = tmp_path / "pieces.yaml"
    config.write_text(json.dumps({"template": {"system_prefix": "S ", "system_suffix": "\n", "user_prefix": "U ", "user_suffix": "\n",
                                               "assistant_prefix": "A: ", "assistant_suffix": "\n"}}))
    layout = ["--config", config, "--set", "thought=think-tags"]
    checkpoint = checkpoint_of(tpo, tiny_model, tmp_path / "c.h5", *layout)
    result = tpo("export", checkpoint, tmp_path / "hf", "--to", "hf")
    assert result.returncode == 0 and b"switch nothing" not in result.stderr, result.stderr
    assert render(template_of(tmp_path / "hf"), [user("One?")]) == "U One?\nA: "
    args = ["--set", "thought.template_args.x=1"]
    assert b"switch nothing" in tpo("chat", "--model", tiny_model, *layout, *args, stdin=b"").stderr


@pytest.mark.parametrize("kind", ["plain", "switch"])
def test_an_export_that_was_trained_is_exported_as_it_is(tpo, tiny_model, tmp_path, kind):
    """With the layouts that it may be trained with: what its template doesn't say yet is added."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    if kind == "switch":
        (model / "chat_template.jinja").write_text(TEMPLATES["switch"])
    tpo.ok("export", checkpoint_of(tpo, model, tmp_path / "c.h5"), tmp_path / "asks", "--to", "hf", "--thought", "generic")
    source = template_of(tmp_path / "asks")
    layout = tmp_path / "markers.yaml"
    layout.write_text('prompt: "{instruction}"\nthought_marker: "Notes to myself:"\nresponse_marker: "\\nReply for the user:"\n')
    for i, thought in enumerate(("none", layout)):
        checkpoint = checkpoint_of(tpo, tmp_path / "asks", tmp_path / f"{i}.h5", "--set", f"thought={thought}")
        result = tpo("export", checkpoint, tmp_path / f"{i}.gguf", "--to", "gguf")
        assert result.returncode == 0 and b"warning" not in result.stderr.lower() and b"as it is" in result.stderr, result.stderr
        assert gguf_template(tmp_path / f"{i}.gguf") == source
    layout.write_text(layout.read_text() + "template_args: {enable_thinking: true}\n")
    checkpoint = checkpoint_of(tpo, tmp_path / "asks", tmp_path / "on.h5", "--set", f"thought={layout}")
    tpo.ok("export", checkpoint, tmp_path / "on.gguf", "--to", "gguf")
    shown = render(gguf_template(tmp_path / "on.gguf"), [user("One?")])
    assert shown == render(source, [user("One?")], enable_thinking=True) and (shown != render(source, [user("One?")])) == (kind == "switch")


def test_what_can_not_be_asked_for(tpo, tiny_model, trained, tmp_path):
    checkpoint, _ = trained
    assert "generic" in tpo.fails("export", checkpoint, tmp_path / "hf", "--to", "hf", "--thought", "nothing", code=2)
    for text, told in ("prompt: [1", "layout.yaml:2: not valid YAML"), ("prompt: no slot", "exactly once"), ("promt: x", "no key `prompt`"), ("", "mapping"):
        (tmp_path / "layout.yaml").write_text(text)
        assert told in tpo.fails("export", checkpoint, tmp_path / "hf", "--to", "hf", "--thought", tmp_path / "layout.yaml", code=2)
    error = tpo.fails("export", checkpoint, tmp_path / "hf", "--to", "hf", "--set", "thought.prefill=Hm", code=2)
    assert "thought.prefill: a layout is exported as a whole" in error and "--thought NAME|FILE" in error
    assert not (tmp_path / "hf").exists()
    tpo.ok("export", checkpoint, tmp_path / "model.gguf", "--to", "gguf", "--type", "f32")
    error = tpo.fails("export", tmp_path / "model.gguf", tmp_path / "again.gguf", "--to", "gguf", "--thought", "generic", code=2)
    assert "asks for a thought already" in error and "expected thought: none" in error
    tpo.ok("export", tmp_path / "model.gguf", tmp_path / "again.gguf", "--to", "gguf")
    assert gguf_template(tmp_path / "again.gguf") == gguf_template(tmp_path / "model.gguf")
    broken = tmp_path / "broken.h5"
    broken.write_bytes(checkpoint.read_bytes())
    with h5py.File(broken, "r+") as file:
        file.attrs["config"] = "thought: {nme: x}"
    error = tpo.fails("export", broken, tmp_path / "hf", "--to", "hf", code=2)
    assert "broken.h5: its configuration:1: unknown key thought.nme" in error and "expected --thought" in error
    tpo.ok("export", broken, tmp_path / "hf", "--to", "hf", "--thought", "none")


def test_the_log_tells_who_reads_the_thought(tpo, trained, tmp_path):
    def told(layout):
        result = tpo("export", trained[0], tmp_path / "hf", "--to", "hf", "--thought", layout)
        assert result.returncode == 0, result.stderr
        return result.stderr.decode()

    assert 'no reasoning parser' in told("generic") and '"\\nReply for the user:"' in told("generic")
    layout = tmp_path / "layout.yaml"
    layout.write_text('prompt: "{instruction}"\nthought_marker: "Here is my thought process:"\nresponse_marker: "Here is my response:"\n')
    assert "vllm serve --reasoning-parser granite" in told(layout)
    layout.write_text('prompt: "{instruction}"\nthought_marker: "<think>"\nresponse_marker: "</think>"\n')
    assert "SGLang --reasoning-parser qwen3 and llama-server --reasoning-format deepseek; vLLM's parsers want" in told(layout)
    layout.write_text('prompt: "{instruction}"\nthought_marker: "<think>"\nresponse_marker: "</think>"\nprefill: "<think>\\n"\n')
    assert "SGLang --reasoning-parser deepseek-r1" in told(layout)
    assert "reasoning" not in told("none")
