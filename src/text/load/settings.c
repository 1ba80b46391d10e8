/* The files beside tokenizer.json: which tokens begin and end a text, and the chat template. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

/* A token named as "x" or {"content": "x"}; *id stays when it is not named or not known. */
static void find_named(const struct tpo_tokenizer *tok, const json_t *object, const char *key, int32_t *id)
{
  const json_t *value = json_object_get(object, key);
  if (json_is_object(value)) value = json_object_get(value, "content");
  const char *name = json_string_value(value);
  size_t len = json_string_length(value);
  if (!name || *id >= 0) return;
  const struct tpo_added_token *added = tpo_added_find(&tok->specials, name, len);
  *id = added ? added->id : tpo_vocab_find(&tok->vocab, name, len);
}

static void find_all_named(struct tpo_tokenizer *tok, const json_t *object)
{
  find_named(tok, object, "bos_token", &tok->bos);
  find_named(tok, object, "eos_token", &tok->eos);
  find_named(tok, object, "unk_token", &tok->unk);
  find_named(tok, object, "pad_token", &tok->pad);
}

static int keep_text(const struct tpo_tokenizer *tok, const char *text, char **out, struct tpo_error *err)
{
  if (!text || *out) return TPO_OK;
  *out = strdup(text);
  return *out ? TPO_OK : tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat template", tok->place);
}

/* chat_template: a text, or a list of named ones. Of these, "default" counts, and "tool_use" where there are
 * tools. Templates that are files of their own come first, and then no list is looked into. */
static int take_template(struct tpo_tokenizer *tok, const json_t *value, struct tpo_error *err)
{
  size_t i;
  json_t *item;
  const char *text = json_string_value(value), *tool_text = NULL;
  if (tok->chat_template) return TPO_OK;
  json_array_foreach(value, i, item)
  {
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *named = json_string_value(json_object_get(item, "template"));
    if (name && strcmp(name, "default") == 0) text = named;
    if (name && strcmp(name, "tool_use") == 0) tool_text = named;
  }
  int status = keep_text(tok, text, &tok->chat_template, err);
  return status < 0 ? status : keep_text(tok, tool_text, &tok->tool_template, err);
}

static bool id_in_use(const struct tpo_tokenizer *tok, int64_t id)
{
  return (size_t)id < tok->vocab.n &&
         (tok->vocab.tokens[id].kind == TPO_TOKEN_CONTROL || tok->vocab.tokens[id].kind == TPO_TOKEN_USER);
}

/* Tokens that only tokenizer_config.json adds. */
static int load_more_added(struct tpo_tokenizer *tok, const json_t *config, struct tpo_error *err)
{
  const char *key;
  json_t *item;
  int64_t limit = 2 * (int64_t)tok->vocab.n + TPO_VOCAB_HOLES;
  bool more = false;
  json_object_foreach(json_object_get(config, "added_tokens_decoder"), key, item)
  {
    char *end;
    long long id = strtoll(key, &end, 10);
    if (*end || id < 0 || id > limit)
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: tokenizer_config.json: \"%.40s\" in added_tokens_decoder is not a token id",
                      tok->place, key);
    const json_t *content = json_object_get(item, "content");
    if (id_in_use(tok, id) || !json_is_string(content) ||
        tpo_added_find(&tok->specials, json_string_value(content), json_string_length(content)))
      continue;
    int status = tpo_tokenizer_load_added(tok, item, id, limit, err);
    if (status < 0) return status;
    more = true;
  }
  return more ? tpo_vocab_index(&tok->vocab, tok->place, err) : TPO_OK;
}

static bool is_llama_class(const json_t *config)
{
  const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
  return class && strncmp(class, "Llama", 5) == 0;
}

/* Whether a space is put before a text: for a pre_tokenizer that is ByteLevel alone, transformers takes it
 * from here, and puts none where the key is missing; null leaves it to tokenizer.json. */
static int apply_prefix_space(struct tpo_tokenizer *tok, const json_t *config, struct tpo_error *err)
{
  const json_t *flag = json_object_get(config, "add_prefix_space");
  if (!tok->byte_level_alone || is_llama_class(config) || json_is_null(flag)) return TPO_OK;
  if (flag && !json_is_boolean(flag))
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: tokenizer_config.json: add_prefix_space must be true, false or null", tok->place);
  tok->pre.prefix_space = json_is_true(flag);
  return TPO_OK;
}

/* Llama's tokenizer classes put BOS and EOS as these flags say, whatever the post_processor says. */
static int apply_flags(struct tpo_tokenizer *tok, const json_t *config, struct tpo_error *err)
{
  if (!is_llama_class(config)) return TPO_OK;
  struct {
    const char *key;
    int32_t id;
    struct tpo_ids *list;
  } flags[] = {{"add_bos_token", tok->bos, &tok->prefix}, {"add_eos_token", tok->eos, &tok->suffix}};
  for (int i = 0; i < 2; i++) {
    const json_t *flag = json_object_get(config, flags[i].key);
    if (!json_is_boolean(flag)) continue;
    flags[i].list->n = 0;
    if (!json_is_true(flag)) continue;
    if (flags[i].id < 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer_config.json: %s without such a token", tok->place,
                      flags[i].key);
    int status = tpo_ids_append(flags[i].list, &flags[i].id, 1, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}

static int load_config(struct tpo_tokenizer *tok, json_t *config, struct tpo_error *err)
{
  int status = load_more_added(tok, config, err);
  if (status < 0) return status;
  find_all_named(tok, config);
  status = tpo_tokenizer_load_names(tok, config, err);
  if (status == TPO_OK) status = apply_flags(tok, config, err);
  if (status == TPO_OK) status = apply_prefix_space(tok, config, err);
  return status < 0 ? status : take_template(tok, json_object_get(config, "chat_template"), err);
}

static int load_special_map(struct tpo_tokenizer *tok, json_t *map, struct tpo_error *err)
{
  find_all_named(tok, map);
  return tpo_tokenizer_load_names(tok, map, err);
}

enum {
  MAX_ENDS = 1024, /* each sampled token is looked for in them */
  MAX_CONFIG_BYTES = 16 << 20,
};

static int add_end(struct tpo_tokenizer *tok, const json_t *value, const char *file, struct tpo_error *err)
{
  json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
  if (id < 0 || id >= TPO_VOCAB_MAX)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: eos_token_id must be an id or a list of ids", tok->place,
                    file);
  int32_t id32 = (int32_t)id;
  return tpo_ids_append(&tok->ends, &id32, 1, err);
}

static int load_ends(struct tpo_tokenizer *tok, const json_t *value, const char *file, struct tpo_error *err)
{
  if (!value || json_is_null(value)) return TPO_OK;
  if (!json_is_array(value)) return add_end(tok, value, file, err);
  if (json_array_size(value) > MAX_ENDS)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: eos_token_id has %zu ids, expected at most %d", tok->place,
                    file, json_array_size(value), MAX_ENDS);
  for (size_t i = 0; i < json_array_size(value); i++) {
    int status = add_end(tok, json_array_get(value, i), file, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}

static int load_generation(struct tpo_tokenizer *tok, json_t *config, struct tpo_error *err)
{
  return load_ends(tok, json_object_get(config, "eos_token_id"), "generation_config.json", err);
}

/* Enters a key of config.json into the generation settings, unless it is absent or null. */
static void lend(json_t *generation, const json_t *config, const char *key)
{
  json_t *value = json_object_get(config, key);
  if (value && !json_is_null(value)) json_object_set(generation, key, value);
}

/* The generation settings of a folder whose generation_config.json names no end; `generation` is that file,
 * or an empty object without one. */
static int take_ends(struct tpo_tokenizer *tok, json_t *generation, const json_t *config,
                     struct tpo_error *err)
{
  struct tpo_text_file *file = &tok->files[TPO_FILE_GENERATION_CONFIG];
  const json_t *ends = json_object_get(config, "eos_token_id");
  int status = load_ends(tok, ends, "config.json", err);
  tok->ends.n = 0; /* to be read from the generation settings */
  if (status < 0 || !ends || json_is_null(ends)) return status;
  lend(generation, config, "eos_token_id");
  if (!file->bytes) {
    lend(generation, config, "bos_token_id");
    lend(generation, config, "pad_token_id");
  }
  char *text = tpo_json_dump(generation);
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the generation settings", tok->place);
  free(file->bytes);
  *file = (struct tpo_text_file){.bytes = text, .len = strlen(text)};
  return TPO_OK;
}

int tpo_tokenizer_complete_generation(struct tpo_tokenizer *tok, const char *config_path,
                                      struct tpo_error *err)
{
  const struct tpo_text_file *file = &tok->files[TPO_FILE_GENERATION_CONFIG];
  int there = tpo_look_for(config_path, err);
  if (there <= 0) return there;
  /* what is wrong with the file is told when it is loaded */
  json_t *generation = file->bytes ? tpo_json_parse(file->bytes, file->len, "", NULL) : json_object();
  const json_t *ends = json_object_get(generation, "eos_token_id");
  int status = TPO_OK;
  if (json_is_object(generation) && (!ends || json_is_null(ends))) {
    json_t *config = tpo_json_load(config_path, MAX_CONFIG_BYTES, err);
    status = config ? take_ends(tok, generation, config, err) : err ? err->code : TPO_E_INPUT;
    json_decref(config);
  }
  json_decref(generation);
  return status;
}

static int load_one(struct tpo_tokenizer *tok, enum tpo_tokenizer_file which,
                    int (*load)(struct tpo_tokenizer *tok, json_t *root, struct tpo_error *err),
                    struct tpo_error *err)
{
  const struct tpo_text_file *file = &tok->files[which];
  if (!file->bytes) return TPO_OK;
  char place[512];
  snprintf(place, sizeof place, "%.400s: %s", tok->place, tpo_tokenizer_file_names[which]);
  json_t *root = tpo_json_parse(file->bytes, file->len, place, err);
  if (!root) return err ? err->code : TPO_E_INPUT;
  int status = json_is_object(root) ? load(tok, root, err)
                                    : tpo_fail(err, TPO_E_INPUT, "%s: an object was expected", place);
  json_decref(root);
  return status;
}

int tpo_tokenizer_load_settings(struct tpo_tokenizer *tok, struct tpo_error *err)
{
  const struct tpo_text_file *template = &tok->files[TPO_FILE_CHAT_TEMPLATE];
  if (template->bytes) {
    if (!tpo_utf8_valid(template->bytes, template->len, NULL) || memchr(template->bytes, 0, template->len))
      return tpo_fail(err, TPO_E_INPUT, "%s: chat_template.jinja is not UTF-8 text", tok->place);
    tok->chat_template = strdup(template->bytes);
    if (!tok->chat_template) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory", tok->place);
  }
  int status = load_one(tok, TPO_FILE_TOKENIZER_CONFIG, load_config, err);
  if (status == TPO_OK) status = load_one(tok, TPO_FILE_SPECIAL_TOKENS, load_special_map, err);
  if (status == TPO_OK) status = load_one(tok, TPO_FILE_GENERATION_CONFIG, load_generation, err);
  return status;
}
