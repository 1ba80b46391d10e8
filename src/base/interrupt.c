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

int tpo_interrupted(void)
{
  return interrupted;
}

void tpo_interrupt_install(void)
{
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART; /* libraries below us do not all handle EINTR */
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
}
