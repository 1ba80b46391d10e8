/* Opens a model with its tokenizer and template. */
#include <stdlib.h>
#include <string.h>

#include "steps/same.h"

int tpo_policy_open_text(struct tpo_policy *policy, const struct tpo_config *config, const char *path,
                         struct tpo_error *err)
{
  *policy = (struct tpo_policy){.path = strdup(path)};
  int status = policy->path ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status == 0) status = tpo_tokenizer_open(&policy->tokenizer, path, err);
  if (status == 0)
    status = tpo_template_open(&policy->tmpl, policy->tokenizer, &config->template_pieces, err);
  if (status < 0) tpo_policy_close(policy);
  return status;
}

/* What this rank's share of the model takes is there; where pairs are not known, what any would. */
static int check_memory(const struct tpo_policy *policy, const struct tpo_session *session,
                        const struct tpo_pairs *pairs, struct tpo_error *err)
{
  struct tpo_arch arch;
  int status = tpo_arch_read(&arch, policy->path, err);
  if (status < 0) return status;
  struct tpo_train_extent extent = tpo_train_extent(pairs);
  if (pairs->n == 0) extent = (struct tpo_train_extent){.pairs = 1, .pair_tokens = 2};
  return tpo_train_check_memory(&arch, session->config->model.dtype, &session->config->train, &extent,
                                session->backend, session->comm, err);
}

/* status: whether this rank has the text. */
static int open_model(struct tpo_policy *policy, const struct tpo_session *session,
                      const struct tpo_pairs *pairs, int status, struct tpo_error *err)
{
  struct tpo_model_options options = {.backend = session->backend,
                                      .dtype = session->config->model.dtype,
                                      .keep_master = pairs != NULL,
                                      .shard_rank = tpo_comm_rank(session->comm),
                                      .shard_size = tpo_comm_size(session->comm)};
  if (status == 0 && pairs) status = check_memory(policy, session, pairs, err);
  if (status == 0) status = tpo_model_open(&policy->model, policy->path, &options, err);
  if (status == 0) tpo_log(TPO_LOG_DEBUG, "weights of %s read", policy->path);
  if (status == 0)
    status = tpo_tokenizer_check_vocab(policy->tokenizer, tpo_model_arch(policy->model)->vocab_size, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = same_model(session->comm, policy->path, policy->model, policy->tokenizer, err);
  if (status < 0) tpo_policy_close(policy);
  return status;
}

int tpo_policy_open_model(struct tpo_policy *policy, const struct tpo_session *session,
                          const struct tpo_pairs *pairs, struct tpo_error *err)
{
  return open_model(policy, session, pairs, 0, err);
}

int tpo_policy_open(struct tpo_policy *policy, const struct tpo_session *session, const char *path,
                    const struct tpo_pairs *pairs, struct tpo_error *err)
{
  return open_model(policy, session, pairs, tpo_policy_open_text(policy, session->config, path, err), err);
}

int tpo_policy_check_thought(const struct tpo_policy *policy, const struct tpo_config *config,
                             struct tpo_error *err)
{
  int marker_tokens = 0;
  int status = tpo_thought_marker_tokens(&config->thought, policy->tokenizer, &marker_tokens, err);
  if (status == 0) status = tpo_config_check_marker(config, marker_tokens, err);
  return status < 0 ? status
                    : tpo_thought_check_and_warn(&config->thought, policy->tokenizer, policy->tmpl, err);
}

int tpo_policy_settle_thought(struct tpo_config *config, const char *path, const char **why,
                              struct tpo_error *err)
{
  struct tpo_policy policy;
  int status = tpo_policy_open_text(&policy, config, path, err);
  if (status == 0) status = tpo_thought_resolve(config, policy.tmpl, why, err);
  tpo_policy_close(&policy);
  return status;
}

void tpo_policy_close(struct tpo_policy *policy)
{
  tpo_model_close(policy->model);
  tpo_template_close(policy->tmpl);
  tpo_tokenizer_close(policy->tokenizer);
  free(policy->path);
  *policy = (struct tpo_policy){0};
}
