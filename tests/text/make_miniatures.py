#!/usr/bin/env python3
"""Makes fixtures/jinja_miniatures.json: small chat templates of our own, one for each thing that published ones do, and
what jinja2 with transformers' settings makes of them.

    python tests/text/make_miniatures.py

Needs jinja2 and transformers. {"inputs": {name: variables}, "templates": [{"name", "template", "cases": [{"inputs": name,
"text" or "error": ...}]}]}; an error is what the template itself raised, or "" where it is Python's or jinja2's own.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from compare_templates import Python  # noqa: E402
from template_chats import CLOCK, TOKENS, WEATHER, fixed_chats  # noqa: E402

TEMPLATES = {
    "turns": "{% for m in messages %}{{ '<|turn ' ~ m['role'] ~ '|>\\n' + m['content'] | trim + '<|over|>\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|turn assistant|>\\n' }}{% endif %}",
    "turns over lines": """{{- bos_token }}
{%- if messages and messages[0].role == 'system' %}
    {%- set head = messages[0].content %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set head = '' %}
    {%- set rest = messages %}
{%- endif %}
{#- what stands before the first turn -#}
{% if head %}
Rules: {{ head | trim }}

{% endif %}
{% for m in rest %}
  {% if m.role == "user" %}
Q: {{ m.content }}
  {%- elif m.role == "assistant" %}

A: {{ m.content }}{{ eos_token }}
  {% endif %}
{% endfor %}
{% if add_generation_prompt -%}
A:
{%- endif %}
""",
    "strict turns": """{%- if messages[0]['role'] == 'system' -%}{%- set system = '<<' + messages[0]['content'] + '>>\\n\\n' -%}{%- set rest = messages[1:] -%}
{%- else -%}{%- set rest = messages -%}{%- endif -%}
{%- for m in rest -%}
{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('turns go user, assistant, user; turn ' ~ loop.index ~ ' is ' ~ m['role']) }}{%- endif -%}
{%- if loop.index0 == 0 and system is defined -%}{%- set content = system + m['content'] -%}{%- else -%}{%- set content = m['content'] -%}{%- endif -%}
{%- if m['role'] == 'user' -%}{{ bos_token + '[Q] ' + content.strip() + ' [/Q]' }}{%- elif m['role'] == 'assistant' -%}{{ ' ' + content.strip() + ' ' + eos_token }}
{%- else -%}{{ raise_exception('No such role: ' + m['role']) }}{%- endif -%}
{%- endfor -%}""",
    "parts": """{%- set count = namespace(images=0) -%}
{%- macro show(content) -%}
{%- if content is string -%}{{ content }}
{%- elif content is iterable and content is not mapping -%}
{%- for part in content -%}
{%- if part is mapping and (part.type == 'image' or 'image_url' in part) -%}{%- set count.images = count.images + 1 -%}<image {{ count.images }}>
{%- elif part is mapping and 'text' in part -%}{{ part.text }}{%- elif part is string -%}{{ part }}
{%- else -%}{{ raise_exception('unknown part ' ~ part) }}{%- endif -%}
{%- endfor -%}
{%- elif content is none or content is undefined -%}
{%- else -%}{{ raise_exception('content is ' ~ content) }}{%- endif -%}
{%- endmacro -%}
{%- for m in messages %}
<{{ m.role }}>{{ show(m.content) }}</{{ m.role }}>
{%- endfor %} {{ count.images }}""",
    "thoughts": """{%- set ns = namespace(several=false, last=messages|length - 1) -%}
{%- for m in messages[::-1] -%}
{%- set index = (messages|length - 1) - loop.index0 -%}
{%- if not ns.several and m.role == 'user' and m.content is string and not (m.content.startswith('<result>') and m.content.endswith('</result>')) -%}
{%- set ns.several = true -%}{%- set ns.last = index -%}
{%- endif -%}
{%- endfor -%}
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{%- set content = m.content or '' -%}{%- set thought = '' -%}
{%- if m.reasoning_content is string -%}{%- set thought = m.reasoning_content -%}
{%- elif '</think>' in content -%}
{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{%- if loop.index0 > ns.last and (loop.last or thought) -%}[a]<think>\n{{ thought.strip('\\n') }}\n</think>\n\n{{ content }}[/a]
{%- else -%}[a]{{ content }}[/a]{%- endif -%}
{%- else -%}[{{ m.role[0] if m.role else '?' }}]{{ m.content }}[/]{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}[a]{%- if enable_thinking is defined and enable_thinking is false -%}<think>\n\n</think>\n\n{%- elif thinking | default(false) -%}<think>\n{%- endif -%}{%- endif -%}""",
    "tools": """{%- if tools %}
{{- 'Tools:\\n' }}
{%- for tool in tools %}
{{- tool.function | tojson if tool.function is defined else tool | tojson }}
{{ tool | tojson(indent=2) }}
{% endfor %}
{%- endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}
{%- if loop.first or loop.previtem.role != 'tool' %}<results>{% endif %}
{{ {"from": m.name | default('?', true), "value": m.content} | tojson }}
{%- if loop.last or loop.nextitem.role != 'tool' %}</results>{% endif %}
{%- elif m.tool_calls %}
{{ m.content if m.content else '' }}
{%- for c in m.tool_calls %}
{%- set c = c.function if c.function else c %}
<call>{"name": "{{ c.name }}", "arguments": {% if c.arguments is string %}{{ c.arguments }}{% else %}{{ c.arguments | tojson }}{% endif %}}</call>
{%- if not loop.last %},{% endif %}
{%- endfor %}
{%- else %}
({{ m.role }}) {{ m['content'] }}
{%- endif %}
{%- endfor %}""",
    "schemas": """{%- macro kind(of, depth=0) -%}
{%- if of.type is string -%}
{%- if of.type == 'object' -%}{
{%- for name, inner in (of.properties or {}) | dictsort %}
{{ '  ' * (depth + 1) }}{{ name }}{{ '' if name in (of.required or []) else '?' }}: {{ kind(inner, depth + 1) }}{{ ',' if not loop.last }}
{%- endfor %} }{%- elif of.type == 'array' -%}{{ kind(of['items'], depth=depth) }}[]
{%- elif of.enum -%}{{ of.enum | map('tojson') | join(' | ') }}
{%- else -%}{{ {'number': 'float', 'integer': 'int'}.get(of.type, of.type) }}{%- endif -%}
{%- elif of.type is sequence -%}{{ of.type | join('|') | replace('null', 'nothing') }}
{%- else -%}any{%- endif -%}
{%- if of.default is defined %} = {{ of.default | tojson }}{% endif -%}
{%- endmacro -%}
{% for tool in tools or [] %}
{% set f = tool.function or tool %}
// {{ (f.description or 'no words') | replace('\\n', ' ') | upper }}
{{ f.name | title }}({{ kind(f.parameters) }})
{% for key, value in f.parameters.properties.items() if value is mapping and 'description' in value %}
{{ loop.index }} {{ key }}: {{ value.description | capitalize }}
{% else %}
nothing described
{% endfor %}
{% endfor %}
{% for m in messages if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}{% for k, v in c.function.arguments | items %}<{{ k }}>{{ v if v is string else v | tojson }}</{{ k }}>{% endfor %}{% endfor %}{% endfor %}""",
    "dates": """{%- if date is not defined %}{%- set date = strftime_now('%d %b %Y') if strftime_now is defined else '1 Jan' %}{%- endif -%}
Today is {{ date }} ({{ strftime_now("%A, %Y-%m-%d %H:%M") }}).{{ '\\n' }}
{%- for m in messages %}{{ m.role | upper }}/{{ m.role | length }}: {{ m.content | string | length }}
{% endfor -%}""",
    "lists": """{{ messages | map(attribute='role') | join(', ') }};{{ messages | selectattr('role', 'equalto', 'user') | list | length }};
{{- messages | rejectattr('role', 'in', ['user', 'assistant']) | map(attribute='role') | unique | sort | join('+') }};{{ (messages | first).role if messages }};
{{- (messages | map(attribute='content') | select('string') | list | last) | default('none') }};{{ messages | map(attribute='role') | map('upper') | map('first') | join }};
{%- for role, group in messages | groupby('role') %}{{ role }}={{ group | length }} {% endfor %};
{%- set all = namespace(texts=[]) %}{% for m in messages %}{% set all.texts = all.texts + [m.content] %}{% endfor %}{{ all.texts | reverse | list | tojson }};
{{- messages[-1:] | map(attribute='role') | list }}{{ messages[:1] | length }}{{ range(3, 0, -1) | list }}{{ [1, 2.5, 'a', none, true, [], {}] }}""",
    "blocks": """{%- macro box(title, width=3) -%}{{ title }}{{ '=' * width }}{{ varargs | length }}{{ caller(title) if caller }}{%- endmacro -%}
{%- set body | trim | replace('a', 'o') %}
  {% for m in messages %}{{ m.role }} {% endfor %}

{% endset -%}
[{{ body }}]{% call(t) box('head', 2) %}({{ t }}){{ messages | length }}{% endcall %}{{ box('x', 1, 2, 3) }}
{% filter upper | indent(2) %}
one
two {{ bos_token }}
{% endfilter %}
{% with a = 1, b = 'z' %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}
{% raw %}{{ not run }} {% nor this %}{% endraw %}
{%+ if true %} kept {% endif +%}
{% generation %}{{ eos_token }}{% endgeneration %} .""",
    "loops": """{%- for m in messages -%}
{%- if loop.index > 3 %}{% break %}{% endif -%}
{%- if not m.content %}{% continue %}{% endif -%}
{{ loop.index }}/{{ loop.length }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.cycle('odd', 'even') }} {{ loop.changed(m.role) }} {{ loop.depth }};
{%- for c in m.content if c != ' ' %}{{ c }}{{ loop.depth0 }}{% if loop.index == 2 %}{% break %}{% endif %}{% else %}empty{% endfor %}
{% else -%}nobody{%- endfor -%}
{%- for x in [1, [2, [3]], 4] recursive %}{% if x is iterable %}<{{ loop(x) }}>{% else %}{{ x }}{% endif %}{% endfor -%}
{%- set outer = 1 %}{% for i in range(2) %}{% set outer = outer + i + 1 %}{{ outer }}{% endfor %}{{ outer }}
{%- for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}""",
    "texts": """{%- set s = (messages | last).content | default('', true) | string if messages else 'none' -%}
{{ s[0] }}|{{ s[-1:] }}|{{ s[1:4] }}|{{ s[::-1] }}|{{ s[:-2] }}|{{ s | upper }}|{{ s | title }}|{{ s | capitalize }}|{{ s.strip('<>|') }}|{{ s.split() }}|{{ s.split('|', 1)[-1] }}
{{ s ~ 1 ~ none ~ true ~ 2.0 }}|{{ '%s has %d' % (s, s | length) }}|{{ '%r' | format(s) }}|{{ '{:>6}|{!r}'.format('ab', s) }}|{{ s.replace('i', 'I', 1) }}|{{ s | replace('<', '[') }}
{{ s | tojson }}|{{ s | indent(3) }}|{{ s in 'Hi there' }}|{{ s.find('i') }}|{{ s.count(' ') }}|{{ s is lower }}|{{ s < 'M' }}|{{ s | truncate(8) }}|{{ s | wordcount }}|{{ 'a' 'b' "c\\u00e9\\n" }}
{{ s.partition(' ') | join('-') }}|{{ s.splitlines() | length }}|{{ s | list | first if s }}|{{ s.rstrip().endswith(('.', '?', 'i')) }}|{{ (s | trim).removeprefix('H') }}""",
    "conditions": """{%- for m in messages -%}
{%- set tag = {'system': 'S', 'user': 'U'}[m.role] if m.role in {'system': 1, 'user': 1} else ('A' if m['role'] == 'assistant' else m.role | upper) -%}
{{ tag }}{{ ' last' if loop.last }}{{ '!' if loop.last and not add_generation_prompt and m.role not in ['user', 'system'] else '' }}
{%- if 0 < loop.index <= 2 and (m.content is not none or false) %} early{% elif loop.index is divisibleby 2 %} even{% else %} odd{% endif %};
{%- endfor -%}
{{ missing is defined }}{{ missing | default('d') }}{{ missing or 'o' }}{{ messages and 1 or 2 }}{{ not messages }}{{ none is none }}{{ tools is not none }}{{ 1 if missing else 2 }}
{{- 7 // 2 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 2 ** 3 }}{{ 7 / 2 }}{{ 1 == 1.0 }}{{ -2 ** 2 }}{{ 3 - -1 }}{{ 1.50 }}{{ 1e20 }}{{ 2 * 'ab' }}""",
    "unfinished": """{%- for m in messages -%}
{{ '<|' + m.role + '|>' + m.content }}
{%- if not (loop.last and m.role == 'assistant' and m.prefix) %}{{ eos_token }}{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt and (messages | last).role != 'assistant' -%}{{ '<|assistant|>' }}{%- endif -%}""",
    "set too late": "{% for i in [1] %}{{ eos_token }}{% for j in [1] %}{{ bos_token }}{% endfor %}{% set bos_token = 1 %}{{ bos_token }}{% else %}{% endfor %}"
                    "{% filter upper %}{{ unk_token }}{% endfilter %}{% macro m(a=pad_token) %}{{ a }}{% endmacro %}{{ m() }}{{ bos_token }}"
                    "{% if true %}{% set unk_token = 2 %}{% endif %}{% set pad_token = 3 %}{% set eos_token = 4 %}{{ m() }}",
    "blocks asked for": "{{ self.head is defined }}{% if self.head %}a{% endif %}", "plain letters": "{{ '<a' | e | list }}",
    "filter without text": "{% filter length %}abc{% endfilter %}", "joining with": "{{ joiner(', ')(1) }}", "next after": "{{ cycler(1, 2).next(1) }}",
    "dict of nothing": "{{ dict(nothing) }}", "unhashable": "{{ [1] is filter }}",
    "missing member": "{{ messages[0].nothing.at_all }}", "missing name": "{{ nothing['x'] }}", "past the end": "{{ messages[99].role }}",
    "adding kinds": "{{ 'a' + 1 }}", "no such method": "{{ 'a'.shout() }}", "dividing": "{{ 1 // 0 }}", "not callable": "{{ bos_token() }}",
    "missing argument": "{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}|{{ f(1, 2, 3) }}", "changing": "{% set _ = messages.append(1) %}",
    "underscores": "{{ ''.__class__ }}", "too far": "{% for i in range(1000000000) %}{% endfor %}", "not a sequence": "{% for x in 5 %}{% endfor %}",
}
CHATS = ["single", "system_turns", "white", "empty", "thought", "reasoning", "control", "parts", "unknown_role", "not_alternating", "none", "no_messages", "calls",
         "call_reasoned", "two_calls", "last_assistant"]


def inputs():
    """Of the fixed chats those that say something here, in two settings each; and some whose contents are in code points of their own."""
    chosen = {}
    for name, variables in fixed_chats():
        tools, thinking, prompt = variables["tools"], variables.get("enable_thinking"), variables["add_generation_prompt"]
        if name in CHATS and (not tools, thinking, prompt) in ((True, None, True), (False, False, False)):
            chosen[f"{name}, {'no tools' if not tools else 'tools'}"] = variables
    for name, messages in private().items():
        chosen[name] = {"messages": messages, "tools": [WEATHER, CLOCK], "add_generation_prompt": True, **TOKENS}
    return chosen


def private():
    """U+E000 and the following, which are in nothing else: as texts, parts, thoughts, calls and results, in two orders."""
    user, marks = {"role": "user", "content": "\ue003\n\ue004|\ue005"}, [chr(0xE010 + i) for i in range(16)]
    call = {"id": marks[0], "type": "function", "function": {"name": marks[1] + "x", "arguments": {marks[2]: f" {marks[3]} ", "n": [1, marks[4]]}}}
    return {
        "private": [{"role": "system", "content": "\ue000\ue001 \ue002"}, user,
                    {"role": "assistant", "content": "<think>\ue006</think>\n\ue007", "reasoning_content": "\ue008\n"}, {"role": "user", "content": "\ue009"}],
        "private turns": [user, {"role": "assistant", "content": " \ue006\n"}, {"role": "user", "content": "<\ue009 a\ue00a>"}],
        "private parts": [{"role": "user", "content": [{"type": "text", "text": marks[5] + " "}, {"type": "image"}, {"type": "text", "text": marks[6]}]},
                          {"role": "assistant", "content": f"a{marks[7]}</think>{marks[8]}", "name": marks[9]}],
        "private calls": [user, {"role": "assistant", "content": marks[10], "tool_calls": [call]},
                          {"role": "tool", "name": marks[11], "content": f'{{"{marks[12]}": 1}}'}, {"role": marks[13], "content": marks[14]}],
    }


def main():
    jinja, variables, out = Python(), inputs(), []
    for name, source in TEMPLATES.items():
        failed = jinja.open(source)
        assert not failed, (name, failed)
        cases = []
        for label in variables if len(source) > 100 else ["single, no tools"]:
            answer = jinja.render(variables[label])
            error = {"error": answer["error"] if answer["kind"] == "TemplateError" else ""} if "error" in answer else None
            case = error or answer
            if all({**case, "inputs": each["inputs"]} != each for each in cases):  # another chat of which the same comes says nothing more
                cases.append({"inputs": label, **case})
        out.append({"name": name, "template": source, "cases": cases})
    path = pathlib.Path(__file__).resolve().parent / "fixtures" / "jinja_miniatures.json"
    path.write_text(json.dumps({"inputs": variables, "templates": out}, indent=1) + "\n")
    print(f"{path.name}: {len(out)} templates, {sum(len(t['cases']) for t in out)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
