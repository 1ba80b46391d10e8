/* Newton's method for the regularised logistic model. The objective is strictly concave, so a step that is
 * shortened until it climbs always ends at the one maximum. */
#include "judge/compare/elo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

enum { MAX_STEPS = 500, MAX_HALVINGS = 60 };

struct problem {
  const double *wins; /* [n, n] */
  int n;
  double prior;
  double enough;                           /* a gradient's norm that rounding alone explains */
  double allowed;                          /* the largest of a solution */
  double *theta, *trial, *gradient, *step; /* [n] */
  double *spare;                           /* [n] the gradient at trial */
  double *curvature;                       /* [n, n] negative Hessian, then its Cholesky factor */
};

/* log sigma(x), without overflow. */
static double log_sigmoid(double x)
{
  return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x));
}

static double sigmoid(double x)
{
  double e = exp(-fabs(x));
  return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

static double objective(const struct problem *p, const double *theta)
{
  double sum = 0;
  for (int m = 0; m < p->n; m++) {
    for (int k = 0; k < p->n; k++)
      if (k != m && p->wins[m * p->n + k] != 0)
        sum += p->wins[m * p->n + k] * log_sigmoid(theta[m] - theta[k]);
    sum -= p->prior / 2 * theta[m] * theta[m];
  }
  return sum;
}

/* Gradient at theta; returns its norm. */
static double gradient_at(const struct problem *p, const double *theta, double *gradient)
{
  double norm = 0;
  for (int m = 0; m < p->n; m++) {
    double sum = -p->prior * theta[m];
    for (int k = 0; k < p->n; k++) {
      double won = p->wins[m * p->n + k], lost = p->wins[k * p->n + m];
      if (k == m || (won == 0 && lost == 0)) continue; /* many models meet one alone */
      sum += won * sigmoid(theta[k] - theta[m]) - lost * sigmoid(theta[m] - theta[k]);
    }
    gradient[m] = sum;
    norm += sum * sum;
  }
  return sqrt(norm);
}

/* The negative Hessian, and `damping` on its diagonal. 1 is added everywhere: that changes nothing for steps
 * of zero mean, which all are, and keeps the direction that shifts every theta well conditioned when the
 * prior is small. */
static void fill_curvature(const struct problem *p, double damping)
{
  int n = p->n;
  for (int i = 0; i < n * n; i++) p->curvature[i] = 1;
  for (int m = 0; m < n; m++) {
    p->curvature[m * n + m] += p->prior + damping;
    for (int k = 0; k < n; k++) {
      double games = p->wins[m * n + k] + p->wins[k * n + m], difference = p->theta[m] - p->theta[k];
      if (k == m || games == 0) continue;
      double weight = games * sigmoid(difference) * sigmoid(-difference);
      p->curvature[m * n + m] += weight;
      p->curvature[m * n + k] -= weight;
    }
  }
}

/* The lower factor in place; false where the matrix is not positive definite to working precision. */
static bool factor(double *a, int n)
{
  for (int j = 0; j < n; j++) {
    double pivot = a[j * n + j];
    for (int k = 0; k < j; k++) pivot -= a[j * n + k] * a[j * n + k];
    if (!(pivot > 0)) return false;
    a[j * n + j] = sqrt(pivot);
    for (int i = j + 1; i < n; i++) {
      double sum = a[i * n + j];
      for (int k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = sum / a[j * n + j];
    }
  }
  return true;
}

static void solve(const double *a, int n, const double *right, double *x)
{
  for (int i = 0; i < n; i++) {
    double sum = right[i];
    for (int k = 0; k < i; k++) sum -= a[i * n + k] * x[k];
    x[i] = sum / a[i * n + i];
  }
  for (int i = n - 1; i >= 0; i--) {
    double sum = x[i];
    for (int k = i + 1; k < n; k++) sum -= a[k * n + i] * x[k];
    x[i] = sum / a[i * n + i];
  }
}

static void centre(double *x, int n)
{
  double mean = 0;
  for (int i = 0; i < n; i++) mean += x[i] / n;
  for (int i = 0; i < n; i++) x[i] -= mean;
}

/* One step uphill from theta with gradient of the given norm; false when none is found any more. */
static bool climb(struct problem *p, double norm)
{
  double damping = 0, before = objective(p, p->theta), length = 1, slope = 0;
  for (fill_curvature(p, 0); !factor(p->curvature, p->n); fill_curvature(p, damping)) {
    damping = damping > 0 ? damping * 10 : 1e-12;
    if (damping > 1e12) return false;
  }
  solve(p->curvature, p->n, p->gradient, p->step);
  centre(p->step, p->n);
  for (int i = 0; i < p->n; i++) slope += p->gradient[i] * p->step[i];
  for (int halving = 0; halving < MAX_HALVINGS; halving++, length /= 2) {
    for (int i = 0; i < p->n; i++) p->trial[i] = p->theta[i] + length * p->step[i];
    centre(p->trial, p->n);
    /* Near the maximum the objective no longer tells two points apart, but the gradient does. */
    if (objective(p, p->trial) > before + 1e-4 * length * slope ||
        gradient_at(p, p->trial, p->spare) < norm / 2) {
      memcpy(p->theta, p->trial, (size_t)p->n * sizeof *p->theta);
      return true;
    }
  }
  return false;
}

static int run(struct problem *p, struct elo_fit *fit, struct tpo_error *err)
{
  *fit = (struct elo_fit){.gradient_norm = gradient_at(p, p->theta, p->gradient)};
  while (fit->gradient_norm > p->enough && fit->steps < MAX_STEPS && climb(p, fit->gradient_norm)) {
    fit->gradient_norm = gradient_at(p, p->theta, p->gradient);
    fit->steps++;
  }
  if (fit->gradient_norm < p->allowed) return 0;
  return tpo_fail(err, TPO_E_NUMERIC,
                  "the fit of ELO scores did not converge: after %d steps the gradient's norm is %g",
                  fit->steps, fit->gradient_norm);
}

int elo_fit(const double *wins, int n, double prior, double *theta, struct elo_fit *fit,
            struct tpo_error *err)
{
  size_t size = (size_t)n;
  double *memory = tpo_calloc(size * size + 4 * size, sizeof *memory, err);
  if (!memory) return TPO_E_MEMORY;
  struct problem p = {.wins = wins,
                      .n = n,
                      .prior = prior,
                      .theta = theta,
                      .trial = memory,
                      .gradient = memory + size,
                      .step = memory + 2 * size,
                      .spare = memory + 3 * size,
                      .curvature = memory + 4 * size};
  double total = 1;
  for (size_t i = 0; i < size * size; i++) total += wins[i];
  p.enough = 1e-15 * total;
  p.allowed = fmax(ELO_MAX_GRADIENT, ELO_MAX_GRADIENT_SHARE * total);
  memset(theta, 0, size * sizeof *theta);
  int status = run(&p, fit, err);
  free(memory);
  return status;
}
