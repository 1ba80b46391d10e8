/* Inside of a chat template. */
#ifndef TPO_TEXT_CHAT_TEMPLATE_H
#define TPO_TEXT_CHAT_TEMPLATE_H

#include <jansson.h>
#include "base/buf.h"
#include "base/memory.h"
#include "text/jinja/jinja.h"
#include "tpo/text.h"

/* Text that is there and not empty. */
static inline bool given(const char *text)
{
  return text && *text;
}

struct tpo_span {
  size_t begin, end;
};

enum tpo_template_kind {
  TPO_TEMPLATE_MODEL,      /* the model's own, run by the interpreter */
  TPO_TEMPLATE_CONFIGURED, /* pieces */
  TPO_TEMPLATE_NONE        /* contents alone */
};

struct tpo_template {
  enum tpo_template_kind kind;
  const struct tpo_tokenizer *tok; /* borrowed */
  struct tpo_arena arena;          /* owns the strings */
  struct tpo_jinja *jinja;         /* of the model; NULL: none */
  struct tpo_jinja *tool_jinja;    /* where tools are given; NULL: the same */
  const char *date;                /* "YYYY-MM-DD" */
  bool parts; /* contents are handed over as lists of parts: the template shows none that is a string */
  int32_t end_of_turn; /* the token that ends the assistant's turn; -1: EOS does, or text that is no token */
  const char *ending;  /* what comes behind an answer, through that token; NULL: none was found */
  const char *gap;     /* white space that comes between the generation prompt and an answer that is there */
  struct tpo_template_config pieces;
};

int tpo_template_render_spans(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                              struct tpo_rendered *out, struct tpo_error *err);
/* The same of a prompt that a model is to answer: refused where nothing is shown of the user's message that it ends
 * with. */
int tpo_template_render_prompt(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                               struct tpo_rendered *out, struct tpo_error *err);
/* What the assistant's turn is begun with, after the generation prompt: a layout's prefill, whose names of control
 * tokens are those tokens, and before it the template's own gap. */
int tpo_template_begin_answer(const struct tpo_template *tmpl, const char *prefill, struct tpo_rendered *out,
                              struct tpo_error *err);
int tpo_template_encode_spans(const struct tpo_template *tmpl, const struct tpo_rendered *r,
                              struct tpo_ids *out, struct tpo_error *err);
/* The same of the text from that byte on, which goes on from ids that are there. */
int tpo_template_encode_from(const struct tpo_template *tmpl, const struct tpo_rendered *r, size_t from,
                             struct tpo_ids *out, struct tpo_error *err);

/* Appends text to what is rendered; name: its origin's. */
int tpo_rendered_add(struct tpo_rendered *r, const char *text, size_t len, const char *name, bool own,
                     struct tpo_error *err);
/* Where the text ends that came from the origin of that name; false: none did. */
bool tpo_rendered_end_of(const struct tpo_rendered *r, const char *name, size_t *end);
/* The next stretch of own text, whatever lines of the template it came from, at or after run *i, which moves
 * behind it. */
bool tpo_rendered_next_own(const struct tpo_rendered *r, size_t *i, size_t *begin, size_t *end);
/* Where the own text begins with which what is rendered ends. */
size_t tpo_rendered_own_tail(const struct tpo_rendered *r);
void tpo_rendered_cut(struct tpo_rendered *r, size_t end);

/* Fills parts, end_of_turn, ending and gap by rendering chats. TPO_E_MEMORY is all that can go wrong. */
int tpo_template_probe(struct tpo_template *tmpl, struct tpo_error *err);

/* What a chat gives to a template, as transformers hands it over. */
struct tpo_chat_inputs {
  json_t *messages;              /* an array of objects; borrowed from root */
  json_t *root;                  /* owns all values */
  struct tpo_jinja_input *items; /* [n]; messages among them */
  size_t n;
};
/* parts: contents that are strings become lists of one part, as servers hand them to templates that read lists. */
int tpo_chat_inputs_make(struct tpo_chat_inputs *out, const struct tpo_tokenizer *tok,
                         const struct tpo_chat *chat, bool parts, struct tpo_error *err);
void tpo_chat_inputs_free(struct tpo_chat_inputs *inputs);

#endif
