/* `tpo generate`: K samples of each instruction, into a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/same.h"
#include "cli/session.h"
#include "steps/room.h"

static const struct option options[] = {
    OPTION_MODEL,
    {"--prompts", 'p', "FILE", NULL,
     "instructions, JSON Lines or tab-separated, plain or gzip; - for standard input"},
    {"--out", 'o', "FILE", NULL, "samples, HDF5 (or JSON Lines with --jsonl; - for standard output)"},
    {"--jsonl", 0, NULL, NULL, "write JSON Lines in place of HDF5"},
    {"--skip-bad", 0, "N", "data.skip_bad",
     "bad rows of a file that may be left out, each told with its line"},
    {"--k", 'k', "N", "sampling.k", "samples a prompt"},
    {"--thought", 0, "NAME|FILE", "thought", "thought layout: " THOUGHT_NAMES ", none or a YAML file"},
    {"--temperature", 0, "T", "sampling.temperature", "0 takes the likeliest token always"},
    {"--top-p", 0, "P", "sampling.top_p", "nucleus; 1 is off"},
    {"--top-k", 0, "N", "sampling.top_k", "0 is off"},
    {"--min-p", 0, "P", "sampling.min_p", "0 is off"},
    {"--max-tokens", 0, "N", "sampling.max_tokens", "generated tokens a sample at most"},
    {"--slots", 0, "N", "sampling.slots", "sequences generated at once on a rank"},
    {"--resume", 0, NULL, NULL, "go on with the samples that an interrupted command left in OUT.journal"},
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

/* What was asked for. */
struct request {
  const char *prompts, *out;
  bool jsonl, resume;
  int64_t iteration;
  char journal[4096]; /* "": standard output is no file to go on with */
};

static void tell(const struct tpo_samples *samples, size_t n_prompts, const struct tpo_generate_stats *stats)
{
  char kept[64] = "";
  if (stats->kept > 0) snprintf(kept, sizeof kept, " (%.0f of them kept from before)", stats->kept);
  tpo_log(TPO_LOG_INFO, "%zu samples of %zu prompts%s, %.0f tokens in %.1f s: %.0f tokens/s", samples->n,
          n_prompts, kept, stats->drawn_tokens, stats->seconds,
          stats->seconds > 0 ? stats->drawn_tokens / stats->seconds : 0);
}

static int generate(struct cli_session *s, const struct request *request, struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct tpo_instructions set = {0};
  struct tpo_samples samples = {0};
  struct tpo_generate_stats stats = {0};
  struct tpo_policy policy = {0};
  int status = tpo_policy_open_text(&policy, config, config->model.path, err);
  if (status == 0 && cli_first_rank(s)) status = tpo_policy_check_thought(&policy, config, err);
  if (status == 0) status = prompt_room_read(config, &policy, request->prompts, &set, err);
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0) status = tpo_policy_open_model(&policy, &s->session, NULL, err);
  if (status == 0)
    status =
        tpo_generate(&s->session, &policy, &set,
                     &(struct tpo_generate_options){.sampling = &config->sampling,
                                                    .thought = &config->thought,
                                                    .iteration = (uint32_t)request->iteration,
                                                    .journal = *request->journal ? request->journal : NULL},
                     &samples, &stats, err);
  progress_end(&s->bar);
  if (status == 0 && cli_first_rank(s)) {
    samples.config = tpo_config_print(config, false);
    status = write_samples(&samples, request->out, request->jsonl, err);
    if (status == 0 && *request->journal) drop_journal(request->journal);
    tell(&samples, set.n, &stats);
  }
  tpo_policy_close(&policy);
  tpo_samples_free(&samples);
  tpo_instructions_free(&set);
  return tpo_comm_agree(s->session.comm, status, err);
}

static int read_request(struct invocation *in, struct request *r, struct tpo_error *err)
{
  const char *model;
  r->jsonl = option_value(in, "--jsonl") != NULL;
  r->resume = option_value(in, "--resume") != NULL;
  int status = require_model(in, &model, err);
  if (status == 0) status = option_require(in, "--prompts", &r->prompts, err);
  if (status == 0) status = option_require(in, "--out", &r->out, err);
  if (status == 0) status = option_int(in, "--iteration", 0, UINT32_MAX, 0, &r->iteration, err);
  if (status == 0) status = check_shared(in, "--prompts", r->prompts, err);
  if (status < 0) return status;
  bool to_file = strcmp(r->out, "-") != 0;
  if (!r->jsonl && !to_file)
    return tpo_fail(err, TPO_E_USAGE, "tpo generate: --out - goes with --jsonl; HDF5 needs a file");
  if (r->resume && !to_file)
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo generate: --resume goes with a file; nothing is kept of what goes to --out -");
  return check_config(in, TPO_CHECK_SAMPLING, err);
}

/* All ranks. */
static int check_files(struct invocation *in, struct request *r, struct tpo_error *err)
{
  int status = check_output(in, "--out", r->out, r->prompts, err);
  if (status == 0) status = check_same_file(in, r->prompts, err);
  if (status == 0 && strcmp(r->out, "-") != 0)
    status = check_journal(in, r->out, r->resume, "finished samples", r->journal, err);
  return status;
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  struct request request = {0};
  int status = agree_on_usage(in, read_request(in, &request, err), err);
  if (status == 0) status = check_files(in, &request, err);
  if (status < 0) return status;
  status = cli_session_open(&s, in, err);
  if (status == 0) status = generate(&s, &request, err);
  cli_session_close(&s);
  return *request.journal ? tell_to_resume(status, err) : status;
}

const struct command cmd_generate = {
    .name = "generate",
    .arguments = "",
    .summary = "K samples of each prompt",
    .options = options,
    .needs_comm = true,
    .run = run,
};
