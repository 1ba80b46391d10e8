/* A rendered chat told stretch by stretch: where each came from, and which are control tokens. */
#include "text/chat/encode.h"
#include "text/chat/thought/thought.h"

struct telling {
  const struct tpo_rendered *r;
  tpo_stretch_fn fn;
  void *arg;
  size_t run; /* the one in which what comes next begins */
};

static int tell(struct telling *t, size_t begin, size_t end, int32_t token, struct tpo_error *err)
{
  while (t->run + 1 < t->r->n && t->r->runs[t->run].end <= begin) t->run++;
  const struct tpo_stretch stretch = {.text = t->r->text.data + begin,
                                      .len = end - begin,
                                      .origin = t->r->origins.items[t->r->runs[t->run].origin].name,
                                      .token = token};
  return t->fn(t->arg, &stretch, err);
}

/* Text without control tokens, cut where its origin changes. */
static int tell_text(struct telling *t, size_t begin, size_t end, struct tpo_error *err)
{
  int status = TPO_OK;
  for (size_t i = t->run; i < t->r->n && t->r->runs[i].begin < end && status == TPO_OK; i++) {
    size_t from = t->r->runs[i].begin > begin ? t->r->runs[i].begin : begin;
    size_t to = t->r->runs[i].end < end ? t->r->runs[i].end : end;
    if (from < to) status = tell(t, from, to, -1, err);
  }
  return status;
}

static int tell_all(const struct tpo_tokenizer *tok, struct telling *t, struct tpo_error *err)
{
  struct tpo_control_search at = {0};
  struct tpo_added_match match;
  size_t from = 0;
  int status = TPO_OK;
  while (status == TPO_OK && tpo_rendered_next_control(tok, t->r, &at, &match)) {
    status = tell_text(t, from, match.begin, err);
    if (status == TPO_OK) status = tell(t, match.begin, match.end, match.token->id, err);
    from = match.end;
  }
  return status == TPO_OK ? tell_text(t, from, t->r->text.len, err) : status;
}

int tpo_template_explain(const struct tpo_template *tmpl, const struct tpo_chat *chat, tpo_stretch_fn fn,
                         void *arg, struct tpo_error *err)
{
  struct tpo_rendered r = {0};
  struct telling t = {.r = &r, .fn = fn, .arg = arg};
  int status = tpo_template_render_spans(tmpl, chat, &r, err);
  if (status == TPO_OK) status = tell_all(tmpl->tok, &t, err);
  tpo_rendered_free(&r);
  return status;
}

int tpo_thought_explain(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                        const char *messages_json, tpo_stretch_fn fn, void *arg, struct tpo_error *err)
{
  struct tpo_rendered r = {0};
  struct telling t = {.r = &r, .fn = fn, .arg = arg};
  int status = thought_render_spans(thought, tmpl, NULL, messages_json, &r, err);
  if (status == TPO_OK) status = tell_all(tmpl->tok, &t, err);
  tpo_rendered_free(&r);
  return status;
}
