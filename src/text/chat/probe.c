/* What a template doesn't say but shows: chats are rendered when it is opened, and looked at. */
#include <string.h>
#include "text/chat/probe.h"
#include "text/unicode/space.h"

/* Such as most templates take. */
static const struct tpo_message probe[N_PROBE] = {
    {"system", "Be kind."}, {"user", "How are you?"}, {"assistant", "Well."}, {"user", "Why?"}};

bool probe_render(const struct tpo_template *tmpl, size_t first, size_t last, struct tpo_rendered *out,
                  int *status, struct tpo_error *err)
{
  struct tpo_error why = {0};
  const struct tpo_chat chat = {
      .messages = probe + first, .n = last + 1 - first, .generation_prompt = last != PROBE_ANSWER};
  int code = tpo_template_render_spans(tmpl, &chat, out, &why);
  if (code == TPO_E_MEMORY) *status = tpo_fail(err, code, "%s", why.message);
  return code == TPO_OK;
}

const char *probe_content(size_t i)
{
  return probe[i].content;
}

bool probe_find(const struct tpo_rendered *r, size_t first, size_t i, struct tpo_span *out)
{
  char name[48];
  snprintf(name, sizeof name, "messages[%zu].content", i - first);
  if (!tpo_rendered_end_of(r, name, &out->end)) return false;
  size_t run = 0;
  while (strcmp(r->origins.items[r->runs[run].origin].name, name) != 0) run++;
  out->begin = r->runs[run].begin;
  return true;
}

bool probe_is_blank(const struct tpo_token *token)
{
  size_t begin = 0, end = token->len;
  tpo_trim(token->bytes, &begin, &end);
  return begin == end;
}

/* Whether the model's files say that it ends a text. */
static bool ends_texts(const struct tpo_tokenizer *tok, int32_t id)
{
  for (size_t i = 0; i < tok->ends.n; i++)
    if (tok->ends.ids[i] == id) return true;
  return id == tok->eos;
}

/* A search for the token that ends an answer. */
struct search {
  const struct tpo_tokenizer *tok;
  int32_t first; /* control token; -1: none yet */
  size_t first_end;
  size_t behind; /* where that, or what follows it without a gap, ends */
  int32_t other; /* the first token that is neither a control token nor blank */
  size_t other_end;
};

/* Takes the next token; true: the search is over. */
static bool take(struct search *s, const struct tpo_added_match *match)
{
  int32_t id = match->token->id;
  if (!match->token->special) {
    if (s->other < 0 && !probe_is_blank(&s->tok->vocab.tokens[id])) {
      s->other = id;
      s->other_end = match->end;
    }
    return s->first >= 0;
  }
  if (s->first >= 0 && match->begin != s->behind) return true;
  s->behind = match->end;
  if (s->first < 0 || ends_texts(s->tok, id)) {
    s->first = id;
    s->first_end = match->end;
  }
  return ends_texts(s->tok, id);
}

/* The first control token in the template's own text there, or one right behind it that is known to end texts
 * (an answer's end, then its turn's); else the first token that isn't blank. */
int probe_find_end(struct tpo_template *tmpl, const struct tpo_rendered *r, size_t from, size_t to,
                   struct tpo_error *err)
{
  struct search s = {.tok = tmpl->tok, .first = -1, .other = -1};
  bool found = false;
  for (size_t i = 0, begin, end; !found && tpo_rendered_next_own(r, &i, &begin, &end);) {
    struct tpo_added_match match;
    if (begin < from) begin = from;
    if (end > to) end = to;
    while (!found && begin < end &&
           tpo_added_within(&tmpl->tok->specials, r->text.data, r->text.len, begin, begin, end, &match)) {
      found = take(&s, &match);
      begin = match.end;
    }
  }
  tmpl->end_of_turn = s.first >= 0 ? s.first : s.other;
  if (tmpl->end_of_turn < 0) return TPO_OK;
  size_t len = (s.first >= 0 ? s.first_end : s.other_end) - from;
  tmpl->ending = tpo_arena_memdup(&tmpl->arena, r->text.data + from, len);
  return tmpl->ending ? TPO_OK : tpo_fail(err, TPO_E_MEMORY, "no memory for a chat template");
}

/* The answer as it stands in a chat begins where the generation prompt ends, or white space later. */
static int find_gap(struct tpo_template *tmpl, const struct tpo_rendered *answered,
                    const struct tpo_rendered *asked, size_t answer_end, struct tpo_error *err)
{
  size_t len = strlen(probe[PROBE_ANSWER].content), from = asked->text.len;
  if (answer_end < from + len || memcmp(answered->text.data, asked->text.data, from) != 0) return TPO_OK;
  size_t begin = answer_end - len, first = from, last = begin;
  tpo_trim(answered->text.data, &first, &last);
  if (first < last || from == begin) return TPO_OK;
  tmpl->gap = tpo_arena_memdup(&tmpl->arena, answered->text.data + from, begin - from);
  return tmpl->gap ? TPO_OK : tpo_fail(err, TPO_E_MEMORY, "no memory for a chat template");
}

/* True: the template takes the probe from message `first` on and shows its answer. */
static bool try_probe(struct tpo_template *tmpl, size_t first, int *status, struct tpo_error *err)
{
  struct tpo_span answer;
  struct tpo_rendered answered = {0}, asked = {0};
  bool shown = probe_render(tmpl, first, PROBE_ANSWER, &answered, status, err) &&
               probe_find(&answered, first, PROBE_ANSWER, &answer);
  if (shown) *status = probe_find_end(tmpl, &answered, answer.end, answered.text.len, err);
  if (shown && *status == TPO_OK && probe_render(tmpl, first, PROBE_USER, &asked, status, err))
    *status = find_gap(tmpl, &answered, &asked, answer.end, err);
  tpo_rendered_free(&answered);
  tpo_rendered_free(&asked);
  return shown || *status < 0;
}

int tpo_template_probe(struct tpo_template *tmpl, struct tpo_error *err)
{
  tmpl->end_of_turn = -1;
  tmpl->ending = NULL;
  tmpl->gap = "";
  if (tmpl->kind == TPO_TEMPLATE_NONE) return TPO_OK;
  int status = probe_parts(tmpl, err);
  bool shown = status == TPO_OK && try_probe(tmpl, PROBE_USER, &status, err);
  if (status == TPO_OK && !shown) shown = try_probe(tmpl, PROBE_SYSTEM, &status, err);
  return status == TPO_OK && shown && tmpl->end_of_turn < 0 ? probe_turns(tmpl, err) : status;
}
