/* Judges samples by what their instructions ask for, and prints which output a model would be trained to
 * prefer to which: ./judge_and_pair samples.h5 (as `tpo generate` writes it) */
#include <math.h>
#include <stdio.h>
#include <tpo/pairs.h>
#include <tpo/steps.h>

/* One side of a pair. An output without a response has no score: it is rejected for its layout alone. */
static void print_side(const char *side, const struct tpo_sample_row *row, double score)
{
  if (isnan(score))
    printf("  %s: no response in: %s\n", side, row->text);
  else
    printf("  %s: score %.3f: %s\n", side, score, row->response);
}

int main(int argc, char **argv)
{
  if (argc != 2) return 2;
  struct tpo_error err = {0};
  struct tpo_config config;
  struct tpo_session session = {.config = &config}; /* no backend: the rule judge computes without a model */
  struct tpo_samples samples = {0};
  struct tpo_pairs pairs = {0};
  struct tpo_pair_options options = {.config = &config.pairs};
  struct tpo_pair_statistics statistics;
  size_t failures;

  tpo_config_default(&config);
  int status = tpo_config_set(&config, "judge.kind=rule", "judge_and_pair.c", &err);
  if (status == 0) status = tpo_config_set(&config, "pairs.length_penalty=auto", "judge_and_pair.c", &err);
  options.train_forced = config.thought.train_forced;
  if (status == 0) status = tpo_comm_open_alone(&session.comm, &err);
  if (status == 0) status = tpo_samples_read(&samples, argv[1], &err);
  if (status == 0) status = tpo_score_samples(&session, &samples, NULL, &failures, &err);
  if (status == 0) status = tpo_select_pairs(&pairs, &samples, &options, &statistics, &err);
  for (size_t i = 0; status == 0 && i < pairs.n; i++) {
    const struct tpo_pair_row *pair = &pairs.rows[i];
    printf("%s\n", samples.rows[pair->chosen_row].instruction);
    print_side("chosen", &samples.rows[pair->chosen_row], pair->chosen_score);
    print_side("rejected", &samples.rows[pair->rejected_row], pair->rejected_score);
  }
  if (status == 0)
    printf("%zu pairs of %zu prompts, length penalty %.2f\n", pairs.n, statistics.prompts, statistics.rho);
  if (status < 0) fprintf(stderr, "%s\n", err.message);
  tpo_pairs_free(&pairs);
  tpo_samples_free(&samples);
  tpo_comm_close(session.comm);
  tpo_config_free(&config);
  return status < 0;
}
