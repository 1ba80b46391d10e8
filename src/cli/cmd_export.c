/* `tpo export`: a trained model for other programs, with a chat template that asks for its thought. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/text.h"
#include "config/keys.h"
#include "tpo/model.h"
#include "tpo/text.h"

static const struct option options[] = {
    {"--to", 0, "hf|gguf", NULL,
     "format: a Hugging Face model folder, or a GGUF file for llama.cpp (of a model in any form)"},
    {"--type", 0, "T", NULL, "of a GGUF file's matrices: bf16 (default), f32, f16 or q8_0"},
    {"--thought", 0, "NAME|FILE", "thought",
     "layout that its chat template asks for (default: the checkpoint's own); none: the model's template as it is"},
    OPTION_END,
};

static const char notes[] =
    "The chat template that is written renders the prompts that training sampled from, where a generation prompt is\n"
    "asked for; without one, the model's own. Earlier answers that still have their thoughts lose them. A model that\n"
    "is no checkpoint keeps its own template unless --thought names a layout. Go on training with the checkpoint:\n"
    "a template that asks for a thought already is not asked twice.";

/* Sentences about the exported model, one a line. */
static void tell(const char *out, struct tpo_buf *lines)
{
  char *rest = lines->data;
  for (char *line; rest && (line = strsep(&rest, "\n")) && *line;) tpo_log(TPO_LOG_INFO, "%s: %s", out, line);
}

static int make_template(const struct invocation *in, struct tpo_config *config, char **source,
                         struct tpo_error *err)
{
  struct tpo_tokenizer *tok = NULL;
  struct tpo_template *tmpl = NULL;
  struct tpo_buf lines = {0};
  int status = tpo_tokenizer_open(&tok, in->positional[0], err);
  if (status == 0) status = tpo_template_open(&tmpl, tok, &config->template_pieces, err);
  if (status == 0) status = settle_on_layout(config, tok, tmpl, err);
  if (status == 0) status = tpo_thought_template(&config->thought, tmpl, source, err);
  if (status == 0) status = tpo_thought_tell_servers(&config->thought, tmpl, &lines, err);
  if (status == 0)
    tpo_log(TPO_LOG_INFO, "%s: its chat template renders the prompts of training%s, thought layout %s",
            in->positional[1], *source ? "" : " as it is", config->thought.name);
  if (status == 0) tell(in->positional[1], &lines);
  tpo_buf_free(&lines);
  tpo_template_close(tmpl);
  tpo_tokenizer_close(tok);
  return status;
}

/* What the command was given instead of the checkpoint's own changes places with that. */
static void take_given(struct invocation *in, struct tpo_config *own)
{
  bool pieces = option_is_key_set(in, "template.user_prefix");
  if (option_is_key_set(in, "thought.name")) config_exchange_thought(own, &in->config);
  if (pieces) config_exchange_template(own, &in->config);
}

/* What was trained without a layout may have no tokenizer, no chat template, or one that can't be run: pairs of ids
 * need none. */
static int pass_over(const struct tpo_config *own, struct tpo_error *err)
{
  bool dispensable =
      strcmp(own->thought.name, "none") == 0 && err->code != TPO_E_MEMORY && err->code != TPO_E_IO;
  if (!dispensable) return err->code;
  tpo_log(TPO_LOG_WARN, "%s; what the model has of a chat template stays as it is", err->message);
  *err = (struct tpo_error){0};
  return 0;
}

/* Keys of a layout that is not named would change nothing. */
static int check_given(const struct invocation *in, struct tpo_error *err)
{
  for (int key = 0; key < config_n_keys && !option_is_key_set(in, "thought.name"); key++)
    if (config_in_section(key, "thought") && option_is_key_set(in, config_keys[key].path))
      return tpo_fail(
          err, TPO_E_USAGE,
          "%s: a layout is exported as a whole; expected --thought NAME|FILE beside it, to which it "
          "belongs",
          config_keys[key].path);
  return 0;
}

/* The chat template that the model gets; NULL: its own. *untold: the model doesn't say how it was asked. */
static int choose_template(struct invocation *in, char **source, bool *untold, struct tpo_error *err)
{
  bool given = option_is_key_set(in, "thought.name");
  struct tpo_config own;
  *source = NULL;
  *untold = false;
  if (check_given(in, err) < 0) return TPO_E_USAGE;
  if (given && strcmp(in->config.thought.name, "none") == 0) return 0;
  tpo_config_default(&own);
  int status = read_own_prompts(in->positional[0], &own, err);
  *untold = status == 0 && !given;
  if (status >= 0 && !*untold) {
    take_given(in, &own);
    status = make_template(in, &own, source, err);
    if (status < 0 && !given) status = pass_over(&own, err);
  }
  tpo_config_free(&own);
  return status;
}

static int export_gguf(const struct invocation *in, const char *chat_template, struct tpo_error *err)
{
  static const struct {
    const char *name;
    enum tpo_gguf_matrices matrices;
  } types[] = {{"bf16", TPO_GGUF_MATRICES_BF16},
               {"f32", TPO_GGUF_MATRICES_F32},
               {"f16", TPO_GGUF_MATRICES_F16},
               {"q8_0", TPO_GGUF_MATRICES_Q8_0}};
  const char *type = option_value(in, "--type");
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!type || strcmp(type, types[i].name) == 0)
      return tpo_model_export_gguf(in->positional[0], in->positional[1], types[i].matrices, chat_template,
                                   err);
  return tpo_fail(err, TPO_E_USAGE, "tpo export: --type is '%s'; expected bf16, f32, f16 or q8_0", type);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  const char *to;
  char *chat_template;
  int status = option_require(in, "--to", &to, err);
  if (status < 0) return status;
  bool hf = strcmp(to, "hf") == 0;
  if (!hf && strcmp(to, "gguf") != 0)
    return tpo_fail(err, TPO_E_USAGE, "tpo export: --to is '%s'; expected hf or gguf", to);
  if (hf && option_value(in, "--type"))
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo export: --type is for --to gguf; a folder keeps the weights' own type");
  bool untold;
  status = choose_template(in, &chat_template, &untold, err);
  if (status == 0)
    status = hf ? tpo_model_export_hf(in->positional[0], in->positional[1], chat_template, err)
                : export_gguf(in, chat_template, err);
  if (status == 0 && untold)
    tpo_log(TPO_LOG_INFO, "%s: it doesn't tell a thought layout; the model's chat template stays as it is",
            in->positional[0]);
  free(chat_template);
  return status;
}

const struct command cmd_export = {
    .name = "export",
    .arguments = "CKPT.h5 DIR|FILE.gguf",
    .summary = "a Hugging Face model folder or a GGUF file from a checkpoint",
    .options = options,
    .notes = notes,
    .no_default = "--thought",
    .n_positional_min = 2,
    .n_positional_max = 2,
    .run = run,
};
