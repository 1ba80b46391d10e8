/* Chats of a pair as ids: what of them is the prompt, and which tokens carry loss.
 *
 * A template may show an answer otherwise than it was given: reasoning models' leave its thought out, and begin one in the
 * generation prompt. As far as a chat's rendering goes on from that of its beginning and holds its answers whole, it is what is
 * trained on. Else the last answer is put behind the generation prompt as the model would have said it. */
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/memory.h"
#include "train/pairs_lines.h"

enum { OTHERWISE = 1 }; /* the template shows the chat in another way than was looked for */

struct rendering {
  struct tpo_buf text;
  struct tpo_ids ids;
};

static void rendering_free(struct rendering *r)
{
  tpo_buf_free(&r->text);
  tpo_ids_free(&r->ids);
}

static struct tpo_chat first_messages(const struct tpo_pair_reader *reader, const struct tpo_pair_chat *chat,
                                      size_t n, bool generation)
{
  return (struct tpo_chat){.messages = chat->messages,
                           .n = n,
                           .template_args = tpo_thought_args(reader->thought, reader->tmpl),
                           .generation_prompt = generation};
}

static int render(const struct tpo_pair_reader *reader, const struct tpo_pair_chat *chat, size_t n,
                  bool generation, const char *key, struct rendering *out, struct tpo_error *err)
{
  const struct tpo_chat part = first_messages(reader, chat, n, generation);
  tpo_buf_clear(&out->text);
  out->ids.n = 0;
  int status = tpo_template_render_chat(reader->tmpl, &part, &out->text, &out->ids, err);
  return status < 0 ? tpo_fail_prefix(err, "%s: %s", reader->place, key) : status;
}

static bool begins(const struct tpo_ids *whole, const struct tpo_ids *part)
{
  return part->n <= whole->n &&
         (part->n == 0 || memcmp(whole->ids, part->ids, part->n * sizeof *part->ids) == 0);
}

/* Appends the text without its white space. */
static void squeeze(const char *text, struct tpo_buf *out)
{
  while (*text) {
    size_t space = strspn(text, " \t\r\n"), len = strcspn(text + space, " \t\r\n");
    tpo_buf_append(out, text + space, len);
    text += space + len;
  }
}

/* Whether the answer begins with a thought, which is then expected to be what the turn begins with. */
static bool begins_thought(const struct tpo_pair_reader *reader, const char *answer)
{
  const char *marker = reader->thought ? reader->thought->thought_marker : NULL;
  static const char tag[] = "<think>";
  return strncmp(answer, tag, strlen(tag)) == 0 ||
         (marker && *marker && strncmp(answer, marker, strlen(marker)) == 0);
}

static bool ends_with(const struct tpo_buf *squeezed, const char *tag)
{
  size_t len = tag ? strlen(tag) : 0;
  return len > 0 && len <= squeezed->len && memcmp(squeezed->data + squeezed->len - len, tag, len) == 0;
}

/* OTHERWISE: the prompt has closed the thought with which the answer begins. Both may be shown, but no model says that. */
static int check_room(const struct tpo_pair_reader *reader, const char *prompt, const char *answer,
                      struct tpo_error *err)
{
  struct tpo_buf before = {0};
  squeeze(prompt, &before);
  const char *marker = reader->thought ? reader->thought->response_marker : NULL;
  bool closed = ends_with(&before, "</think>") || ends_with(&before, marker);
  int status = closed && begins_thought(reader, answer + strspn(answer, " \t\r\n")) ? OTHERWISE : 0;
  if (before.failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory for a chat");
  tpo_buf_free(&before);
  return status;
}

/* 0: the text holds the answer whole, white space aside. */
static int look_for(const struct tpo_pair_reader *reader, const char *answer, const char *text,
                    struct tpo_error *err)
{
  struct tpo_buf said = {0}, shown = {0};
  squeeze(answer, &said);
  squeeze(text, &shown);
  const char *found = said.len > 0 && shown.data ? strstr(shown.data, said.data) : shown.data;
  int status = said.len == 0 || found ? 0 : OTHERWISE;
  if (said.len > 0 && found && found != shown.data && begins_thought(reader, said.data)) status = OTHERWISE;
  if (said.failed || shown.failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory for a chat");
  tpo_buf_free(&said);
  tpo_buf_free(&shown);
  return status;
}

/* Whether the control tokens that make the marker are among the ids. */
static int look_for_marker(const struct tpo_pair_reader *reader, const char *marker, const int32_t *ids,
                           size_t n, struct tpo_error *err)
{
  struct tpo_ids of_marker = {0};
  int status = tpo_thought_marker_ids(marker, reader->tokenizer, &of_marker, err);
  for (size_t i = 0; i < of_marker.n && status == 0; i++) {
    size_t len, k = 0;
    bool special = false;
    tpo_tokenizer_token(reader->tokenizer, of_marker.ids[i], &len, &special);
    while (special && k < n && ids[k] != of_marker.ids[i]) k++;
    if (special && k == n) status = OTHERWISE;
  }
  tpo_ids_free(&of_marker);
  return status;
}

/* 0: the layout's markers in the answer are the tokens that a model says, also where those are control tokens. */
static int look_for_markers(const struct tpo_pair_reader *reader, const char *answer, const int32_t *ids,
                            size_t n, struct tpo_error *err)
{
  if (!reader->thought) return 0;
  const char *const markers[] = {reader->thought->thought_marker, reader->thought->response_marker};
  int status = 0;
  for (int i = 0; i < 2 && status == 0; i++)
    if (markers[i] && *markers[i] && strstr(answer, markers[i]))
      status = look_for_marker(reader, markers[i], ids, n, err);
  return status;
}

/* The tokens of answer i, from begin to end: through the end-of-turn token, without what the template puts
 * after it. */
static int find_answer(const struct tpo_pair_reader *reader, const struct tpo_pair_chat *chat, size_t i,
                       const struct rendering *whole, const char *key, size_t *begin, size_t *end,
                       struct tpo_error *err)
{
  struct rendering part = {0};
  int status = render(reader, chat, i, true, key, &part, err);
  if (status == 0 && !(begins(&whole->ids, &part.ids) && part.text.len < whole->text.len)) status = OTHERWISE;
  if (status == 0)
    status = look_for(reader, chat->messages[i].content, whole->text.data + part.text.len, err);
  if (status == 0)
    status = check_room(reader, part.text.data ? part.text.data : "", chat->messages[i].content, err);
  *begin = part.ids.n;
  if (status == 0) status = render(reader, chat, i + 1, false, key, &part, err);
  if (status == 0 && !begins(&whole->ids, &part.ids)) status = OTHERWISE;
  *end = part.ids.n;
  if (status == 0)
    status = look_for_markers(reader, chat->messages[i].content, whole->ids.ids + *begin, *end - *begin, err);
  while (status == 0 && *end > *begin && !tpo_pair_is_end(reader, whole->ids.ids[*end - 1])) --*end;
  bool last = i + 1 == chat->n; /* whose end may come only with another turn, or, as it is said, after it */
  if (status == 0 && *end <= *begin && last) status = OTHERWISE;
  if (status == 0 && *end <= *begin)
    status = tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: %s: the chat template ends the assistant's turn without a token for it",
                      reader->place, key);
  rendering_free(&part);
  return status;
}

static int start_mask(struct tpo_completion *out, size_t n, struct tpo_error *err)
{
  int status = tpo_grow(&out->mask, &out->capacity, n ? n : 1, sizeof *out->mask, err);
  if (status == 0) memset(out->mask, 0, n);
  return status;
}

/* The chat through its last answer's end, prompt and all, as the template shows it whole; OTHERWISE: it doesn't. */
static int take_as_shown(const struct tpo_pair_reader *reader, const struct tpo_pair_chat *chat,
                         size_t n_prompt, const char *key, struct tpo_completion *out, struct tpo_error *err)
{
  size_t begin, end = 0;
  struct rendering whole = {0};
  int status = render(reader, chat, chat->n, false, key, &whole, err);
  if (status == 0) status = start_mask(out, whole.ids.n, err);
  for (size_t i = n_prompt; i < chat->n && status == 0; i++) {
    if (!tpo_pair_is_answer(chat, i)) continue;
    status = find_answer(reader, chat, i, &whole, key, &begin, &end, err);
    if (status == 0) memset(out->mask + begin, 1, end - begin);
  }
  if (status == 0) status = tpo_ids_append(&out->ids, whole.ids.ids, end, err);
  rendering_free(&whole);
  return status;
}

/* The same with the last answer as it stands behind its generation prompt, in which earlier ones are history. */
static int take_as_said(const struct tpo_pair_reader *reader, const struct tpo_pair_chat *chat,
                        size_t n_prompt, const char *key, struct tpo_completion *out, struct tpo_error *err)
{
  size_t last = chat->n - 1, begin;
  for (size_t i = n_prompt; i < last; i++)
    if (tpo_pair_is_answer(chat, i))
      return tpo_fail(
          err, TPO_E_UNSUPPORTED,
          "%s: %s: the chat template shows message %zu, an answer, otherwise once others follow it, as "
          "without its thought; expected are chats that part at their last answer",
          reader->place, key, i + 1);
  struct rendering asked = {0};
  const struct tpo_chat prompt = first_messages(reader, chat, last, true);
  int status = render(reader, chat, last, true, key, &asked, err);
  if (status == 0) status = tpo_ids_append(&out->ids, asked.ids.ids, asked.ids.n, err);
  begin = out->ids.n;
  if (status == 0) {
    status = tpo_template_encode_answer(reader->tmpl, reader->thought, &prompt, chat->messages[last].content,
                                        &out->ids, err);
    if (status < 0) tpo_fail_prefix(err, "%s: %s", reader->place, key);
  }
  if (status == 0) status = start_mask(out, out->ids.n, err);
  if (status == 0) memset(out->mask + begin, 1, out->ids.n - begin);
  rendering_free(&asked);
  return status;
}

/* The prompt and all messages after it, through the last answer's end. Loss is on answers alone. */
static int encode_chat(const struct tpo_pair_reader *reader, const struct tpo_pair_chat *chat,
                       size_t n_prompt, const char *key, struct tpo_completion *out, struct tpo_error *err)
{
  if (!tpo_pair_is_answer(chat, chat->n - 1))
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: the last message's role is \"%.40s\", expected \"assistant\"",
                    reader->place, key, chat->messages[chat->n - 1].role);
  out->masked = true;
  int status = take_as_shown(reader, chat, n_prompt, key, out, err);
  if (status == OTHERWISE) status = take_as_said(reader, chat, n_prompt, key, out, err);
  return status;
}

static size_t first_trained(const struct tpo_completion *c)
{
  size_t i = 0;
  while (i < c->ids.n && !c->mask[i]) i++;
  return i;
}

/* Where chats part before the user's turn, the shared messages may look otherwise once it follows: the prompt is then what
 * both begin with, before what is trained on. */
static int share_prompt(struct tpo_pair_reader *reader, struct tpo_error *err)
{
  const struct tpo_completion *a = &reader->chosen, *b = &reader->rejected;
  if (begins(&a->ids, &reader->prompt) && begins(&b->ids, &reader->prompt)) return 0;
  size_t n = 0, most = first_trained(a), other = first_trained(b);
  if (other < most) most = other;
  while (n < most && a->ids.ids[n] == b->ids.ids[n]) n++;
  reader->prompt.n = 0;
  return tpo_ids_append(&reader->prompt, a->ids.ids, n, err);
}

static void cut_prompt(struct tpo_completion *c, size_t n)
{
  c->ids.n -= n;
  memmove(c->ids.ids, c->ids.ids + n, c->ids.n * sizeof *c->ids.ids);
  memmove(c->mask, c->mask + n, c->ids.n);
}

int tpo_pair_encode_chats(struct tpo_pair_reader *reader, const struct tpo_pair_chat *chosen,
                          const struct tpo_pair_chat *rejected, size_t n, struct tpo_error *err)
{
  bool answers = tpo_pair_is_answer(chosen, n) && tpo_pair_is_answer(rejected, n);
  struct rendering prompt = {0};
  int status = render(reader, chosen, n, answers, "the prompt", &prompt, err);
  if (status == 0) status = tpo_ids_append(&reader->prompt, prompt.ids.ids, prompt.ids.n, err);
  if (status == 0) status = encode_chat(reader, chosen, n, "chosen", &reader->chosen, err);
  if (status == 0) status = encode_chat(reader, rejected, n, "rejected", &reader->rejected, err);
  if (status == 0) status = share_prompt(reader, err);
  if (status == 0) {
    cut_prompt(&reader->chosen, reader->prompt.n);
    cut_prompt(&reader->rejected, reader->prompt.n);
  }
  rendering_free(&prompt);
  return status;
}
