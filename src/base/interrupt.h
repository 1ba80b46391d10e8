/* Asking this process to stop from within, and saying that it was asked. */
#ifndef TPO_BASE_INTERRUPT_H
#define TPO_BASE_INTERRUPT_H

#include "tpo/base.h"

/* As if the signal had come: tpo_interrupted() tells it from now on, unless another one came before. */
void tpo_interrupt_ask(int signal_number);
/* 0 while no signal has come, else TPO_E_INTERRUPTED: "stopped by SIGTERM" and, where doing isn't NULL,
 * "while <doing>". */
int tpo_stopped(const char *doing, struct tpo_error *err);

#endif
