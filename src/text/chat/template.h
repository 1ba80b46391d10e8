/* Inside of a chat template. */
#ifndef TPO_TEXT_CHAT_TEMPLATE_H
#define TPO_TEXT_CHAT_TEMPLATE_H

#include "base/buf.h"
#include "base/memory.h"
#include "tpo/text.h"

enum tpo_template_family {
  TPO_TEMPLATE_CHATML,
  TPO_TEMPLATE_LLAMA2,
  TPO_TEMPLATE_LLAMA3,
  TPO_TEMPLATE_QWEN3,
  TPO_TEMPLATE_GEMMA,
  TPO_TEMPLATE_MISTRAL,
  TPO_TEMPLATE_CONFIGURED,
  TPO_TEMPLATE_NONE /* contents alone */
};

struct tpo_template {
  enum tpo_template_family family;
  const struct tpo_tokenizer *tok; /* borrowed */
  struct tpo_arena arena;          /* owns the strings */
  const char *bos, *eos;           /* the tokens' names, "" for none */
  const char *default_system;      /* ChatML, configured: when a chat has no system message; NULL: none */
  const char *knowledge, *date;    /* Llama 3.1: the lines of its header; NULL: an older one without */
  bool always_prompt; /* the template ends with a generation prompt even when none is asked for */
  bool no_system;     /* the template refuses system messages */
  struct tpo_template_config pieces;
};

/* Rendered text of which it is known which stretches are the template's own. */
struct tpo_span {
  size_t begin, end;
};
struct tpo_rendered {
  struct tpo_buf text;
  struct tpo_span *own; /* in order, apart */
  size_t n, capacity;
  bool failed;
};
#define tpo_rendered_free tpo_spans_free /* the interpreter's (jinja.h) has this name until it renders chats too */
void tpo_rendered_free(struct tpo_rendered *r);
int tpo_template_render_spans(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                              struct tpo_rendered *out, struct tpo_error *err);
/* What the assistant's turn is begun with, after the generation prompt. */
void tpo_template_begin_answer(const struct tpo_template *tmpl, const char *prefill,
                               struct tpo_rendered *out);
int tpo_template_encode_spans(const struct tpo_template *tmpl, const struct tpo_rendered *r,
                              struct tpo_ids *out, struct tpo_error *err);

/* Makes t that of a known template, by the hash of its canonical form. False: none has it. */
bool tpo_template_known(struct tpo_template *t, uint64_t hash);

/* "chatml", "llama2", "llama3", "qwen3", "gemma", "mistral", "configured", "none" */
const char *tpo_template_name(const struct tpo_template *tmpl);

#endif
