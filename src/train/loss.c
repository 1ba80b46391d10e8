/* Losses on the sums of log-probabilities of a chosen and a rejected output, and the learning rate's course.
 */
#include <math.h>
#include "base/buf.h"
#include "base/json.h"
#include "tpo/train.h"

/* log(1 + exp(x)) = -log sigmoid(-x), without overflow. */
static double softplus(double x)
{
  return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double sigmoid(double x)
{
  return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* h = (chosen - ref_chosen) - (rejected - ref_rejected).
 * DPO:  -(1 - s) log sigmoid(beta h) - s log sigmoid(-beta h), s the label smoothing.
 * IPO:  (h - 1 / (2 beta))^2.
 * NLL:  - nll * chosen / n_chosen, added to either. */
struct tpo_pair_loss tpo_preference_loss(const struct tpo_train_config *config, double chosen,
                                         double rejected, double ref_chosen, double ref_rejected,
                                         int n_chosen)
{
  double h = (chosen - ref_chosen) - (rejected - ref_rejected), beta = config->beta,
         s = config->label_smoothing;
  struct tpo_pair_loss out = {.margin = beta * h, .correct = h > 0};
  double by_h;
  if (config->loss == TPO_LOSS_IPO) {
    double off = h - 1 / (2 * beta);
    out.loss = off * off;
    by_h = 2 * off;
  } else {
    out.loss = s == 0 ? softplus(-beta * h) : (1 - s) * softplus(-beta * h) + s * softplus(beta * h);
    by_h = beta * (s * sigmoid(beta * h) - (1 - s) * sigmoid(-beta * h));
  }
  out.d_chosen = by_h;
  out.d_rejected = -by_h;
  if (config->nll != 0 && n_chosen > 0) {
    out.loss -= config->nll * chosen / n_chosen;
    out.d_chosen -= config->nll / n_chosen;
  }
  return out;
}

/* The first step already moves: warm-up goes from 1/W to 1 in W steps. */
double tpo_schedule_lr(const struct tpo_train_config *config, int64_t step, int64_t n_steps)
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
