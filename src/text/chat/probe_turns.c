/* The end of a turn that a template writes only before the next one.
 *
 * What stands between an answer and the user's next message is the answer's end and what begins the user's turn.
 * The latter is known by the user's first message, before which it stands too, or else by the generation prompt,
 * which begins another turn: there, only the end is alike. A token that stands before the first message of all
 * begins turns or the text, and ends nothing. */
#include "text/chat/probe.h"

enum { MOST = 32 };
struct tokens {
  struct {
    int32_t id;
    size_t end;
  } items[MOST];
  size_t n;
};

/* The tokens in the template's own text from begin to end, blank ones aside. */
static void list_tokens(const struct tpo_template *tmpl, const struct tpo_rendered *r, size_t begin,
                        size_t end, struct tokens *out)
{
  out->n = 0;
  for (size_t i = 0, from, to; tpo_rendered_next_own(r, &i, &from, &to);) {
    struct tpo_added_match match;
    if (from < begin) from = begin;
    if (to > end) to = end;
    while (from < to && out->n < MOST &&
           tpo_added_within(&tmpl->tok->specials, r->text.data, r->text.len, from, from, to, &match)) {
      from = match.end;
      if (!match.token->special && probe_is_blank(&tmpl->tok->vocab.tokens[match.token->id])) continue;
      out->items[out->n].id = match.token->id;
      out->items[out->n++].end = match.end;
    }
  }
}

static size_t alike_at_end(const struct tokens *a, const struct tokens *b)
{
  size_t n = 0;
  while (n < a->n && n < b->n && a->items[a->n - 1 - n].id == b->items[b->n - 1 - n].id) n++;
  return n;
}

static size_t alike_at_begin(const struct tokens *a, const struct tokens *b)
{
  size_t n = 0;
  while (n < a->n && n < b->n && a->items[n].id == b->items[n].id) n++;
  return n;
}

static bool holds(const struct tokens *tokens, int32_t id)
{
  for (size_t i = 0; i < tokens->n; i++)
    if (tokens->items[i].id == id) return true;
  return false;
}

/* How many of the tokens between the turns end the first. */
static size_t count_ends(const struct tokens *between, const struct tokens *before,
                         const struct tokens *prompt)
{
  size_t n = between->n - alike_at_end(between, before);
  if (n > 0) return n;
  n = alike_at_begin(between, prompt);
  return n < between->n && n < prompt->n ? n : 0;
}

static int look(struct tpo_template *tmpl, size_t first, const struct tpo_rendered *r, struct tpo_error *err)
{
  struct tpo_span start, user, answer, next;
  struct tokens opening, before, between, prompt;
  if (!probe_find(r, first, first, &start) || !probe_find(r, first, PROBE_USER, &user) ||
      !probe_find(r, first, PROBE_ANSWER, &answer) || !probe_find(r, first, PROBE_NEXT, &next) ||
      answer.end > next.begin)
    return TPO_OK;
  list_tokens(tmpl, r, 0, start.begin, &opening);
  list_tokens(tmpl, r, 0, user.begin, &before);
  list_tokens(tmpl, r, answer.end, next.begin, &between);
  list_tokens(tmpl, r, next.end, r->text.len, &prompt);
  size_t n = count_ends(&between, &before, &prompt);
  if (n == 0 || holds(&opening, between.items[0].id)) return TPO_OK;
  return probe_find_end(tmpl, r, answer.end, between.items[n - 1].end, err);
}

int probe_turns(struct tpo_template *tmpl, struct tpo_error *err)
{
  int status = TPO_OK;
  for (size_t first = PROBE_USER + 1; first-- > PROBE_SYSTEM && status == TPO_OK && tmpl->end_of_turn < 0;) {
    struct tpo_rendered r = {0};
    if (probe_render(tmpl, first, PROBE_NEXT, &r, &status, err)) status = look(tmpl, first, &r, err);
    tpo_rendered_free(&r);
  }
  return status;
}
