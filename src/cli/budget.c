/* What a file says of the budget that its outputs were sampled with. */
#include "cli/budget.h"

#include <string.h>

#include "tpo/config.h"

int recorded_max_tokens(const char *config_yaml)
{
  struct tpo_config config;
  struct tpo_error err = {0};
  int max_tokens = 0;
  if (!config_yaml || !*config_yaml) return 0;
  tpo_config_default(&config);
  if (tpo_config_load_text(&config, config_yaml, strlen(config_yaml), "config", NULL, &err) == 0)
    max_tokens = config.sampling.max_tokens;
  tpo_config_free(&config);
  return max_tokens;
}

static bool is_long(const struct tpo_arch *arch, const struct tpo_pair_row *row, int max_tokens)
{
  int output = row->n_chosen > row->n_rejected ? row->n_chosen : row->n_rejected;
  return tpo_arch_longest(arch, row->n_prompt, max_tokens, (int64_t)row->n_prompt + output) >
         arch->rope.original_context;
}

void warn_of_max_tokens(const struct tpo_pairs *pairs, const char *path, const struct tpo_arch *arch,
                        int max_tokens)
{
  int sampled = arch->rope.kind == TPO_ROPE_LONGROPE ? recorded_max_tokens(pairs->config) : 0;
  size_t n = 0;
  if (sampled == 0 || sampled == max_tokens) return;
  for (size_t i = 0; i < pairs->n; i++)
    n += is_long(arch, &pairs->rows[i], sampled) != is_long(arch, &pairs->rows[i], max_tokens);
  if (n == 0) return;
  tpo_log(
      TPO_LOG_WARN,
      "%s: sampled with sampling.max_tokens %d, and it is %d here: for %zu of %zu pairs longrope's factors "
      "are not the sampler's; give the sampler's sampling.max_tokens",
      path, sampled, max_tokens, n, pairs->n);
}
