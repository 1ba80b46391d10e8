#!/usr/bin/env python3
"""Makes fixtures/jinja_values.json: what Python and jinja2 make of operators, methods, filters and tests, each over values of
every type.

    python tests/text/make_jinja_values.py

Needs jinja2 and transformers. A table is {"values": [...], "forms": [...], "results": [[...]]}: results[v][f] is what the
template {{ forms[f] }} prints with `v` being values[v] (of "operators": what that expression gives); null where that fails as an error of the template, false where it is refused as unsupported, since
Python prints what has no place here: an integer of more than 64 bits, a generator (whose address Python prints).
"""
import copy
import datetime
import json
import pathlib
import re

from transformers.utils import chat_template_utils

OUT = pathlib.Path(__file__).parent / "fixtures" / "jinja_values.json"

STRINGS = [
    "", "a", "Hello, World", "  two  words \n", "a\nb\r\nc\n\n", "it's", "say \"hi\"", "it's \"q\" \\ \t\x01\u200b\u2028",
    "Straße ǅ été İ ﬁ", "ΑΣ ΣΑΣ'", "日本語", "🙂é", "42", " -3.7 ", "0x1F", "1_000", "²½٣", "a,b,,c", "<a href='x'>b &amp; c</a>",
    "abcabc", "TITLE Case they're", "well-known--or not", "{}-{0}", "%s%%",
]
SCALARS = [None, True, False, 0, 1, -1, 7, 2**31, 2**63 - 1, 0.0, 0.1, -2.5, 2.5, 1e16, 1e-5, 123456789.123, 1e300, 3.0]
ROWS = [
    [], [1, 2, 3], [3, 1, 2], ["b", "A", "c", "a"], [[1, 2], [3]], [1, "a", None, 2.0, True, "1"],
    {}, {"a": 1, "b": "x"}, {"k": {"x": [1, {"y": "é"}]}, "items": 5}, {"b": 2, "A": 1, "a": 0},
    [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Yo", "n": 2}, {"role": "User", "content": "", "n": 1}],
]
OPERANDS = ["none", "true", "0", "3", "-2", "0.5", "-7", "'ab'", "''", "'%s'", "[1, 'ab']", "[]", "(1, 2)", "{'ab': 1}", "nothing",
            "9223372036854775807", "'ab'|safe", "'<'|escape", "range(3)"]

METHODS = """upper() lower() title() capitalize() swapcase() casefold() strip() lstrip() rstrip() split() rsplit() splitlines()
splitlines(true) isdigit() isalpha() isalnum() isspace() isupper() islower() istitle() isnumeric() isdecimal() isascii()
isprintable() expandtabs() expandtabs(3) strip('aHd ') lstrip('') rstrip('\\n') strip(none) split(',') split('') split(none,1) split('b',1)
rsplit(none,1) rsplit('b',1) rsplit(',',-1) split(sep=',',maxsplit=1) partition('b') rpartition('b') partition('') startswith('a')
startswith(('x','a')) startswith('b',1) startswith('',9) startswith('',1,0) endswith('\\n') endswith(('c','o')) endswith('l',0,4) endswith(1)
find('b') find('b',2) find('') find('',99) find('b',-3,-1) rfind('b') rfind('') index('a') rindex('c') index('zz') count('b') count('')
count('l',3) replace('b','xyz') replace('b','',1) replace('','.') replace('','-',2) replace('a') removeprefix('a') removesuffix('\\n')
join(['x','y']) join('xyz') join([1]) zfill(6) ljust(6) rjust(6,'*') center(9) center(10,'é') center(6,'ab') format(1,2) format('x')
encode() nothing() upper(1) split(1) __class__ find(1)""".split()
METHODS += ["split(' ')", "split('  ', 1)", "replace(' ', '_')", "format(*['a', 'b'])"]

FORMATS = ["'{:>8}|{:<6}|{:^7}|{:*^9}'.format(v, v, v, v)", "'{:d} {:x} {:#x} {:b} {:o} {:,}'.format(v, v, v, v, v, v)",
           "'{:+d} {: d} {:05d} {:<5d}|{:_}'.format(v, v, v, v, v)", "'{:.2f} {:8.3f} {:+.1e} {:g}'.format(v, v, v, v)",
           "'{:%} {:.1%} {:010.2f} {:,.2f}'.format(v, v, v, v)", "'{0} {0!r} {0!s:>5}'.format(v)", "'{a[0]}{b.c}'.format(a=v, b={'c': 1})",
           "'{:{w}.{p}}'.format(v, w=9, p=3)", "'{{}}{}'.format(v)", "'{} {}'.format(v)", "'{'.format(v)", "'{:q}'.format(v)", "'%s|%r|%5s|%-5s|%.2s' % (v, v, v, v, v)",
           "'%d %5d %-5d| %05d %+d' % (v, v, v, v, v)", "'%x %#X %o %i' % (v, v, v, v)", "'%f %.2f %8.3f %e %g' % (v, v, v, v, v)", "'%(k)s %(k)r' % {'k': v}",
           "'%s' % v", "'%s %s' % v", "'%%' % ()", "'%z' % v", "'%c' % v", "'%*d' % (6, v)", "'%s' | format(v)", "'%s %s' | format(v, 'x')", "'%(a)s' | format(a=v)", "v ~ ''", "[v]", "(v,)", "{'k': v}"]

FILTERS = """abs attr('a') attr('upper')|string batch(2)|list batch(2,'x')|list capitalize center center(9) count d d('x') default('x',true) default('x',boolean=false)
dictsort dictsort(true) dictsort(false,'value') dictsort(reverse=true) dictsort(by='nope') e escape first float float(7) float(default='x') forceescape
filesizeformat filesizeformat(true) groupby('role') groupby('role')|map('last')|list groupby('n',default=0) groupby(0) indent indent(2,true) indent('>',true,true) indent(width=1,blank=true) int int(5) int(base=16)
int(default=none,base=2) items|list join join(',') join('-',attribute='role') last length list lower map('upper')|list map(attribute='role')|list
map(attribute='n',default=9)|list map('int')|list map('nope')|list map|list map(attribute='k.x.0')|list max min max(attribute='n') min(true) pprint reject|list reject('none')|list
rejectattr('n')|list rejectattr('role','equalto','user')|list replace('a','b') replace('l','L',1) replace(1,2) reverse|list reverse|string round round(1) round(-1) round(2,'ceil') round(0,'floor')
round(method='nope') safe select|list select('odd')|list select('string')|list selectattr('n')|list selectattr('role','in',['user'])|list slice(2)|list slice(3,'x')|list sort sort(true) sort(case_sensitive=true)
sort(attribute='role') sort(attribute='role,content') string striptags sum sum(start=10) sum(attribute='n') title tojson tojson(indent=2) tojson(ensure_ascii=true)
tojson(sort_keys=true) tojson(separators=(',',':')) trim trim('a') truncate(5) truncate(5,true) truncate(5,false,'') truncate(5,true,'…',0) truncate(2) unique|list unique(true)|list
unique(attribute='role')|list upper urlencode wordcount wordwrap wordwrap(5) wordwrap(4,false) wordwrap(5,break_on_hyphens=false) wordwrap(3,wrapstring='|') wordwrap(0) xmlattr xmlattr(false) upper(1) join(nope=1) map('default','x')|list select('divisibleby',2)|list reverse""".split()

TESTS = """defined undefined none string mapping sequence iterable true false boolean integer float number odd even divisibleby(2) lower upper callable
escaped eq(1) ne('a') lt(2) ge('b') in([1,'a',none]) in('Hello') sameas(none) sameas(true) ==(1.0)""".split()

ITEMS = ["v[0]", "v[-1]", "v[5]", "v['a']", "v.a", "v.items", "v.k.x[1].y", "v[1:]", "v[:-1]", "v[::-1]", "v[::2]", "v[-2:]", "v[5:1]", "v[1:99]", "v[none:1]", "v['x':]",
         "v[::0]", "v[-1:0:-1]", "v[true]", "v[0.0]", "v.get('a')", "v.get('z', 'y')", "v.keys()|list", "v.values()", "v.items()", "v.keys()", "v.index(1)",
         "v.count('a')", "v.copy()", "v.append(1)", "v.append", "v.update({})", "v.nothing", "v.nothing.more", "v.__len__", "v['__len__']()", "v == v", "v in [v]", "'a' in v", "1 in v",
         "-v", "+v", "not v", "v|length + 1", "v if v", "namespace(a=v).a", "namespace(v).a", "dict(v)", "dict(v, z=1)", "range(v)|list", "range(1, v, 2)|list", "range(v)",
         "cycler(1, v).next()", "joiner(v)() ~ 'x'", "v()", "v|list|length"]

OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "<=", "in"]
CALLS = ["'a' % ([1]|select)", "'a' % [1]", "{{'a': 1}.items(): 2}", "{{'a': 1}.values(): 2} is mapping", "{'b': 1}['abc'[1:2]]", "[1, 2, 3][[0][:1]] is undefined", "range(5)", "range(2, 9, 3)", "range(5, 0, -2)|list", "range(3)[1:]", "range(0)", "range(1, 1)|list", "range(10**6)", "range()", "range(1, 2, 0)", "range('a')", "range(3) == range(3)", "range(10)[::2]",
         "dict(a=1)", "dict([('a', 1), ['b', 2]])", "dict([1])", "dict(1)", "namespace()", "namespace(a=1)", "namespace(_a=1)", "namespace({'a': 1}).a", "namespace(a=1).items",
         "raise_exception('no')", "raise_exception()", "(1, 2) < (1, 3)", "[1] == (1,)", "1 == 1.0 == true", "'é' < 'z'", "'a' * 3", "3 * [0]", "-7 // 2", "-7 % 3", "7 // -2", "7.5 // 2", "-7.5 % 2", "2 ** 62", "2 ** 63", "2 ** -1", "0 ** 0", "0 ** -1",
         "9223372036854775807 + 1", "(-9223372036854775807 - 1) // -1", "1e308 * 10", "-(1e308 * 10)", "1e308 * 10 - 1e308 * 10", "0.1 + 0.2", "1 / 3", "100000000000000000000.0", "1e22", "1.5e-7", "5e-324", "1.7976931348623157e308", "2.0 ** 0.5", "10 / 2", "9007199254740993 == 9007199254740992.0",
         "9007199254740993 > 9007199254740992.0", "{1: 'a', 1.0: 'b', true: 'c'}", "{(1, 2): 3}[(1, 2)]", "{[]: 1}", "{'a': 1} == {'a': 1.0}", "{'a': 1}.keys() == {'a': 2}.keys()", "[[1, [2]], (3, {})] == [[1, [2]], (3, {})]",
         "'abc'|first ~ 'abc'|last", "[]|first", "[]|first|default('x')", "[]|max", "([1]|map('string'))|length", "([]|select) is iterable", "'yes' if []|select else 'no'", "([1, 2]|select)|first", "(1, 2)|select|list", "'a'|safe + '<'", "'<'|escape + '<' ~ '<'", "'<' + '>'|escape", "('a'|safe) is escaped", "['<'|e]"]
FORMATS_OF_TIME = ["%d %b %Y", "%Y-%m-%d", "%A, %B %d", "%a %j %U %W %u %w", "%H:%M:%S %I %p", "%y %C %e %D %F %T %R", "%x %X %c", "100%%", "%-d.%-m.", "%f|%z|%Z", "é %G-W%V", "", "%"]
DATES = ["2024-07-26", "1999-12-31T23:59:58", "2024-02-29", "2021-01-03T00:05:00"]
REFUSED = re.compile(r"<generator|<list_reverseiterator|<dict_reverse|<reversed|<range_iterator|<built-in|<bound|^\(.*j\)$|^b['\"]")


def environment():
    return chat_template_utils._cached_compile_jinja_template("x").environment


def outcome(env, template, whole=True, **inputs):
    try:
        text = env.from_string(template).render(**copy.deepcopy(inputs))
    except Exception:
        return None
    numbers = [int(number) for number in re.findall(r"(?<![\d.e+])-?\d{19,}(?![\d.e])", text)]
    return False if REFUSED.search(text) or whole and any(not -2**63 <= number < 2**63 for number in numbers) else text


def table(env, values, forms, whole=True):
    results = [[outcome(env, "{{ " + f + " }}", whole, v=v) for f in forms] for v in values]
    for row in results:
        for i, f in enumerate(forms):
            if f.endswith("pprint") and "\n" in (row[i] or ""):
                row[i] = False  # it is broken into lines
    return {"values": values, "forms": forms, "results": results}


def operators(env):
    """Here values are expressions, since some of them are no JSON. Powers that Python would take long for are left out."""
    forms = [f"v {op} ({b})" for op in OPERATORS for b in OPERANDS if not (op in ("**", "*") and "9223" in b)]
    values = [a for a in OPERANDS if "9223" not in a]
    results = [[outcome(env, "{% set v = " + a + " %}{{ " + f + " }}", "~" not in f) for f in forms] for a in values]
    for a, row in zip(values, results):
        for i, f in enumerate(forms):
            if "|" in a and f.startswith("v % "):
                row[i] = False  # formats that are markup
    return {"values": values, "forms": forms, "results": results}


def dates():
    """The values are what strftime_now takes for now."""
    forms = [f"strftime_now({f!r})" for f in FORMATS_OF_TIME]
    return {"values": DATES, "forms": forms, "results": [[datetime.datetime.fromisoformat(d).strftime(f) for f in FORMATS_OF_TIME] for d in DATES]}


def main():
    env = environment()
    everything = STRINGS[:4] + SCALARS[:12] + ROWS[1::2]
    tables = {
        "methods": table(env, STRINGS, [f"v.{m}" for m in METHODS]),
        "formats": table(env, STRINGS[2:9:5] + [s for s in SCALARS[1:] if s != 1e300] + ROWS[1:8:6], FORMATS, False),
        "filters": table(env, STRINGS[1:3] + STRINGS[12:22:3] + SCALARS[:6] + SCALARS[10:14] + ROWS, [f"v|{f}" for f in FILTERS]),
        "tests": table(env, everything, [f"v is {t}" for t in TESTS if not t.startswith("=")]),
        "items": table(env, STRINGS[2:3] + STRINGS[10:12] + SCALARS[:5] + ROWS[1:], ITEMS),
        "calls": table(env, [None], CALLS),
        "operators": operators(env),
        "dates": dates(),
    }
    OUT.write_text(json.dumps(tables, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, {sum(len(r) for t in tables.values() for r in t['results'])} results")


if __name__ == "__main__":
    main()
