/* The endless-looking, in truth finite and duplicate-free, sequence of composed instructions.
 *
 * Every triple (topic, form, slot) that makes sense is one instruction: the slot gives its first constraint.
 * A keyed permutation of the triples gives the order, so that item i is known without the items before it and
 * no two are equal. Whatever else an item needs is drawn from its own random stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "data/synth.h"

struct triples {
  struct pair {
    uint16_t topic, form;
    uint32_t end; /* triples of this pair and of those before it */
  } * pairs;
  size_t n_pairs, capacity;
  uint32_t n;
};

static int list_triples(struct triples *all, enum tpo_compose_split split, struct tpo_error *err)
{
  uint32_t n_slots[2] = {0, 0}; /* for forms that are no question, and for questions */
  for (size_t slot = 0; slot < synth_n_slots; slot++)
    for (int question = 0; question < 2; question++) {
      struct synth_form form = {.question = question};
      n_slots[question] += synth_slot_fits_form(slot, &form);
    }
  for (size_t topic = 0; topic < synth_n_topics; topic++) {
    if (synth_topic_split(topic) != split) continue;
    for (size_t form = 0; form < synth_n_forms; form++) {
      if (!(synth_forms[form].kinds & (int)synth_topics[topic].kind)) continue;
      if (tpo_grow(&all->pairs, &all->capacity, all->n_pairs + 1, sizeof *all->pairs, err) < 0)
        return TPO_E_MEMORY;
      all->n += n_slots[synth_forms[form].question];
      all->pairs[all->n_pairs++] = (struct pair){(uint16_t)topic, (uint16_t)form, all->n};
    }
  }
  return 0;
}

/* Pseudo-random permutation of [0, n): a Feistel network over the next even power of two, walked until it
 * falls inside. Only the seed and the split key it. */
static uint32_t permute(uint32_t i, uint32_t n, uint64_t seed, uint32_t split)
{
  int half = 1;
  while (half < 16 && (UINT64_C(1) << (2 * half)) < n) half++;
  uint32_t mask = (UINT32_C(1) << half) - 1, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  do {
    uint32_t left = i >> half, right = i & mask;
    for (uint32_t round = 0; round < 6; round++) {
      uint32_t counter[4] = {right, round, 0x50455231u + split, TPO_STREAM_SYNTH}, word[4];
      tpo_philox4x32(counter, key, word);
      uint32_t next = left ^ (word[0] & mask);
      left = right;
      right = next;
    }
    i = left << half | right;
  } while (i >= n);
  return i;
}

static void write_task(struct tpo_buf *text, const char *form, const char *topic)
{
  const char *blank = strstr(form, "%s");
  tpo_buf_append(text, form, (size_t)(blank - form));
  tpo_buf_puts(text, topic);
  tpo_buf_puts(text, blank + 2);
}

/* Adds up to two constraints that can be met together with the first. Where that one asks for no substance,
 * the second does in two of three instructions, so that a response isn't best when it is short. */
static int add_extras(struct synth_choice *choice, size_t first, struct tpo_rng *rng, struct tpo_error *err)
{
  uint32_t draw = tpo_rng_below(rng, 20);
  int wanted = draw < 2 ? 1 : draw < 8 ? 2 : 3; /* 10 %, 30 %, 60 % */
  bool substance = !synth_slot_asks_for_substance(first) && tpo_rng_below(rng, 3) > 0;
  for (int tries = 0; tries < 48 && choice->n < wanted; tries++) {
    size_t slot = tpo_rng_below(rng, (uint32_t)synth_n_slots);
    if (!synth_slot_can_be_extra(slot)) continue;
    if (substance && choice->n == 1 && tries < 24 && !synth_slot_asks_for_substance(slot)) continue;
    int status = synth_choice_add(choice, slot, rng, err);
    if (status < 0) return status;
  }
  return 0;
}

/* Task, sentences of the constraints, and (after a blank line) the one that must stand last. A request to
 * copy the text learns here what there is to be copied. */
static int write_text(struct tpo_buf *text, const struct synth_choice *choice, const struct synth_form *form,
                      const struct synth_topic *topic, struct tpo_rng *rng)
{
  const char *joint = tpo_rng_below(rng, 4) == 0 ? "\n" : " ";
  write_task(text, form->text, topic->text);
  for (int i = 0; i < choice->n; i++) {
    if (choice->items[i].at_end) continue;
    tpo_buf_puts(text, joint);
    tpo_buf_puts(text, choice->items[i].sentence);
  }
  for (int i = 0; i < choice->n; i++) {
    if (!choice->items[i].at_end) continue;
    if (json_object_set_new(choice->items[i].check, "prompt_to_repeat", json_string(text->data)) < 0)
      return -1;
    tpo_buf_puts(text, "\n\n");
    tpo_buf_puts(text, choice->items[i].sentence);
  }
  return text->failed ? -1 : 0;
}

static char *write_meta(const struct synth_choice *choice, const struct synth_topic *topic)
{
  json_t *checks = json_array();
  for (int i = 0; i < choice->n; i++) json_array_append(checks, choice->items[i].check);
  json_t *meta = json_pack("{s:s, s:s, s:o}", "dataset", "synth", "category", synth_kind_name(topic->kind),
                           "checks", checks);
  char *text = tpo_json_dump(meta);
  json_decref(meta);
  return text;
}

static int compose(struct tpo_instructions *set, const struct triples *all, uint64_t seed,
                   enum tpo_compose_split split, uint32_t index, struct tpo_error *err)
{
  uint32_t triple = permute(index, all->n, seed, (uint32_t)split);
  size_t low = 0, high = all->n_pairs - 1; /* the first pair that ends after the triple */
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (all->pairs[middle].end > triple)
      high = middle;
    else
      low = middle + 1;
  }
  const struct synth_form *form = &synth_forms[all->pairs[low].form];
  const struct synth_topic *topic = &synth_topics[all->pairs[low].topic];
  uint32_t nth = triple - (low ? all->pairs[low - 1].end : 0);
  size_t slot = 0;
  for (;; slot++) /* the nth slot that fits */
    if (synth_slot_fits_form(slot, form) && nth-- == 0) break;

  struct tpo_rng rng;
  tpo_rng_init(&rng, seed, TPO_STREAM_SYNTH, index, (uint32_t)split);
  struct synth_choice choice = {0};
  struct tpo_buf text = {0};
  char id[40], *meta = NULL;
  int status = synth_choice_add(&choice, slot, &rng, err);
  if (status >= 0) status = add_extras(&choice, slot, &rng, err);
  if (status >= 0) {
    snprintf(id, sizeof id, "synth-%s-%06u", split == TPO_COMPOSE_TRAIN ? "train" : "validation", index);
    if (write_text(&text, &choice, form, topic, &rng) < 0 || !(meta = write_meta(&choice, topic)))
      status = tpo_fail(err, TPO_E_MEMORY, "out of memory while composing instruction %s", id);
  }
  if (status >= 0) {
    struct tpo_instruction item = {id, text.data, NULL, meta};
    status = tpo_instructions_add(set, &item, err);
  }
  free(meta);
  tpo_buf_free(&text);
  synth_choice_free(&choice);
  return status < 0 ? status : 0;
}

int tpo_compose_instructions(struct tpo_instructions *set, uint64_t seed, enum tpo_compose_split split,
                             size_t first, size_t n, struct tpo_error *err)
{
  struct triples all = {0};
  int status = list_triples(&all, split, err);
  if (status == 0 && (first > all.n || n > all.n - first))
    status = tpo_fail(err, TPO_E_USAGE,
                      "instructions %zu to %zu were asked for, but only %u distinct ones can be composed",
                      first + 1, first + n, all.n);
  for (size_t i = 0; i < n && status == 0; i++)
    status = compose(set, &all, seed, split, (uint32_t)(first + i), err);
  free(all.pairs);
  return status;
}
