/* The evaluations that there are. */
#include "cli/eval/eval.h"

extern const struct command cmd_eval_gsm8k, cmd_eval_ifeval;

const struct command *const eval_commands[] = {
    &cmd_eval_gsm8k,
    &cmd_eval_ifeval,
    NULL,
};
