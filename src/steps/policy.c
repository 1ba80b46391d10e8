/* Opens a model with its tokenizer and template. */
#include <stdlib.h>
#include <string.h>

#include "steps/same.h"

int tpo_policy_open(struct tpo_policy *policy, const struct tpo_session *session, const char *path,
                    const struct tpo_pairs *pairs, struct tpo_error *err)
{
  *policy = (struct tpo_policy){.path = strdup(path)};
  struct tpo_model_options options = {.backend = session->backend,
                                      .dtype = session->config->model.dtype,
                                      .keep_master = pairs != NULL,
                                      .shard_rank = tpo_comm_rank(session->comm),
                                      .shard_size = tpo_comm_size(session->comm)};
  struct tpo_arch arch;
  int status = policy->path ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status == 0) status = tpo_tokenizer_open(&policy->tokenizer, path, err);
  if (status == 0)
    status = tpo_template_open(&policy->tmpl, policy->tokenizer, &session->config->template_pieces, err);
  if (status == 0 && pairs) status = tpo_arch_read(&arch, path, err);
  if (status == 0 && pairs) {
    struct tpo_train_extent extent = tpo_train_extent(pairs);
    status = tpo_train_check_memory(&arch, options.dtype, &session->config->train, &extent, session->backend,
                                    session->comm, err);
  }
  if (status == 0) status = tpo_model_open(&policy->model, path, &options, err);
  if (status == 0)
    status = tpo_tokenizer_check_vocab(policy->tokenizer, tpo_model_arch(policy->model)->vocab_size, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = same_model(session->comm, path, policy->model, policy->tokenizer, err);
  if (status < 0) tpo_policy_close(policy);
  return status;
}

static int check_thought(const struct tpo_config *config, const struct tpo_tokenizer *tokenizer,
                         const struct tpo_template *tmpl, struct tpo_error *err)
{
  int marker_tokens = 0;
  struct tpo_buf warning = {0};
  int status = tpo_thought_marker_tokens(&config->thought, tokenizer, &marker_tokens, err);
  if (status == 0) status = tpo_config_check_marker(config, marker_tokens, err);
  if (status == 0) status = tpo_thought_check(&config->thought, tokenizer, tmpl, &warning, err);
  if (status == 0 && warning.len > 0) tpo_log(TPO_LOG_WARN, "%s", warning.data);
  tpo_buf_free(&warning);
  return status;
}

int tpo_policy_check_thought(const struct tpo_config *config, const char *path, struct tpo_error *err)
{
  struct tpo_tokenizer *tokenizer;
  struct tpo_template *tmpl = NULL;
  struct tpo_error later = {0}; /* told where the model is opened */
  int status = tpo_tokenizer_open(&tokenizer, path, err);
  if (status < 0) return status;
  if (tpo_template_open(&tmpl, tokenizer, &config->template_pieces, &later) < 0) tmpl = NULL;
  status = check_thought(config, tokenizer, tmpl, err);
  tpo_template_close(tmpl);
  tpo_tokenizer_close(tokenizer);
  return status;
}

int tpo_policy_settle_thought(struct tpo_config *config, const char *path, const char **why,
                              struct tpo_error *err)
{
  struct tpo_tokenizer *tokenizer;
  struct tpo_template *tmpl = NULL;
  int status = tpo_tokenizer_open(&tokenizer, path, err);
  if (status < 0) return status;
  status = tpo_template_open(&tmpl, tokenizer, &config->template_pieces, err);
  if (status == 0) status = tpo_thought_resolve(config, tmpl, why, err);
  tpo_template_close(tmpl);
  tpo_tokenizer_close(tokenizer);
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
