/* Signals that ask the process to end are remembered, and work asks for them at safe points. */
#include "base/interrupt.h"

#include <signal.h>
#include <string.h>
#include "tpo/base.h"

static volatile sig_atomic_t interrupted = 0;

static void on_signal(int signal_number)
{
  /* A second Ctrl-C: the person doesn't want to wait for the next safe point. */
  if (signal_number == SIGINT && interrupted == SIGINT) {
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
    return;
  }
  if (!interrupted) interrupted = signal_number;
}

void tpo_interrupt_ask(int signal_number)
{
  if (!interrupted) interrupted = signal_number;
}

int tpo_interrupted(void)
{
  return interrupted;
}

int tpo_stopped(const char *doing, struct tpo_error *err)
{
  int number = interrupted;
  const char *name = number ? sigabbrev_np(number) : NULL;
  if (!number) return 0;
  return tpo_fail(err, TPO_E_INTERRUPTED, "stopped by %s%s%s%s", name ? "SIG" : "a signal", name ? name : "",
                  doing ? " while " : "", doing ? doing : "");
}

static const int signals[] = {SIGINT, SIGTERM, SIGUSR1};
static bool is_installed = false;
static int pauses = 0;

static void handle(void (*handler)(int))
{
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART; /* libraries below us do not all handle EINTR */
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, NULL);
}

void tpo_interrupt_install(void)
{
  is_installed = true;
  handle(on_signal);
}

void tpo_interrupt_pause(void)
{
  if (!is_installed || pauses++ > 0) return;
  handle(SIG_DFL);
  if (interrupted) raise(interrupted);
}

void tpo_interrupt_resume(void)
{
  if (is_installed && --pauses == 0) handle(on_signal);
}
