/* A rendered chat as ids: only what came from the template itself becomes control tokens. */
#include "text/chat/encode.h"

bool tpo_rendered_next_control(const struct tpo_tokenizer *tok, const struct tpo_rendered *r,
                               struct tpo_control_search *at, struct tpo_added_match *match)
{
  const char *text = r->text.data ? r->text.data : "";
  for (;;) {
    if (at->begin < at->from) at->begin = at->from; /* white space that the token before took with it */
    if (tpo_added_within(&tok->specials, text, r->text.len, at->from, at->begin, at->end, match)) {
      at->from = at->begin = match->end;
      return true;
    }
    if (!tpo_rendered_next_own(r, &at->run, &at->begin, &at->end)) return false;
  }
}

/* Plain text between two control tokens is encoded in one piece, so that ids are those of the whole rendered
 * text. */
int tpo_template_encode_from(const struct tpo_template *tmpl, const struct tpo_rendered *r, size_t from,
                             struct tpo_ids *out, struct tpo_error *err)
{
  const struct tpo_tokenizer *tok = tmpl->tok;
  const char *text = r->text.data ? r->text.data : "";
  size_t before = out->n;
  struct tpo_control_search at = {.from = from};
  struct tpo_added_match match;
  int status = TPO_OK;
  while (status == TPO_OK && tpo_rendered_next_control(tok, r, &at, &match)) {
    if (match.begin > from)
      status = tpo_tokenizer_encode_plain(tok, text + from, match.begin - from, from == 0, out, err);
    if (status == TPO_OK) status = tpo_ids_append(out, &match.token->id, 1, err);
    from = match.end;
  }
  if (status == TPO_OK && r->text.len > from)
    status = tpo_tokenizer_encode_plain(tok, text + from, r->text.len - from, from == 0, out, err);
  if (status < 0) out->n = before;
  return status;
}

int tpo_template_encode_spans(const struct tpo_template *tmpl, const struct tpo_rendered *r,
                              struct tpo_ids *out, struct tpo_error *err)
{
  return tpo_template_encode_from(tmpl, r, 0, out, err);
}
