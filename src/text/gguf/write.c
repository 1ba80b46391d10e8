/* The files that transformers reads, made of a GGUF's tokenizer. */
#include <string.h>
#include "base/json.h"
#include "text/gguf/pre.h"
#include "text/tokenizer.h"

void tpo_token_append(const struct tpo_tokenizer *tok, const struct tpo_token *token, struct tpo_buf *out)
{
  enum tpo_token_kind kind = tpo_token_text_kind(token);
  if (kind == TPO_TOKEN_BYTE) {
    tpo_buf_printf(out, "<0x%02X>", (uint8_t)token->bytes[0]);
  } else if (tok->bpe.byte_level && kind == TPO_TOKEN_NORMAL) {
    for (uint32_t i = 0; i < token->len; i++) tpo_alphabet_append(out, (uint8_t)token->bytes[i]);
  } else {
    tpo_buf_append(out, token->bytes, token->len);
  }
}

static void add_token_text(const struct tpo_tokenizer *tok, const struct tpo_token *token,
                           struct tpo_buf *out)
{
  struct tpo_buf text = {0};
  tpo_token_append(tok, token, &text);
  if (text.failed) out->failed = true;
  tpo_json_append_string(out, text.data ? text.data : "", text.len);
  tpo_buf_free(&text);
}

static bool is_added(const struct tpo_token *token)
{
  return token->kind == TPO_TOKEN_CONTROL || token->kind == TPO_TOKEN_USER;
}

static void write_one_added(const struct tpo_tokenizer *tok, size_t id, struct tpo_buf *out)
{
  const struct tpo_token *token = &tok->vocab.tokens[id];
  struct tpo_buf name = {0};
  tpo_token_append(tok, token, &name);
  const struct tpo_added_token *added = tpo_added_find(&tok->specials, name.data ? name.data : "", name.len);
  tpo_buf_printf(out, "{\"id\":%zu,\"content\":", id);
  tpo_json_append_string(out, name.data ? name.data : "", name.len);
  tpo_buf_printf(
      out, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":%s,\"normalized\":false,\"special\":%s}",
      added && added->rstrip ? "true" : "false", token->kind == TPO_TOKEN_CONTROL ? "true" : "false");
  if (name.failed) out->failed = true;
  tpo_buf_free(&name);
}

static void write_added(const struct tpo_tokenizer *tok, struct tpo_buf *out)
{
  bool first = true;
  tpo_buf_puts(out, "\"added_tokens\":[");
  for (size_t id = 0; id < tok->vocab.n; id++) {
    if (!is_added(&tok->vocab.tokens[id])) continue;
    if (!first) tpo_buf_putc(out, ',');
    write_one_added(tok, id, out);
    first = false;
  }
  tpo_buf_puts(out, "],");
}

static void write_pieces_pipeline(const struct tpo_tokenizer *tok, struct tpo_buf *out)
{
  tpo_buf_puts(out, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
  if (tok->strip_space) tpo_buf_puts(out, "{\"type\":\"Prepend\",\"prepend\":\"" TPO_META "\"},");
  tpo_buf_puts(out, "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" TPO_META "\"}]},"
                    "\"pre_tokenizer\":null,\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
                    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" TPO_META "\"},\"content\":\" \"},"
                    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}");
  if (tok->strip_space) tpo_buf_puts(out, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
  tpo_buf_puts(out, "]},");
}

/* ByteLevel stands before the splits that look at glyphs, else last. */
static void write_byte_level_pipeline(const struct tpo_gguf_pre *pre, struct tpo_buf *out)
{
  static const char *const behaviors[] = {
      [TPO_SPLIT_ISOLATED] = "Isolated", [TPO_SPLIT_CONTIGUOUS] = "Contiguous"};
  static const char byte_level[] =
      "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}";
  bool placed = false;
  tpo_buf_printf(out, "\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[",
                 pre->nfc ? "{\"type\":\"NFC\"}" : "null");
  for (const struct tpo_gguf_split *split = pre->splits; split->pattern; split++) {
    if (split->glyphs && !placed) tpo_buf_printf(out, "%s,", byte_level);
    placed |= split->glyphs;
    tpo_buf_puts(out, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    tpo_json_append_string(out, split->pattern, strlen(split->pattern));
    tpo_buf_printf(out, "},\"behavior\":\"%s\",\"invert\":false}%s", behaviors[split->behavior],
                   placed && !split[1].pattern ? "" : ",");
  }
  tpo_buf_printf(
      out,
      "%s]},\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},",
      placed ? "" : byte_level);
}

static void write_special(const struct tpo_tokenizer *tok, const struct tpo_ids *list, struct tpo_buf *out)
{
  for (size_t i = 0; i < list->n; i++) {
    tpo_buf_puts(out, "{\"SpecialToken\":{\"id\":");
    tpo_json_append_string(out, tok->vocab.tokens[list->ids[i]].bytes, tok->vocab.tokens[list->ids[i]].len);
    tpo_buf_puts(out, ",\"type_id\":0}},");
  }
}

/* One side of the template, with BOS before and EOS after the text. */
static void write_single(const struct tpo_tokenizer *tok, const char *key, const char *sequence,
                         struct tpo_buf *out)
{
  tpo_buf_printf(out, "\"%s\":[", key);
  for (const char *s = sequence; *s; s++) {
    write_special(tok, &tok->prefix, out);
    tpo_buf_printf(out, "{\"Sequence\":{\"id\":\"%c\",\"type_id\":0}},", *s);
    write_special(tok, &tok->suffix, out);
  }
  if (!out->failed) out->len--;
  tpo_buf_puts(out, "],");
}

static void write_post(const struct tpo_tokenizer *tok, struct tpo_buf *out)
{
  const struct tpo_ids *lists[] = {&tok->prefix, &tok->suffix};
  const char *separator = "";
  if (tok->prefix.n + tok->suffix.n == 0) {
    tpo_buf_puts(out, "\"post_processor\":null,");
    return;
  }
  tpo_buf_puts(out, "\"post_processor\":{\"type\":\"TemplateProcessing\",");
  write_single(tok, "single", "A", out);
  write_single(tok, "pair", "AB", out);
  tpo_buf_puts(out, "\"special_tokens\":{");
  for (int l = 0; l < 2; l++) {
    if (lists[l]->n == 0 || (l == 1 && tok->prefix.n && lists[1]->ids[0] == lists[0]->ids[0])) continue;
    struct tpo_buf name = {0};
    tpo_json_append_string(&name, tok->vocab.tokens[lists[l]->ids[0]].bytes,
                           tok->vocab.tokens[lists[l]->ids[0]].len);
    tpo_buf_printf(out, "%s%s:{\"id\":%s,\"ids\":[%d],\"tokens\":[%s]}", separator, name.data, name.data,
                   lists[l]->ids[0], name.data);
    if (name.failed) out->failed = true;
    tpo_buf_free(&name);
    separator = ",";
  }
  tpo_buf_puts(out, "}},");
}

static void write_model(const struct tpo_tokenizer *tok, struct tpo_buf *out)
{
  tpo_buf_puts(out, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
  if (tok->bpe.unk >= 0)
    add_token_text(tok, &tok->vocab.tokens[tok->bpe.unk], out);
  else
    tpo_buf_puts(out, "null");
  tpo_buf_printf(
      out,
      ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":%s,\"byte_fallback\":%s,"
      "\"ignore_merges\":%s,\"vocab\":{",
      tok->bpe.fuse_unk ? "true" : "false", tok->bpe.byte_level ? "false" : "true",
      tok->bpe.ignore_merges ? "true" : "false");
  const char *separator = "";
  for (size_t id = 0; id < tok->vocab.n; id++) {
    const struct tpo_token *token = &tok->vocab.tokens[id];
    if (token->kind == TPO_TOKEN_LITERAL && token->len == 0) continue;
    tpo_buf_puts(out, separator);
    add_token_text(tok, token, out);
    tpo_buf_printf(out, ":%zu", id);
    separator = ",";
  }
  tpo_buf_puts(out, "},\"merges\":[");
  for (size_t i = 0; i < tok->n_merges; i++) {
    tpo_buf_puts(out, i ? ",[" : "[");
    add_token_text(tok, &tok->vocab.tokens[tok->merges[i].left], out);
    tpo_buf_putc(out, ',');
    add_token_text(tok, &tok->vocab.tokens[tok->merges[i].right], out);
    tpo_buf_putc(out, ']');
  }
  tpo_buf_puts(out, "]}");
}

static void write_tokenizer(const struct tpo_tokenizer *tok, struct tpo_buf *out)
{
  tpo_buf_puts(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,");
  write_added(tok, out);
  if (tok->bpe.byte_level)
    write_byte_level_pipeline(tpo_gguf_pre_find(tok->gguf_pre, strlen(tok->gguf_pre)), out);
  else
    write_pieces_pipeline(tok, out);
  write_post(tok, out);
  write_model(tok, out);
  tpo_buf_puts(out, "}\n");
}

static void write_named(const struct tpo_tokenizer *tok, const char *key, int32_t id, struct tpo_buf *out)
{
  if (id < 0) return;
  tpo_buf_printf(out, "  \"%s\": ", key);
  add_token_text(tok, &tok->vocab.tokens[id], out);
  tpo_buf_puts(out, ",\n");
}

static void write_template(const char *name, const char *text, struct tpo_buf *out)
{
  if (name) tpo_buf_printf(out, "{\"name\": \"%s\", \"template\": ", name);
  tpo_json_append_string(out, text, strlen(text));
  if (name) tpo_buf_putc(out, '}');
}

/* A text, or a list of two where there is one for tools. */
static void write_templates(const struct tpo_tokenizer *tok, struct tpo_buf *out)
{
  if (!tok->chat_template && !tok->tool_template) return;
  tpo_buf_puts(out, "  \"chat_template\": ");
  if (tok->tool_template) tpo_buf_putc(out, '[');
  if (tok->chat_template) write_template(tok->tool_template ? "default" : NULL, tok->chat_template, out);
  if (tok->chat_template && tok->tool_template) tpo_buf_puts(out, ", ");
  if (tok->tool_template) write_template("tool_use", tok->tool_template, out);
  tpo_buf_puts(out, tok->tool_template ? "],\n" : ",\n");
}

static void write_config(const struct tpo_tokenizer *tok, struct tpo_buf *out)
{
  tpo_buf_puts(out, "{\n");
  write_named(tok, "bos_token", tok->bos, out);
  write_named(tok, "eos_token", tok->eos, out);
  write_named(tok, "unk_token", tok->unk, out);
  write_named(tok, "pad_token", tok->pad, out);
  write_templates(tok, out);
  tpo_buf_puts(
      out,
      "  \"clean_up_tokenization_spaces\": false,\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
}

static void write_generation(const struct tpo_tokenizer *tok, struct tpo_buf *out)
{
  const char *separator = "";
  tpo_buf_puts(out, "{");
  if (tok->bos >= 0) {
    tpo_buf_printf(out, "\"bos_token_id\": %d", tok->bos);
    separator = ", ";
  }
  if (tok->ends.n > 0) {
    tpo_buf_printf(out, "%s\"eos_token_id\": %s", separator, tok->ends.n > 1 ? "[" : "");
    for (size_t i = 0; i < tok->ends.n; i++) tpo_buf_printf(out, "%s%d", i ? ", " : "", tok->ends.ids[i]);
    tpo_buf_puts(out, tok->ends.n > 1 ? "]" : "");
    separator = ", ";
  }
  if (tok->pad >= 0) tpo_buf_printf(out, "%s\"pad_token_id\": %d", separator, tok->pad);
  tpo_buf_puts(out, "}\n");
}

int tpo_gguf_write_file(const struct tpo_tokenizer *tok, enum tpo_tokenizer_file which, struct tpo_buf *out,
                        struct tpo_error *err)
{
  if (which == TPO_FILE_TOKENIZER) write_tokenizer(tok, out);
  if (which == TPO_FILE_TOKENIZER_CONFIG) write_config(tok, out);
  if (which == TPO_FILE_GENERATION_CONFIG) write_generation(tok, out);
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory to write the tokenizer's files", tok->place)
                     : TPO_OK;
}
