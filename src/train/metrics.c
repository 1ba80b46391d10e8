/* The learning rate's course, and a step's metrics as a line of JSON. */
#include <math.h>

#include "base/buf.h"
#include "base/json.h"
#include "tpo/train.h"

/* The first step already moves: warm-up goes from 1/W to 1 in W steps. */
double tpo_train_lr(const struct tpo_train_config *config, int64_t step, int64_t n_steps)
{
  double warm = ceil(config->warmup * (double)n_steps);
  if ((double)step < warm) return config->learning_rate * (double)(step + 1) / warm;
  double rest = (double)n_steps - warm;
  double done = rest > 0 ? ((double)step - warm) / rest : 0;
  if (done > 1) done = 1;
  switch (config->schedule) {
  case TPO_SCHEDULE_LINEAR: return config->learning_rate * (1 - done);
  case TPO_SCHEDULE_COSINE: return config->learning_rate * 0.5 * (1 + cos(M_PI * done));
  case TPO_SCHEDULE_CONSTANT: break;
  }
  return config->learning_rate;
}

int tpo_train_metrics_print(const struct tpo_train_metrics *m, struct tpo_buf *line)
{
  const struct {
    const char *name;
    double value;
  } fields[] = {
      {"epoch", m->epoch},
      {"lr", m->lr},
      {"loss", m->loss},
      {"accuracy", m->accuracy},
      {"margin", m->margin},
      {"chosen_logprob", m->chosen_logprob},
      {"rejected_logprob", m->rejected_logprob},
      {"grad_norm", m->grad_norm},
  };
  tpo_buf_printf(line, "{\"step\":%lld", (long long)m->step);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    tpo_buf_printf(line, ",\"%s\":", fields[i].name);
    tpo_json_append_double(line, fields[i].value);
  }
  tpo_buf_printf(line, ",\"tokens\":%lld,\"seconds\":", (long long)m->tokens);
  tpo_json_append_double(line, m->seconds);
  tpo_buf_putc(line, '}');
  return line->failed ? TPO_E_MEMORY : 0;
}
