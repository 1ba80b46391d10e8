/* `thought: auto`: a layout that is settled on when the model's chat template is known. */
#ifndef TPO_CONFIG_LAYOUTS_H
#define TPO_CONFIG_LAYOUTS_H

#include "config/keys.h"

#define LAYOUT_AUTO "auto"

/* The built-in layout whose keys stand for `name` until it is settled: generic's for auto, else its own. */
const char *layout_standing_for(const char *name);
/* Whether a key of the section `thought` has its value from a layout that is still open, so that it is no setting. */
bool layout_leaves_open(const struct tpo_config *config, int key);
/* What is wrong with thought.template_args; NULL: nothing. */
const char *layout_args_problem(const char *args);

#endif
