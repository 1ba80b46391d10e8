/* Admits texts, finds their gate tokens, and the beginnings that neighbours share. */
#include "model/reward/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Llama 3's "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n": where the assistant's turn
 * begins. */
static const int32_t gate_pattern[] = {128009, 128006, 78191, 128007, 271};
enum { PATTERN = sizeof gate_pattern / sizeof *gate_pattern };

/* The first token of the pattern's last occurrence; -1: none. */
static int find_gate(const int32_t *ids, int n)
{
  for (int at = n - PATTERN; at >= 0; at--)
    if (memcmp(ids + at, gate_pattern, sizeof gate_pattern) == 0) return at;
  return -1;
}

static int first_outside(const struct tpo_reward_text *text, int vocab)
{
  int at = 0, n = (int)text->n;
  while (at < n && text->ids[at] >= 0 && text->ids[at] < vocab) at++;
  return at;
}

/* Fills `out`; false, with the reason in `why`, where the text can't be scored. */
static bool admit(const struct tpo_reward *reward, const struct tpo_reward_text *text,
                  struct reward_text *out, char why[200])
{
  const struct tpo_arch *arch = &reward->model->arch;
  const struct reward_settings *settings = &reward->head.settings;
  if (text->n == 0) {
    snprintf(why, 200, "the text has no token");
    return false;
  }
  if (text->n > (size_t)arch->context) {
    snprintf(why, 200, "the text has %zu tokens, more than the reward model's context of %d", text->n,
             arch->context);
    return false;
  }
  int n = (int)text->n, outside = first_outside(text, arch->vocab_size);
  if (outside < n) {
    snprintf(why, 200, "token id %d at %d is outside the reward model's vocabulary of %d", text->ids[outside],
             outside, arch->vocab_size);
    return false;
  }
  out->ids = text->ids;
  out->gate = settings->kind == REWARD_GATED ? find_gate(text->ids, n) : -1;
  if (settings->kind == REWARD_GATED && out->gate < 0) {
    snprintf(
        why, 200,
        "the beginning of an assistant's turn, tokens %d %d %d %d %d, which the gate needs, was not found",
        gate_pattern[0], gate_pattern[1], gate_pattern[2], gate_pattern[3], gate_pattern[4]);
    return false;
  }
  while (n > 0 && text->ids[n - 1] == settings->pad) n--;
  out->n = n;
  if (n == 0) snprintf(why, 200, "the text is nothing but padding");
  return n > 0;
}

static int common_prefix(const struct reward_text *a, const struct reward_text *b, int most)
{
  int n = a->n < most ? a->n : most, i = 0;
  while (i < n && a->ids[i] == b->ids[i]) i++;
  return i;
}

/* Whether both are rotated by the same factors, which their lengths may choose. */
static bool rotate_alike(const struct tpo_arch *arch, const struct reward_text *a,
                         const struct reward_text *b)
{
  return tpo_rope_is_long(arch, a->n) == tpo_rope_is_long(arch, b->n);
}

/* What text i and the one before it begin with alike is computed once, and so is their gate. Where their
 * gates stand at different places, the text's own is computed with it. */
static void share(struct reward_plan *plan, const struct tpo_arch *arch, size_t i, bool apart)
{
  struct reward_text *text = &plan->texts[i];
  text->owner = i;
  text->shared = 0;
  if (i == 0 || apart) return;
  const struct reward_text *before = &plan->texts[i - 1];
  if (!rotate_alike(arch, before, text)) return;
  int common = common_prefix(before, text, text->n - 1);
  if (text->gate >= 0 && text->gate < common) {
    if (text->gate == before->gate)
      text->owner = before->owner;
    else
      common = text->gate;
  }
  text->shared = common / REWARD_BLOCK * REWARD_BLOCK;
}

int reward_plan_make(struct reward_plan *plan, const struct tpo_reward *reward,
                     const struct tpo_reward_text *texts, size_t n, struct tpo_reward_result *results,
                     struct tpo_error *err)
{
  *plan = (struct reward_plan){0};
  plan->texts = tpo_calloc(n, sizeof *plan->texts, err);
  if (!plan->texts) return TPO_E_MEMORY;
  bool apart = false; /* from the texts before, also where some in between can't be scored */
  for (size_t i = 0; i < n; i++) {
    struct reward_text *text = &plan->texts[plan->n_texts];
    text->index = i;
    apart = apart || texts[i].apart;
    if (!admit(reward, &texts[i], text, results[i].why)) continue;
    if (text->n > plan->longest) plan->longest = text->n;
    share(plan, &reward->model->arch, plan->n_texts++, apart);
    apart = false;
  }
  return 0;
}

void reward_plan_free(struct reward_plan *plan)
{
  free(plan->texts);
  *plan = (struct reward_plan){0};
}
