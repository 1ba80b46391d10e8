/* Lets a model think and answer, four times: ./samples MODEL "Name a city by the sea and say why."
 *
 * Started by mpirun, the same program shares the work among the ranks; what is sampled stays the same. */
#include <stdio.h>
#include <tpo/steps.h>

/* What K samples of a prompt hold: the thought, which no judge sees, and the response. */
static void print_samples(const struct tpo_samples *samples)
{
  for (size_t i = 0; i < samples->n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    printf("[%d] thought: %s\n", row->k + 1, row->thought);
    printf("[%d] response: %s\n", row->k + 1, row->format_ok ? row->response : "(the layout was not kept)");
  }
}

int main(int argc, char **argv)
{
  if (argc != 3) return 2;
  struct tpo_error err = {0};
  struct tpo_config config;
  struct tpo_session session = {.config = &config};
  struct tpo_policy policy = {0}; /* the model, its tokenizer and its chat template */
  struct tpo_instructions prompts = {0};
  struct tpo_samples samples = {0};
  struct tpo_generate_stats stats;
  struct tpo_generate_options options = {.sampling = &config.sampling, .thought = &config.thought};

  tpo_config_default(&config); /* then any key of configs/README.md; the last word names who set it */
  int status = tpo_config_set(&config, "sampling.k=4", "samples.c", &err);
  if (status == 0) status = tpo_config_set(&config, "sampling.max_tokens=160", "samples.c", &err);
  if (status == 0) status = tpo_config_set_thought(&config, "generic", "samples.c", &err);
  if (status == 0) status = tpo_comm_open(&session.comm, config.run.deadline, &err);
  if (status == 0) { /* each rank of a host takes a GPU of its own, where there are any */
    struct tpo_backend_options place = {.local_rank = tpo_comm_local_rank(session.comm),
                                        .local_size = tpo_comm_local_size(session.comm)};
    status = tpo_backend_open_with(&session.backend, &place, &err);
  }
  if (status == 0) status = tpo_policy_open(&policy, &session, argv[1], NULL, &err);
  struct tpo_instruction prompt = {.id = "1", .instruction = argv[2]};
  if (status == 0) status = tpo_instructions_add(&prompts, &prompt, &err);
  if (status == 0) status = tpo_generate(&session, &policy, &prompts, &options, &samples, &stats, &err);
  if (status == 0) print_samples(&samples); /* all are on rank 0, and none elsewhere */
  if (status < 0) fprintf(stderr, "%s\n", err.message);
  tpo_samples_free(&samples);
  tpo_instructions_free(&prompts);
  tpo_policy_close(&policy);
  tpo_backend_close(session.backend);
  tpo_comm_close(session.comm);
  tpo_config_free(&config);
  return status < 0;
}
