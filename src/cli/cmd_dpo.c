/* `tpo dpo`: trains on pairs that stand in a file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "cli/session.h"

static const struct option options[] = {
    OPTION_MODEL,
    {"--pairs", 'p', "FILE", NULL, "pairs, HDF5 or JSON Lines"},
    {"--out", 'o', "FILE", NULL, "checkpoint, HDF5"},
    {"--skip-bad", 0, "N", "data.skip_bad",
     "bad rows of a file that may be left out, each told with its line"},
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
    {"--metrics", 0, "FILE", NULL, "a JSON line a step; - for standard output"},
    {"--reference", 0, "M", NULL, "reference model (default: the model that is trained)"},
    OPTION_DTYPE,
    OPTION_END,
};

struct training {
  struct invocation *in;
  struct cli_session *s;
  const char *pairs_path, *out, *metrics_path, *reference;
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
  int status = is_hdf5(t->pairs_path)
                   ? tpo_pairs_read(&t->pairs, t->pairs_path, err)
                   : tpo_train_read_some_pairs(&t->pairs, t->pairs_path, t->policy.tokenizer, t->policy.tmpl,
                                               session->config->data.skip_bad, err);
  if (status < 0 && text_error.code && !t->policy.tmpl) tpo_log(TPO_LOG_WARN, "%s", text_error.message);
  if (status == 0) status = tpo_arch_read(&arch, path, err);
  if (status == 0)
    status = tpo_train_check_memory(&arch, options.dtype, &session->config->train, session->backend,
                                    session->comm, err);
  if (status == 0) status = tpo_model_open(&t->policy.model, path, &options, err);
  return tpo_comm_agree(session->comm, status, err);
}

/* Pairs of another model's tokens are found before anything is computed. */
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
              "%s: pair %zu: %s[%d] is %d, but the model's vocabulary has %d tokens; the pairs are not of this model",
              t->pairs_path, i + 1, names[part], k, ids[part][k], vocab);
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
  if (status < 0) return status;
  const char *hash = tpo_model_hash(reference);
  if (!hash || strcmp(hash, t->pairs.ref_model) != 0)
    status = tpo_train_reference_logprobs(reference, session->comm, &session->config->train, &t->pairs, err);
  if (reference != t->policy.model) tpo_model_close(reference);
  return status;
}

static bool is_stdout(const char *path)
{
  return strcmp(path, "-") == 0;
}

static int open_metrics(const struct training *t, FILE **metrics, struct tpo_error *err)
{
  int status = 0;
  *metrics = NULL;
  if (cli_first_rank(t->s) && t->metrics_path &&
      !(*metrics = is_stdout(t->metrics_path) ? stdout : fopen(t->metrics_path, "we")))
    status = tpo_fail(err, TPO_E_USAGE, "--metrics %s can't be written: %m", t->metrics_path);
  return tpo_comm_agree(t->s->session.comm, status, err);
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
    status = tpo_comm_agree(t->s->session.comm, metrics ? print_step(metrics, &m, err) : 0, err);
    if (status < 0) break;
  }
  return status < 0 ? status : tpo_dpo_end_epoch(dpo, NAN, -1, err);
}

static int run_epochs(struct training *t, FILE *metrics, struct tpo_error *err)
{
  struct tpo_dpo *dpo = NULL;
  char *yaml = tpo_config_print(&t->in->config, false);
  const struct tpo_dpo_options given = {.out = t->out, .config_yaml = yaml};
  int status = tpo_dpo_open(&dpo, &t->s->session, &t->policy, &t->pairs, &given, err);
  for (int epoch = 0; status == 0 && epoch < t->in->config.train.epochs; epoch++)
    status = run_epoch(t, dpo, metrics, err);
  progress_end(&t->s->bar);
  if (status == 0 && cli_first_rank(t->s)) {
    const struct tpo_dpo_progress *p = tpo_dpo_progress(dpo);
    tpo_log(TPO_LOG_INFO, "%lld steps over %zu pairs, loss %.4f to %.4f: %s", (long long)p->steps, t->pairs.n,
            p->first_loss, p->last_loss, t->out);
  }
  tpo_dpo_close(dpo);
  free(yaml);
  return status;
}

static int train(struct training *t, struct tpo_error *err)
{
  FILE *metrics = NULL;
  int status = open_policy(t, err);
  if (status == 0) status = open_metrics(t, &metrics, err);
  if (status == 0) status = have_reference(t, err);
  if (status == 0) status = run_epochs(t, metrics, err);
  int closed = close_metrics(t, metrics, status == 0 ? err : NULL);
  return status < 0 ? status : closed;
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
  if (status == 0 && tpo_comm_size(in->comm) > 1 && tpo_file_exists(t.pairs_path) &&
      !tpo_is_regular(t.pairs_path))
    status = tpo_fail(err, TPO_E_USAGE,
                      "tpo dpo: --pairs %s: expected a regular file, which all ranks can read", t.pairs_path);
  if (status == 0) status = check_config(in, TPO_CHECK_TRAINING, err);
  if (status < 0) return status;
  status = check_output(in, "--out", t.out, t.pairs_path, err);
  if (status == 0 && t.metrics_path) status = tpo_comm_agree(in->comm, check_metrics(&t, err), err);
  if (status < 0) return status;
  status = cli_session_open(&s, in, err);
  if (status == 0) status = train(&t, err);
  tpo_policy_close(&t.policy);
  tpo_pairs_free(&t.pairs);
  cli_session_close(&s);
  return status;
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
        "\"Human: ... Assistant: ...\") begin with is the prompt; loss is on the assistant's turns alone. Pairs\n"
        "whose chosen and rejected are identical, that have no response or are too long (but see --truncate) are\n"
        "left out, each told with its line or row and its id.",
};
