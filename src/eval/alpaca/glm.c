/* L1-penalised logistic regression by proximal Newton, in double precision. */
#include "eval/alpaca/glm.h"

#include <math.h>
#include <string.h>

#define EVERY(j) for (int j = 0; j < GLM_FEATURES; j++)

/* The objective's smooth part around b, and its value with the penalty. */
struct model {
  double gradient[GLM_FEATURES], hessian[GLM_FEATURES][GLM_FEATURES];
  double value;
};

double glm_sigmoid(double z)
{
  return z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}

static double dot(const double *a, const double *b)
{
  double sum = 0;
  EVERY(j) sum += a[j] * b[j];
  return sum;
}

static double size_of(const double *b)
{
  double sum = 0;
  EVERY(j) sum += fabs(b[j]);
  return sum;
}

/* log(1 + exp(z)) - y z without overflow. */
static double loss_at(double z, double y)
{
  return log1p(exp(-fabs(z))) + (z > 0 ? z : 0) - y * z;
}

static double objective(const struct glm_row *rows, size_t n, double c, const double *b)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += rows[i].weight * loss_at(dot(rows[i].x, b), rows[i].y);
  return size_of(b) + c * sum;
}

static void expand(const struct glm_row *rows, size_t n, double c, const double *b, struct model *out)
{
  memset(out, 0, sizeof *out);
  for (size_t i = 0; i < n; i++) {
    const double *x = rows[i].x;
    double p = glm_sigmoid(dot(x, b)), weight = c * rows[i].weight;
    EVERY(j)
    {
      out->gradient[j] += weight * (p - rows[i].y) * x[j];
      EVERY(k) out->hessian[j][k] += weight * p * (1 - p) * x[j] * x[k];
    }
  }
  out->value = objective(rows, n, c, b);
}

static double shrink(double x, double by)
{
  return x > by ? x - by : x < -by ? x + by : 0;
}

/* Step d that minimises gradient . d + d' hessian d / 2 + |b + d|, one coordinate after the other. */
static void propose(const struct model *m, const double *b, double *d)
{
  double largest = 1;
  memset(d, 0, GLM_FEATURES * sizeof *d);
  for (int sweep = 0; sweep < 10000 && largest > 1e-15; sweep++) {
    largest = 0;
    EVERY(j)
    {
      /* A curvature of 0, where every probability is 0 or 1 or a feature is 0 everywhere, would divide by 0. */
      double curvature = fmax(m->hessian[j][j], 1e-300);
      double slope = m->gradient[j] + dot(m->hessian[j], d), at = b[j] + d[j];
      double next = shrink(at - slope / curvature, 1 / curvature);
      if (!isfinite(next)) next = at;
      largest = fmax(largest, fabs(next - at) / fmax(1, fabs(next)));
      d[j] = next - b[j];
    }
  }
}

/* Moves b along d, as far as the objective falls; returns the largest change, relative to the coefficient or 1. */
static double move(const struct glm_row *rows, size_t n, double c, const struct model *m, const double *d,
                   double *b)
{
  double to[GLM_FEATURES], t = 1, moved = 0;
  EVERY(j) to[j] = b[j] + d[j];
  double fall = dot(m->gradient, d) + size_of(to) - size_of(b);
  double noise = 1e-14 * fabs(m->value);
  for (int i = 0; i < 60; i++, t /= 2) {
    EVERY(j) to[j] = b[j] + t * d[j];
    if (objective(rows, n, c, to) <= m->value + 1e-4 * t * fall + noise) break;
  }
  EVERY(j)
  {
    moved = fmax(moved, fabs(to[j] - b[j]) / fmax(1, fabs(to[j])));
    b[j] = to[j];
  }
  return moved;
}

void glm_fit(const struct glm_row *rows, size_t n, double c, struct glm_fit *out)
{
  *out = (struct glm_fit){0};
  while (out->steps < GLM_STEPS && !out->converged) {
    struct model m;
    double d[GLM_FEATURES];
    expand(rows, n, c, out->b, &m);
    propose(&m, out->b, d);
    out->last_step = move(rows, n, c, &m, d, out->b);
    out->steps++;
    out->converged = out->last_step <= 1e-11;
  }
}

double glm_log_loss(const struct glm_row *rows, size_t n, const double b[GLM_FEATURES])
{
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    double p = fmin(fmax(glm_sigmoid(dot(rows[i].x, b)), 1e-15), 1 - 1e-15);
    sum -= rows[i].weight * (rows[i].y * log(p) + (1 - rows[i].y) * log1p(-p));
  }
  return sum / (double)n;
}
