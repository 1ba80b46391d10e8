/* The material that composed instructions are made of, and the rules by which its parts go together. */
#ifndef TPO_DATA_SYNTH_H
#define TPO_DATA_SYNTH_H

#include <jansson.h>
#include "base/buf.h"
#include "base/philox.h"
#include "tpo/data.h"

/* What a topic is, so that a task form is only filled with topics that make sense in it. */
enum synth_kind { SYNTH_ACTIVITY = 1, SYNTH_PLACE = 2, SYNTH_THING = 4, SYNTH_IDEA = 8, SYNTH_ANY = 15 };
const char *synth_kind_name(enum synth_kind kind);

struct synth_topic {
  const char *text; /* fits after "about" and "of" */
  enum synth_kind kind;
};
extern const struct synth_topic synth_topics[];
extern const size_t synth_n_topics;
/* Fixed, whatever the seed: a topic is for training or for validation, never for both. */
enum tpo_compose_split synth_topic_split(size_t topic);

struct synth_form {
  const char *text; /* one "%s": the topic */
  int kinds;        /* mask of enum synth_kind */
  bool question;    /* can be answered by yes, no or maybe */
};
extern const struct synth_form synth_forms[];
extern const size_t synth_n_forms;

/* A slot is one constraint with its arguments or phrasing pinned; any two slots give different sentences. */
extern const size_t synth_n_slots;
bool synth_slot_fits_form(size_t slot, const struct synth_form *form);
/* Only some slots may stand beside others; a slot that copies the request must be an instruction's first. */
bool synth_slot_can_be_extra(size_t slot);
/* At least so many words, sentences, sections, keywords and the like. */
bool synth_slot_asks_for_substance(size_t slot);

enum { SYNTH_MAX_CONSTRAINTS = 3 };
/* The constraints chosen so far for one instruction. */
struct synth_choice {
  int n;
  struct synth_constraint {
    int type; /* index into the table of types */
    char sentence[320];
    json_t *check; /* owned; NULL until made */
    bool at_end;   /* the sentence must stand last, in a line of its own */
  } items[SYNTH_MAX_CONSTRAINTS];
};
/* Adds the slot's constraint, random parts drawn from rng, unless it could not be met together with those
 * chosen already. Returns 1 added, 0 not compatible, negative on error. */
int synth_choice_add(struct synth_choice *choice, size_t slot, struct tpo_rng *rng, struct tpo_error *err);
void synth_choice_free(struct synth_choice *choice);

#endif
