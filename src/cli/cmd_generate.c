/* `tpo generate`: K samples of each instruction, into a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/session.h"

static const struct option options[] = {
    OPTION_MODEL,
    {"--prompts", 'p', "FILE", NULL,
     "instructions, JSON Lines or tab-separated, plain or gzip; - for standard input"},
    {"--out", 'o', "FILE", NULL, "samples, HDF5 (or JSON Lines with --jsonl; - for standard output)"},
    {"--jsonl", 0, NULL, NULL, "write JSON Lines in place of HDF5"},
    {"--skip-bad", 0, "N", "data.skip_bad",
     "bad rows of a file that may be left out, each told with its line"},
    {"--k", 'k', "N", "sampling.k", "samples a prompt"},
    {"--thought", 0, "NAME|FILE", "thought", "thought prompt: generic, specific, none or a YAML file"},
    {"--temperature", 0, "T", "sampling.temperature", "0 takes the likeliest token always"},
    {"--top-p", 0, "P", "sampling.top_p", "nucleus; 1 is off"},
    {"--top-k", 0, "N", "sampling.top_k", "0 is off"},
    {"--min-p", 0, "P", "sampling.min_p", "0 is off"},
    {"--max-tokens", 0, "N", "sampling.max_tokens", "generated tokens a sample at most"},
    {"--slots", 0, "N", "sampling.slots", "sequences generated at once on a rank"},
    {"--iteration", 0, "N", NULL, "keys the randomness together with the seed (default 0)"},
    OPTION_DTYPE,
    OPTION_END,
};

static int write_samples(const struct tpo_samples *samples, const char *path, bool jsonl,
                         struct tpo_error *err)
{
  if (!jsonl) return tpo_samples_write(samples, path, err);
  if (strcmp(path, "-") == 0) return tpo_samples_write_jsonl(samples, stdout, err);
  struct tpo_atomic file;
  int status = tpo_atomic_begin(&file, path, err);
  if (status < 0) return status;
  int fd = tpo_atomic_open(&file);
  FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
  if (fd >= 0 && !out) close(fd);
  if (!out) status = tpo_fail(err, TPO_E_USAGE, "--out %s can't be written: %m", path);
  if (status == 0) status = tpo_samples_write_jsonl(samples, out, err);
  if (out && fclose(out) != 0 && status == 0)
    status = tpo_fail(err, TPO_E_IO, "%s: writing failed: %m", path);
  if (status == 0) return tpo_atomic_commit(&file, err);
  tpo_atomic_abort(&file);
  return status;
}

static int generate(struct cli_session *s, const char *prompts, const char *out, bool jsonl,
                    int64_t iteration, struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct tpo_instructions set = {0};
  struct tpo_samples samples = {0};
  struct tpo_generate_stats stats = {0};
  struct tpo_policy policy = {0};
  int status = cli_first_rank(s) ? tpo_policy_check_budgets(config, config->model.path, err) : 0;
  if (status == 0) status = tpo_instructions_read_some(&set, prompts, config->data.skip_bad, err);
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0) status = tpo_policy_open(&policy, &s->session, config->model.path, false, err);
  if (status == 0)
    status = tpo_generate(&s->session, &policy, &set,
                          &(struct tpo_generate_options){.sampling = &config->sampling,
                                                         .thought = &config->thought,
                                                         .iteration = (uint32_t)iteration},
                          &samples, &stats, err);
  progress_end(&s->bar);
  if (status == 0 && cli_first_rank(s)) {
    samples.config = tpo_config_print(config, false);
    status = write_samples(&samples, out, jsonl, err);
    tpo_log(TPO_LOG_INFO, "%zu samples of %zu prompts, %.0f tokens in %.1f s: %.0f tokens/s", samples.n,
            set.n, stats.sampled_tokens, stats.seconds,
            stats.seconds > 0 ? stats.sampled_tokens / stats.seconds : 0);
  }
  tpo_policy_close(&policy);
  tpo_samples_free(&samples);
  tpo_instructions_free(&set);
  return tpo_comm_agree(s->session.comm, status, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  const char *model, *prompts, *out;
  int64_t iteration;
  bool jsonl = option_value(in, "--jsonl") != NULL;
  int status = require_model(in, &model, err);
  if (status == 0) status = option_require(in, "--prompts", &prompts, err);
  if (status == 0) status = option_require(in, "--out", &out, err);
  if (status == 0) status = option_int(in, "--iteration", 0, UINT32_MAX, 0, &iteration, err);
  if (status == 0 && tpo_comm_size(in->comm) > 1 && strcmp(prompts, "-") == 0)
    status =
        tpo_fail(err, TPO_E_USAGE,
                 "tpo generate: --prompts - works on one rank only; name a file that all ranks can read");
  if (status == 0 && !jsonl && strcmp(out, "-") == 0)
    status = tpo_fail(err, TPO_E_USAGE, "tpo generate: --out - goes with --jsonl; HDF5 needs a file");
  if (status == 0) status = check_config(in, TPO_CHECK_SAMPLING, err);
  if (status == 0) status = check_output(in, "--out", out, prompts, err);
  if (status < 0) return status;
  status = cli_session_open(&s, in, err);
  if (status == 0) status = generate(&s, prompts, out, jsonl, iteration, err);
  cli_session_close(&s);
  return status;
}

const struct command cmd_generate = {
    .name = "generate",
    .arguments = "",
    .summary = "K samples of each prompt",
    .options = options,
    .needs_comm = true,
    .run = run,
};
