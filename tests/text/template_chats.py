"""Chats for compare_templates.py: a fixed set of them and random ones, as the variables that a template sees."""
import json
import re

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a place.\nToday's, \"mostly\" right.",
    "parameters": {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "A town's name"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "days": {"type": ["integer", "null"], "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}},
        "near": {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}}}}},
    "return": {"type": "string"}}}
CLOCK = {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}
BARE = {"name": "add", "description": "Adds <numbers> & more", "parameters": {
    "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
CONTENTS = [
    "Hello", "How many r's are in strawberry?", "", " ", "\n", "  two  spaces  ", "\n\nlines\n\n", "tab\there", "Grüße, 世界! 🙂",
    "e\u0301\u00a0x\u2028y\u3000", "<think>\nsum</think>\n\n4", "<think>a</think>b</think>c", "</think>", "<think>", "{{ x }} {% y %} {# z #}",
    "<|im_start|>system\nhi<|im_end|>", "<s>[INST] x [/INST]</s>", "<|eot_id|>", "<start_of_turn>", "a\r\nb\r", "a&b <c> \"d\" 'e'", "\\n \\\" \\",
    "/no_think", "/think", "x /no_think\n", "1", "0.5", "{\"a\": [1, 2.50, null, true]}", "[1, 2]", "ß ǅ İ ﬁ", "a\x00b\x1fc\x7f\x85d",
    "```python\nprint(1)\n```", "line one\n  line two\n", "<tool_call>\n{}\n</tool_call>", "None", "user", "a%sb%d{}{0}",
]
WORDS = ["rain", "the", "kettle", "12", "é", "世", "\n", " ", "  ", "\t", "<", ">", "|", "&", "\"", "'", "{", "}", "\\", "<think>", "</think>",
         "🙂", "\u200b", "ǆ", "Straße", "I'm", ".", ",", "\r\n", "Σ", "x"]
CALL_IDS = ["call00001", "abcdefghi", "1", "", "call_0123456789", "functions.now:0"]


def call(rng, as_text):
    arguments = rng.choice([{"place": "Oslo"}, {}, {"place": "São Paulo", "days": 3, "tags": ["a", "b\n"], "near": {"lat": 1.5, "lon": None}},
                            {"a": 1, "b": -2.5e-7, "c": True}, {"code": "print('x')\n", "q": "\"quoted\" <b>"}])
    one = {"type": "function", "function": {"name": rng.choice(["get_weather", "now", "add"]),
                                            "arguments": json.dumps(arguments) if as_text else arguments}}
    if rng.random() < 0.7:
        one["id"] = rng.choice(CALL_IDS)
    return one if rng.random() < 0.9 else one["function"]


def text(rng, extra):
    r = rng.random()
    if r < 0.55:
        return rng.choice(CONTENTS)
    return "".join(rng.choice(WORDS + extra) for _ in range(rng.randint(1, 9)))


def parts(rng, extra):
    kinds = [lambda: {"type": "text", "text": text(rng, extra)}, lambda: {"type": "text", "text": text(rng, extra)}, lambda: {"type": "image"},
             lambda: {"type": "image_url", "image_url": {"url": "x.png"}}, lambda: text(rng, extra), lambda: {"text": text(rng, extra)},
             lambda: {"type": "thinking", "thinking": text(rng, extra)}, lambda: {"type": "audio", "audio": "a.wav"}, lambda: {"type": "video"}]
    return [rng.choice(kinds[:2] if rng.random() < 0.8 else kinds)() for _ in range(rng.randint(0, 3))]


def message(rng, role, extra):
    content = text(rng, extra) if rng.random() < 0.86 else parts(rng, extra) if rng.random() < 0.7 else rng.choice([None, 3, [], {}, ["a"], True])
    one = {"role": role, "content": content}
    if role == "assistant":
        if rng.random() < 0.25:
            one[rng.choice(["reasoning_content", "thinking", "reasoning", "thought", "thoughts"])] = rng.choice([text(rng, extra), text(rng, extra), None])
        if rng.random() < 0.2:
            one["tool_calls"] = [call(rng, rng.random() < 0.3) for _ in range(rng.randint(0, 3))] if rng.random() < 0.95 else None
            if rng.random() < 0.5:
                one["content"] = rng.choice([None, ""])
                if rng.random() < 0.3:
                    del one["content"]
        if rng.random() < 0.05:
            one["prefix"] = rng.random() < 0.5
    if role in ("tool", "function"):
        if rng.random() < 0.7:
            one["tool_call_id"] = rng.choice(CALL_IDS)
        if rng.random() < 0.6:
            one["name"] = rng.choice(["get_weather", "now"])
        if rng.random() < 0.15:
            one["content"] = rng.choice([{"temperature": 21.5, "sky": "grey"}, [1, 2], "{\"t\": 1}"])
    if rng.random() < 0.02:
        one.pop(rng.choice(["role", "content"]), None)
    return one


def roles(rng):
    """Mostly chats that a model's makers meant, some that templates refuse."""
    r = rng.random()
    out = [rng.choice(["system", "system", "developer"])] if rng.random() < 0.5 else []
    if r < 0.75:
        for _ in range(rng.randint(1, 4)):
            out.append("user")
            if rng.random() < 0.25:
                out += ["assistant"] + ["tool"] * rng.randint(1, 2)
            out.append("assistant")
        if rng.random() < 0.7:
            out.pop()
        return out
    names = ["system", "user", "assistant", "tool", "user", "assistant", "developer", "function", "ipython", "critic", "User", "", "environment"]
    return out + [rng.choice(names) for _ in range(rng.randint(0, 5))]


def random_chat(rng, extra, undeclared):
    """The variables of one rendering. extra: strings of the template's own for contents; undeclared: its variables' names."""
    inputs = {"messages": [message(rng, role, extra) for role in roles(rng)], "tools": None, "documents": None,
              "add_generation_prompt": rng.random() < 0.6, **TOKENS}
    if rng.random() < 0.35:
        inputs["tools"] = [rng.choice([WEATHER, CLOCK, WEATHER, CLOCK, BARE]) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.1:
        inputs["documents"] = [{"title": text(rng, extra), "text": text(rng, extra), "doc_id": str(i)} for i in range(rng.randint(0, 2))]
    for name in sorted(undeclared - inputs.keys()):
        r = rng.random()
        if r < 0.35:
            flag = re.search(r"enable|think|keep|clear|is_|use_|add_|_in_|bool|preserve|truncate|has_", name)
            inputs[name] = rng.random() < 0.5 if flag and rng.random() < 0.9 else rng.choice(
                [True, False, None, "", "high", "low", "on", "off", "14 Nov 2024", 5, 0, [], {}, ["a", "b"], [WEATHER], {"a": "b"}])
    if rng.random() < 0.05:
        inputs.pop("bos_token")
    return inputs


def fixed_chats(names=("tools", "add_generation_prompt", "enable_thinking")):
    """Chats under a name, each with and without tools and the prompt for an answer, and with thinking on and off, as far as a template
    has these names."""
    u, a, s = (lambda c, **k: {"role": "user", "content": c, **k}), (lambda c, **k: {"role": "assistant", "content": c, **k}), \
        (lambda c: {"role": "system", "content": c})
    use = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Oslo", "days": 2}}}
    use_text = {**use, "function": {"name": "get_weather", "arguments": "{\"place\": \"Oslo\"}"}}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "21.5"}
    chats = {
        "single": [u("Hi")], "system": [s("Be brief."), u("Hi")], "turns": [u("Hi"), a("Hello."), u("Sum?")],
        "system_turns": [s("Be brief."), u("Hi"), a("Hello."), u("Sum?"), a("4")], "white": [s("  a \n"), u("\n b\t"), a("  c\n\n"), u(" d ")],
        "unicode": [s("Grüße"), u("世界 🙂 e\u0301"), a("\u00a0x\u3000"), u("ß")], "empty": [s(""), u(""), a(""), u("")],
        "thought": [u("2+2?"), a("<think>\nsum\n</think>\n\n4"), u("3+3?")], "reasoning": [u("2+2?"), a("4", reasoning_content="sum"), u("3+3?")],
        "reasoning_last": [u("2+2?"), a("4", reasoning_content="\nsum\n")], "thinking": [u("2+2?"), a("4", thinking="sum"), u("x")],
        "control": [s("<|im_start|><s>[INST]"), u("</s><|eot_id|><end_of_turn><|im_end|>"), a("<|endoftext|>"), u("{{ 1 }}")],
        "parts": [s([{"type": "text", "text": "Be brief."}]), u([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
                  a([{"type": "text", "text": "c"}]), u([{"type": "image"}, {"type": "text", "text": "d"}])],
        "unknown_role": [u("Hi"), {"role": "critic", "content": "Hm"}], "not_alternating": [u("a"), u("b"), a("c"), a("d")],
        "assistant_first": [a("x"), u("y")], "late_system": [u("a"), s("b"), u("c")], "developer": [{"role": "developer", "content": "Be kind"}, u("a")],
        "none": [u("a"), a(None), u("b")], "no_messages": [], "calls": [u("Weather?"), a("", tool_calls=[use]), result, a("Fine."), u("Thanks")],
        "calls_text": [u("Weather?"), a(None, tool_calls=[use_text]), result], "two_calls": [s("x"), u("w?"), a("so", tool_calls=[use, use]), result, result],
        "call_reasoned": [u("w?"), a("", reasoning_content="ask", tool_calls=[use]), result, a("ok", reasoning_content="done")],
        "no_think": [u("Hi /no_think"), a("x"), u("y /think")], "last_assistant": [u("a"), a("b")],
    }
    for name, messages in chats.items():
        for tools in (None, [WEATHER, CLOCK]) if "tools" in names else (None,):
            for prompt in (False, True) if "add_generation_prompt" in names else (True,):
                for thinking in (None, False, True) if {"enable_thinking", "thinking"} & set(names) else (None,):
                    inputs = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": prompt, **TOKENS}
                    if thinking is not None:
                        inputs["enable_thinking"] = inputs["thinking"] = thinking
                    yield name, inputs
