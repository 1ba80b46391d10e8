"""What alpaca_eval makes of annotations and pairs: a JSON array of requests on standard input, of answers on standard
output. Metrics and the draw of the order are the package's own; its one download, df_gamed.csv, is the file given."""
import importlib.util
import json
import pathlib
import sys
import unittest.mock

import stubs

stubs.without_init("alpaca_eval", pathlib.Path(importlib.util.find_spec("alpaca_eval").origin).parent)
stubs.put("datasets", "dotenv", "fire", "huggingface_hub", "openai", "pkg_resources", "tiktoken")

import pandas  # noqa: E402
from alpaca_eval import processors  # noqa: E402
from alpaca_eval.metrics import glm_winrate, winrate  # noqa: E402


def read(path):
    with open(path, encoding="utf-8") as file:
        return pandas.DataFrame(json.load(file))


def metrics(annotations, gamed=None):
    annotations, fitted, fit = read(annotations), [], glm_winrate.fit_LogisticRegressionCV
    if not gamed:
        return winrate.get_winrate(annotations)

    def keep(*args, **options):
        fitted.append(fit(*args, **options))
        return fitted[0]
    with unittest.mock.patch.object(glm_winrate, "hf_hub_download", lambda **_: gamed), \
            unittest.mock.patch.object(glm_winrate, "fit_LogisticRegressionCV", keep):
        found = glm_winrate.get_length_controlled_winrate(annotations, save_weights_dir=None)
    for model in fitted:
        found["c"] = float(model.C_[0])
        found["coefficients"] = model.coef_[0].tolist()
    return found


def switched(pairs, seed):
    """Whether each pair's outputs are shown to the judge in the other order."""
    draw = processors.RandomSwitchTwoColumnsProcessor(
        two_columns_to_switch=["output_1", "output_2"], random_seed_columns=["instruction"],
        _switch_column="is_switched_outputs", seed=seed)
    return draw.preprocess(read(pairs))["is_switched_outputs"].tolist()


answers = [{"metrics": metrics, "switched": switched}[request.pop("ask")](**request) for request in json.load(sys.stdin)]
json.dump(answers, sys.stdout, default=lambda x: x.item())
