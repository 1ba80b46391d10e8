"""What lm_eval's IFEval and GSM8K make of texts: a JSON array of requests on standard input, of answers on standard
output. Checks, filters and the metric are the package's own, with the parameters of its task's YAML."""
import json
import pathlib
import sys

import langdetect

import stubs

ROOT = pathlib.Path(sys.prefix) / "lm_eval"
for name, folder in {"lm_eval": "", "lm_eval.api": "api", "lm_eval.filters": "filters", "lm_eval.tasks": "tasks",
                     "lm_eval.tasks.ifeval": "tasks/ifeval"}.items():
    stubs.without_init(name, ROOT / folder)
stubs.put("sacrebleu")
stubs.leave_out("matplotlib", "scipy", "sklearn")  # NLTK does without, and imports in a fifth of the time

import yaml  # noqa: E402
from lm_eval.api import metrics  # noqa: E402
from lm_eval.filters import extraction  # noqa: E402
from lm_eval.tasks.ifeval import utils  # noqa: E402

langdetect.DetectorFactory.seed = 0
yaml.SafeLoader.add_constructor("!function", lambda loader, node: node.value)
TASK = yaml.safe_load((ROOT / "tasks/gsm8k/gsm8k.yaml").read_text(encoding="utf-8"))


def ifeval(doc, response):
    found = utils.process_results(doc, [response])
    return {"strict": found["inst_level_strict_acc"], "loose": found["inst_level_loose_acc"]}


def gsm8k(response, answer):
    """By filter: what is extracted, and whether it is the answer's number."""
    found = {}
    options = {k: v for k, v in TASK["metric_list"][0].items() if k.startswith(("ignore", "regexes"))}
    for filters in TASK["filter_list"]:
        first = {k: v for k, v in filters["filter"][0].items() if k != "function"}
        text = extraction.RegexFilter(**first).apply([[response]], [{}])[0][0]
        score = metrics.exact_match_hf_evaluate(predictions=[text], references=[answer], **options)["exact_match"]
        found[filters["name"]] = {"text": text, "correct": bool(score)}
    return found


answers = [{"ifeval": ifeval, "gsm8k": gsm8k}[request.pop("ask")](**request) for request in json.load(sys.stdin)]
json.dump(answers, sys.stdout)
