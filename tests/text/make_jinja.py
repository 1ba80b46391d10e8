#!/usr/bin/env python3
"""Makes fixtures/jinja.json: what jinja2 with transformers' settings makes of small templates, one for each rule of its
grammar, white space, scopes and statements.

    python tests/text/make_jinja.py

Needs jinja2 and transformers. {"inputs": {...}, "cases": [{"template", "text" or "error": "open" or "render"}]}.
"""
import json
import pathlib

from transformers.utils import chat_template_utils

INPUTS = {
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": " hi\n"}, {"role": "assistant", "content": "y\u00e9"}],
    "d": {"k": "v", "z": [1, {"y": None}]},
    "items": [3, 1, 2],
    "word": "thought",
    "tools": None,
}

WHITE_SPACE = [
    "a\r\nb\rc\n", "a\n\n", "\n", "", "{% if true %}\n  x\n{% endif %}\n", "  {% if true %}\n  x\n  {%+ endif %}\n y",
    "a\n {% set x = 1 %} \nb", "a {% set x = 1 %}\nb", "\t{% set x = 1 %}\t\n\tb", "a {#- c #}\n b", "a\n  {# c #}\n b", "a {# c -#}\n\n b",
    "{#- x -#}\n\n y", "{#-#}x{##}y{#+#} z", "{#--#} a", "a  {#+ c +#}\n b", "{# {{ x }} {% if #}a",
    "{% raw %}\n a\n  {% endraw %}\n b", "{%- raw -%}  {{ x }}  {%- endraw -%}  |", "x {%- raw %} {% if %} {% endraw +%}\n y",
    "{% raw -%}\n  {% a\n  {%+ endraw %}\n b", "{%raw%}{#{%endraw%}", "  {% raw %}  {% endraw %}  ", "{% raw %}{% raw %}{% endraw %}",
    "{{ 1 }}\n{{ 2 }}", "{{ 1 -}}\n\n 2", " a {{- 1 }}", "a\n  {{ 1 }}\n", "a \n{{-1}}", "{{+ 1}}", "{{ 1 }}\n", "{{ 1 -}}\n",
    "{%- if true %}\n\n a {%- endif -%}\n\n b", "{% if true -%}\n x {% endif +%}\n y", "{%if true%}x{%endif%}", "{%-if true-%} x {%-endif-%} ",
    "a\u00a0{%- if true %}b{% endif %}", "a\u00a0\n\u2003{% if true %}b{% endif %}", "{%- set x = 1 -%}\x1c\x85 a", "{% set x = 1 %}\r\na", "\ufeff{% set x = 1 %}a",
    "{ {% set x = 1 %}}{", "a{%- set x = 1 %}\n{%- set y = 2 %}\n  {%- set z = 3 %}\nb", "  {%- for m in messages %}\n  {{- m.role }}\n  {%- endfor %}\n",
    "{% for m in messages %}\n  {% if loop.first %}\n    {{ m.role }}\n  {% endif %}\n{% endfor %}\n\n",
]

LITERALS = [
    r"{{ 'a' 'b' \"c\" }}".replace('\\"', '"'), r"{{ 'a\n\t\x41\u00e9\U0001f600\101\0\7x\q\'\"\\' }}", "{{ 'a\\\nb' }}", "{{ 'a\nb' }}|{{ 'a\r\nb' }}", "{{ '\\\u00e9\\\u20ac' }}",
    r"{{ '\x4' }}", r"{{ '\u12' }}", r"{{ '\U00110000' }}", "{{ 'open }}", "{{ '' }}{{ \"\" }}|", "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}",
    "{{ 1_000 }} {{ 0x_ff }} {{ 0XfF }} {{ 0b1_1 }} {{ 0o17 }} {{ 00 }} {{ 0_0 }}", "{{ 012 }}", "{{ 1__0 }}", "{{ 1_ }}", "{{ 0b2 }}",
    "{{ 1.5 }} {{ 1e3 }} {{ 1E-2 }} {{ 1.5e+2 }} {{ 1_0.2_5 }} {{ 1e1_0 }} {{ 0.1 }} {{ 9e99 }}", "{{ 1. }}", "{{ .5 }}", "{{ 1.e5 }}", "{{ 1e }}", "{{ items.0 }}{{ items.1 }} {{ d.z.1.y }}",
    "{{ true }} {{ True }} {{ false }} {{ False }} {{ none }} {{ None }}", "{{ (1,) }} {{ () }} {{ (1, 2) }} {{ (1, 2,) }} {{ 1, 2 }} {{ (1) }} {{ 1, }}",
    "{{ [] }} {{ [1, 'a', [none]] }} {{ [1, 2,] }}", "{{ [,] }}", "{{ {} }} {{ {'a': 1, 2: {'b': []},} }}", "{{ {'a': {'b': {}}} }}", "{{ {'a' 1} }}", "{{ {1: 2, 1: 3, true: 4} }}",
    "{{ }}", "{{ ( }}", "{{ [) }}", "{{ ) }}", "{{ a b }}", "{{ 1 2 }}", "{{ ! }}", "{{ a ? b }}", "{{ $ }}", "{{ a; b }}", "{{ @ }}", "{{ `a` }}", "{{ \u00e9t\u00e9 }}|", "{{ 'a' if }}", "{{ a.'b' }}", "{{ a. }}", "{{ 1",
    "{{ 1 }", "{% if true", "{# open", "{% raw %}open", "{{ \u20ac }}",
]

EXPRESSIONS = [
    "{{ -2**2 }} {{ 2**-1 }} {{ 2**3**2 }} {{ 1 - -1 }} {{ +1 }} {{ - - 1 }} {{ -1|abs }} {{ -items[0] }} {{ 10 - 4 - 3 }}", "{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 7 // 2 * 2 }} {{ 7 % 4 * 2 }} {{ 8 / 2 / 2 }}",
    "{{ 1 ~ 2 + 3 ~ 4 }} {{ 1 + 2 ~ 3 }} {{ 1 ~ 2 * 3 }} {{ 'a' ~ none ~ true ~ 1.5 ~ [1] ~ nothing }}", "{{ not not 1 }} {{ not 1 == 2 }} {{ not true and false }} {{ true or false and false }}",
    "{{ 0 or 'a' }} {{ '' and 1 }}| {{ 1 and 2 }} {{ nothing or 'x' }} {{ [] or {} or () }}", "{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1.0 == true }} {{ 1 < 3 > 2 != 5 }} {{ (1 < 2) == true }}",
    "{{ 1 in items }} {{ 1 not in items }} {{ not 1 in items }} {{ 'k' in d }} {{ 'ou' in word }} {{ 1 in [1] == true }}", "{{ 'a' if false }}| {{ 'a' if false else 'b' if true else 'c' }} {{ 'a' if 1 else 'b' if 1 else 'c' }} {{ ('a' if 0) is defined }}",
    "{{ 'a' if true if false }}|", "{{ messages[0].role }} {{ messages[-1]['role'] }} {{ messages[0]['content'] }} {{ messages[9] }}| {{ messages[9] is defined }} {{ messages['a'] }}|",
    "{{ word[1:3] }} {{ word[:2] }} {{ word[-2:] }} {{ word[::-1] }} {{ word[1:6:2] }} {{ items[1:] }} {{ items[:-1] }} {{ items[::2] }} {{ items[:] }} {{ (1, 2, 3)[1:] }}", "{{ messages[1:][0].role }} {{ items[none:2] }}", "{{ items[1:2, 3] }}", "{{ d[1:] }}", "{{ items[] }}|",
    "{{ d.k }} {{ d['k'] }} {{ d.nothing }}| {{ d.items() | list }} {{ d.get('k') }} {{ d.get('n', 5) }} {{ d['items'] is defined }} {{ d.z[1]['y'] }}", "{{ word.upper() }} {{ word.upper().lower()[0] }} {{ 'a-b'.split('-')[1] }} {{ word.nothing }}|", "{{ word.nothing() }}", "{{ [[1, 2]].0.1 }} {{ [[1, 2]].0 .1 }} {{ items.1_0 }}|", "{{ nothing.a }}", "{{ nothing['a'] }}", "{{ nothing() }}", "{{ d.nothing.more }}", "{{ word() }}", "{{ nothing + 1 }}", "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ 1 / 0 }}", "{{ [1] < 2 }}",
    "{{ word|upper|lower|length }} {{ word | replace('o', '0') | upper }} {{ items|sort|join('-') }} {{ (items|length) + 1 }} {{ items|length + 1 }} {{ [1, 2]|map('string')|join }}", "{{ word|upper() }} {{ word|default('x', true) }} {{ word|default(default_value='x') }}", "{{ word|upper.x }}", "{{ word|nofilter }}", "{{ word is notest }}", "{% if false %}{{ word|nofilter }}{{ word is notest }}{% endif %}a", "{% if false %}{% for a in items %}{{ a|nofilter }}{% endfor %}{% endif %}", "{{ (word|nofilter) if false else 1 }}", "{{ 1 if true else word|nofilter }}", "{% if true %}{{ word|nofilter }}{% endif %}", "{{ (word if false) ~ word|nofilter }}",
    "{{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 9 is not divisibleby 3 }} {{ 9 is divisibleby 3 and true }} {{ 9 is divisibleby 3 if true }}", "{{ nothing is defined }} {{ word is defined and word }} {{ not nothing is defined }} {{ tools is none or false }} {{ 1 is in [1, 2] }} {{ d is mapping }} {{ -1 is odd }} {{ 'a' ~ 1 is string }}", "{{ 1 is odd is even }}", "{{ word is string ~ 'a' }}", "{{ 3 is eq 1 + 2 }}", "{{ word is sameas word }} {{ items[0] is gt 2 }} {{ 1 is == 1 }}", "{{ 1 is lt 2 }} {{ 'abc' is string is defined }}",
    "{{ dict(a=1, **{'b': 2}) }} {{ dict(*[[('a', 1)]]) }} {{ range(*[1, 4])|list }}", "{{ dict(a=1, a=2) }}", "{{ dict(a=1, **{'a': 2}) }}", "{{ range(**{}, 1) }}", "{{ dict(a=1, 2) }}", "{{ range(1,) | list }}", "{{ range(,) }}", "{{ range(*1) }}", "{{ dict(**1) }}", "{{ ''.join(['a', 'b']) }} {{ 'a'.join(items|map('string')) }}",
    "{{ 'a' in (nothing|map('string')) }}{{ ''.format(1) }}{{ '' % () }}{{ ''|join }}{{ ''[0:] }}{{ [''|upper][0] ~ ''|title }}|", "{{ namespace(a=1).a }} {{ namespace({'a': 2}, b=3).b }}", "{{ raise_exception('no: ' ~ word) }}", "{{ word if word is defined else raise_exception('x') }}", "{{ items|first + items|last }} {{ (items|first)|string + 'a' }} {{ -items|first }}", "{{ {'a': items}['a'][0] }} {{ [1, 2][1] }} {{ (1, 2).0 }} {{ 'abc'.1 }} {{ 'abc'[1] }}",
]

STATEMENTS = [
    "{% if 0 %}a{% elif 0 %}b{% elif 1 %}c{% else %}d{% endif %}", "{% if 0 %}a{% else %}{% if 0 %}b{% endif %}c{% endif %}", "{% if 1, 2 %}a{% endif %}", "{% if true: %}a{% endif %}", "{% if 1 %}a{% else %}b{% else %}c{% endif %}", "{% if 1 %}a{% else %}b{% elif 1 %}c{% endif %}", "{% if 1 if 1 else 0 %}a{% endif %}", "{% if (1 if 1 else 0) %}a{% endif %}",
    "{% for a in items %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}", "{% for a in items %}{{ loop.previtem }}<{{ a }}>{{ loop.nextitem }} {% endfor %}", "{% for a in items %}{{ loop.cycle('x', 'y') }}{% endfor %}", "{% for a in items %}{{ loop.cycle() }}{% endfor %}", "{% for a in [1, 1, 2, 2, 1] %}{{ loop.changed(a) }} {% endfor %}", "{% for a in [1, 1] %}{{ loop.changed() }}{{ loop.changed(a, 2) }} {% endfor %}", "{% for a in items %}{{ loop['index'] }}{{ loop.nothing }}{% endfor %}",
    "{% for a in items if a > 1 %}{{ loop.index }}{{ a }}{{ loop.length }}{{ loop.last }}{% else %}e{% endfor %}", "{% for a in items if a > 9 %}x{% else %}e{{ a }}{% endfor %}", "{% set ns = namespace(n=0) %}{% for a in items if ns.n < 2 %}{% set ns.n = ns.n + 1 %}{{ a }}{% endfor %}{{ ns.n }}", "{% set ns = namespace(n=0) %}{% for a in items if ns.n < 2 %}{{ loop.last }}{% set ns.n = ns.n + 1 %}{{ a }}{% endfor %}", "{% for a, b in [[1, 2], 'xy', d] if a %}{{ loop.previtem }}{{ loop.nextitem }}{{ a }};{% endfor %}", "{% for a, b in [[1, 2], 'xy'] %}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}", "{% for a in items if loop %}{{ a }}{% else %}e{% endfor %}", "{% for a in items %}{% for b in items if b > loop.index %}{{ b }}{{ loop.index }}{% endfor %};{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }};{% endfor %}{% for (a, (b, c)) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in d.items() %}{{ a }}={{ b }};{% endfor %}{% for a in d %}{{ a }}{% endfor %}{% for a in 'xy' %}{{ a }}-{% endfor %}{% for a in nothing %}x{% else %}e{% endfor %}", "{% for a, b in items %}x{% endfor %}", "{% for a, b in [(1, 2, 3)] %}x{% endfor %}", "{% for a in 5 %}x{% endfor %}", "{% for a in none %}x{% endfor %}", "{% for a in 1, 2 %}{{ a }}{% endfor %}", "{% for a.b in items %}x{% endfor %}", "{% for 1 in items %}x{% endfor %}", "{% for in items %}x{% endfor %}", "{% for a of items %}x{% endfor %}", "{% for loop in items %}x{% endfor %}", "{% for a in items %}{% set loop = 1 %}{% endfor %}", "{% set loop = 1 %}{{ loop }}", "{% for true in items %}x{% endfor %}",
    "{% for a in items %}{% if a == 1 %}{% continue %}{% endif %}{{ a }}{% endfor %} {% for a in items %}{% if a == 1 %}{% break %}{% endif %}{{ a }}{% endfor %}", "{% for a in items %}{% continue %}{% else %}e{% endfor %}", "{% for a in items %}{% break %}{% else %}e{% endfor %}", "{% for a in items %}{{ a }}{% if loop.index == 2 %}{% break %}{% endif %}{% else %}e{% endfor %}", "{% for a in items %}{% for b in items %}{% if b == 1 %}{% break %}{% endif %}{{ b }}{% endfor %}{{ a }}{% endfor %}", "{% for a in items %}{% filter upper %}x{% break %}{% endfilter %}{% endfor %}y", "{% for a in items %}{% set x %}x{% continue %}{% endset %}{{ x }}{% endfor %}y", "{% for a in items %}{% with %}{% break %}{% endwith %}{% endfor %}y", "{% break %}", "{% continue %}", "{% for a in items %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% for a in items %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% for a in items %}{% else %}{% break %}{% endfor %}", "{% for a in items %}{% for b in [] %}{% else %}{{ a }}{% break %}{% endfor %}{% endfor %}",
    "{% for a in [[1, [2]], 3] recursive %}{% if a is iterable %}({{ loop(a) }}){% else %}{{ a }}@{{ loop.depth }}{{ loop.depth0 }}{{ loop.index }}{% endif %}{% endfor %}", "{% for a in items %}{{ loop(a) }}{% endfor %}", "{% for a in [[]] recursive %}{{ loop(a) }}{% else %}e{% endfor %}", "{% for a in [[1], [2]] recursive %}{% set x = loop.index %}{% if a is iterable %}{{ loop(a) }}{% endif %}{{ x }}{% endfor %}",
    "{% set a, b = 1, 2 %}{{ b }}{{ a }}{% set a, b = b, a %}{{ b }}{{ a }}", "{% set (a, b) = [1, 2] %}{{ a }}{% set a, (b, c) = 1, (2, 3) %}{{ c }}", "{% set a = 1, 2 %}{{ a }}", "{% set a = 1 if false %}{{ a is defined }}", "{% set a, b = 1 %}", "{% set a = %}", "{% set 1 = 2 %}", "{% set a.b = 1 %}", "{% set d.k = 1 %}", "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{% set ns.a, ns.b = 2, 3 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}", "{% set ns = namespace() %}{% set ns._a = 1 %}", "{% set ns = namespace() %}{% set ns.a %}x{{ word }}{% endset %}{{ ns.a }}", "{% set d['k'] = 1 %}", "{% set none = 1 %}", "{% set a=1, %}{{ a }}", "{% set x = x %}{{ x is defined }}", "{% set x | upper | replace('A', 'b') %}a{% set y = 1 %}b{% endset %}{{ x }}{{ y }}", "{% set x %}{% endset %}{{ x is string }}{{ x }}", "{% set a %}b",
    "{% with a=1, b=2 %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a }}{{ c }}", "{% set a = 5 %}{% with a=1, b=a %}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% with a, b = 1 %}{% endwith %}", "{% with a=1 b=2 %}{% endwith %}", "{% filter upper %}abc{{ word }}{% set q = 1 %}{% endfilter %}{{ q }}", "{% filter replace('a', 'b')|upper %}aXa{% endfilter %}", "{% filter %}{% endfilter %}", "{% filter nofilter %}{% endfilter %}", "{% if false %}{% filter nofilter %}{% endfilter %}{% endif %}", "{% print word %}{% print 1, 2 %}{% print %}", "{% generation %}{{ word }}{% set q = 1 %}{% endgeneration %}{{ q }}", "{%- generation -%}  a  {%- endgeneration -%}  b",
    "{% do x %}", "{% nothing %}", "{% trans %}a{% endtrans %}", "{% debug %}", "{% endif %}", "{% if 1 %}", "{% if 1 %}{% endfor %}", "{% for a in items %}{% endif %}{% endfor %}", "{% 1 %}", "{% %}", "{% if %}{% endif %}", "{% if 1 %}{% endif 2 %}", "{% else %}", "{% endgeneration %}", "{% for a in items %}{% else %}", "{% -1 %}", "{% if 1 }}{% endif %}",
]

SCOPES = [
    "{% set x = 1 %}{% for a in [1, 2] %}{{ x }}{% set x = a + 5 %}{{ x }}{% endfor %}{{ x }}", "{% for a in [1, 2] %}{{ x }}{% set x = a %}{{ x }}{% endfor %}{{ x }}", "{% if true %}{% set x = 1 %}{% endif %}{{ x }}", "{% if false %}{% set messages = 1 %}{% endif %}{{ messages|length }}", "{% for a in [1] %}{% if true %}{% set x = 1 %}{% endif %}{{ x }}{% endfor %}{{ x }}", "{% for a in items %}{% endfor %}{{ a }}|{{ loop }}", "{% set a = 9 %}{% for a in items %}{{ a }}{% endfor %}{{ a }}", "{% for items in items %}{{ items }}{% endfor %}{{ items }}", "{% set word = word ~ '!' %}{{ word }}", "{% for a in items %}{% set word = word ~ a %}{{ word }};{% endfor %}{{ word }}", "{% for a in items %}{% for b in items %}{% set x = a ~ b %}{% endfor %}{{ x }}|{% endfor %}", "{% set ns = namespace(x='') %}{% for a in items %}{% set ns.x = ns.x ~ a %}{% endfor %}{{ ns.x }}", "{% for a in items %}{% for b in [1] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}", "{% for a in items %}{% for b in items[:loop.index] %}{{ b }}{% endfor %};{% endfor %}",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(b=5, a=1) }}|{{ m() }}|{{ m(1, b=none) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ m(1, 2, 3) }}{{ m(1, z=2) }}{{ m(z=1) }}", "{% macro m(a) %}{{ varargs }}{% endmacro %}{{ m(1, 2, z=3) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(a, a) %}{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, b=a, c=b ~ '!') %}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}", "{% macro m(a=b, b=1) %}{{ a }}|{{ b }}{% endmacro %}{% set b = 5 %}{{ m() }}", "{% macro m(a=word) %}{{ a }}{% endmacro %}{{ m() }}", "{% macro m(1) %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{% macro m(*a) %}{% endmacro %}", "{% macro m(a,) %}{% endmacro %}",
    "{% macro m() %}{{ x }}{% set x = 3 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}{{ x }}", "{% macro m() %}{{ word }}{{ a }}{% endmacro %}{% for a in items %}{{ m() }}{% endfor %}", "{% for a in items %}{% macro m() %}{{ a }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{{ m() }}{% macro m() %}{% endmacro %}", "{% if true %}{% macro m() %}x{% endmacro %}{% endif %}{{ m() }}", "{% macro m(x) %}  {{ x }}\n{% endmacro %}[{{ m(1) }}][{{ m(1)|trim }}]", "{% macro m(a, b=1) %}{{ caller }}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.caller }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.nothing }}", "{% set m2 = namespace() %}{% macro m() %}x{% endmacro %}{% set m2.f = m %}{{ m2.f() }}{{ [m][0]() }}", "{% macro m() %}{% set ns.x = 2 %}{% endmacro %}{% set ns = namespace(x=1) %}{{ m() }}{{ ns.x }}",
    "{% for a in [1] %}{{ word }}{% endfor %}{% set word = 1 %}{{ word }}", "{{ word }}{% for a in [1] %}{{ word }}{% endfor %}{% set word = 1 %}", "{% macro m() %}{{ word }};{% endmacro %}{{ m() }}{% set word = 1 %}{{ m() }}", "{% for a in [1] %}{{ word }}{% endfor %}{% if true %}{% set word = 1 %}{% endif %}{{ word }}", "{% for a in [1] %}{{ word }}{% endfor %}{% set word = word ~ 1 %}{{ word }}", "{% for a in [1, 2] %}{% for b in [1] %}{{ word }}{{ items }}{% endfor %}{% set word = a %}{{ word }}{% endfor %}{{ word }}", "{% for a in [1] %}{% with %}{{ word }}{% endwith %}{% set word = a %}{% endfor %}", "{% for a in [1] %}{% with %}{{ word }}{% endwith %}{% set word = a %}{% endfor %}{% set word = 2 %}", "{% with word=1 %}{% for a in [1] %}{{ word }}{% endfor %}{% set word = 2 %}{{ word }}{% endwith %}{{ word }}", "{% call range(1) %}{% endcall %}", "{% for a in [1] %}{{ word }}{% else %}{% endfor %}{% macro word() %}{% endmacro %}", "{% set x %}{{ word }}{% endset %}{% set word %}w{% endset %}{{ x }}{{ word }}", "{% filter upper %}{{ word }}{% set word = 1 %}{{ word }}{% endfilter %}", "{% macro m(word=word) %}{{ word }}{% endmacro %}{{ m() }}{{ m(1) }}", "{% macro m(a=word) %}{{ a }}{% set word = 1 %}{% endmacro %}{{ m() }}", "{% macro m() %}{% for a in [1] %}{{ word }}{% endfor %}{% set word, items = 1, 2 %}{% endmacro %}{{ m() }}{{ items }}", "{% for a in [1] %}{{ range is defined }}{% endfor %}{% set range = 1 %}", "{% for a in [1] %}{{ word }}{% endfor %}{% if false %}{% elif true %}{% set word = 5 %}{% else %}{% set items = 1 %}{% endif %}{{ word }}{{ items }}", "{% for a in [1] %}{{ word }}{% break %}{% set word = 1 %}{% endfor %}{{ word }}",
    "{% macro m(a) %}[{{ a }}{{ caller('x') }}]{% endmacro %}{% call(y) m(1) %}({{ y }}){% endcall %}", "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}{% call m() %}{{ word }}{% set q = 1 %}{% endcall %}{{ q }}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}{% endcall %}", "{% macro m(caller=1) %}{{ caller }}{% endmacro %}{{ m() }}{{ m(2) }}", "{% macro m(caller) %}{{ caller }}{% endmacro %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=3, c=4) m() %}{{ a }}{{ b }}{{ c }}{% endcall %}", "{% macro m() %}{{ caller(5) }}{% endmacro %}{% call m() %}{% endcall %}", "{% macro inner() %}<{{ caller() }}>{% endmacro %}{% macro outer() %}{% call inner() %}{{ caller() }}{% endcall %}{% endmacro %}{% call outer() %}x{% endcall %}", "{% call word.upper() %}{% endcall %}", "{% call word %}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{% for a in items %}{% call m() %}{{ a }}{{ loop.index }}{% endcall %}{% endfor %}",
]


def outcome(template):
    try:
        compiled = chat_template_utils._compile_jinja_template(template)
    except Exception:  # of jinja2's parser, or of Python's compiler behind it
        return {"error": "open"}
    try:
        return {"text": compiled.render(**INPUTS)}
    except Exception:
        return {"error": "render"}


def main():
    cases = [{"template": t, **outcome(t)} for t in WHITE_SPACE + LITERALS + EXPRESSIONS + STATEMENTS + SCOPES]
    rows = ",\n".join(json.dumps(case) for case in cases)
    path = pathlib.Path(__file__).parent / "fixtures" / "jinja.json"
    path.write_text(f'{{"inputs": {json.dumps(INPUTS)},\n"cases": [\n{rows}]}}\n')
    print(f"{path.name}: {len(cases)} templates")


if __name__ == "__main__":
    main()
