/* The chats that a template is probed with. */
#ifndef TPO_TEXT_CHAT_PROBE_H
#define TPO_TEXT_CHAT_PROBE_H

#include "text/chat/template.h"
#include "text/tokenizer.h"

/* A system message, the user's, an answer and the user's next. */
enum { PROBE_SYSTEM, PROBE_USER, PROBE_ANSWER, PROBE_NEXT, N_PROBE };

/* Renders the messages from `first` through `last`, with a generation prompt behind one of the user. False: the
 * template refuses it; a failure for lack of memory is told in *status. */
bool probe_render(const struct tpo_template *tmpl, size_t first, size_t last, struct tpo_rendered *out,
                  int *status, struct tpo_error *err);
const char *probe_content(size_t i);
/* Where a message's content first begins and last ends in what was rendered from `first` on; false: nowhere. */
bool probe_find(const struct tpo_rendered *r, size_t first, size_t i, struct tpo_span *out);

bool probe_is_blank(const struct tpo_token *token);
/* The control token that ends the answer, from `from` up to `to`, into end_of_turn and ending. */
int probe_find_end(struct tpo_template *tmpl, const struct tpo_rendered *r, size_t from, size_t to,
                   struct tpo_error *err);

/* Sets parts. */
int probe_parts(struct tpo_template *tmpl, struct tpo_error *err);
/* Finds the end that a template writes only where another turn follows. */
int probe_turns(struct tpo_template *tmpl, struct tpo_error *err);

#endif
