/* The canonical form of a Jinja chat template: what two templates that differ only in spelling have in
 * common.
 *
 * These make no difference: comments, white space within tags, whitespace control, quotes, `a.b` or `a['b']`,
 * `.strip()` or `|trim`, `loop.first` or `loop.index0 == 0`, how constant text is divided among tags, and
 * what raise_exception says. Three constants that vendors change (a default system message, a knowledge
 * cut-off, a date) are taken out and given separately. */
#ifndef TPO_TEXT_CHAT_CANON_H
#define TPO_TEXT_CHAT_CANON_H

#include "base/buf.h"
#include "tpo/base.h"

struct tpo_canon {
  struct tpo_buf text;
  struct tpo_buf system;    /* of ChatML: the default system message */
  struct tpo_buf knowledge; /* of Llama 3.1: what follows "Cutting Knowledge Date: " */
  struct tpo_buf date;      /* of Llama 3.1: "26 Jul 2024" */
  bool has_system;
};

/* template: UTF-8. Fails only on a template whose tags can't be read. */
int tpo_canon_make(struct tpo_canon *canon, const char *template, struct tpo_error *err);
void tpo_canon_free(struct tpo_canon *canon);

#endif
