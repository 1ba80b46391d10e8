"""Random small programs of Jinja for compare_templates.py: expressions, statements and white space of every sort."""
import re

INPUTS = {
    "s": "Some Text, it's  here", "t": "ß 世界 \u01c6 <b>&\n two\tlines\n", "e": "", "n": 3, "m": -7, "f": 2.5, "b": True, "z": None,
    "l": [3, 1, 2, 1], "ls": ["b", "A", "c", "a"], "lm": [1, "x", None, 2.0, True, [1]], "d": {"a": 1, "b": "two", "c": [1, 2], "items": 5},
    "msgs": [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "Hi & bye", "n": 2},
             {"role": "assistant", "content": None, "calls": [{"name": "f", "args": {"x": 1, "y": "é\"<"}}], "n": 1}],
}
TEXTS = ["x", " ", "\n", "\n\n", "  ", "a b", "<|im_start|>", "\t", "end.\n", " { ", "} ", "é世", "'q' \"p\"", "\n  ", " # ", " % "]
STRINGS = ["''", "'a'", "\"b c\"", "'it\\'s'", "'\\n'", "\"\\t\\\\\"", "'\\x41\\u00e9'", "'<b>&'", "'ÀÉ'", "' pad '", "'a,b,,c'", "'12'", "'3.5'", "'%s'",
           "'a' 'b'", "'{}'", "'e'", "'\\'", "'t '"]
STRING_METHODS = ["upper()", "lower()", "strip()", "lstrip()", "rstrip('\\n')", "title()", "capitalize()", "swapcase()", "replace('e', 'X')",
                  "replace('', '-')", "replace('e', 'y', 1)", "removeprefix('So')", "removesuffix('\\n')", "strip('Se')", "center(30)", "ljust(25, '.')",
                  "rjust(25)", "zfill(30)", "join(ls)", "join(['x', 'y'])", "expandtabs(4)", "casefold()", "format(1, x=2)"]
STRING_LISTS = ["split()", "split(',')", "split(' ', 1)", "rsplit(' ', 1)", "splitlines()", "splitlines(true)", "partition(' ')", "rpartition('e')", "split('e')[0]"]
STRING_NUMBERS = ["count('e')", "find('e')", "rfind('e')", "index('e')", "find('e', 3)", "count('e', 1, 9)", "startswith('S')", "endswith('\\n')",
                  "startswith(('a', 'S'))", "isdigit()", "isalpha()", "isspace()", "isupper()", "islower()", "isalnum()", "istitle()", "rindex('e')",
                  "isnumeric()", "isdecimal()", "isidentifier()", "isascii()", "isprintable()"]
STRING_FILTERS = ["upper", "lower", "title", "capitalize", "trim", "trim('S')", "replace('e', 'X')", "replace('e', 'X', 1)", "string", "default('d')",
                  "default('d', true)", "d", "indent", "indent(2, true)", "indent(width=3, blank=true)", "indent('> ')", "center(30)", "truncate(9)",
                  "truncate(9, true, '..')", "truncate(9, leeway=0)", "wordwrap(7)", "striptags", "urlencode", "tojson", "e", "escape", "safe",
                  "forceescape", "first", "last", "reverse", "join('-')", "format(1)", "wordcount|string", "pprint", "xmlattr", "urlize"]
LIST_FILTERS = ["list", "sort", "sort(reverse=true)", "reverse|list", "unique|list", "map('upper')|list", "map('string')|list", "select|list",
                "reject('none')|list", "select('odd')|list", "select('gt', 1)|list", "select('string')|list", "batch(2)|list", "batch(3, 'x')|list",
                "slice(2)|list", "slice(3, 'x')|list", "map('default', 'q')|list", "map('abs')|list", "select('in', [1, 'A'])|list", "sort(case_sensitive=true)",
                "unique(case_sensitive=true)|list"]
LAZY_FILTERS = ["select", "map('upper')", "batch(2)", "reject('none')", "slice(2)"]  # of lists alone: ours fail at once, jinja2's when used
DICT_LISTS = ["map(attribute='role')|list", "selectattr('content')|list", "selectattr('role', 'equalto', 'user')|list", "rejectattr('n', 'defined')|list",
              "map(attribute='n', default=0)|list", "groupby('role')|list", "selectattr('n', '>', 1)|list", "sort(attribute='role')", "map(attribute='content')|list",
              "groupby('n', default=9)|map('first')|list", "selectattr('calls', 'defined')|map(attribute='calls')|list", "sort(attribute='role,content')",
              "map('items')|map('first')|list", "map(attribute='calls.0.name')|list", "selectattr('zz')", "map(attribute='role')"]
TESTS = ["defined", "undefined", "none", "string", "number", "mapping", "iterable", "sequence", "boolean", "true", "false", "integer", "float", "odd", "even",
         "divisibleby(2)", "divisibleby 3", "eq(3)", "equalto 3", "ne 3", "gt 2", "lt(2)", "ge 3", "in l", "in(ls)", "upper", "lower", "sameas(true)",
         "callable", "escaped", "filter", "test", "sameas none", "le 3", "greaterthan 1", "lessthan 1"]
PIECES = ["(", ")", "[", "]", "{", "}", ",", ".", ":", "|", "is", "not", "in", "if", "else", "for", "and", "or", "{%", "%}", "{{", "}}", "{#", "#}", "-", "+", "*", "**",
          "/", "//", "~", "=", "==", "<", "!", "'", "\"", "\\", "1", "1.", ".5", "0x1f", "1e3", "1_0", "_", "none", "True", " ", "\n", "set", "endif", "endfor",
          "elif", "macro", "raw", "endraw", "%", "#", "é", "\x00", "\r\n", "@", "$", "`", "?", ";", "&"]


class Programs:
    def __init__(self, rng):
        self.r = rng
        self.names, self.macros, self.in_loop, self.spaces = [], [], 0, 0

    def pick(self, *options):
        choice = self.r.choice(options)
        return choice() if callable(choice) else choice

    def any(self, depth=2):
        if self.names and self.r.random() < 0.15:
            return self.r.choice(self.names)
        if self.macros and self.r.random() < 0.05:
            return self.call(depth)
        if self.in_loop and self.r.random() < 0.12:
            return self.loop_value()
        kind = self.r.choice([self.string, self.string, self.number, self.list, self.dict, self.truth, self.other])
        return kind(depth)

    def loop_value(self):
        return self.r.choice(["loop.index", "loop.index0", "loop.first", "loop.last", "loop.length", "loop.revindex", "loop.revindex0", "loop.depth",
                              "loop.depth0", "loop.cycle('a', 'b')", "loop.previtem", "loop.nextitem", "loop.changed(x)", "loop.previtem is defined"])

    def sometimes_any(self, depth, kind):
        return self.any(depth - 1) if self.r.random() < 0.06 else kind(depth - 1)

    def string(self, depth):
        r, S = self.r, lambda: self.sometimes_any(depth, self.string)
        if depth <= 0:
            return self.pick("s", "t", "e", lambda: r.choice(STRINGS), lambda: r.choice(STRINGS), "msgs[1].content", "msgs[0]['role']")
        return self.pick(
            lambda: f"{S()} ~ {self.any(depth - 1)}", lambda: f"({S()} + {S()})", lambda: f"({S()})[{self.index()}]", lambda: f"({self.string(0)}){self.slice()}",
            lambda: f"({S()}).{r.choice(STRING_METHODS)}", lambda: f"{self.atom(S())}|{r.choice(STRING_FILTERS)}", lambda: f"({S()}) * {r.choice('0123')}",
            lambda: f"({S()})|{r.choice(STRING_FILTERS)}|{r.choice(STRING_FILTERS)}", lambda: f"({self.list(depth - 1)})|join({S()})",
            lambda: f"({S()} if {self.truth(depth - 1)} else {S()})", lambda: f"({S()} if {self.truth(depth - 1)})",
            lambda: f"({self.any(depth - 1)})|{r.choice(['string', 'tojson', 'tojson(indent=2)', 'tojson(ensure_ascii=true)', 'pprint', 'tojson(sort_keys=true)'])}",
            lambda: f"('%s-%s' % ({self.any(depth - 1)}, {S()}))", lambda: f"'{r.choice(['%d', '%5.2f', '%s', '%r', '%x', '%03d', '%-4s|', '%%'])}'|format({self.number(depth - 1)})",
            lambda: f"'{r.choice(['{}', '{0}', '{:>5}', '{!r}', '{:.2f}', '{:,}', '{:03d}'])}'.format({self.number(depth - 1)})",
            lambda: f"({self.dict(depth - 1)}).{r.choice(['a', 'b', 'role', 'role', 'a', 'b', 'zz', 'items'])}")

    def atom(self, text):
        return text if self.r.random() < 0.3 else f"({text})"

    def index(self):
        return self.r.choice(["0", "1", "-1", "2", "9", "'a'", "n", "-2"])

    def slice(self):
        """Of strings and lists alone: what has no slices but is constant, jinja2's optimizer makes nothing where it is printed at once,
        and an error elsewhere; ours is an error."""
        v = lambda: self.r.choice(["", "", "0", "1", "2", "-1", "-2", "5", "n", "100", "none"])  # noqa: E731
        return f"[{v()}:{v()}]" if self.r.random() < 0.6 else f"[{v()}:{v()}:{self.r.choice(['', '1', '2', '-1', '-2'])}]"

    def number(self, depth):
        r, N = self.r, lambda: self.sometimes_any(depth, self.number)
        if depth <= 0:
            return self.pick("n", "m", "f", "0", "1", "2", "10", "1.5", "0.1", "1e3", "1_000", "7", "l[0]", "100.0", "b", "1e16", "1e-5", "123456789.125")
        return self.pick(
            lambda: f"{N()} {r.choice(['+', '-', '*', '/', '//', '%'])} {N()}", lambda: f"({N()} {r.choice(['+', '-', '*', '/', '//', '%'])} {self.number(0)})",
            lambda: f"-{self.atom(N())}", lambda: f"({self.list(depth - 1)})|{r.choice(['length', 'count', 'sum', 'min', 'max', 'first', 'last'])}",
            lambda: f"({N()})|{r.choice(['abs', 'int', 'float', 'round', 'round(1)', 'round(1, %r)' % 'floor', 'round(method=%r)' % 'ceil', 'string|length', 'filesizeformat'])}",
            lambda: f"({self.string(depth - 1)})|{r.choice(['length', 'int', 'float', 'int(5)', 'wordcount', 'int(base=16)', 'float(1.5)'])}",
            lambda: f"({self.string(depth - 1)}).{r.choice(STRING_NUMBERS)}", lambda: f"({self.list(depth - 1)})[{self.index()}]",
            lambda: f"({self.list(depth - 1)}).{r.choice(['count(2)', 'count(1)', 'index(1)'])}", lambda: f"({N()} if {self.truth(depth - 1)} else {N()})",
            lambda: f"({self.number(0)} ** {r.choice(['2', '0', '-1', '0.5', '3', 'b', 'f'])})", lambda: f"(2 ** {r.choice(['n', 'm', '10', '62', '-f'])})")

    def list(self, depth):
        r, L = self.r, lambda: self.sometimes_any(depth, self.list)
        if depth <= 0:
            return self.pick("l", "ls", "lm", "msgs", "[]", "[1, 2]", "('a', 'b')", "range(3)|list", "range(1, 9, 3)", "d.c", "()", "(1,)", "[[1, 2], [3]]")
        return self.pick(
            lambda: f"[{', '.join(self.any(depth - 1) for _ in range(r.randint(0, 3)))}]", lambda: f"({L()} + {L()})", lambda: f"({self.list(0)}){self.slice()}",
            lambda: f"({L()})|{r.choice(LIST_FILTERS)}", lambda: f"({self.list(0)})|{r.choice(LAZY_FILTERS if r.random() < 0.3 else LIST_FILTERS)}", lambda: f"msgs|{r.choice(DICT_LISTS)}", lambda: f"({self.string(depth - 1)}).{r.choice(STRING_LISTS)}",
            lambda: f"({self.dict(depth - 1)}).{r.choice(['items()', 'keys()', 'values()'])}|list", lambda: f"({self.dict(depth - 1)})|{r.choice(['items|list', 'dictsort', 'list', 'dictsort(reverse=true)', 'dictsort(by=%r)' % 'value'])}",
            lambda: f"({self.string(depth - 1)})|list", lambda: f"({L()}) * 2", lambda: f"range({self.index()}, {self.index()})|list", lambda: f"msgs|{r.choice(DICT_LISTS)}",
            lambda: f"({L()}).{r.choice(['copy()', 'count(3)'])}")

    def dict(self, depth):
        r = self.r
        if depth <= 0:
            return self.pick("d", "msgs[0]", "msgs[1]", "msgs[2]", "{}", "{'a': 1}", "dict(a=1, b='x')", "msgs[2].calls[0].args")
        return self.pick(
            lambda: "{" + ", ".join(f"{r.choice(['%r' % 'a', '%r' % 'k', '1', 's', 'b', '(1, 2)', 'f'])}: {self.any(depth - 1)}" for _ in range(r.randint(0, 3))) + "}",
            lambda: f"dict({self.dict(depth - 1)}, c={self.any(depth - 1)})", lambda: "(msgs|first)",
            lambda: f"({self.dict(depth - 1)}).get('{r.choice('abck')}', {self.any(depth - 1)})", lambda: f"dict({self.list(depth - 1)})",
            lambda: f"({self.dict(depth - 1)})['{r.choice('abck')}']", lambda: f"({self.dict(depth - 1)}).copy()", "d.fromkeys(ls, 1)")

    def truth(self, depth):
        r = self.r
        if depth <= 0:
            return self.pick("true", "false", "b", "none", "n > 2", "s == 'x'", "u is defined", "not e", "True", "False", "None")
        A = lambda: self.any(depth - 1)  # noqa: E731
        return self.pick(
            lambda: f"{self.number(depth - 1)} {r.choice(['==', '!=', '<', '>', '<=', '>='])} {self.number(depth - 1)}", lambda: f"{A()} {r.choice(['==', '!='])} {A()}",
            lambda: f"({self.string(depth - 1)}) {r.choice(['in', 'not in'])} {self.string(depth - 1)}", lambda: f"{A()} {r.choice(['in', 'not in'])} ({self.list(depth - 1)})",
            lambda: f"({A()}) is {r.choice(['', '', 'not '])}{r.choice(TESTS)}", lambda: f"({A()}) is {r.choice(['', 'not '])}{r.choice(TESTS)}", lambda: f"not ({A()})",
            lambda: f"({A()} {r.choice(['and', 'or'])} {A()})", lambda: f"1 < {self.number(depth - 1)} <= 5", lambda: f"{self.string(depth - 1)} {r.choice(['<', '>='])} {self.string(depth - 1)}",
            lambda: f"'{r.choice('abk')}' in {self.dict(depth - 1)}", lambda: f"d.zz is {r.choice(['defined', 'none'])}", lambda: f"not {A()} is {r.choice(TESTS)}")

    def other(self, depth):
        return self.pick("u|string", "none", "u|default(1)", "u|default(2)", "zz.y|default(1)" if self.r.random() < 0.8 else "zz.y", "d.zz", "d['zz']|default('q')", "msgs[9]", "l[9]", "msgs[0].zz", "u is defined", "d.items", "s.zz", "z.q",
                         "s[99]", "cycler('a', 'b').next()", "namespace(a=1).a", "joiner(', ')()", "loop", "caller", "strftime_now('%d %b %Y')", "u ~ 'x'", "u or 'v'")

    def call(self, depth):
        name, n = self.r.choice(self.macros)
        given = [self.any(depth - 1) for _ in range(self.r.choice([n, n, n, max(0, n - 1), n + 1]))]
        if given and self.r.random() < 0.2:
            given[-1] = "q=" + given[-1]
        return f"{name}({', '.join(given)})"

    def tag(self, body):
        return "{%" + self.r.choice(["", "", "-", "+"] if self.r.random() < 0.6 else ["-"]) + " " + body + " " + self.r.choice(["", "", "-"]) + "%}"

    def text(self):
        return "".join(self.r.choice(TEXTS) for _ in range(self.r.randint(0, 2)))

    def body(self, depth, most=3):
        return self.text() + "".join(self.statement(depth) + self.text() for _ in range(self.r.randint(1, most)))

    def scoped(self, depth, names=()):
        names_before, macros_before = list(self.names), list(self.macros)
        self.names += names
        out = self.body(depth)
        if self.r.random() < 0.7:
            self.names, self.macros = names_before, macros_before
        return out

    def statement(self, depth):
        r = self.r
        if depth <= 0 or r.random() < 0.35:
            return "{{" + r.choice(["", "", "-"]) + " " + self.any(r.choice([1, 2, 2, 3])) + " " + r.choice(["", "", "-"]) + "}}"
        return r.choice([self.s_if, self.s_for, self.s_for, self.s_set, self.s_set, self.s_block, self.s_macro, self.s_namespace, self.s_other])(depth - 1)

    def s_if(self, depth):
        out = self.tag("if " + self.truth(2)) + self.scoped(depth)
        if self.r.random() < 0.4:
            out += self.tag("elif " + self.truth(1)) + self.scoped(depth)
        if self.r.random() < 0.5:
            out += self.tag("else") + self.scoped(depth)
        return out + self.tag("endif")

    def s_for(self, depth):
        target, source = self.r.choice([("x", self.list(1)), ("x", self.list(2)), ("k, v", f"{self.dict(0)}.items()"), ("x", "msgs"), ("k", "d"), ("x", self.string(1)),
                                   ("k, v", f"{self.dict(0)}|items"), ("k, (x, y)", "[(1, (2, 3))]"), ("x", "[[1, [2]], [3]]")])
        names = target.replace("(", "").replace(")", "").replace(" ", "").split(",")
        condition = f" if {self.r.choice(names)} is {self.r.choice(TESTS)}" if self.r.random() < 0.2 else ""
        recursive = " recursive" if self.r.random() < 0.1 else ""
        self.in_loop += 1
        out = self.tag(f"for {target} in {source}{condition}{recursive}") + self.scoped(depth, names)
        if recursive and self.r.random() < 0.7:
            out += self.tag(f"if {names[0]} is sequence and {names[0]} is not string") + "{{ loop(" + names[0] + ") }}" + self.tag("endif")
        if self.r.random() < 0.2:
            out += self.tag(f"if {self.truth(1)}") + self.tag(self.r.choice(["break", "continue"])) + self.tag("endif") + self.text()
        self.in_loop -= 1
        if self.r.random() < 0.2:
            out += self.tag("else") + self.body(0)
        return out + self.tag("endfor")

    def s_set(self, depth):
        name = self.r.choice(["v", "w", "s", "x"])
        out = self.tag(f"set {name}, w = {self.any(1)}, {self.any(1)}" if self.r.random() < 0.1 else f"set {name} = {self.any(2)}")
        self.names.append(name)
        return out

    def s_block(self, depth):
        r = self.r.random()
        if r < 0.4:
            out = self.tag("set w" + self.r.choice(["", " | upper", " | trim | title", " | indent(2)"])) + self.scoped(depth) + self.tag("endset")
            self.names.append("w")
            return out
        if r < 0.7:
            return self.tag("filter " + self.r.choice(["upper", "trim", "replace('a', 'b')", "indent(3)|upper", "tojson"])) + self.scoped(depth) + self.tag("endfilter")
        return self.tag(f"with y = {self.any(1)}, x = {self.any(1)}") + self.scoped(depth, ["y", "x"]) + self.tag("endwith")

    def s_macro(self, depth):
        name, parameters = f"m{len(self.macros)}", self.r.choice([[], ["p"], ["p", "q=1"], ["p", "q='z'"], ["p=s", "q=p"]])
        names = [p.split("=")[0] for p in parameters]
        extra = self.r.choice(["", "", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller else '' }}", "{{ caller is defined }}"])
        out = self.tag(f"macro {name}({', '.join(parameters)})") + self.scoped(depth, names) + extra + self.tag("endmacro")
        self.macros.append((name, len(parameters)))
        if self.r.random() < 0.3:
            return out + self.tag("call " + self.r.choice(["", "(x) "]) + self.call(1)) + self.body(0) + self.tag("endcall")
        return out + "{{ " + self.call(1) + " }}"

    def s_namespace(self, depth):
        if not self.spaces:
            self.spaces = 1
            return self.tag(f"set ns = namespace(v={self.any(1)}, w=0)")
        return self.tag(f"set ns.{self.r.choice('vw')} = {self.r.choice(['ns.v', 'ns.w + 1', self.any(2)])}") + "{{ ns.v }}"

    def s_other(self, depth):
        return self.pick(lambda: "{#" + self.r.choice(["", "-"]) + " c {{ x }} " + self.r.choice(["", "-"]) + "#}", lambda: self.tag("raw") + " {{ r }} {% x %}\n" + self.tag("endraw"),
                         lambda: self.tag("generation") + self.body(depth) + self.tag("endgeneration"), lambda: "{%- if " + self.truth(1) + " -%}\n  y\n{%- endif %}\n",
                         lambda: self.tag(f"do {self.any(1)}") if self.r.random() < 0.1 else "{{ raise_exception('no ' ~ s) }}" if self.r.random() < 0.2 else "",
                         lambda: "{{ '{{' }}{{ \"%}\" }}")

    def mutated(self, source):
        """With a token left out, doubled, or another put in: mostly malformed."""
        tokens = re.findall(r"\w+|\s+|[{}%#]{2}|.", source, re.S)
        at = self.r.randrange(len(tokens) + 1)
        change = self.r.choice(["drop", "double", "put", "swap"])
        if change == "put" or at >= len(tokens) - 1:
            tokens.insert(at, self.r.choice(PIECES))
        elif change == "drop":
            del tokens[at]
        elif change == "double":
            tokens.insert(at, tokens[at])
        else:
            tokens[at], tokens[at + 1] = tokens[at + 1], tokens[at]
        return "".join(tokens)

    def program(self):
        self.names, self.macros, self.in_loop, self.spaces = [], [], 0, 0
        source = self.body(2, most=3)
        return self.mutated(source) if self.r.random() < 0.15 else source
