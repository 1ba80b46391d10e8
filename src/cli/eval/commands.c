/* The evaluations that there are. */
#include "cli/eval/eval.h"

const struct command *const eval_commands[] = {
    &cmd_eval_alpaca,
    &cmd_eval_arena,
    &cmd_eval_categories,
    &cmd_eval_gsm8k,
    &cmd_eval_ifeval,
    &cmd_eval_table,
    NULL,
};
