/* A model's own chat template, run as Python's jinja2 with transformers' settings runs it. It reaches
 * nothing but its inputs, and is bounded in steps, depth, memory and output. */
#ifndef TPO_TEXT_JINJA_JINJA_H
#define TPO_TEXT_JINJA_JINJA_H

#include <jansson.h>
#include "text/jinja/value/origin.h"
#include "text/jinja/value/value.h"

struct tpo_jinja;

int tpo_jinja_open(struct tpo_jinja **out, const char *source, size_t len, const char *place,
                   struct tpo_error *err);
void tpo_jinja_close(struct tpo_jinja *jinja);

/* A variable. own: its strings are the template's or tokenizer's own and may become control tokens
 * (bos_token). "messages" gets an origin for each member of each message; a role of the usual names
 * (system, developer, user, assistant, tool, ...) is own, others are text. */
struct tpo_jinja_input {
  const char *name;
  const json_t *value;
  bool own;
};

/* What was printed, in stretches of one origin each that follow each other without a gap. */
struct tpo_run {
  size_t begin, end;
  tpo_origin origin;
};
struct tpo_rendered {
  struct tpo_buf text;
  struct tpo_run *runs;
  size_t n, capacity;
  struct tpo_origins origins;
};
void tpo_rendered_free(struct tpo_rendered *r);

/* date: "YYYY-MM-DD", strftime_now's. limits: NULL for the default ones, with more
 * for each value and byte of the inputs. raise_exception's text is the
 * message (behind place), with TPO_E_INPUT. out is empty before, and to be freed after a failure too. */
int tpo_jinja_render(const struct tpo_jinja *jinja, const struct tpo_jinja_input *inputs, size_t n,
                     const char *date, const struct jinja_limits *limits, struct tpo_rendered *out,
                     struct tpo_error *err);

#endif
