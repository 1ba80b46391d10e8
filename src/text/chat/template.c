/* Which chat template a model has, or a configuration gives in its place. */
#include "text/chat/template.h"

#include <stdlib.h>
#include <string.h>
#include "base/date.h"
#include "text/tokenizer.h"

/* configurable: the caller reads pieces, so that giving them is a way out. */
static const char *advice(bool configurable)
{
  return configurable ? "give its pieces under `template:` in the configuration"
                      : "the model's own files must hold one that can be run";
}

static int from_model(struct tpo_template *t, const struct tpo_tokenizer *tok, bool configurable,
                      struct tpo_error *err)
{
  struct tpo_error why = {0};
  if (!tok->chat_template)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: the model has no chat template; %s", tok->place,
                    advice(configurable));
  int status = tpo_jinja_open(&t->jinja, tok->chat_template, strlen(tok->chat_template), tok->place, &why);
  if (status == TPO_OK && tok->tool_template)
    status = tpo_jinja_open(&t->tool_jinja, tok->tool_template, strlen(tok->tool_template), tok->place, &why);
  return status < 0 ? tpo_fail(err, status, "%s; %s", why.message, advice(configurable)) : TPO_OK;
}

static bool any_given(const struct tpo_template_config *p)
{
  return p && (given(p->bos) || given(p->system_prefix) || given(p->system_suffix) || given(p->user_prefix) ||
               given(p->user_suffix) || given(p->assistant_prefix) || given(p->assistant_suffix) ||
               given(p->default_system));
}

static int from_pieces(struct tpo_template *t, const struct tpo_template_config *p, struct tpo_error *err)
{
  if (!given(p->user_prefix) || !given(p->assistant_prefix))
    return tpo_fail(err, TPO_E_USAGE,
                    "template: the pieces of a chat template need user_prefix and assistant_prefix");
  char *const from[] = {p->bos,         p->system_prefix,    p->system_suffix,    p->user_prefix,
                        p->user_suffix, p->assistant_prefix, p->assistant_suffix, p->default_system};
  char **const to[] = {&t->pieces.bos,
                       &t->pieces.system_prefix,
                       &t->pieces.system_suffix,
                       &t->pieces.user_prefix,
                       &t->pieces.user_suffix,
                       &t->pieces.assistant_prefix,
                       &t->pieces.assistant_suffix,
                       &t->pieces.default_system};
  for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
    *to[i] = tpo_arena_strdup(&t->arena, from[i] ? from[i] : "");
    if (!*to[i]) return tpo_fail(err, TPO_E_MEMORY, "no memory for a chat template");
  }
  t->kind = TPO_TEMPLATE_CONFIGURED;
  return TPO_OK;
}

static int set_date(struct tpo_template *t, const char *date, struct tpo_error *err)
{
  if (!date) date = TPO_TEMPLATE_DATE;
  if (!tpo_is_date(date))
    return tpo_fail(err, TPO_E_USAGE,
                    "template.date: expected a date such as " TPO_TEMPLATE_DATE ", not \"%.80s\"", date);
  t->date = tpo_arena_strdup(&t->arena, date);
  return t->date ? TPO_OK : tpo_fail(err, TPO_E_MEMORY, "no memory for a chat template");
}

int tpo_template_open(struct tpo_template **out, const struct tpo_tokenizer *tok,
                      const struct tpo_template_config *pieces, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_template *t = tpo_calloc(1, sizeof *t, err);
  if (!t) return TPO_E_MEMORY;
  t->tok = tok;
  int status = set_date(t, pieces ? pieces->date : NULL, err);
  if (status == TPO_OK && any_given(pieces))
    status = from_pieces(t, pieces, err);
  else if (status == TPO_OK && pieces && pieces->dispensable && !tok->chat_template)
    t->kind = TPO_TEMPLATE_NONE;
  else if (status == TPO_OK)
    status = from_model(t, tok, pieces != NULL, err);
  if (status == TPO_OK) status = tpo_template_probe(t, err);
  if (status < 0) {
    tpo_template_close(t);
    return status;
  }
  *out = t;
  return TPO_OK;
}

void tpo_template_close(struct tpo_template *tmpl)
{
  if (!tmpl) return;
  tpo_jinja_close(tmpl->jinja);
  tpo_jinja_close(tmpl->tool_jinja);
  tpo_arena_free(&tmpl->arena);
  free(tmpl);
}

static int add_once(struct tpo_ids *list, int32_t id, struct tpo_error *err)
{
  if (id < 0) return TPO_OK;
  for (size_t i = 0; i < list->n; i++)
    if (list->ids[i] == id) return TPO_OK;
  return tpo_ids_append(list, &id, 1, err);
}

int tpo_tokenizer_end_ids(const struct tpo_tokenizer *tok, const struct tpo_template *tmpl,
                          struct tpo_ids *out, struct tpo_error *err)
{
  int status = TPO_OK;
  for (size_t i = 0; i < tok->ends.n && status == TPO_OK; i++) status = add_once(out, tok->ends.ids[i], err);
  if (status == TPO_OK) status = add_once(out, tok->eos, err);
  if (status == TPO_OK && tmpl) status = add_once(out, tmpl->end_of_turn, err);
  return status;
}
