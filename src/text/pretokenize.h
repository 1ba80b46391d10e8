/* Pre-tokenization: a text is cut into the pieces that byte-pair encoding may not cross. */
#ifndef TPO_TEXT_PRETOKENIZE_H
#define TPO_TEXT_PRETOKENIZE_H

#include "base/buf.h"
#include "text/regex.h"
#include "tpo/base.h"

#define TPO_META "\xe2\x96\x81" /* U+2581, SentencePiece's visible space */

enum tpo_split_behavior {
  TPO_SPLIT_REMOVED,
  TPO_SPLIT_ISOLATED,
  TPO_SPLIT_PREVIOUS,
  TPO_SPLIT_NEXT,
  TPO_SPLIT_CONTIGUOUS
};
enum tpo_prepend { TPO_PREPEND_NEVER, TPO_PREPEND_ALWAYS, TPO_PREPEND_FIRST };

struct tpo_split {
  struct tpo_regex regex;
  char *pattern; /* what regex was made of; owned */
  enum tpo_split_behavior behavior;
  bool invert;
  bool glyphs; /* looks at ByteLevel's alphabet, not at the text */
};

struct tpo_pretokenizer {
  bool metaspace;           /* spaces become U+2581 */
  enum tpo_prepend prepend; /* metaspace: where one is put before a text that does not begin with one */
  bool prefix_space;        /* ByteLevel's add_prefix_space */
  bool glyphs;              /* splits added from here on stand after ByteLevel */
  struct tpo_split *splits; /* those that look at glyphs last */
  size_t n_splits, capacity;
};

struct tpo_piece {
  size_t begin, end; /* bytes of the text */
};
struct tpo_pieces {
  struct tpo_piece *items;
  size_t n, capacity;
};

/* pattern: a regular expression. */
int tpo_pretokenizer_add(struct tpo_pretokenizer *pre, const char *pattern, size_t len,
                         enum tpo_split_behavior behavior, bool invert, const char *place,
                         struct tpo_error *err);
/* The same for tpo_regex_compile_own; `pattern` is what an ordinary expression says nearest to it. */
int tpo_pretokenizer_add_own(struct tpo_pretokenizer *pre, const char *own, const char *pattern,
                             enum tpo_split_behavior behavior, const char *place, struct tpo_error *err);
void tpo_pretokenizer_free(struct tpo_pretokenizer *pre);
/* The splits of GPT-2's ByteLevel. */
extern const char tpo_gpt2_pattern[];

/* Memory that is reused from text to text. Zero-initialise. */
struct tpo_pre_scratch {
  struct tpo_regex_scratch regex;
  struct tpo_pieces pieces, parts, next;
  struct tpo_buf text, glyphs;
};
void tpo_pre_scratch_free(struct tpo_pre_scratch *scratch);

/* Cuts text (valid UTF-8): scratch->pieces are places in *out, which is text or, when it had to
 * be changed, scratch->text. at_start: the text begins the whole input; begins: it begins a
 * stretch between added tokens. */
int tpo_pretokenize(const struct tpo_pretokenizer *pre, const char *text, size_t len, bool at_start,
                    bool begins, struct tpo_pre_scratch *scratch, const char **out, struct tpo_error *err);

#endif
