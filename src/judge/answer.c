/* Thoughts taken out of an answer: first what the pattern matches, then what stands between tags. */
#include "judge/answer.h"

#include <string.h>

static const char *const names[] = {"think", "thinking"};
enum { N_NAMES = sizeof names / sizeof *names };

struct tag {
  int name; /* of names */
  bool closes;
  size_t len; /* 0: there is none */
};

static struct tag tag_at(const char *text, size_t left)
{
  bool closes = left > 1 && text[1] == '/';
  size_t begin = closes ? 2 : 1;
  for (int i = 0; i < N_NAMES; i++) {
    size_t len = strlen(names[i]);
    if (left > begin + len && strncasecmp(text + begin, names[i], len) == 0 && text[begin + len] == '>')
      return (struct tag){i, closes, begin + len + 1};
  }
  return (struct tag){0};
}

/* A thought ends with the tag of the name that began it: the other name's, and further opening tags, are
 * text of it. True when the text ends outside thoughts; else *began is where the last one did. */
static bool drop_tagged(struct span text, struct tpo_buf *out, bool *dropped, size_t *began)
{
  int open = -1;
  size_t begin = out->len;
  for (size_t at = 0; at < text.len;) {
    const char *next = memchr(text.text + at, '<', text.len - at);
    size_t to = next ? (size_t)(next - text.text) : text.len;
    if (open < 0) tpo_buf_append(out, text.text + at, to - at);
    struct tag tag = to < text.len ? tag_at(text.text + to, text.len - to) : (struct tag){0};
    if (tag.len == 0 && to < text.len && open < 0) tpo_buf_putc(out, '<');
    if (tag.len > 0 && open < 0) {
      if (tag.closes && !out->failed) out->len = begin;
      open = tag.closes ? -1 : tag.name;
      *began = to;
      *dropped = true;
    } else if (tag.len > 0 && tag.closes && tag.name == open)
      open = -1;
    at = to + (tag.len > 0 ? tag.len : to < text.len);
  }
  return open < 0;
}

struct rest {
  struct tpo_buf *out;
  struct span text;
  size_t at; /* what stands before it is settled */
  bool dropped;
};

static void drop_match(void *arg, const struct judge_match *match)
{
  struct rest *rest = arg;
  size_t begin = (size_t)(match->whole.text - rest->text.text), end = begin + match->whole.len;
  if (match->whole.len == 0 || begin < rest->at) return;
  tpo_buf_append(rest->out, rest->text.text + rest->at, begin - rest->at);
  rest->at = end;
  rest->dropped = true;
}

static int drop_matches(struct rest *rest, const struct judge_pattern *pattern, struct tpo_error *err)
{
  int status = pattern ? judge_pattern_search(pattern, rest->text, 0, drop_match, rest, err) : 0;
  tpo_buf_append(rest->out, rest->text.text + rest->at, rest->text.len - rest->at);
  if (status < 0) return status;
  return status == JUDGE_SEARCH_GIVEN_UP ? ANSWER_THOUGHTS_GIVEN_UP : ANSWER_THOUGHTS_CLOSED;
}

static void strip(struct tpo_buf *out, size_t begin)
{
  if (out->failed || out->len == begin) return;
  struct span rest = text_strip((struct span){out->data + begin, out->len - begin});
  memmove(out->data + begin, rest.text, rest.len);
  out->len = begin + rest.len;
  out->data[out->len] = '\0';
}

int judge_answer_said(struct tpo_buf *said, const char *text, const struct judge_pattern *pattern,
                      enum answer_open open, struct tpo_error *err)
{
  struct tpo_buf valid = {0}, rest_text = {0};
  size_t begin = said->len, began = 0;
  bool dropped = false;
  text_repair(span_of(text), &valid);
  struct rest rest = {.out = &rest_text, .text = {valid.data ? valid.data : "", valid.len}};
  int status = drop_matches(&rest, pattern, err);
  struct span left = {rest_text.data ? rest_text.data : "", rest_text.len};
  if (status >= 0 && !drop_tagged(left, said, &dropped, &began)) {
    if (open == ANSWER_OPEN_IS_SAID)
      tpo_buf_append(said, left.text + began, left.len - began);
    else if (status == ANSWER_THOUGHTS_CLOSED)
      status = ANSWER_THOUGHT_OPEN;
  }
  tpo_buf_append(said, "", 0);
  if (dropped || rest.dropped) strip(said, begin);
  if (status >= 0 && (valid.failed || rest_text.failed || said->failed))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory to read a judge's answer");
  tpo_buf_free(&valid);
  tpo_buf_free(&rest_text);
  return status;
}
