/* Which chat template a model has: recognised by the hash
 * of its canonical form, or given by configuration. */
#include "text/chat/template.h"

#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "text/chat/canon.h"
#include "text/tokenizer.h"

struct known {
  uint64_t hash; /* of the canonical form, see canon.h */
  enum tpo_template_family family;
  bool header;        /* Llama 3.1's dated system header */
  bool always_prompt; /* ends with a generation prompt whether asked for or not */
  bool no_system;     /* refuses system messages */
  const char *bos;    /* written out in the template, whatever the tokenizer's is; NULL: the tokenizer's */
};

static const struct known known[] = {
    {.hash = 0xa997cff186c77fcd, .family = TPO_TEMPLATE_CHATML}, /* no default system message */
    /* the same, and add_generation_prompt's default said */
    {.hash = 0x08d06187ec005cef, .family = TPO_TEMPLATE_CHATML},
    {.hash = 0x94f59058be7e39a8, .family = TPO_TEMPLATE_CHATML}, /* with one: SmolLM2 and others */
    {.hash = 0xeafa5de36d8e028b, .family = TPO_TEMPLATE_LLAMA2},
    {.hash = 0xa0451494e374a7ed,
     .family = TPO_TEMPLATE_LLAMA2}, /* a branch for system turns, never reached */
    /* and a default system message, switched off */
    {.hash = 0x2da4b20f281f1585, .family = TPO_TEMPLATE_LLAMA2},
    {.hash = 0x6261f3303a7818b7, .family = TPO_TEMPLATE_LLAMA3},
    {.hash = 0xa9ff6aa7da1fbb72, .family = TPO_TEMPLATE_LLAMA3, .bos = "<|begin_of_text|>"},
    /* the first release, and reward models made of it */
    {.hash = 0xb4649a6eb1a904eb, .family = TPO_TEMPLATE_LLAMA3, .always_prompt = true},
    {.hash = 0x0add54f40dd46a1b, .family = TPO_TEMPLATE_LLAMA3, .header = true}, /* 3.1, 3.3 */
    {.hash = 0x80ee2cad7369a348, .family = TPO_TEMPLATE_LLAMA3, .header = true}, /* 3.2 */
    {.hash = 0x43302f4340ea2802, .family = TPO_TEMPLATE_CHATML}, /* Qwen 2.5, with a default system message */
    {.hash = 0xf78c9f7ddcdd24d5, .family = TPO_TEMPLATE_CHATML}, /* Qwen 3 Instruct 2507, which has no mode */
    {.hash = 0xda8908010979e84a, .family = TPO_TEMPLATE_QWEN3},
    {.hash = 0x617597e0be378495, .family = TPO_TEMPLATE_QWEN3}, /* later, for contents that are no strings */
    {.hash = 0x187a3e53393094bd, .family = TPO_TEMPLATE_GEMMA, .no_system = true}, /* 2 */
    {.hash = 0x328a1c8d417b4940, .family = TPO_TEMPLATE_GEMMA},                    /* 3 */
    {.hash = 0xeefa0108111b10b5, .family = TPO_TEMPLATE_MISTRAL},                  /* 7B v0.3 */
};

#define KNOWN_NAMES "ChatML, Llama 2, Llama 3, Qwen 3, Gemma, Mistral"

static const struct known *recognise(uint64_t hash)
{
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].hash == hash) return &known[i];
  return NULL;
}

bool tpo_template_known(struct tpo_template *t, uint64_t hash)
{
  const struct known *k = recognise(hash);
  if (!k) return false;
  t->family = k->family;
  t->always_prompt = k->always_prompt;
  t->no_system = k->no_system;
  if (k->bos) t->bos = k->bos;
  return true;
}

static const char *name_of(const struct tpo_tokenizer *tok, int32_t id)
{
  return id >= 0 && (size_t)id < tok->vocab.n && tok->vocab.tokens[id].bytes ? tok->vocab.tokens[id].bytes
                                                                             : "";
}

static const char *keep(struct tpo_template *t, const struct tpo_buf *buf)
{
  return tpo_arena_memdup(&t->arena, buf->data ? buf->data : "", buf->len);
}

/* configurable: the caller reads pieces, so that giving them is a way out. */
static int from_model(struct tpo_template *t, const struct tpo_tokenizer *tok, bool configurable,
                      struct tpo_error *err)
{
  const char *advice = configurable ? "give its pieces under `template:` in the configuration"
                                    : "the model's own files must hold one of these";
  if (!tok->chat_template)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: the model has no chat template (known here: " KNOWN_NAMES "); %s", tok->place,
                    advice);
  struct tpo_canon canon = {0};
  int status = tpo_canon_make(&canon, tok->chat_template, err);
  if (status < 0) {
    tpo_canon_free(&canon);
    return err ? tpo_fail_prefix(err, "%s", tok->place) : status;
  }
  uint64_t hash = tpo_hash64(canon.text.data ? canon.text.data : "", canon.text.len);
  const struct known *k = recognise(hash);
  if (tpo_template_known(t, hash)) {
    if (canon.has_system) t->default_system = keep(t, &canon.system);
    if (k->header) t->knowledge = keep(t, &canon.knowledge);
    if (k->header) t->date = keep(t, &canon.date);
    if ((canon.has_system && !t->default_system) || (k->header && (!t->knowledge || !t->date)))
      status = tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat template", tok->place);
  } else {
    status = tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: the model's chat template is none of those known here (" KNOWN_NAMES
                      "; fingerprint %016llx); %s",
                      tok->place, (unsigned long long)hash, advice);
  }
  tpo_canon_free(&canon);
  return status;
}

static bool given(const char *piece)
{
  return piece && *piece;
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
  t->family = TPO_TEMPLATE_CONFIGURED;
  if (*t->pieces.default_system) t->default_system = t->pieces.default_system;
  return TPO_OK;
}

int tpo_template_open(struct tpo_template **out, const struct tpo_tokenizer *tok,
                      const struct tpo_template_config *pieces, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_template *t = tpo_calloc(1, sizeof *t, err);
  if (!t) return TPO_E_MEMORY;
  t->tok = tok;
  t->bos = name_of(tok, tok->bos);
  t->eos = name_of(tok, tok->eos);
  int status = TPO_OK;
  if (any_given(pieces))
    status = from_pieces(t, pieces, err);
  else if (pieces && pieces->dispensable && !tok->chat_template)
    t->family = TPO_TEMPLATE_NONE;
  else
    status = from_model(t, tok, pieces != NULL, err);
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
  tpo_arena_free(&tmpl->arena);
  free(tmpl);
}

const char *tpo_template_name(const struct tpo_template *tmpl)
{
  static const char *const names[] = {"chatml", "llama2",  "llama3",     "qwen3",
                                      "gemma",  "mistral", "configured", "none"};
  return names[tmpl->family];
}

static int add_once(struct tpo_ids *list, int32_t id, struct tpo_error *err)
{
  if (id < 0) return TPO_OK;
  for (size_t i = 0; i < list->n; i++)
    if (list->ids[i] == id) return TPO_OK;
  return tpo_ids_append(list, &id, 1, err);
}

/* The token that ends the assistant's turn; -1: EOS does, or text that is no token. */
static int32_t end_of_turn(const struct tpo_template *t)
{
  if (t->family == TPO_TEMPLATE_CHATML || t->family == TPO_TEMPLATE_QWEN3)
    return tpo_tokenizer_find(t->tok, "<|im_end|>");
  if (t->family == TPO_TEMPLATE_GEMMA) return tpo_tokenizer_find(t->tok, "<end_of_turn>");
  if (t->family == TPO_TEMPLATE_LLAMA3) return tpo_tokenizer_find(t->tok, "<|eot_id|>");
  struct tpo_added_match match;
  const char *suffix = t->family == TPO_TEMPLATE_CONFIGURED ? t->pieces.assistant_suffix : "";
  return tpo_added_next(&t->tok->specials, suffix, strlen(suffix), 0, true, &match) ? match.token->id : -1;
}

int tpo_tokenizer_end_ids(const struct tpo_tokenizer *tok, const struct tpo_template *tmpl,
                          struct tpo_ids *out, struct tpo_error *err)
{
  int status = TPO_OK;
  for (size_t i = 0; i < tok->ends.n && status == TPO_OK; i++) status = add_once(out, tok->ends.ids[i], err);
  if (status == TPO_OK) status = add_once(out, tok->eos, err);
  if (status == TPO_OK && tmpl) status = add_once(out, end_of_turn(tmpl), err);
  return status;
}
