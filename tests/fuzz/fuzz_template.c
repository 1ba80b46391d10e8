/* A chat template and a chat (parts: template, messages as JSON, instruction). A comment before a template
 * makes no difference, and what is rendered has exactly one BOS at most. */
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

static bool same_text(const char *a, const char *b)
{
  return a == b || (a && b && strcmp(a, b) == 0);
}

static void a_comment_is_nothing(const struct tpo_template *tmpl, struct part template)
{
  static const char comment[] = "{#- a {{ comment }} #}";
  struct tpo_tokenizer *tok =
      tokenizer_with((struct part){(const uint8_t *)comment, sizeof comment - 1}, template);
  struct tpo_template *again;
  struct tpo_error err = {0};
  CLAIM(tok);
  CLAIM(tpo_template_open(&again, tok, NULL, &err) == 0, "%s", err.message);
  CLAIM(again->family == tmpl->family && same_text(again->default_system, tmpl->default_system));
  CLAIM(same_text(again->date, tmpl->date) && same_text(again->knowledge, tmpl->knowledge));
  tpo_template_close(again);
  tpo_tokenizer_close(tok);
}

static void render(const struct tpo_template *tmpl, const struct tpo_tokenizer *tok, const char *instruction,
                   const char *messages)
{
  struct tpo_ids ids = {0};
  struct tpo_buf text = {0};
  struct tpo_error err = {0};
  const struct tpo_thought_config thought = {.prompt = "Think. {instruction}", .prefill = "Hm:"};
  if (!fuzz_refused(
          tpo_thought_render(&thought, tmpl, instruction, *messages ? messages : NULL, &ids, &text, &err),
          &err)) {
    size_t begins = 0;
    for (size_t i = 0; i < ids.n; i++) {
      CLAIM(ids.ids[i] >= 0 && ids.ids[i] < tpo_tokenizer_size(tok), "%d", ids.ids[i]);
      begins += ids.ids[i] == tpo_tokenizer_bos(tok);
    }
    bool marks_turns = tmpl->family == TPO_TEMPLATE_CHATML; /* there BOS may be what begins a turn */
    CLAIM(marks_turns || tpo_tokenizer_bos(tok) < 0 || begins == 1, "%zu BOS", begins);
    CLAIM(text.len >= 3 && memcmp(text.data + text.len - 3, "Hm:", 3) == 0, "%s", text.data);
  }
  tpo_ids_free(&ids);
  tpo_buf_free(&text);
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
    bool space_first = parts[0].len > 0 && strchr(" \t\r\n", parts[0].data[0]);
    render(tmpl, tok, instruction, messages);
    if (!space_first) a_comment_is_nothing(tmpl, parts[0]);
    free(messages);
    free(instruction);
    tpo_template_close(tmpl);
  }
  tpo_tokenizer_close(tok);
  return 0;
}
