/* `thought: auto`: a layout that is settled on when the model's chat template is known. */
#ifndef TPO_CONFIG_LAYOUTS_H
#define TPO_CONFIG_LAYOUTS_H

#include <jansson.h>
#include "config/keys.h"

#define LAYOUT_AUTO "auto"
/* The built-in layouts that think; `none` is one that doesn't. A test compares them with those compiled in. */
#define LAYOUTS_THINKING "generic, specific, think-tags, paper-generic, paper-specific, system"
/* What `thought: NAME` may be, for messages. */
#define CONFIG_LAYOUTS LAYOUTS_THINKING ", none, " LAYOUT_AUTO " or a layout's file"

/* The built-in layout whose keys stand for `name` until it is settled: generic's for auto, else its own. */
const char *layout_standing_for(const char *name);
/* Whether a key of the section `thought` has its value from a layout that is still open, so that it is no setting. */
bool layout_leaves_open(const struct tpo_config *config, int key);
/* The first of the chat's own variables that an object of variables sets, which it must not; NULL: none. */
const char *layout_args_taken(const json_t *variables);
/* Whether the layout's template_args are those of the built-in one of its name, so that nobody gave them. */
bool layout_args_are_built_in(const struct tpo_thought_config *thought);
/* Keys of `thought` that config was not given get own's values, and own gets theirs. */
void layout_fill_in(struct tpo_config *config, struct tpo_config *own);
/* What is wrong with thought.template_args; NULL: nothing. */
const char *layout_args_problem(const char *args);

#endif
