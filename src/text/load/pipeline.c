/* tokenizer.json's normalizer, pre_tokenizer, decoder and post_processor. What is not known is refused by
 * name. */
#include <string.h>
#include "base/json.h"
#include "text/tokenizer.h"

enum { MAX_NESTING = 8 };

static const char *type_of(const json_t *object)
{
  const json_t *type = json_object_get(object, "type");
  const char *name = json_string_value(type);
  return !name ? "(without a type)" : strlen(name) != json_string_length(type) ? "(with a NUL)" : name;
}

static int refuse(const struct tpo_tokenizer *tok, const char *what, const char *type, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: tokenizer.json: %s of type %.80s is not supported", tok->place,
                  what, type);
}

/* A string of JSON, which may hold NUL. */
struct piece {
  const char *text;
  size_t len;
};

static bool is(struct piece piece, const char *text)
{
  return piece.len == strlen(text) && memcmp(piece.text, text, piece.len) == 0;
}

/* A string that must be there in what `type` names. */
static int get_text(const struct tpo_tokenizer *tok, const json_t *object, const char *type, const char *key,
                    struct piece *out, struct tpo_error *err)
{
  const json_t *value = json_object_get(object, key);
  *out = (struct piece){json_string_value(value), json_string_length(value)};
  if (out->text) return TPO_OK;
  return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: a %.80s lacks the string \"%s\"", tok->place, type,
                  key);
}

/* A name that must be there. */
static int get_name(const struct tpo_tokenizer *tok, const json_t *object, const char *type, const char *key,
                    const char **out, struct tpo_error *err)
{
  struct piece name;
  int status = get_text(tok, object, type, key, &name, err);
  *out = name.text;
  if (status < 0 || strlen(name.text) == name.len) return status;
  return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: \"%s\" of a %.80s holds a NUL", tok->place, key,
                  type);
}

/* Whether the object's list, of objects alone, is there; a Sequence without one is refused. */
static int check_list(const struct tpo_tokenizer *tok, const json_t *object, const char *key,
                      struct tpo_error *err)
{
  const json_t *list = json_object_get(object, key);
  bool good = json_is_array(list);
  for (size_t i = 0; i < json_array_size(list); i++) good = good && json_is_object(json_array_get(list, i));
  if (good) return TPO_OK;
  return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: a Sequence must have an array \"%s\" of objects",
                  tok->place, key);
}

/* The pattern of a Replace or a Split: {"String": ...} or {"Regex": ...}. */
static int get_pattern(const struct tpo_tokenizer *tok, const json_t *object, bool *literal,
                       struct piece *out, struct tpo_error *err)
{
  const json_t *pattern = json_object_get(object, "pattern"), *text = json_object_get(pattern, "String");
  *literal = text != NULL;
  if (!text) text = json_object_get(pattern, "Regex");
  *out = (struct piece){json_string_value(text), json_string_length(text)};
  if (out->text) return TPO_OK;
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: tokenizer.json: the \"pattern\" of a %.80s must be an object with a string \"String\" "
                  "or \"Regex\"",
                  tok->place, type_of(object));
}

static int load_replace(struct tpo_tokenizer *tok, const json_t *norm, struct tpo_error *err)
{
  struct piece what, by = {0};
  bool literal;
  int status = get_pattern(tok, norm, &literal, &what, err);
  if (status == TPO_OK && !literal)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: tokenizer.json: a normalizer Replace by a regular expression is not supported",
                    tok->place);
  if (status == TPO_OK) status = get_text(tok, norm, "Replace", "content", &by, err);
  if (status < 0) return status;
  if (what.len == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: a Replace of nothing", tok->place);
  if (is(what, " ") && is(by, TPO_META)) tok->visible_space = true;
  return tpo_normalizer_add(&tok->normalizer, TPO_NORMAL_REPLACE, what.text, what.len, by.text, by.len, err);
}

static int load_prepend(struct tpo_tokenizer *tok, const json_t *norm, struct tpo_error *err)
{
  struct piece by;
  int status = get_text(tok, norm, "Prepend", "prepend", &by, err);
  if (status < 0) return status;
  if (!is(by, TPO_META))
    return tpo_fail(
        err, TPO_E_UNSUPPORTED,
        "%s: tokenizer.json: a normalizer Prepend of \"%.80s\", other than U+2581, is not supported",
        tok->place, by.text);
  tok->strip_space = tok->strip_each = true;
  return tpo_normalizer_add(&tok->normalizer, TPO_NORMAL_PREPEND, "", 0, by.text, by.len, err);
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
      return tpo_normalizer_add_form(&tok->normalizer, forms[i].kind, err);
  if (strcmp(type, "Replace") == 0) return load_replace(tok, norm, err);
  if (strcmp(type, "Prepend") == 0) return load_prepend(tok, norm, err);
  if (strcmp(type, "Sequence") != 0 || depth >= MAX_NESTING) return refuse(tok, "a normalizer", type, err);
  if (check_list(tok, norm, "normalizers", err) < 0) return TPO_E_INPUT;
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
  int status = get_name(tok, object, type_of(object), "behavior", &name, err);
  for (int i = 0; i < 5 && status == TPO_OK; i++) {
    if (strcmp(name, names[i]) != 0) continue;
    *out = (enum tpo_split_behavior)i;
    return TPO_OK;
  }
  if (status < 0) return status;
  return tpo_fail(
      err, TPO_E_INPUT,
      "%s: tokenizer.json: the \"behavior\" of a %.80s is \"%.80s\", and must be Removed, Isolated, "
      "MergedWithPrevious, MergedWithNext or Contiguous",
      tok->place, type_of(object), name);
}

/* As a regular expression without NUL: one is written as its number. */
static void write_pattern(struct piece pattern, bool literal, struct tpo_buf *out)
{
  bool escaped = false; /* a backslash stands before c */
  for (const char *c = pattern.text; c < pattern.text + pattern.len; c++) {
    bool quote = *c == '\0' ? !escaped : literal && strchr("\\^$.|?*+()[]{}", *c);
    if (quote) tpo_buf_putc(out, '\\');
    if (*c)
      tpo_buf_putc(out, *c);
    else
      tpo_buf_puts(out, "x{0}");
    escaped = !literal && *c == '\\' && !escaped;
  }
}

static int load_split(struct tpo_tokenizer *tok, const json_t *pre, struct tpo_error *err)
{
  bool invert = false, literal;
  enum tpo_split_behavior behavior;
  struct piece pattern;
  int status = get_pattern(tok, pre, &literal, &pattern, err);
  if (status == TPO_OK) status = behavior_of(tok, pre, &behavior, err);
  if (status == TPO_OK) status = tpo_json_get_bool(pre, "invert", &invert, tok->place, err);
  if (status < 0) return status;
  struct tpo_buf quoted = {0};
  write_pattern(pattern, literal, &quoted);
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
  if (check_list(tok, pre, "pretokenizers", err) < 0) return TPO_E_INPUT;
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
  if (check_list(tok, decoder, "decoders", err) < 0) return TPO_E_INPUT;
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
    if (check_list(tok, post, "processors", err) < 0) return TPO_E_INPUT;
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
    int status = get_name(tok, special, "SpecialToken", "id", &name, err);
    if (status == TPO_OK) status = load_special(tok, post, name, after ? &tok->suffix : &tok->prefix, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}
