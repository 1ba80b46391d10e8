/* `tpo pairs`: chosen and rejected outputs from a file of scored samples. */
#include <stdlib.h>

#include "cli/cli.h"
#include "tpo/pairs.h"

static const struct option options[] = {
    {"--samples", 0, "FILE", NULL, "scored samples, HDF5"},
    {"--out", 'o', "FILE", NULL, "pairs, HDF5"},
    {"--length-penalty", 0, "RHO|auto", "pairs.length_penalty", "rho of length control, in [0, 0.5]"},
    {"--length-unit", 0, "UNIT", "pairs.length_unit", "what it counts in: characters or tokens"},
    {"--mode", 0, "best-worst|all", "pairs.mode", "one pair a prompt, or every pair above --margin"},
    {"--margin", 0, "M", "pairs.margin", "least difference of scores"},
    {"--max-failure-share", 0, "SHARE", "pairs.max_failure_share",
     "most pairs whose rejected output does not parse, in [0, 1]"},
    {"--iteration", 0, "N", NULL, "with the seed, keys which prompts keep such an output (default 0)"},
    OPTION_END,
};

static void tell(const struct tpo_pair_statistics *s)
{
  tpo_log(TPO_LOG_INFO,
          "%zu pair%s of %zu prompt%s (rho %.2f), %zu with a rejected output that does not parse; skipped: "
          "%zu single-valued, %zu ties, %zu too few samples",
          s->pairs, s->pairs == 1 ? "" : "s", s->prompts, s->prompts == 1 ? "" : "s", s->rho,
          s->rejected_parse_failures, s->single_valued, s->ties, s->too_few);
  if (s->failures_passed_over > 0)
    tpo_log(s->pairs ? TPO_LOG_INFO : TPO_LOG_WARN,
            "%sof %zu prompts the outputs that do not parse were left out because of pairs.max_failure_share",
            s->pairs ? "" : "no pair is left: ", s->failures_passed_over);
}

/* The pairs say how the samples' prompts were made, as far as the samples do. */
static int describe(struct tpo_pairs *pairs, struct invocation *in, const struct tpo_samples *samples,
                    const char *path, struct tpo_error *err)
{
  int status = take_prompts(in, samples->config, path, err);
  if (status < 0) return status;
  pairs->config = tpo_config_print(&in->config, false);
  return pairs->config ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
}

static int run(struct invocation *in, struct tpo_error *err)
{
  const char *path, *out;
  struct tpo_samples samples = {0};
  struct tpo_pairs pairs = {0};
  struct tpo_pair_statistics statistics = {0};
  struct tpo_pair_options settings = {
      .config = &in->config.pairs, .train_forced = in->config.thought.train_forced, .seed = in->config.seed};
  int64_t iteration;
  int status = option_require(in, "--samples", &path, err);
  if (status == 0) status = option_require(in, "--out", &out, err);
  if (status == 0) status = option_int(in, "--iteration", 0, UINT32_MAX, 0, &iteration, err);
  if (status == 0) settings.iteration = (uint32_t)iteration;
  if (status == 0) status = check_config(in, TPO_CHECK_PAIRS, err);
  if (status == 0) status = check_output(in, "--out", out, path, err);
  if (status == 0) status = tpo_samples_read(&samples, path, err);
  if (status == 0) status = tpo_select_pairs(&pairs, &samples, &settings, &statistics, err);
  if (status == 0) {
    pairs.statistics = tpo_pair_statistics_json(&statistics);
    status = describe(&pairs, in, &samples, path, err);
  }
  if (status == 0) status = tpo_pairs_write(&pairs, out, err);
  if (status == 0) tell(&statistics);
  tpo_samples_free(&samples);
  tpo_pairs_free(&pairs);
  return status;
}

const struct command cmd_pairs = {
    .name = "pairs",
    .arguments = "",
    .summary = "select chosen and rejected outputs from scored samples",
    .options = options,
    .run = run,
};
