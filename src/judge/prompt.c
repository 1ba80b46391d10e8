/* The prompts of judge models, filled in. */
#include "judge/prompt.h"

#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "judge/messages.h"

/* Bytes of "{name}" at text, or 0. */
static size_t placeholder_at(const char *text, const char *name)
{
  size_t len = strlen(name);
  return text[0] == '{' && strncmp(text + 1, name, len) == 0 && text[len + 1] == '}' ? len + 2 : 0;
}

int judge_prompt_check(const char *text, const char *const *names, size_t n_names, const char *key,
                       struct tpo_error *err)
{
  for (size_t i = 0; i < n_names; i++) {
    size_t found = 0;
    for (const char *at = text; *at; at++) found += placeholder_at(at, names[i]) > 0;
    if (found != 1)
      return tpo_fail(err, TPO_E_USAGE, "%s: {%s} must stand in it exactly once, not %zu times", key,
                      names[i], found);
  }
  return 0;
}

char *judge_prompt_fill(const char *text, const struct judge_field *fields, size_t n_fields)
{
  struct tpo_buf out = {0};
  while (*text) {
    size_t len = 0;
    for (size_t i = 0; i < n_fields && len == 0; i++)
      if ((len = placeholder_at(text, fields[i].name)) > 0) tpo_buf_puts(&out, fields[i].text);
    if (len == 0) tpo_buf_putc(&out, text[len++]);
    text += len;
  }
  return tpo_buf_take(&out);
}

/* "User", "Assistant", "System"; another role as it is. */
static void put_role(struct tpo_buf *out, const char *role)
{
  if (*role >= 'a' && *role <= 'z') tpo_buf_putc(out, (char)(*role++ - 'a' + 'A'));
  tpo_buf_puts(out, role);
  tpo_buf_puts(out, ":\n");
}

char *judge_instruction_text(const struct tpo_judge_item *item, struct tpo_error *err)
{
  struct tpo_buf out = {0};
  struct judge_messages chat;
  int status = judge_messages_of_item(&chat, item, err);
  if (status == 0 && chat.n == 1) tpo_buf_puts(&out, item->instruction);
  for (size_t i = 0; status == 0 && chat.n > 1 && i < chat.n; i++) {
    if (i > 0) tpo_buf_puts(&out, "\n\n");
    put_role(&out, chat.list[i].role);
    tpo_buf_puts(&out, chat.list[i].content);
  }
  judge_messages_free(&chat);
  if (status < 0) return NULL;
  char *text = tpo_buf_take(&out);
  if (!text) tpo_fail(err, TPO_E_MEMORY, "no memory for a question to the judge");
  return text;
}
