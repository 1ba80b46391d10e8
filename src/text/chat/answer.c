/* An answer put behind the generation prompt as a model would have said it there: what training takes for the tokens of an
 * answer that the template, once it is part of a chat, shows otherwise. */
#include <string.h>
#include "text/chat/template.h"
#include "text/unicode/space.h"

struct tags {
  const char *open, *close;
};

/* The tags that a thought may have here: those that most models know, and the layout's. */
static size_t list_tags(const struct tpo_thought_config *thought, struct tags out[2])
{
  out[0] = (struct tags){"<think>", "</think>"};
  if (!thought || !given(thought->thought_marker) || !given(thought->response_marker)) return 1;
  out[1] = (struct tags){thought->thought_marker, thought->response_marker};
  return 2;
}

static bool ends_with(const char *text, size_t len, const char *end)
{
  size_t n = strlen(end);
  return n <= len && memcmp(text + len - n, end, n) == 0;
}

/* What a prompt's own end says of the answer's thought, white space behind it aside. */
enum thought_state { NO_THOUGHT, OPENED, CLOSED };
struct prompt_end {
  enum thought_state state;
  struct tags tags;
  const char *space; /* behind the tag, up to the prompt's end; borrowed until text is added to that */
};

static struct prompt_end look_at_end(const struct tpo_rendered *r, const struct tpo_thought_config *thought)
{
  struct tags tags[2];
  size_t begin = tpo_rendered_own_tail(r), end = r->text.len, n = list_tags(thought, tags);
  const char *text = r->text.data ? r->text.data : "";
  tpo_trim(text, &begin, &end);
  for (size_t i = 0; i < n; i++) {
    bool opened = ends_with(text + begin, end - begin, tags[i].open);
    if (opened || ends_with(text + begin, end - begin, tags[i].close))
      return (struct prompt_end){opened ? OPENED : CLOSED, tags[i], text + end};
  }
  return (struct prompt_end){NO_THOUGHT, tags[0], text + r->text.len};
}

/* Behind white space. */
static const char *skip_space(const char *text)
{
  size_t begin = 0, end = strlen(text);
  tpo_trim(text, &begin, &end);
  return text + begin;
}

static bool opens(const char *answer, const char *tag)
{
  return strncmp(skip_space(answer), tag, strlen(tag)) == 0;
}

/* Of the answer, what the prompt hasn't said: not the tag, nor the white space that stands behind it there, too. */
static const char *after_opening(const char *answer, const struct prompt_end *p)
{
  const char *rest = skip_space(answer) + strlen(p->tags.open);
  for (const char *space = p->space; *space && *space == *rest; space++) rest++;
  return rest;
}

/* What models and templates write for no thought. */
static int add_empty_thought(const struct prompt_end *p, struct tpo_rendered *r, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  tpo_buf_printf(&text, *p->space ? "\n%s\n\n" : "%s", p->tags.close);
  int status = text.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for an answer")
                           : tpo_rendered_add(r, text.data, text.len, "no thought", true, err);
  tpo_buf_free(&text);
  return status;
}

/* Adds the text up to the first marker, and that as the layout's own; *text becomes what follows. */
static int add_through(const char **text, const char *marker, struct tpo_rendered *r, struct tpo_error *err)
{
  const char *at = given(marker) ? strstr(*text, marker) : NULL;
  if (!at) return TPO_OK;
  int status = tpo_rendered_add(r, *text, (size_t)(at - *text), "the answer", false, err);
  if (status == TPO_OK) status = tpo_rendered_add(r, marker, strlen(marker), "thought", true, err);
  *text = at + strlen(marker);
  return status;
}

/* The tags are own in it as far as they are the layout's, or the end of what the template has begun. */
static int add_text(const char *text, const struct tpo_thought_config *thought, const struct prompt_end *p,
                    struct tpo_rendered *r, struct tpo_error *err)
{
  int status = TPO_OK;
  if (thought && given(thought->thought_marker) && opens(text, thought->thought_marker))
    status = add_through(&text, thought->thought_marker, r, err);
  if (status == TPO_OK && p->state == OPENED)
    status = add_through(&text, p->tags.close, r, err);
  else if (status == TPO_OK && thought)
    status = add_through(&text, thought->response_marker, r, err);
  return status < 0 ? status : tpo_rendered_add(r, text, strlen(text), "the answer", false, err);
}

static int add_answer(const struct tpo_template *tmpl, const struct tpo_thought_config *thought,
                      const char *answer, struct tpo_rendered *r, struct tpo_error *err)
{
  struct prompt_end p = look_at_end(r, thought);
  bool has_open = opens(answer, p.tags.open), has_close = strstr(answer, p.tags.close) != NULL;
  size_t gap = strlen(tmpl->gap);
  int status = TPO_OK;
  if (p.state == CLOSED && (has_open || has_close))
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "the answer holds a thought (%s), but the chat template has closed it in the prompt; "
                    "thought.template_args has the switches that the template knows, such as "
                    "enable_thinking, which --thought think-tags turns on",
                    has_open ? p.tags.open : p.tags.close);
  if (p.state == OPENED && has_open) {
    answer = after_opening(answer, &p);
  } else if (p.state == OPENED && !has_close) {
    status = add_empty_thought(&p, r, err);
    answer = skip_space(answer);
  } else if (p.state == NO_THOUGHT && strncmp(answer, tmpl->gap, gap) != 0) {
    status = tpo_rendered_add(r, tmpl->gap, gap, "the answer's gap", true, err);
  }
  if (status == TPO_OK) status = add_text(answer, thought, &p, r, err);
  return status < 0 ? status : tpo_rendered_add(r, tmpl->ending, strlen(tmpl->ending), "end", true, err);
}

int tpo_template_encode_answer(const struct tpo_template *tmpl, const struct tpo_thought_config *thought,
                               const struct tpo_chat *chat, const char *answer, struct tpo_ids *out,
                               struct tpo_error *err)
{
  struct tpo_rendered r = {0};
  if (!tmpl->ending)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "the chat template ends the assistant's turn without a token for it");
  int status = tpo_template_render_spans(tmpl, chat, &r, err);
  size_t prompt = r.text.len;
  if (status == TPO_OK) status = add_answer(tmpl, thought, answer, &r, err);
  if (status == TPO_OK) status = tpo_template_encode_from(tmpl, &r, prompt, out, err);
  tpo_rendered_free(&r);
  return status;
}
