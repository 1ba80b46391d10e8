/* `tpo dpo`: trains on pairs that stand in a file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "cli/pair_tokens.h"
#include "cli/same.h"
#include "cli/session.h"
#include "steps/same.h"
#include "store/journal/journal.h"

static const struct option options[] = {
    OPTION_MODEL,
    {"--pairs", 'p', "FILE", NULL, "pairs, HDF5 or JSON Lines"},
    {"--out", 'o', "FILE", NULL, "checkpoint, HDF5"},
    {"--skip-bad", 0, "N", "data.skip_bad",
     "bad rows of a file that may be left out, each told with its line"},
    {"--thought", 0, "NAME|FILE", "thought",
     "thought layout, for messages of JSON Lines: its thought.template_args go to the model's chat template"},
    {"--max-tokens", 0, "N", "sampling.max_tokens",
     "most tokens of an output when JSON Lines pairs were sampled, for longrope"},
    {"--beta", 0, "B", "train.beta", "strength of the preference loss"},
    {"--lr", 0, "R", "train.learning_rate", "peak learning rate"},
    {"--schedule", 0, "S", "train.schedule", "constant, linear or cosine"},
    {"--warmup", 0, "F", "train.warmup", "share of all steps"},
    {"--batch", 0, "N", "train.batch", "global number of pairs a step"},
    {"--epochs", 0, "N", "train.epochs", "passes over the pairs"},
    {"--weight-decay", 0, "W", "train.weight_decay", "decoupled weight decay"},
    {"--adam-beta1", 0, "B", "train.adam_beta1", "AdamW"},
    {"--adam-beta2", 0, "B", "train.adam_beta2", "AdamW"},
    {"--adam-eps", 0, "E", "train.adam_eps", "AdamW"},
    {"--grad-clip", 0, "C", "train.grad_clip", "largest gradient norm; 0 is off"},
    {"--nll", 0, "W", "train.nll", "weight of the negative log-likelihood of chosen outputs"},
    {"--loss", 0, "dpo|ipo", "train.loss", "preference loss"},
    {"--label-smoothing", 0, "E", "train.label_smoothing", "share of labels taken to be flipped"},
    {"--micro-batch-tokens", 0, "N", "train.micro_batch_tokens", "most tokens in one packed forward pass"},
    {"--truncate", 0, "none|left", "train.truncate",
     "over-long pairs: left out, or their prompts cut from the left"},
    {"--no-shuffle", 0, NULL, NULL, "take the pairs in the file's order"},
    {"--resume", 0, NULL, NULL, "go on from what OUT.journal holds of the same training"},
    {"--state-minutes", 0, "M", "train.state_minutes",
     "between two states that are kept; 0: each epoch's alone"},
    {"--metrics", 0, "FILE", NULL, "a JSON line a step; - for standard output"},
    {"--reference", 0, "M", NULL, "reference model (default: the model that is trained)"},
    OPTION_DTYPE,
    OPTION_END,
};

struct training {
  struct invocation *in;
  struct cli_session *s;
  const char *pairs_path, *out, *metrics_path, *reference;
  char journal[4096]; /* folder of what is kept while it goes on */
  struct tpo_pairs pairs;
  struct tpo_policy policy;
};

/* By its contents: whatever does not begin as HDF5 does is read as JSON Lines, whose errors name the line. A
 * pipe can be read once only, and HDF5 not from it. */
static bool is_hdf5(const char *path)
{
  char signature[8] = {0};
  FILE *file = tpo_is_regular(path) ? fopen(path, "rb") : NULL;
  size_t n = file ? fread(signature, 1, sizeof signature, file) : 0;
  if (file) fclose(file);
  return n == sizeof signature && memcmp(signature, "\x89HDF\r\n\x1a\n", 8) == 0;
}

/* text_error: why there is no tokenizer or no template. */
static int read_pairs(struct training *t, int vocab_size, const struct tpo_error *text_error,
                      struct tpo_error *err)
{
  const struct tpo_config *config = t->s->session.config;
  bool of_ids = is_hdf5(t->pairs_path);
  if (of_ids && option_value(t->in, "--thought"))
    return tpo_fail(
        err, TPO_E_USAGE,
        "tpo dpo: --thought is for messages in JSON Lines; the pairs of %s are ids, whose prompts "
        "were made under the layout that the file tells",
        t->pairs_path);
  int status = of_ids
                   ? tpo_pairs_read(&t->pairs, t->pairs_path, err)
                   : tpo_train_read_some_pairs(&t->pairs, t->pairs_path, t->policy.tokenizer, t->policy.tmpl,
                                               &config->thought, vocab_size, config->data.skip_bad, err);
  if (status < 0 && text_error->code && !t->policy.tmpl) tpo_log(TPO_LOG_WARN, "%s", text_error->message);
  return status;
}

/* The model without its tokenizer is enough for pairs of ids. */
static int open_policy(struct training *t, struct tpo_error *err)
{
  struct tpo_session *session = &t->s->session;
  const char *path = session->config->model.path;
  struct tpo_model_options options = {.backend = session->backend,
                                      .dtype = session->config->model.dtype,
                                      .keep_master = true,
                                      .shard_rank = tpo_comm_rank(session->comm),
                                      .shard_size = tpo_comm_size(session->comm)};
  struct tpo_arch arch;
  struct tpo_error text_error = {0};
  if (tpo_tokenizer_open(&t->policy.tokenizer, path, &text_error) == 0)
    tpo_template_open(&t->policy.tmpl, t->policy.tokenizer, &session->config->template_pieces, &text_error);
  /* A model may be without a tokenizer; one that can't be read would be missing in the checkpoint. */
  if (text_error.code == TPO_E_IO)
    return tpo_comm_agree(session->comm, tpo_fail(err, TPO_E_IO, "%s", text_error.message), err);
  int status = tpo_arch_read(&arch, path, err);
  if (status == 0) status = read_pairs(t, arch.vocab_size, &text_error, err);
  if (status == 0) settle_output_tokens(t->in, &t->pairs, &arch, t->pairs_path, cli_first_rank(t->s));
  struct tpo_train_extent extent = tpo_train_extent(&t->pairs);
  if (status == 0)
    status = tpo_train_check_memory(&arch, options.dtype, &session->config->train, &extent, session->backend,
                                    session->comm, err);
  if (status == 0) status = tpo_model_open(&t->policy.model, path, &options, err);
  status = tpo_comm_agree(session->comm, status, err);
  return status < 0 ? status : same_model(session->comm, path, t->policy.model, t->policy.tokenizer, err);
}

/* Pairs of another model's tokens are found before anything is computed; of lines, when they are read. */
static int check_ids(const struct training *t, struct tpo_error *err)
{
  int vocab = tpo_model_arch(t->policy.model)->vocab_size;
  for (size_t i = 0; i < t->pairs.n; i++) {
    const struct tpo_pair_row *row = &t->pairs.rows[i];
    const int32_t *ids[] = {row->prompt_ids, row->chosen_ids, row->rejected_ids};
    int32_t n[] = {row->n_prompt, row->n_chosen, row->n_rejected};
    static const char *const names[] = {"prompt_ids", "chosen_ids", "rejected_ids"};
    for (int part = 0; part < 3; part++)
      for (int32_t k = 0; k < n[part]; k++)
        if (ids[part][k] < 0 || ids[part][k] >= vocab)
          return tpo_fail(
              err, TPO_E_INPUT,
              "%s: row %lld: %s[%d] is %d, but the model's vocabulary has %d tokens; the pairs are not of this model",
              t->pairs_path, (long long)row->place, names[part], k, ids[part][k], vocab);
  }
  return 0;
}

/* References that stand in the pairs file are used
 * when they are this model's; otherwise they are computed. */
static int have_reference(struct training *t, struct tpo_error *err)
{
  struct tpo_session *session = &t->s->session;
  struct tpo_model *reference = t->policy.model;
  int status = check_ids(t, err);
  if (status == 0)
    status = tpo_train_filter_pairs(&t->pairs, &session->config->train, tpo_model_arch(reference)->context,
                                    t->pairs_path, NULL, err);
  if (status == 0 && t->reference) {
    struct tpo_model_options options = {.backend = session->backend, .dtype = session->config->model.dtype};
    status = tpo_model_open(&reference, t->reference, &options, err);
  }
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0 && t->reference) status = same_model(session->comm, t->reference, reference, NULL, err);
  if (status < 0) return status;
  const char *hash = tpo_model_hash(reference);
  if (!hash || strcmp(hash, t->pairs.ref_model) != 0)
    status = tpo_reference_logprobs(session, reference, &t->pairs, t->journal, false, err);
  if (reference != t->policy.model) tpo_model_close(reference);
  return status;
}

static bool is_stdout(const char *path)
{
  return strcmp(path, "-") == 0;
}

/* Found out before anything is computed. A pipe is opened once only. */
static int check_metrics_file(const struct training *t, struct tpo_error *err)
{
  int status = 0;
  const char *path = t->metrics_path;
  if (cli_first_rank(t->s) && path && !is_stdout(path) && (!tpo_file_exists(path) || tpo_is_regular(path))) {
    FILE *file = fopen(path, "ae");
    if (!file) status = tpo_fail(err, TPO_E_USAGE, "--metrics %s can't be written: %m", path);
    if (file) fclose(file);
  }
  return tpo_comm_agree(t->s->session.comm, status, err);
}

/* The file as it was when the state was kept: lines of steps that training doesn't go on from go. */
static int cut_metrics(const struct training *t, FILE *file, int64_t size, struct tpo_error *err)
{
  struct stat now;
  if (fstat(fileno(file), &now) < 0) return tpo_fail(err, TPO_E_IO, "--metrics %s: %m", t->metrics_path);
  if (!S_ISREG(now.st_mode)) return 0;
  if (now.st_size < size)
    return tpo_fail(err, TPO_E_USAGE,
                    "--metrics %s is not the file that this training wrote: it has %lld bytes, and %lld were "
                    "written",
                    t->metrics_path, (long long)now.st_size, (long long)size);
  if (ftruncate(fileno(file), size) < 0 || fseek(file, 0, SEEK_END) < 0)
    return tpo_fail(err, TPO_E_IO, "--metrics %s: %m", t->metrics_path);
  return 0;
}

/* Of a state that was kept without metrics, whose steps have no lines anywhere. */
static int refuse_metrics(const struct training *t, const struct tpo_dpo_progress *p, FILE *file,
                          struct tpo_error *err)
{
  struct stat now;
  if (p->mark >= 0 || p->steps == 0 || fstat(fileno(file), &now) < 0 || !S_ISREG(now.st_mode) ||
      now.st_size == 0)
    return 0;
  return tpo_fail(
      err, TPO_E_USAGE,
      "--metrics %s has lines, but the training that is gone on with, of %lld steps, wrote none when it "
      "was last stopped; name a file that is not there yet",
      t->metrics_path, (long long)p->steps);
}

static int open_metrics(const struct training *t, const struct tpo_dpo_progress *p, FILE **metrics,
                        struct tpo_error *err)
{
  int status = 0;
  *metrics = NULL;
  if (cli_first_rank(t->s) && t->metrics_path) {
    *metrics = is_stdout(t->metrics_path) ? stdout : fopen(t->metrics_path, "ae");
    if (!*metrics)
      status = tpo_fail(err, TPO_E_USAGE, "--metrics %s can't be written: %m", t->metrics_path);
    else if (*metrics != stdout)
      status = refuse_metrics(t, p, *metrics, err);
    if (status == 0 && *metrics != stdout) status = cut_metrics(t, *metrics, p->mark < 0 ? 0 : p->mark, err);
  }
  return tpo_comm_agree(t->s->session.comm, status, err);
}

/* How far the file has come, to be kept with the state; -1: it isn't one. */
static int64_t metrics_mark(const struct training *t, FILE *metrics)
{
  return metrics && !is_stdout(t->metrics_path) ? ftell(metrics) : -1;
}

static int close_metrics(const struct training *t, FILE *metrics, struct tpo_error *err)
{
  if (!metrics || is_stdout(t->metrics_path) || fclose(metrics) == 0) return 0;
  return tpo_fail(err, TPO_E_IO, "--metrics %s: writing failed: %m", t->metrics_path);
}

static int print_step(FILE *metrics, const struct tpo_train_metrics *m, struct tpo_error *err)
{
  struct tpo_buf line = {0};
  int status = 0;
  tpo_train_metrics_print(m, &line);
  tpo_buf_putc(&line, '\n');
  if (line.failed || fwrite(line.data, 1, line.len, metrics) != line.len || fflush(metrics) != 0)
    status = tpo_fail(err, TPO_E_IO, "writing the metrics of step %lld failed: %m", (long long)m->step);
  tpo_buf_free(&line);
  return status;
}

static int run_epoch(struct training *t, struct tpo_dpo *dpo, FILE *metrics, struct tpo_error *err)
{
  struct tpo_train_metrics m;
  int status;
  while ((status = tpo_dpo_step(dpo, &m, err)) == 1) {
    if (metrics) progress_hide(&t->s->bar); /* the line may go to the same terminal */
    status = tpo_comm_agree(t->s->session.comm, metrics ? print_step(metrics, &m, err) : 0, err);
    progress_show(&t->s->bar);
    if (status < 0) break;
    tpo_dpo_mark(dpo, metrics_mark(t, metrics));
  }
  return status < 0 ? status : tpo_dpo_end_epoch(dpo, NAN, metrics_mark(t, metrics), err);
}

static int run_epochs(struct training *t, struct tpo_dpo *dpo, struct tpo_error *err)
{
  const struct tpo_dpo_progress *p = tpo_dpo_progress(dpo);
  FILE *metrics;
  int64_t before = p->steps;
  int status = open_metrics(t, p, &metrics, err);
  while (status == 0 && p->epochs_done < t->in->config.train.epochs) status = run_epoch(t, dpo, metrics, err);
  progress_end(&t->s->bar);
  if (status < 0) status = tpo_dpo_stop(dpo, status, err);
  if (status == 0) status = tpo_dpo_finish(dpo, err);
  if (status == 0 && cli_first_rank(t->s))
    tpo_log(TPO_LOG_INFO, "%lld steps over %zu pairs, loss %.4f to %.4f: %s", (long long)p->steps, t->pairs.n,
            p->first_loss, p->last_loss, t->out);
  if (status == 0 && cli_first_rank(t->s) && before > 0)
    tpo_log(TPO_LOG_INFO, "%lld of them were made before it was resumed", (long long)before);
  int closed = close_metrics(t, metrics, status == 0 ? err : NULL);
  return status < 0 ? status : closed;
}

/* The state is of other training: that is for the command's user to settle. */
static int as_usage(int status, struct tpo_error *err)
{
  if (status != TPO_E_STATE) return status;
  err->code = TPO_E_USAGE;
  return TPO_E_USAGE;
}

/* The checkpoint says how the prompts of its pairs were made; those of JSON Lines are as they stand there. */
static int describe(struct training *t, char **yaml, struct tpo_error *err)
{
  int status = take_prompts(t->in, t->pairs.config, t->pairs_path, err);
  if (status < 0) return status;
  *yaml = tpo_config_print(&t->in->config, false);
  return *yaml ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
}

static int train(struct training *t, struct tpo_error *err)
{
  struct tpo_dpo *dpo = NULL;
  char *yaml = NULL;
  int status = open_policy(t, err);
  if (status == 0) status = tpo_comm_agree(t->s->session.comm, describe(t, &yaml, err), err);
  const struct tpo_dpo_options given = {.out = t->out, .journal = t->journal, .config_yaml = yaml};
  if (status == 0) status = check_metrics_file(t, err);
  if (status == 0) status = have_reference(t, err);
  if (status == 0)
    status = as_usage(tpo_dpo_open(&dpo, &t->s->session, &t->policy, &t->pairs, &given, err), err);
  if (status == 0) status = tpo_comm_agree(t->s->session.comm, run_epochs(t, dpo, err), err);
  tpo_dpo_close(dpo);
  free(yaml);
  return status == 0 && cli_first_rank(t->s) ? tpo_dpo_forget(t->journal, err) : status;
}

static int refuse_kept(const struct training *t, int64_t steps, struct tpo_error *err)
{
  if (steps == 0)
    return tpo_fail(
        err, TPO_E_USAGE,
        "tpo dpo: %s holds the checkpoint of an epoch of an earlier command that did not end, and "
        "no state to go on from: --resume, or removing that folder, begins anew",
        t->journal);
  return tpo_fail(err, TPO_E_USAGE,
                  "tpo dpo: %s holds training of an earlier command that did not end, %lld steps of it: "
                  "--resume goes on with it; without that folder it begins anew",
                  t->journal, (long long)steps);
}

/* What is kept of unfinished training is neither taken up nor lost unasked; the reference's log-probabilities
 * are the same work whenever it is done. All ranks. */
static int check_kept(struct training *t, struct tpo_error *err)
{
  int status = 0;
  bool resumes = option_value(t->in, "--resume") != NULL;
  if ((size_t)snprintf(t->journal, sizeof t->journal, "%s.journal", t->out) >= sizeof t->journal)
    return tpo_fail(err, TPO_E_USAGE, "tpo dpo: --out is too long");
  if (tpo_comm_rank(t->in->comm) == 0) {
    int64_t steps = 0;
    bool kept = tpo_dpo_kept(t->journal, &steps);
    if (kept && !resumes) status = refuse_kept(t, steps, err);
    if (!kept && resumes && !journal_exists(t->journal))
      tpo_log(TPO_LOG_INFO, "%s: nothing is kept there, so this begins at the beginning", t->journal);
  }
  return tpo_comm_agree(t->in->comm, status, err);
}

/* The metrics may go to a pipe, but not over a file that this command reads or writes. */
static int check_metrics(const struct training *t, struct tpo_error *err)
{
  if (tpo_same_file(t->metrics_path, t->out))
    return tpo_fail(err, TPO_E_USAGE, "tpo dpo: --metrics and --out name the same file, %s", t->out);
  return check_distinct(t->in, "--metrics", t->metrics_path, t->pairs_path, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  struct training t = {.in = in, .s = &s};
  const char *model;
  t.metrics_path = option_value(in, "--metrics");
  t.reference = option_value(in, "--reference");
  int status = require_model(in, &model, err);
  if (status == 0) status = option_require(in, "--pairs", &t.pairs_path, err);
  if (status == 0) status = option_require(in, "--out", &t.out, err);
  if (status == 0 && option_value(in, "--no-shuffle"))
    status = tpo_config_set(&in->config, "train.shuffle=false", "--no-shuffle", err);
  if (status == 0) status = check_shared(in, "--pairs", t.pairs_path, err);
  if (status == 0) status = check_config(in, TPO_CHECK_TRAINING, err);
  status = agree_on_usage(in, status, err);
  if (status == 0) status = check_output(in, "--out", t.out, t.pairs_path, err);
  if (status == 0) status = check_same_file(in, t.pairs_path, err);
  if (status == 0) status = check_kept(&t, err);
  if (status == 0 && t.metrics_path) status = tpo_comm_agree(in->comm, check_metrics(&t, err), err);
  if (status < 0) return status;
  status = cli_session_open(&s, in, err);
  if (status == 0) status = train(&t, err);
  tpo_policy_close(&t.policy);
  tpo_pairs_free(&t.pairs);
  cli_session_close(&s);
  return tell_to_resume(status, err);
}

const struct command cmd_dpo = {
    .name = "dpo",
    .arguments = "",
    .summary = "preference training on pairs",
    .options = options,
    .needs_comm = true,
    .run = run,
    .notes =
        "JSON Lines pairs hold prompt_ids, chosen_ids and rejected_ids, or prompt, chosen and rejected as strings\n"
        "or lists of messages. Without prompt, what the chats of chosen and rejected (also as one string,\n"
        "\"Human: ... Assistant: ...\") begin with is the prompt; beside a prompt, they begin with it or are the\n"
        "answers to it, and a prompt of text repeats what the user says first. Loss is on the assistant's turns\n"
        "alone. An answer that the chat template shows otherwise than it stands there, as without its thought, comes\n"
        "behind the generation prompt as a model says it: the thought's opening not twice where the prompt ends with it,\n"
        "an empty thought where the answer has none; one before the last that is shown so is refused. Templates get\n"
        "enable_thinking: false unless --thought, such as think-tags, or thought.template_args say otherwise.\n"
        "Pairs whose chosen and rejected are identical, that have no response or are too long (but see\n"
        "--truncate) are left out, each told with its line or row and its id.\n"
        "While training goes on, OUT.journal keeps its state: of each epoch's end, of each --state-minutes, and of the\n"
        "step before a signal; OUT appears when all is done. With --resume the file of --metrics goes on, too.",
};
