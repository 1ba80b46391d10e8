/* JSON as a template's values, with origins. */
#ifndef TPO_TEXT_JINJA_INPUT_H
#define TPO_TEXT_JINJA_INPUT_H

#include "text/jinja/jinja.h"

int jinja_input(struct jinja_run *run, const struct tpo_jinja_input *input, struct jinja_value *out);

#endif
