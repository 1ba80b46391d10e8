#!/usr/bin/env python3
"""Compares the interpreter of chat templates with Python's jinja2 as transformers sets it up.

    python tests/text/compare_templates.py [--build build/cpu] [--chats 200] [--programs 50000] [TEMPLATE|FOLDER ...]

Needs jinja2 and transformers, and `cmake --build build/cpu --target render_jinja`. Each template (*.jinja, or the chat_template of
a tokenizer_config.json or chat_template.json; folders are searched) is rendered with a fixed set of chats and with --chats random ones,
and the texts must be equal, or both must refuse, with the same words where the template itself raised them. Then
every byte that came from a message must say so in the rendering's origins, and no other. --programs: so many random small programs
of Jinja besides, which need no templates. Real templates are other people's and stay out of the repository; packages and
model folders have them. --seed makes another run; --show prints the differences in full.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import subprocess
import sys
import time

import jinja2.meta
import transformers.utils.chat_template_utils as hf

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import template_chats  # noqa: E402
import template_programs  # noqa: E402

DATE = "2024-07-26"
OWN = sorted(template_chats.TOKENS)
PRIVATE = range(0xA000, 0xA48D)  # Yi, which no template has: what contents are written in where origins are checked
UNSUPPORTED = -5  # TPO_E_UNSUPPORTED: refused by the name of the feature


class FixedDatetime(hf.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(DATE)


class Interpreter:
    """The program that renders with ours; one for all."""

    def __init__(self, build):
        self.process = subprocess.Popen([pathlib.Path(build) / "tests" / "render_jinja"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seconds = 0.0  # of renderings alone, without the pipe and JSON

    def ask(self, request):
        line = json.dumps(request).encode() + b"\n"
        self.process.stdin.write(line)
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"render_jinja ended ({self.process.wait()}) at {line[:4000]!r}")
        return json.loads(answer)

    def open(self, source):
        return self.ask({"template": source})

    def render(self, inputs, runs=False):
        answer = self.ask({"inputs": inputs, "own": OWN, "date": DATE, "runs": runs})
        self.seconds += 0 if runs else answer.pop("seconds", 0)
        return answer


class Python:
    """The same two calls with jinja2; an error's kind goes with it."""

    def __init__(self):
        self.seconds = 0.0
        hf.datetime = FixedDatetime

    @staticmethod
    def error(problem):
        return {"error": str(problem), "kind": type(problem).__name__}

    def open(self, source):
        try:
            self.template = hf._cached_compile_jinja_template(source)
        except Exception as problem:  # jinja2 lets Python's own errors through
            return self.error(problem)
        return {}

    def render(self, inputs):
        begin = time.perf_counter()
        try:
            return {"text": self.template.render(**inputs)}
        except Exception as problem:
            return self.error(problem)
        finally:
            self.seconds += time.perf_counter() - begin


def letters(text):
    """What is left of a message when it was made visible and cut: letters and digits of ASCII, few of them."""
    return re.sub(r"‹U\+[0-9A-F]+›|\\[nrt]|\\x[0-9a-f]{2}|[^A-Za-z0-9]", "", text)[:300]


def same_reason(theirs, ours):
    return letters(theirs["error"])[:60] in letters(ours["error"])


class Report:
    def __init__(self, show):
        self.show, self.counts, self.kinds, self.differences = show, collections.Counter(), collections.Counter(), []
        self.features = collections.Counter()

    def compare(self, name, source, inputs, theirs, ours):
        """One of: same, refused (by both), unsupported (ours names what it has not), address (theirs prints one), different."""
        if "error" in theirs and "error" in ours:
            raised = theirs["kind"] == "TemplateError"
            if raised and not same_reason(theirs, ours) and ours.get("code") != UNSUPPORTED:
                return self.differ(name, source, inputs, theirs, ours)
            self.kinds[theirs["kind"], same_reason(theirs, ours)] += 1
            result = "refused"
        elif re.search(r"<.* at 0x[0-9a-f]+>", theirs.get("text", "")):
            result = "address"
        elif ours.get("code") == UNSUPPORTED:
            self.features[re.sub(r"^.*?line \d+: ", "", ours["error"])[:60]] += 1
            result = "unsupported"
        elif theirs.get("text", 0) == ours.get("text", 1):
            result = "same"
        else:
            return self.differ(name, source, inputs, theirs, ours)
        self.counts[result] += 1
        return result

    def differ(self, name, source, inputs, theirs, ours):
        self.counts["different"] += 1
        self.differences.append(name)
        if len(self.differences) <= self.show:
            print(f"--- {name}\n{source}\ninputs: {json.dumps(inputs)}\njinja2: {theirs}\nours:   {ours}", flush=True)
        return "different"

    def print_refusals(self):
        print("refused by both, for the same reason:", {kind: n for (kind, same), n in self.kinds.most_common() if same})
        print("refused by both, in other words:", {kind: n for (kind, same), n in self.kinds.most_common() if not same})
        print("refused by ours alone:", dict(self.features.most_common()))


def private_twin(value, keys, rng):
    """The same inputs with every string of a message, but roles and types, written in private code points."""
    if isinstance(value, str):
        return "".join(" " if c == " " else "\n" if c == "\n" else chr(rng.choice(PRIVATE)) for c in value)
    if isinstance(value, list):
        return [private_twin(v, keys, rng) for v in value]
    if isinstance(value, dict):
        return {k: v if k in keys else private_twin(v, keys, rng) for k, v in value.items()}
    return value


def origin_faults(answer, messages):
    """Stretches whose origin is wrong: private code points said to be the template's own, or letters said to be from a content that
    is nothing but private ones (those of dicts have keys)."""
    texts = {f"messages[{i}].content" for i, m in enumerate(messages) if isinstance(m.get("content"), str)}
    data, faults, end = answer["text"].encode(), [], 0
    for begin, stop, name, own in answer["runs"]:
        if begin != end or stop <= begin:
            faults.append(f"a run of [{begin}, {stop}) after {end}")
        end = stop
        piece = data[begin:stop].decode(errors="replace")
        private = [c for c in piece if ord(c) in PRIVATE]
        if private and (own or name == "computed"):
            faults.append(f"{name}: {piece[:60]!r} is a message's")
        if name in texts and re.search(r"[A-Za-z<|>\[\]]", piece.replace("\\n", "")):
            faults.append(f"{name}: {piece[:60]!r} is no message's")
    if end != len(data):
        faults.append(f"runs end at {end} of {len(data)}")
    return faults


def check_origins(ours, inputs, rng):
    twin = {**inputs, "messages": private_twin(inputs["messages"], {"role", "type", "name", "tool_calls", "id", "tool_call_id"}, rng)}
    answer = ours.render(twin, runs=True)
    return origin_faults(answer, inputs["messages"]) if "text" in answer else None


def sources(paths):
    """(name, text) of each template under the paths; the same text once."""
    seen = set()
    for path in map(pathlib.Path, paths):
        files = sorted(p for p in path.rglob("*") if p.suffix in (".jinja", ".json")) if path.is_dir() else [path]
        for file in files:
            for name, text in templates_of(file):
                if text not in seen:
                    seen.add(text)
                    yield name, text


def templates_of(file):
    text = file.read_bytes().decode()
    if file.suffix != ".json":
        return [(file.stem, text)]
    found = json.loads(text).get("chat_template") if text.lstrip().startswith("{") else None
    if isinstance(found, list):
        return [(f"{file.parent.name}/{t['name']}", t["template"]) for t in found]
    return [(file.parent.name, found)] if isinstance(found, str) else []


def undeclared(source):
    environment = hf._cached_compile_jinja_template("").environment
    found = jinja2.meta.find_undeclared_variables(environment.parse(source))
    return found - {"raise_exception", "strftime_now", "namespace", "range", "dict", "cycler", "joiner", "lipsum"}


def own_strings(source):
    return sorted(set(re.findall(r"<[|｜]?[A-Za-z_/.▁]{2,30}[|｜]?>|\[/?[A-Z_]{3,20}\]", source)))


def compare_template(name, source, n_chats, seed, theirs, ours, report):
    """Counts of results for one template, or None where ours can't open it."""
    opened, answer = theirs.open(source), ours.open(source)
    if opened or answer:
        if opened and answer:
            print(f"{name}: both refuse it: {opened['error'][:90]} | {answer['error'][:90]}")
        else:
            report.differ(name, source[:200], {}, opened or {"text": "(opened)"}, answer or {"text": "(opened)"})
        return None
    rng, results = random.Random(f"{seed} {name}"), collections.Counter()
    extra, names = own_strings(source), undeclared(source)
    chats = [(f"{name} {kind}", inputs) for kind, inputs in template_chats.fixed_chats(names)]
    chats += [(f"{name} #{i}", template_chats.random_chat(rng, extra, names)) for i in range(n_chats)]
    for label, inputs in chats:
        results[report.compare(label, f"[{name}]", inputs, theirs.render(inputs), ours.render(inputs))] += 1
        faults = check_origins(ours, inputs, rng)
        results["origins"] += faults is not None
        results["faults"] += bool(faults)
        if faults and len(report.differences) < report.show:
            print(f"--- {label}: origins: {faults[:3]}\ninputs: {json.dumps(inputs)}")
    return results


def compare_programs(n, seed, theirs, ours, report):
    programs = template_programs.Programs(random.Random(seed))
    for i in range(n):
        source = programs.program()
        opened = theirs.open(source)
        left = opened or theirs.render(template_programs.INPUTS)
        answer = ours.open(source)
        right = answer if "error" in answer else ours.render(template_programs.INPUTS)
        report.compare(f"program {i}", source, {}, left, right)
        if i % 1000 == 999:
            print(f"{i + 1} programs: {dict(report.counts)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--build", default="build/cpu")
    parser.add_argument("--chats", type=int, default=200, help="random chats for each template")
    parser.add_argument("--programs", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--show", type=int, default=5, help="differences printed in full")
    args = parser.parse_args()
    theirs, ours, report, total, failed = Python(), Interpreter(args.build), Report(args.show), collections.Counter(), False
    if args.paths:
        opened = 0
        for name, source in sources(args.paths):
            results = compare_template(name, source, args.chats, args.seed, theirs, ours, report)
            if results:
                opened += 1
                total += results
                print(f"{name[:60]:60} " + ", ".join(f"{k} {results[k]}" for k in ("same", "refused", "unsupported", "different", "origins", "faults")), flush=True)
        print(f"{opened} templates: {dict(total)}; renderings alone took jinja2 {theirs.seconds:.1f} s, ours {ours.seconds:.1f} s")
        failed = bool(report.differences) or bool(total["faults"])
        report.print_refusals()
    if args.programs:
        report = Report(args.show)
        compare_programs(args.programs, args.seed, theirs, ours, report)
        print(f"{args.programs} programs: {dict(report.counts)}")
        report.print_refusals()
        failed = failed or bool(report.differences)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
