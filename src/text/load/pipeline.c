/* tokenizer.json's normalizer, pre_tokenizer, decoder and post_processor. What is not known is refused by
 * name. */
#include <string.h>
#include "base/json.h"
#include "text/tokenizer.h"

enum { MAX_NESTING = 8 };

static const char *type_of(const json_t *object)
{
  const char *type = json_string_value(json_object_get(object, "type"));
  return type ? type : "(without a type)";
}

static int refuse(const struct tpo_tokenizer *tok, const char *what, const char *type, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: tokenizer.json: %s of type %.80s is not supported", tok->place,
                  what, type);
}

/* A string that must be there. */
static int get_text(const struct tpo_tokenizer *tok, const json_t *object, const char *key, const char **out,
                    struct tpo_error *err)
{
  *out = NULL;
  int status = tpo_json_get_string(object, key, out, tok->place, err);
  if (status < 0) return status;
  if (*out) return TPO_OK;
  return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: a %.80s lacks the string \"%s\"", tok->place,
                  type_of(object), key);
}

static int load_replace(struct tpo_tokenizer *tok, const json_t *norm, struct tpo_error *err)
{
  const json_t *pattern = json_object_get(norm, "pattern");
  const char *what, *by;
  if (!json_object_get(pattern, "String"))
    return refuse(tok, "a normalizer Replace by a regular expression,", "Regex", err);
  if (get_text(tok, pattern, "String", &what, err) < 0 || get_text(tok, norm, "content", &by, err) < 0)
    return TPO_E_INPUT;
  if (!*what) return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: a Replace of nothing", tok->place);
  if (strcmp(what, " ") == 0 && strcmp(by, TPO_META) == 0) tok->visible_space = true;
  return tpo_normalizer_add(&tok->normalizer, TPO_NORMAL_REPLACE, what, by, err);
}

static int load_normalizer(struct tpo_tokenizer *tok, const json_t *norm, int depth, struct tpo_error *err)
{
  static const struct {
    const char *name;
    enum tpo_normal_kind kind;
  } forms[] = {
      {"NFC", TPO_NORMAL_NFC}, {"NFD", TPO_NORMAL_NFD}, {"NFKC", TPO_NORMAL_NFKC}, {"NFKD", TPO_NORMAL_NFKD}};
  if (!norm || json_is_null(norm)) return TPO_OK;
  const char *type = type_of(norm);
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    if (strcmp(type, forms[i].name) == 0)
      return tpo_normalizer_add(&tok->normalizer, forms[i].kind, "", "", err);
  if (strcmp(type, "Replace") == 0) return load_replace(tok, norm, err);
  if (strcmp(type, "Prepend") == 0) {
    const char *by;
    int status = get_text(tok, norm, "prepend", &by, err);
    if (status < 0) return status;
    if (strcmp(by, TPO_META) != 0) return refuse(tok, "a normalizer Prepend of other than U+2581,", by, err);
    tok->strip_space = tok->strip_each = true;
    return tpo_normalizer_add(&tok->normalizer, TPO_NORMAL_PREPEND, "", by, err);
  }
  if (strcmp(type, "Sequence") != 0 || depth >= MAX_NESTING) return refuse(tok, "a normalizer", type, err);
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(norm, "normalizers"), i, item)
  {
    int status = load_normalizer(tok, item, depth + 1, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}

static int behavior_of(const struct tpo_tokenizer *tok, const json_t *object, enum tpo_split_behavior *out,
                       struct tpo_error *err)
{
  static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                      "Contiguous"};
  const char *name;
  int status = get_text(tok, object, "behavior", &name, err);
  for (int i = 0; i < 5 && status == TPO_OK; i++) {
    if (strcmp(name, names[i]) != 0) continue;
    *out = (enum tpo_split_behavior)i;
    return TPO_OK;
  }
  return status < 0 ? status : refuse(tok, "a split behavior", name, err);
}

static int load_split(struct tpo_tokenizer *tok, const json_t *pre, struct tpo_error *err)
{
  const json_t *pattern = json_object_get(pre, "pattern");
  bool invert = false, literal = json_object_get(pattern, "String") != NULL;
  enum tpo_split_behavior behavior;
  const char *text;
  int status = behavior_of(tok, pre, &behavior, err);
  if (status == TPO_OK) status = get_text(tok, pattern, literal ? "String" : "Regex", &text, err);
  if (status == TPO_OK) status = tpo_json_get_bool(pre, "invert", &invert, tok->place, err);
  if (status < 0) return status;
  struct tpo_buf quoted = {0};
  for (const char *c = text; *c; c++) {
    if (literal && strchr("\\^$.|?*+()[]{}", *c)) tpo_buf_putc(&quoted, '\\');
    tpo_buf_putc(&quoted, *c);
  }
  status = quoted.failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory", tok->place)
                         : tpo_pretokenizer_add(&tok->pre, quoted.data ? quoted.data : "", quoted.len,
                                                behavior, invert, tok->place, err);
  tpo_buf_free(&quoted);
  return status;
}

static int load_byte_level(struct tpo_tokenizer *tok, const json_t *pre, bool *byte_level,
                           struct tpo_error *err)
{
  bool prefix = true, use_regex = true;
  int status = tpo_json_get_bool(pre, "add_prefix_space", &prefix, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(pre, "use_regex", &use_regex, tok->place, err);
  if (status < 0) return status;
  if (*byte_level) return refuse(tok, "after another, a pre_tokenizer", "ByteLevel", err);
  if (prefix && tok->pre.n_splits > 0)
    return refuse(tok, "after a split, add_prefix_space", "ByteLevel", err);
  *byte_level = true;
  tok->pre.prefix_space = prefix;
  if (use_regex)
    status = tpo_pretokenizer_add(&tok->pre, tpo_gpt2_pattern, strlen(tpo_gpt2_pattern), TPO_SPLIT_ISOLATED,
                                  false, tok->place, err);
  tok->pre.glyphs = true;
  return status;
}

static int load_metaspace(struct tpo_tokenizer *tok, const json_t *pre, struct tpo_error *err)
{
  bool split = true, prefix = true;
  const char *replacement = TPO_META, *scheme = NULL;
  int status = tpo_json_get_bool(pre, "split", &split, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(pre, "add_prefix_space", &prefix, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_string(pre, "replacement", &replacement, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_string(pre, "prepend_scheme", &scheme, tok->place, err);
  if (status < 0) return status;
  if (!scheme) scheme = prefix ? "always" : "never";
  if (strcmp(replacement, TPO_META) != 0)
    return refuse(tok, "a Metaspace with the replacement", replacement, err);
  if (tok->pre.n_splits > 0) return refuse(tok, "after a split, a pre_tokenizer", "Metaspace", err);
  if (strcmp(scheme, "always") == 0)
    tok->pre.prepend = TPO_PREPEND_ALWAYS;
  else if (strcmp(scheme, "first") == 0)
    tok->pre.prepend = TPO_PREPEND_FIRST;
  else if (strcmp(scheme, "never") != 0)
    return refuse(tok, "a Metaspace prepend_scheme", scheme, err);
  tok->pre.metaspace = tok->visible_space = true;
  tok->strip_space = tok->pre.prepend != TPO_PREPEND_NEVER;
  tok->strip_each = tok->pre.prepend == TPO_PREPEND_ALWAYS;
  if (!split) return TPO_OK;
  return tpo_pretokenizer_add(&tok->pre, TPO_META, 3, TPO_SPLIT_NEXT, false, tok->place, err);
}

static int load_pre(struct tpo_tokenizer *tok, const json_t *pre, int depth, bool *byte_level,
                    struct tpo_error *err)
{
  if (!pre || json_is_null(pre)) return TPO_OK;
  const char *type = type_of(pre);
  if (strcmp(type, "Split") == 0) return load_split(tok, pre, err);
  if (strcmp(type, "ByteLevel") == 0) return load_byte_level(tok, pre, byte_level, err);
  if (strcmp(type, "Metaspace") == 0) return load_metaspace(tok, pre, err);
  if (strcmp(type, "Digits") == 0) {
    bool single = false;
    int status = tpo_json_get_bool(pre, "individual_digits", &single, tok->place, err);
    if (status < 0) return status;
    return tpo_pretokenizer_add_own(&tok->pre, single ? "\\p{(digits)}" : "\\p{(digits)}+",
                                    single ? "\\p{N}" : "\\p{N}+", TPO_SPLIT_ISOLATED, tok->place, err);
  }
  if (strcmp(type, "Punctuation") == 0) {
    enum tpo_split_behavior behavior = TPO_SPLIT_ISOLATED;
    int status = json_object_get(pre, "behavior") ? behavior_of(tok, pre, &behavior, err) : TPO_OK;
    if (status < 0) return status;
    return tpo_pretokenizer_add_own(&tok->pre, "\\p{(punctuation)}", "[\\p{P}$+<=>^`|~]", behavior,
                                    tok->place, err);
  }
  if (strcmp(type, "Sequence") != 0 || depth >= MAX_NESTING) return refuse(tok, "a pre_tokenizer", type, err);
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(pre, "pretokenizers"), i, item)
  {
    int status = load_pre(tok, item, depth + 1, byte_level, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}

/* Decoding follows from the kind of vocabulary; a decoder that would do otherwise is refused. */
static int check_decoder(const struct tpo_tokenizer *tok, const json_t *decoder, int depth,
                         struct tpo_error *err)
{
  static const char *const known[] = {"ByteLevel", "ByteFallback", "Fuse", "Metaspace", "Replace", "Strip"};
  if (!decoder || json_is_null(decoder)) return TPO_OK;
  const char *type = type_of(decoder);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(type, known[i]) == 0) return TPO_OK;
  if (strcmp(type, "Sequence") != 0 || depth >= MAX_NESTING) return refuse(tok, "a decoder", type, err);
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(decoder, "decoders"), i, item)
  {
    int status = check_decoder(tok, item, depth + 1, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}

int tpo_tokenizer_load_pipeline(struct tpo_tokenizer *tok, const json_t *root, bool *byte_level,
                                struct tpo_error *err)
{
  int status = load_normalizer(tok, json_object_get(root, "normalizer"), 0, err);
  if (status == TPO_OK) status = load_pre(tok, json_object_get(root, "pre_tokenizer"), 0, byte_level, err);
  tok->byte_level_alone = strcmp(type_of(json_object_get(root, "pre_tokenizer")), "ByteLevel") == 0;
  if (status == TPO_OK) status = check_decoder(tok, json_object_get(root, "decoder"), 0, err);
  if (status == TPO_OK && *byte_level && tok->visible_space)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: tokenizer.json mixes ByteLevel with visible spaces",
                    tok->place);
  return status;
}

static int load_special(struct tpo_tokenizer *tok, const json_t *post, const char *name, struct tpo_ids *list,
                        struct tpo_error *err)
{
  const json_t *ids = json_object_get(json_object_get(json_object_get(post, "special_tokens"), name), "ids");
  if (json_array_size(ids) == 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: tokenizer.json: TemplateProcessing names %.80s without giving its ids", tok->place,
                    name);
  for (size_t i = 0; i < json_array_size(ids); i++) {
    json_int_t id = json_integer_value(json_array_get(ids, i));
    if (id < 0 || (size_t)id >= tok->vocab.n || tok->vocab.tokens[id].kind == TPO_TOKEN_ABSENT)
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: tokenizer.json: TemplateProcessing names the id %lld, which no token has",
                      tok->place, (long long)id);
    int32_t id32 = (int32_t)id;
    int status = tpo_ids_append(list, &id32, 1, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}

int tpo_tokenizer_load_post(struct tpo_tokenizer *tok, const json_t *post, struct tpo_error *err)
{
  if (!post || json_is_null(post)) return TPO_OK;
  const char *type = type_of(post);
  size_t i;
  json_t *item;
  if (strcmp(type, "ByteLevel") == 0) return TPO_OK; /* it only trims offsets */
  if (strcmp(type, "Sequence") == 0) {
    json_array_foreach(json_object_get(post, "processors"), i, item)
    {
      if (strcmp(type_of(item), "Sequence") == 0)
        return refuse(tok, "within another, a post_processor", "Sequence", err);
      int status = tpo_tokenizer_load_post(tok, item, err);
      if (status < 0) return status;
    }
    return TPO_OK;
  }
  if (strcmp(type, "TemplateProcessing") != 0) return refuse(tok, "a post_processor", type, err);
  bool after = false;
  json_array_foreach(json_object_get(post, "single"), i, item)
  {
    const json_t *special = json_object_get(item, "SpecialToken");
    if (json_object_get(item, "Sequence")) after = true;
    if (!special) continue;
    const char *name;
    int status = get_text(tok, special, "id", &name, err);
    if (status == TPO_OK) status = load_special(tok, post, name, after ? &tok->suffix : &tok->prefix, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}
