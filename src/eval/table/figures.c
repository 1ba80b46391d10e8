/* What the table shows of each evaluation. */
#include "eval/table/table.h"

const struct table_figure table_figures[] = {
    {"alpaca", "AlpacaEval 2 LC win rate (%)", "length_controlled_winrate", .error = "lc_standard_error",
     .each = "variant", .decimals = 2},
    {"alpaca", "AlpacaEval 2 win rate (%)", "win_rate", .error = "standard_error", .each = "variant",
     .decimals = 2},
    {"alpaca", "AlpacaEval 2 length", "avg_length", .each = "variant", .decimals = 0},
    {"arena", "Arena-Hard (%)", "score", .lower = "lower", .upper = "upper", .decimals = 1},
    {"ifeval", "IFEval prompt strict", "prompt_strict", .decimals = 4},
    {"ifeval", "IFEval instruction strict", "instruction_strict", .decimals = 4},
    {"ifeval", "IFEval prompt loose", "prompt_loose", .decimals = 4},
    {"ifeval", "IFEval instruction loose", "instruction_loose", .decimals = 4},
    {"gsm8k", "GSM8K", "accuracy", .error = "standard_error", .each = "prompting", .decimals = 4},
    {"categories", "win rate over categories", "overall.win_rate", .lower = "overall.lower",
     .upper = "overall.upper", .decimals = 4},
    {"watch", "watch", "value", .error = "value_se", .each = "name", .kind = "kind", .decimals = 4},
    {.evaluation = NULL},
};
