/* A chat template and a chat (parts: template, messages as JSON, instruction). A comment before a template
 * makes no difference, and a template without a control token's name in it gives none, whatever the chat holds. */
#include "base/buf.h"
#include "base/file.h"
#include "fuzz/fuzz.h"
#include "text/chat/template.h"
#include "tpo/text.h"

static const char fixture[] = TPO_SOURCE_DIR "/tests/text/fixtures/smollm/";

static void copy(const char *name)
{
  char from[512];
  struct tpo_buf bytes = {0};
  struct tpo_error err = {0};
  snprintf(from, sizeof from, "%s%s", fixture, name);
  CLAIM(tpo_read_file(from, 1 << 20, &bytes, &err) == 0, "%s", err.message);
  fuzz_put(name, (struct part){(const uint8_t *)bytes.data, bytes.len});
  tpo_buf_free(&bytes);
}

/* Opens the fixture's tokenizer with another chat template. */
static struct tpo_tokenizer *tokenizer_with(struct part first, struct part second)
{
  static bool copied;
  struct tpo_tokenizer *tok = NULL;
  struct tpo_error err = {0};
  struct tpo_buf whole = {0};
  if (!copied) copy("tokenizer.json"), copy("tokenizer_config.json");
  copied = true;
  tpo_buf_append(&whole, first.data, first.len);
  tpo_buf_append(&whole, second.data, second.len);
  fuzz_put("chat_template.jinja", (struct part){(const uint8_t *)whole.data, whole.len});
  tpo_buf_free(&whole);
  fuzz_refused(tpo_tokenizer_open(&tok, fuzz_folder(), &err), &err);
  return tok;
}

struct rendered {
  struct tpo_buf text;
  struct tpo_ids ids;
  struct tpo_error err;
  bool refused;
};

static void rendered_free(struct rendered *r)
{
  tpo_buf_free(&r->text);
  tpo_ids_free(&r->ids);
}

static struct rendered render(const struct tpo_template *tmpl, const char *instruction, const char *messages)
{
  struct rendered r = {0};
  const struct tpo_thought_config thought = {.prompt = "Think. {instruction}", .prefill = "Hm:"};
  r.refused = fuzz_refused(
      tpo_thought_render(&thought, tmpl, instruction, *messages ? messages : NULL, &r.ids, &r.text, &r.err),
      &r.err);
  return r;
}

/* The names begin with '<', which a template may also have out of an escape or a name of the tokenizer's. */
static bool may_say_tokens(struct part template)
{
  static const char *const ways[] = {"<", "\\", "_token", "special"};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
    if (memmem(template.data, template.len, ways[i], strlen(ways[i]))) return true;
  return false;
}

static void check(const struct rendered *r, const struct tpo_tokenizer *tok, struct part template)
{
  bool may = may_say_tokens(template);
  if (r->refused) return;
  for (size_t i = 0; i < r->ids.n; i++) {
    size_t len;
    bool special = false;
    CLAIM(tpo_tokenizer_token(tok, r->ids.ids[i], &len, &special), "%d", r->ids.ids[i]);
    CLAIM(may || !special, "token %d", r->ids.ids[i]);
  }
  CLAIM(r->text.len >= 3 && memcmp(r->text.data + r->text.len - 3, "Hm:", 3) == 0, "%s", r->text.data);
}

static void a_comment_is_nothing(const struct rendered *r, struct part template, const char *instruction,
                                 const char *messages)
{
  static const char comment[] = "{#- a {{ comment }} #}";
  struct tpo_tokenizer *tok =
      tokenizer_with((struct part){(const uint8_t *)comment, sizeof comment - 1}, template);
  struct tpo_template *again;
  struct tpo_error err = {0};
  CLAIM(tok);
  CLAIM(tpo_template_open(&again, tok, NULL, &err) == 0, "%s", err.message);
  struct rendered other = render(again, instruction, messages);
  CLAIM(other.refused == r->refused, "%s", r->refused ? r->err.message : other.err.message);
  CLAIM(other.text.len == r->text.len && other.ids.n == r->ids.n);
  CLAIM(r->text.len == 0 || memcmp(other.text.data, r->text.data, r->text.len) == 0);
  CLAIM(r->ids.n == 0 || memcmp(other.ids.ids, r->ids.ids, r->ids.n * sizeof *r->ids.ids) == 0);
  rendered_free(&other);
  tpo_template_close(again);
  tpo_tokenizer_close(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[3];
  struct tpo_template *tmpl;
  struct tpo_error err = {0};
  fuzz_parts(data, size, parts, 3);
  struct tpo_tokenizer *tok = tokenizer_with(parts[0], (struct part){parts[0].data, 0});
  if (!tok) return 0;
  if (!fuzz_refused(tpo_template_open(&tmpl, tok, NULL, &err), &err)) {
    char *messages = fuzz_string(parts[1]), *instruction = fuzz_string(parts[2]);
    bool newline_first = parts[0].len > 0 && strchr("\r\n", parts[0].data[0]); /* taken with the comment */
    struct rendered r = render(tmpl, instruction, messages);
    check(&r, tok, parts[0]);
    if (!newline_first) a_comment_is_nothing(&r, parts[0], instruction, messages);
    rendered_free(&r);
    free(messages);
    free(instruction);
    tpo_template_close(tmpl);
  }
  tpo_tokenizer_close(tok);
  return 0;
}
