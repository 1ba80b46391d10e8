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
