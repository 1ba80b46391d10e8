/* longrope rotates a sequence by what it could have come to in sampling. Pairs of this program's own files bring
 * that along; lines of text don't. */
#include "cli/pair_tokens.h"

/* Any number could be meant, up to the whole context. */
static void tell_unknown(const struct tpo_pairs *pairs, const struct tpo_arch *arch, const char *path,
                         int taken)
{
  size_t n = tpo_train_rotated_otherwise(pairs, arch, arch->context);
  if (n == 0) return;
  tpo_log(TPO_LOG_WARN,
          "%s doesn't tell how many tokens its outputs could have had when they were sampled, by which "
          "longrope's factors are chosen, for %zu of its %zu pairs: %d is taken; --max-tokens N says another",
          path, n, pairs->n, taken);
}

static void tell_other(const struct tpo_pairs *pairs, const struct tpo_arch *arch, const char *path,
                       int given)
{
  size_t n = tpo_train_rotated_otherwise(pairs, arch, given);
  if (n == 0) return;
  tpo_log(TPO_LOG_WARN,
          "%s: its outputs were sampled with up to %d tokens, by which longrope's factors are chosen; "
          "sampling.max_tokens (%d) would choose others for %zu of %zu pairs, and is not gone by",
          path, pairs->output_tokens, given, n, pairs->n);
}

void settle_output_tokens(const struct invocation *in, struct tpo_pairs *pairs, const struct tpo_arch *arch,
                          const char *path, bool tells)
{
  int given = in->config.sampling.max_tokens;
  bool is_given = option_is_key_set(in, "sampling.max_tokens");
  if (pairs->output_tokens > 0) {
    if (tells && is_given) tell_other(pairs, arch, path, given);
    return;
  }
  if (tells && !is_given) tell_unknown(pairs, arch, path, given);
  pairs->output_tokens = given;
}
