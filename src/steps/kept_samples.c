/* What samples depend on, in lines; and how each stands in a journal. */
#include "steps/kept_samples.h"

#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "config/keys.h"
#include "model/identity.h"

/* Whether another value of the key gives other samples under the same number. */
static bool bears_on_sample(int key)
{
  static const char *const sections[] = {"", "model", "template", "thought", "sampling"};
  /* The model is known by its hash. */
  static const char *const others[] = {"model.path", "model.backend", "thought.name", "thought.train_forced",
                                       "sampling.k"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (strcmp(config_keys[key].path, others[i]) == 0) return false;
  for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
    if (config_in_section(key, sections[i])) return config_bears_on_results(key);
  return false;
}

static void put_settings(const struct tpo_session *session, const struct tpo_generate_options *options,
                         struct tpo_buf *work)
{
  struct tpo_config config = *session->config; /* borrows what it points at */
  config.sampling = *options->sampling;
  if (options->thought)
    config.thought = *options->thought;
  else
    tpo_buf_puts(work, "thought: of none\n");
  for (int key = 0; key < config_n_keys; key++) {
    if (!bears_on_sample(key) || (!options->thought && config_in_section(key, "thought"))) continue;
    tpo_buf_printf(work, "%s: ", config_keys[key].path);
    config_append_value(&config, key, work);
    tpo_buf_putc(work, '\n');
  }
  const char *backend = session->backend ? tpo_backend_describe(session->backend) : "";
  tpo_buf_printf(work, "backend: %.*s\n", (int)strcspn(backend, " :"),
                 backend); /* cpu or cuda, of any kind */
  tpo_buf_printf(work, "iteration: %u\n", options->iteration);
}

/* With the NUL, so that no two neighbours can be mistaken for two others. */
static void add_text(struct tpo_hash *hash, const char *text)
{
  tpo_hash_add(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

static int add_file(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  uint64_t size = len;
  (void)err;
  add_text(arg, name);
  tpo_hash_add(arg, &size, sizeof size);
  tpo_hash_add(arg, bytes, len);
  return 0;
}

/* Its files, and which tokens end a text, which the model's own files tell too. */
static int put_tokenizer(const struct tpo_policy *policy, struct tpo_buf *work, struct tpo_error *err)
{
  char hex[33];
  struct tpo_hash hash;
  struct tpo_ids ends = {0};
  int status = tpo_tokenizer_end_ids(policy->tokenizer, policy->tmpl, &ends, err);
  if (status == 0) status = tpo_hash_begin(&hash, err);
  if (status == 0) {
    tpo_hash_add(&hash, ends.ids, ends.n * sizeof *ends.ids);
    status = tpo_tokenizer_each_file(policy->tokenizer, add_file, &hash, err);
    tpo_hash_end(&hash, hex);
    tpo_buf_printf(work, "tokenizer: %s\n", hex);
  }
  tpo_ids_free(&ends);
  return status;
}

static int add_prompt(struct tpo_hash *hash, const struct tpo_policy *policy,
                      const struct tpo_instruction *item, const struct tpo_thought_config *thought,
                      struct tpo_error *err)
{
  struct tpo_buf text = {0};
  struct tpo_ids ids = {0};
  int status = tpo_thought_render(thought, policy->tmpl, item->instruction, item->messages, &ids, &text, err);
  if (status == 0) {
    const char *texts[] = {item->id, item->instruction, item->meta, text.data};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) add_text(hash, texts[i]);
    tpo_hash_add(hash, &ids.n, sizeof ids.n);
    tpo_hash_add(hash, ids.ids, ids.n * sizeof *ids.ids);
  } else {
    tpo_fail_prefix(err, "prompt %s", item->id);
  }
  tpo_ids_free(&ids);
  tpo_buf_free(&text);
  return status;
}

/* All that is stored of an instruction with its samples, and what the model is shown. */
static int put_prompts(const struct tpo_policy *policy, const struct tpo_instructions *instructions,
                       const struct tpo_thought_config *thought, struct tpo_buf *work, struct tpo_error *err)
{
  char hex[33];
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (size_t i = 0; i < instructions->n && status == 0; i++)
    status = add_prompt(&hash, policy, &instructions->items[i], thought, err);
  tpo_hash_end(&hash, hex);
  tpo_buf_printf(work, "prompts: %zu, %s\n", instructions->n, hex);
  return status;
}

/* Of the model that samples are drawn with; by some rows where it is another one each time, soon after another. */
static int put_model(const struct tpo_policy *policy, bool by_rows, struct tpo_buf *work,
                     struct tpo_error *err)
{
  char rows[33];
  const char *hash = rows;
  int status = 0;
  if (by_rows)
    status = model_identify(policy->model, rows, err);
  else if (!(hash = tpo_model_hash(policy->model)))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory to tell what the samples depend on");
  if (status == 0) tpo_buf_printf(work, "model: %s\n", hash);
  return status;
}

/* First what a person would have changed, so that a message names that and not what follows from it. */
static int describe_work(const struct tpo_session *session, const struct tpo_policy *policy,
                         const struct tpo_instructions *instructions,
                         const struct tpo_generate_options *options, struct tpo_buf *work,
                         struct tpo_error *err)
{
  tpo_buf_puts(work, "what: samples\n");
  put_settings(session, options, work);
  int status = put_model(policy, options->by_rows, work, err);
  if (status == 0) status = put_tokenizer(policy, work, err);
  if (status == 0) status = put_prompts(policy, instructions, options->thought, work, err);
  if (status == 0 && work->failed)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory to tell what the samples depend on");
  return status;
}

int kept_samples_open(struct kept **out, const struct tpo_session *session, const struct tpo_policy *policy,
                      const struct tpo_instructions *instructions, const struct tpo_generate_options *options,
                      struct tpo_error *err)
{
  struct tpo_buf work = {0};
  int status = 0;
  *out = NULL;
  if (!options->journal) return 0;
  if (tpo_comm_rank(session->comm) == 0)
    status = describe_work(session, policy, instructions, options, &work, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0)
    status = kept_open(out, session->comm, options->journal, work.data,
                       options->drop_other ? KEPT_DROP : KEPT_REFUSE, err);
  tpo_buf_free(&work);
  return status;
}

/* The id, or in place of one that is too long for a key its hash; NUL; number; temperature. */
static int make_key(struct tpo_buf *key, const char *prompt_id, int k, double temperature,
                    struct tpo_error *err)
{
  enum { LONGEST = 1024 };
  char hex[33];
  struct tpo_hash hash;
  size_t len = strlen(prompt_id);
  if (len <= LONGEST) {
    tpo_buf_append(key, prompt_id, len);
  } else if (tpo_hash_begin(&hash, err) == 0) {
    tpo_hash_add(&hash, prompt_id, len);
    tpo_hash_end(&hash, hex);
    tpo_buf_printf(key, "%zu bytes, %s", len, hex);
  } else {
    return TPO_E_MEMORY;
  }
  int32_t number = k;
  tpo_buf_putc(key, '\0');
  tpo_buf_append(key, &number, sizeof number);
  tpo_buf_append(key, &temperature, sizeof temperature);
  return key->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for a sample's key") : 0;
}

int kept_sample_add(struct kept *kept, const struct tpo_sample_row *row, double temperature,
                    struct tpo_error *err)
{
  struct tpo_buf key = {0}, value = {0};
  int status = make_key(&key, row->prompt_id, row->k, temperature, err);
  if (status == 0) status = tpo_sample_pack(row, &value, err);
  if (status == 0) status = journal_append(kept->journal, key.data, key.len, value.data, value.len, err);
  tpo_buf_free(&key);
  tpo_buf_free(&value);
  return status;
}

int kept_sample_find(struct kept *kept, const char *prompt_id, int k, double temperature,
                     struct tpo_samples *samples, struct tpo_error *err)
{
  struct tpo_buf key = {0};
  struct journal_piece piece;
  size_t before = samples->n;
  int status = make_key(&key, prompt_id, k, temperature, err);
  int found = status < 0 ? status : journal_find(kept->journal, key.data, key.len, &piece, err);
  if (found > 0) {
    status = tpo_samples_unpack(samples, piece.bytes, piece.len, err);
    found = status < 0 ? status : 1;
  }
  tpo_buf_free(&key);
  if (found < 0) samples->n = before;
  return found;
}
