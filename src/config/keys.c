/* The table of all keys and sections; parsing, printing and the reference page are made from it. */
#include <limits.h>
#include <string.h>
#include "config/keys.h"

#define AT(field) offsetof(struct tpo_config, field)
#define INT(path, field, low, high, fallback, doc)                                                           \
  {                                                                                                          \
    path, KEY_INT, AT(field), 0, low, high, 0, fallback, NULL, doc                                           \
  }
#define REAL(path, field, low, high, limits, fallback, doc)                                                  \
  {                                                                                                          \
    path, KEY_DOUBLE, AT(field), 0, low, high, limits, fallback, NULL, doc                                   \
  }
#define TRUTH(path, field, fallback, doc)                                                                    \
  {                                                                                                          \
    path, KEY_BOOL, AT(field), 0, 0, 0, 0, fallback, NULL, doc                                               \
  }
#define TEXT(path, field, fallback, doc)                                                                     \
  {                                                                                                          \
    path, KEY_TEXT, AT(field), 0, 0, 0, 0, fallback, NULL, doc                                               \
  }
#define VERDICTS(path, field, doc)                                                                           \
  {                                                                                                          \
    path, KEY_VERDICTS, AT(field), 0, 0, 0, 0, NULL, NULL, doc                                               \
  }
#define CHOICE(path, field, choices, fallback, doc)                                                          \
  {                                                                                                          \
    path, KEY_CHOICE, AT(field), 0, 0, 0, 0, fallback, choices, doc                                          \
  }

const struct config_section config_sections[] = {
    {"model", NULL, "The model to start from and how it is computed with."},
    {"template", NULL,
     "Pieces of a chat template, for a model that has none or in place of its own. "
     "Give all six prefixes and suffixes or none."},
    {"data", NULL, "Where the instructions come from."},
    {"thought", "name",
     "How the model is asked to think. `thought: NAME` is short for `thought: {name: NAME}`; "
     "the other keys then change single settings of that layout. "
     "A layout's own file, `FILE.yaml`, holds the keys of this section, without `name`, at its top level. "
     "`configs/thought/` has the built-in ones to copy from."},
    {"sampling", NULL, "How the samples are drawn."},
    {"judge", "kind", "Who scores the responses. `judge: rule` is short for `judge: {kind: rule}`."},
    {"pairs", NULL, "How chosen and rejected outputs are picked from the scored samples."},
    {"train", NULL, "Preference training."},
    {"run", NULL, "The loop of `tpo run`."},
};
const int config_n_sections = sizeof config_sections / sizeof *config_sections;

/* Within a section in the order of the struct; the reference page and `tpo config` follow it. */
const struct config_key config_keys[] = {
    {"seed", KEY_UINT64, AT(seed), 0, 0, 0, 0, "0", NULL,
     "Seed of every random choice. The same seed, model and configuration give the same run."},

    TEXT("model.path", model.path, NULL,
         "The model: a Hugging Face folder, a `.gguf` file, or a checkpoint `.h5` that this program wrote."),
    CHOICE("model.dtype", model.dtype, "bf16|fp32", "bf16",
           "Number format of weights and activations; "
           "sums, norms, the softmax and the optimizer use fp32 either way."),
    CHOICE("model.backend", model.backend, "auto|cpu|cuda", "auto",
           "Where it is computed; `auto` takes a GPU when there is one that can be used."),
    INT("model.threads", model.threads, 0, 4096, "0",
        "Threads of each rank. 0: the least of the affinity mask's cores, shared by the ranks whose masks meet, the "
        "cgroups' quota of CPU time (rounded up), which the machine's ranks share, and `SLURM_CPUS_PER_TASK`."),
    CHOICE("model.isa", model.isa, "auto|scalar|avx2|avx512|avx512_bf16", "auto",
           "Instruction set that the CPU backend computes with; `auto` is the fastest that the CPU has. "
           "Results of two of them differ in the last bits, so give ranks on unlike CPUs one that all have."),

    TEXT("template.bos", template_pieces.bos, NULL, "Text before the first message."),
    TEXT("template.system_prefix", template_pieces.system_prefix, NULL, "Text before a system message."),
    TEXT("template.system_suffix", template_pieces.system_suffix, NULL, "Text after a system message."),
    TEXT("template.user_prefix", template_pieces.user_prefix, NULL, "Text before a user message."),
    TEXT("template.user_suffix", template_pieces.user_suffix, NULL, "Text after a user message."),
    TEXT("template.assistant_prefix", template_pieces.assistant_prefix, NULL,
         "Text before an assistant message, and at the end of a prompt that asks for one."),
    TEXT("template.assistant_suffix", template_pieces.assistant_suffix, NULL,
         "Text after an assistant message."),
    TEXT("template.default_system", template_pieces.default_system, NULL,
         "System message of a chat that brings none; not given: no system message."),
    TEXT(
        "template.date", template_pieces.date, TPO_TEMPLATE_DATE,
        "The date, `YYYY-MM-DD`, that a model's own template is told where it asks for today's (Llama 3.2): it is "
        "fixed, so that a chat has the same tokens on every day. It is no piece, and goes with any template but a judge's, which is told the default."),

    TEXT("data.train", data.train, NULL,
         "File of training instructions (JSON Lines or tab-separated, plain or gzip). "
         "Not given: instructions with verifiable constraints are composed, fresh ones each iteration."),
    TEXT(
        "data.validation", data.validation, NULL,
        "File of validation instructions. Not given: they are composed, on topics that training never sees."),
    INT("data.prompts_per_iteration", data.prompts_per_iteration, 1, 100000000, "5000",
        "Instructions that are sampled from in each iteration."),
    INT("data.validation_prompts", data.validation_prompts, 0, 100000000, "500",
        "Validation instructions, the same ones throughout a run. 0: no validation."),
    INT("data.skip_bad", data.skip_bad, 0, 1000000, "0",
        "So many bad rows of a file of instructions or pairs are left out, each told with its line; one more, "
        "and the file is refused."),

    TEXT(
        "thought.name", thought.name, "generic",
        "`generic`, `specific`, `think-tags`, `paper-generic`, `paper-specific`, `system`, `none`, or a layout's file; "
        "a relative path starts at the folder "
        "of the file that names it. `auto`: `think-tags` where the model's chat template knows such thoughts and doesn't "
        "end them in the prompt, else `generic`. Beside a `prompt`, in a file or given by `--set`, a name is a label only, and "
        "nothing is read."),
    TEXT("thought.prompt", thought.prompt, NULL,
         "The user message; `{instruction}`, exactly once in it, is replaced by the instruction."),
    TEXT("thought.system", thought.system, "", "System message. Empty: the chat template's own default."),
    TEXT("thought.thought_marker", thought.thought_marker, "", "Text that begins the thought."),
    TEXT(
        "thought.response_marker", thought.response_marker, "",
        "Text that begins the response, which ends where it comes again, as at a stop string. "
        "Empty: all of the output is the response. Where it is a control token of the tokenizer, it is that token."),
    TEXT("thought.prefill", thought.prefill, "",
         "Text that the assistant's turn is begun with, so that the model goes on from it."),
    CHOICE(
        "thought.parse", thought.parse, "strict|search", "strict",
        "Which outputs have the layout. `strict`: those with both markers in order, each once. "
        "`search`: the first thought marker and the first response marker after it count, whatever stands "
        "before, and a thought marker that comes again is text. Either way thought and response must not be "
        "empty. Sampling is the same: it ends where the response marker comes a second time."),
    INT("thought.thought_tokens", thought.thought_tokens, 0, 10000000, "0",
        "Budget of the thought in tokens. "
        "0: half of `sampling.max_tokens` under `on_budget: force`, no limit of its own under `stop`."),
    INT("thought.response_tokens", thought.response_tokens, 0, 10000000, "0",
        "Budget of the response in tokens. 0: what `sampling.max_tokens` leaves."),
    {"thought.on_budget", KEY_CHOICE_BOOL, AT(thought.force), 0, 0, 0, 0, "stop", "stop|force",
     "What happens when the thought has used its budget or the model ends its turn within it: "
     "`force` inserts the response marker and generation goes on, so the layout always holds; "
     "`stop` ends the sample, which then does not parse and can only be rejected."},
    TRUTH("thought.train_forced", thought.train_forced, "true",
          "Whether inserted tokens carry loss in the chosen output. In the rejected one they never do. "
          "Where most markers are inserted, turn it off: "
          "making them likelier is then the easiest way to a margin."),
    {"thought.template_args", KEY_MAP, AT(thought.template_args), 0, 0, 0, 0, NULL, NULL,
     "Variables for the model's chat template, such as `{enable_thinking: true}`, `{reasoning_effort: low}`; without "
     "them it is given `enable_thinking: false`. A mapping takes the place of the layout's own; "
     "`--set thought.template_args.NAME=VALUE` sets one of them."},

    INT("sampling.k", sampling.k, 1, 1024, "8", "Samples of each instruction."),
    REAL("sampling.temperature", sampling.temperature, 0, 100, 0, "0.8",
         "Divides the logits before sampling; 0 takes the likeliest token always."),
    REAL("sampling.top_p", sampling.top_p, 0, 1, KEY_ABOVE_MIN, "0.95",
         "Samples from the smallest set of tokens that together have this probability; 1 is off."),
    INT("sampling.top_k", sampling.top_k, 0, 10000000, "0",
        "Samples from this many likeliest tokens; 0 is off."),
    REAL("sampling.min_p", sampling.min_p, 0, 1, KEY_BELOW_MAX, "0",
         "Drops tokens whose probability is below this share of the likeliest one's; 0 is off."),
    REAL("sampling.repetition_penalty", sampling.repetition_penalty, 0, 100, KEY_ABOVE_MIN, "1",
         "Divides the positive logits of tokens that occurred before, "
         "and multiplies the negative ones; 1 is off."),
    INT("sampling.max_tokens", sampling.max_tokens, 1, 10000000, "1024",
        "Most generated tokens of a sample, thought and response together. Under `on_budget: force` it must "
        "hold the thought's budget, the marker that is inserted and a token of the response."),
    INT("sampling.slots", sampling.slots, 1, 65536, "64",
        "Sequences that a rank generates at once. It changes speed and memory, never the samples."),
    {"sampling.stop", KEY_LIST, AT(sampling.stop), AT(sampling.n_stop), 0, 0, 0, "", NULL,
     "Strings that end a sample where they appear; they are cut off, and tokens that reach behind the "
     "response, which the judge did not see, carry no loss. One string or a list."},

    TEXT("judge.kind", judge.kind, "rule",
         "`rule` checks what the instruction itself asks for, `reward:DIR` is a reward model, "
         "`pairwise:DIR` a language model that compares responses two by two, "
         "`http:URL` a server that speaks OpenAI's chat protocol, `command:PROGRAM` a program of yours; "
         "`route` chooses one of these by the instruction, `sum` adds up what several of them give."),
    REAL(
        "judge.max_failed", judge.max_failed, 0, 1, 0, "0.1",
        "Share of a step's prompts that the judge may fail on, if only for one of their responses, "
        "before the run stops; up to it they are left out and counted. 100 responses in a row without a score "
        "stop it in any case."),
    TRUTH("judge.strict", judge.strict, "true",
          "Judge `rule`: constraints must hold in the response as it is. "
          "`false`: also when its first or last line or its asterisks are taken away "
          "(IFEval's loose reading)."),
    REAL("judge.repetition_penalty", judge.repetition_penalty, 0, 1000, 0, "0.5",
         "Judge `rule`: weight of the share of repeated word sequences, which is taken off the score, unless "
         "`judge.repetition` does that for any judge."),
    REAL("judge.empty_score", judge.empty_score, -1000, 1000, 0, "-1",
         "Judge `rule`: the score of an empty response. With any judge that scores, a validation output "
         "that does not parse counts with it, or with the lowest score of the start model's validation "
         "where that is lower; with one that compares, such an output loses."),
    {"judge.routes", KEY_LIST, AT(judge.routes), AT(judge.n_routes), 0, 0, 0, "", NULL,
     "Judge `route`: texts `FIELD -> KIND[:ARG]` or `FIELD=VALUE -> KIND[:ARG]`, "
     "of which the first that fits an instruction's fields names its judge; `*` fits every instruction."},
    {"judge.terms", KEY_TERMS, AT(judge.terms), AT(judge.n_terms), 0, 0, 0, NULL, NULL,
     "Judge `sum`: the judges whose scores are added up, each times its weight: a number from -1e6 to 1e6 that "
     "isn't 0, and 1 where it is left out. A judge stands in one term; none may be `route` or `sum`."},
    TRUTH(
        "judge.standardise", judge.standardise, "true",
        "Judges `route` and `sum`: scores are told, and those of a sum added up, in standard deviations from "
        "the mean that the judge in question gave when the run first used it, since the judges' own scales "
        "differ."),
    REAL(
        "judge.repetition", judge.repetition, 0, 1000000, 0, "0",
        "Any judge: this times the share of repeated word sequences in the response is taken off its score, "
        "in the unit that scores are told in: standard deviations for judges `route` and `sum` under "
        "`judge.standardise`, but for a route to a judge that compares; else the judge's own. Above 0 it stands in "
        "the place of the rule judge's own `judge.repetition_penalty`. What a judge that compares tells of a couple, "
        "in validation and win rates, is left as it is."),
    TEXT("judge.head", judge.head, NULL,
         "Judge `reward`: name of the score head's tensor in a sequence classification model. "
         "Not given: `score`, or what the model folder's configuration names."),
    INT("judge.batch_tokens", judge.batch_tokens, 1, 100000000, "4096",
        "Judge `reward`: most tokens in one forward pass. It changes speed and memory, never the scores."),
    CHOICE(
        "judge.mode", judge.mode, "absolute|pairwise", "absolute",
        "Judge `http`: whether the server's model is asked for a score of each response or to compare two."),
    TEXT("judge.system", judge.system, NULL,
         "Judges `pairwise` and `http`: system message for the judge model. "
         "Not given: a built-in one goes with the built-in prompt, none with a prompt of your own."),
    TEXT("judge.prompt", judge.prompt, NULL,
         "Judges `pairwise` and `http`: what the judge model is asked, with `{instruction}` "
         "and `{response}`, or `{response_a}` and `{response_b}`, in it. Not given: a built-in text."),
    TEXT("judge.pattern", judge.pattern, NULL,
         "Judges `pairwise` and `http`: regular expression (PCRE2) whose first group is the verdict, "
         "a number or A, B or C for a tie; its last match outside thoughts counts. "
         "Not given: what the built-in text asks for, `[[...]]`, or that of `verdicts: arena-hard`."),
    TEXT(
        "judge.thought_pattern", judge.thought_pattern, NULL,
        "Judges `pairwise` and `http`: regular expression (PCRE2) whose matches are thought, in which no "
        "verdict counts, as in `<think>...</think>` and `<thinking>...</thinking>`, which need none. "
        "`(?s)` at its beginning lets a dot match line breaks, and an end such as `(END|$)` takes a thought that is "
        "not closed."),
    VERDICTS(
        "judge.verdicts", judge.verdicts,
        "Judges `pairwise` and `http`, comparisons: what the group's texts mean, as in "
        "`{\"A>>B\": {is: A, weight: 3}, \"A>B\": A, \"A=B\": tie, \"B>A\": B}`; a win counts its weight, "
        "1 if none is given. `arena-hard` has that benchmark's five verdicts, strong ones with the weight 3, for which the built-in "
        "prompt then asks. "
        "Not given: A and B, and as ties C, tie, both and neither."),
    CHOICE(
        "judge.verdict_rule", judge.verdict_rule, "last|only", "last",
        "Judges `pairwise` and `http`: `last` takes the last match; with `only`, matches that differ are no "
        "verdict, and equal ones are one."),
    INT("judge.comparisons", judge.comparisons, 0, 1000000, "0",
        "Judge `pairwise`: comparisons of an instruction's K responses. 0: each ordered pair, K(K-1); fewer, "
        "from half of K on, are drawn by a seeded schedule, and scores get coarser."),
    REAL("judge.elo_prior", judge.elo_prior, 0, 1000, KEY_ABOVE_MIN, "0.1",
         "Judge `pairwise`: precision of the normal prior on strengths, in natural units, "
         "that keeps a response which won or lost all of its comparisons at a finite score."),
    INT("judge.max_tokens", judge.max_tokens, 1, 10000000, "1024",
        "Judges `pairwise` and `http`: most tokens of an answer, thoughts among them. One that is cut off "
        "there has no verdict."),
    REAL("judge.temperature", judge.temperature, 0, 100, 0, "0",
         "Judges `pairwise` and `http`: temperature of the judge model; 0 takes the likeliest token always."),
    INT("judge.slots", judge.slots, 1, 65536, "16",
        "Judge `pairwise`: sequences that a rank generates at once. "
        "It changes speed and memory, never the verdicts."),
    TEXT("judge.model", judge.model, NULL, "Judge `http`: the model's name at the server."),
    {"judge.request", KEY_MAP, AT(judge.request), 0, 0, 0, 0, NULL, NULL,
     "Judge `http`: fields of the request beside or in place of its own (`temperature`, `max_tokens`, `n`, `seed`); null "
     "leaves one out, as in `{max_tokens: null, max_completion_tokens: 2048, reasoning_effort: low}`. "
     "`--set judge.request.NAME=VALUE` sets one of them."},
    TEXT("judge.key_env", judge.key_env, "TPO_JUDGE_KEY",
         "Judge `http`: name of the environment variable that holds the server's key; "
         "none is sent where it is not set. The key itself is written nowhere."),
    TEXT(
        "judge.cache", judge.cache, NULL,
        "Judge `http`: folder where answers are kept, so that none is asked for twice. "
        "Not given: `judge-cache` in the run folder; of `tpo judge` and `tpo eval`, beside what is written."),
    INT("judge.concurrency", judge.concurrency, 1, 65536, "16",
        "Judge `http`: requests under way at once, over all ranks together."),
    INT("judge.timeout", judge.timeout, 1, 1000000, "120",
        "Judges `http` and `command`: seconds that one answer may take."),
    INT("judge.retries", judge.retries, 0, 1000, "6",
        "Judge `http`: further attempts after a broken connection, "
        "a time-out or the answers 408, 429 and 5xx, with growing pauses."),

    CHOICE("pairs.mode", pairs.mode, "best-worst|all", "best-worst",
           "`best-worst` makes one pair of an instruction's samples; "
           "`all` makes every pair whose margin is large enough."),
    {"pairs.length_penalty", KEY_AUTO, AT(pairs.length_penalty), AT(pairs.length_auto), 0, 0.5, 0, "auto",
     NULL,
     "The rho of z(score) - rho * z(length), both standardised over an instruction's samples. "
     "`auto` takes the smallest one for which chosen responses are on average no longer than rejected ones."},
    CHOICE(
        "pairs.length_unit", pairs.length_unit, "characters|tokens", "characters",
        "What the length of a response is counted in, for length control: characters (code points), or tokens. "
        "Those are the tokens behind the response marker; "
        "the one that completes it, one that ends the turn and those behind what is judged don't count."),
    REAL("pairs.margin", pairs.margin, 0, 1e9, 0, "0",
         "A pair's scores must differ by more than this, before any length penalty."),
    INT("pairs.max_pairs_per_prompt", pairs.max_pairs_per_prompt, 0, 1000000, "0",
        "Mode `all`: most pairs of one instruction; 0 is no limit."),
    TRUTH("pairs.reject_failures", pairs.reject_failures, "true",
          "Whether an output that does not parse is rejected, before any that does. "
          "`false` leaves it out: where many outputs fail, "
          "nearly all pairs would teach the layout and few the response."),
    REAL("pairs.max_failure_share", pairs.max_failure_share, 0, 1, 0, "1",
         "Most pairs whose rejected output does not parse, as a share of an iteration's pairs. "
         "Where there would be more, a keyed draw decides which instructions keep theirs; "
         "the others are paired as if theirs weren't there, by score alone."),

    CHOICE("train.loss", train.loss, "dpo|ipo", "dpo",
           "The preference loss: the logistic one of DPO, or IPO's squared one. Both are of the sums of an "
           "output's token log-probabilities. Some programs give IPO their means: a beta from there is "
           "to be divided by the outputs' length in tokens."),
    REAL("train.beta", train.beta, 0, 1000, KEY_ABOVE_MIN, "0.1",
         "How strongly the model is held to the reference; larger is closer."),
    REAL("train.label_smoothing", train.label_smoothing, 0, 0.5, KEY_BELOW_MAX, "0",
         "Assumed share of pairs whose preference is the wrong way round (conservative DPO)."),
    REAL("train.nll", train.nll, 0, 1000, 0, "0",
         "Weight of the chosen output's negative log-likelihood per token that is added to the loss (IRPO)."),
    REAL("train.learning_rate", train.learning_rate, 0, 1, KEY_ABOVE_MIN, "5e-7",
         "Largest learning rate of AdamW."),
    CHOICE("train.schedule", train.schedule, "constant|linear|cosine", "cosine",
           "Course of the learning rate after the warm-up; "
           "`linear` and `cosine` fall towards 0, which they would reach after the last step."),
    REAL("train.warmup", train.warmup, 0, 1, KEY_BELOW_MAX, "0.1",
         "Share of all steps, rounded up to whole ones, in which the learning rate rises evenly: "
         "with W such steps the first has 1/W of the largest rate and the last all of it."),
    REAL("train.weight_decay", train.weight_decay, 0, 10, 0, "0",
         "Decoupled weight decay of AdamW, on matrices and not on norms."),
    REAL("train.adam_beta1", train.adam_beta1, 0, 1, KEY_BELOW_MAX, "0.9", "Decay of AdamW's first moment."),
    REAL("train.adam_beta2", train.adam_beta2, 0, 1, KEY_BELOW_MAX, "0.999",
         "Decay of AdamW's second moment."),
    REAL("train.adam_eps", train.adam_eps, 0, 1, KEY_ABOVE_MIN, "1e-8", "Added to AdamW's denominator."),
    REAL("train.grad_clip", train.grad_clip, 0, 1e9, 0, "1",
         "Gradients are scaled down to this norm where theirs is larger; 0 is off."),
    INT("train.batch", train.batch, 1, 1000000, "128",
        "Pairs in one optimizer step, over all ranks together."),
    INT("train.epochs", train.epochs, 1, 10000, "1", "Passes over the pairs in each iteration."),
    TRUTH("train.shuffle", train.shuffle, "true", "Whether each epoch has the pairs in a new order."),
    INT("train.micro_batch_tokens", train.micro_batch_tokens, 1, 100000000, "4096",
        "Most tokens in one packed forward pass; a longer pair is a pass of its own, in the same memory, with more of "
        "it computed twice. It changes speed and memory."),
    INT("train.max_pair_tokens", train.max_pair_tokens, 0, 10000000, "0",
        "A pair with a sequence (prompt and output) longer than this is left out and told (but see "
        "truncate); 0 is the model's context length."),
    CHOICE(
        "train.truncate", train.truncate, "none|left", "none",
        "What becomes of a pair that is too long: none leaves it out, left cuts its prompt's oldest tokens "
        "until it fits. Outputs are never cut: a pair whose output alone is too long is left out."),
    TRUTH("train.save_optimizer", train.save_optimizer, "true",
          "Keep the optimizer's moments in the checkpoint (8 bytes a parameter); "
          "a bf16 model's fp32 master weights are kept in any case."),
    REAL(
        "train.state_minutes", train.state_minutes, 0, 100000, 0, "30",
        "Minutes of an epoch after which the state of training (12 bytes a parameter) is kept, so that `--resume` "
        "goes on from there; it is kept at the end of an epoch and after a signal in any case. "
        "0 keeps it only then."),

    TEXT("run.dir", run.dir, "runs/tpo", "The run folder, made when it is not there."),
    INT("run.iterations", run.iterations, 1, TPO_MOST_ITERATIONS, "4",
        "Iterations of sampling, judging, pairing and training. "
        "A finished run goes on for more with `--resume`."),
    INT("run.sync_steps", run.sync_steps, 0, 1000000, "0",
        "Optimizer steps that the samples of a policy serve. 0: an iteration's, as in the paper. s: before each s of "
        "`run.steps` steps, s x `train.batch` fresh prompts are sampled with the weights of that moment, judged and "
        "paired (one pair a prompt); optimizer and learning rate go on through all of them. 1 is on-policy."),
    INT("run.steps", run.steps, 0, 100000000, "0",
        "Optimizer steps of the whole run where `run.sync_steps` is above 0; `run.iterations` is not given then."),
    INT("run.checkpoint_steps", run.checkpoint_steps, 0, 100000000, "0",
        "Steps after which the model is validated, watched and saved and the report written, where `run.sync_steps` is "
        "above 0, which must divide it: such a stretch is what is called an iteration elsewhere. 0: at the end alone."),
    INT("run.rho_window", run.rho_window, 1, 100000000, "256",
        "Prompts, the last ones before, whose samples `pairs.length_penalty: auto` looks at where `run.sync_steps` is "
        "above 0; the penalty then moves by one step of its grid at a time, from 0."),
    {"run.reference", KEY_REFERENCE, AT(run.reference), AT(run.reference_every), 0, 0, 0, "previous", NULL,
     "The reference of the preference loss: the model that an iteration starts from (`previous`; with `run.sync_steps` "
     "that of the last checkpoint), the one that the run started from (`start`, also called `seed`), or, with "
     "`run.sync_steps`, which must divide N, the one after the last N-th step (`every:N`)."},
    INT("run.validation_k", run.validation_k, 1, 1024, "1", "Samples of each validation instruction."),
    REAL("run.validation_temperature", run.validation_temperature, 0, 100, 0, "0",
         "Temperature for validation; 0 takes the likeliest token always."),
    INT("run.validation_resample", run.validation_resample, 0, 1000, "3",
        "How often a validation output that does not parse is drawn again, at `sampling.temperature`; "
        "what then still does not parse counts as `judge.empty_score` says."),
    TEXT(
        "run.baseline", run.baseline, NULL,
        "Run folder of another run, with the same validation instructions, judge and `validation_` settings, "
        "that each iteration's validation responses are compared with: the direct baseline."),
    INT("run.kl_outputs", run.kl_outputs, 0, 1000000, "64",
        "Sampled outputs that the distance of the model to the start model (KL divergence) "
        "is estimated from in each iteration; 0: it is not."),
    TRUTH("run.tensorboard", run.tensorboard, "true",
          "Write event files for TensorBoard into the run folder's `tensorboard/`."),
    TRUTH("run.validate_each_epoch", run.validate_each_epoch, "true",
          "Validate after every epoch and go on with the best epoch's model; "
          "`false`: go on with the last epoch's."),
    {"run.watch", KEY_WATCHES, AT(run.watch), AT(run.n_watch), 0, 0, 0, NULL, NULL,
     "What is measured on the start model and after each iteration besides validation, so that a loss elsewhere is "
     "seen in the run that causes it; nothing else of the run depends on it. `kind: gsm8k` takes maths questions, "
     "`ifeval` instructions with checks, `rule` what judge `rule` scores. `limit`: so many of the file's "
     "instructions, the same ones each time (0, the default: all). `thought`: a layout's name or file, `none` to ask "
     "directly (default: the run's own). `temperature` (default 0) and `k`, samples of each (default 1)."},
    INT("run.deadline", run.deadline, 1, 10000000, "1800",
        "Seconds that a rank may be silent where others wait for it before the run ends with its name."),
    INT("run.start_deadline", run.start_deadline, 0, 10000000, "60",
        "Seconds until the ranks of any command are together and have compared their settings; "
        "then the job ends and tells who is missing. Reading a model comes later. 0: as long as it takes."),
};
const int config_n_keys = sizeof config_keys / sizeof *config_keys;

_Static_assert(sizeof config_keys / sizeof *config_keys <=
                   sizeof((struct tpo_config_origins *)0)->of / sizeof(char *),
               "an origin for every key");

int config_find_key(const char *path, size_t len)
{
  for (int i = 0; i < config_n_keys; i++)
    if (strlen(config_keys[i].path) == len && memcmp(config_keys[i].path, path, len) == 0) return i;
  return -1;
}

int config_find_section(const char *name, size_t len)
{
  for (int i = 0; i < config_n_sections; i++)
    if (strlen(config_sections[i].name) == len && memcmp(config_sections[i].name, name, len) == 0) return i;
  return -1;
}

const char *tpo_config_default_text(const char *key)
{
  int index = config_find_key(key, strlen(key));
  return index < 0 ? NULL : config_keys[index].fallback;
}

bool config_in_section(int key, const char *section)
{
  const char *path = config_keys[key].path, *dot = strchr(path, '.');
  size_t len = strlen(section);
  if (!dot) return len == 0;
  return (size_t)(dot - path) == len && memcmp(path, section, len) == 0;
}

const char *config_key_name(int key)
{
  const char *dot = strchr(config_keys[key].path, '.');
  return dot ? dot + 1 : config_keys[key].path;
}

static bool is_among(int key, const char *const *paths, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp(config_keys[key].path, paths[i]) == 0) return true;
  return false;
}

bool config_may_differ_by_host(int key)
{
  static const char *const paths[] = {"model.path",      "model.threads", "data.train",
                                      "data.validation", "judge.cache",   "run.baseline"};
  return is_among(key, paths, sizeof paths / sizeof *paths);
}

bool config_bears_on_validation(int key)
{
  static const char *const of_the_run[] = {"run.validation_k", "run.validation_temperature",
                                           "run.validation_resample"};
  return config_in_section(key, "judge") ? config_bears_on_results(key)
                                         : is_among(key, of_the_run, sizeof of_the_run / sizeof *of_the_run);
}

bool config_bears_on_results(int key)
{
  static const char *const free_keys[] = {
      "model.threads", "model.isa",          "sampling.slots",     "judge.max_failed",
      "judge.slots",   "judge.batch_tokens", "judge.concurrency",  "judge.timeout",
      "judge.retries", "judge.cache",        "judge.key_env",      "train.state_minutes",
      "run.dir",       "run.iterations",     "run.start_deadline", "run.deadline",
      "run.baseline",  "run.tensorboard",    "run.watch"};
  return !is_among(key, free_keys, sizeof free_keys / sizeof *free_keys);
}
