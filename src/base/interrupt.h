/* Asking this process to stop from within. */
#ifndef TPO_BASE_INTERRUPT_H
#define TPO_BASE_INTERRUPT_H

/* As if the signal had come: tpo_interrupted() tells it from now on, unless another one came before. */
void tpo_interrupt_ask(int signal_number);

#endif
