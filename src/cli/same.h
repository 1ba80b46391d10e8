/* That the ranks of a command were started alike. */
#ifndef TPO_CLI_SAME_H
#define TPO_CLI_SAME_H

#include "cli/cli.h"

/* All ranks, status: whether this one can use its options. Between what a rank finds by itself and the next
 * exchange, which the others would else enter without it. The same mistake on all ranks is told as if there
 * were one; otherwise the rank is named. */
int agree_on_usage(const struct invocation *in, int status, struct tpo_error *err);
/* All ranks, once they are together; status: whether this one could use its options. Fails on all ranks where
 * one couldn't, and with TPO_E_USAGE where a rank runs another program, another command or with other
 * settings. */
int check_same_start(const struct invocation *in, int status, struct tpo_error *err);
/* This rank alone: a usage error where several ranks are to read what an option names and it is standard input,
 * a pipe or a folder. What isn't there fails when it is read. */
int check_shared(const struct invocation *in, const char *option, const char *path, struct tpo_error *err);
/* All ranks, which all have a path or all have none (check_same_start): the same for a file that is read, NULL:
 * none. A rank other than 0 that doesn't have it contradicts nobody: where all ranks need it, it fails when it
 * reads it. */
int check_same_file(const struct invocation *in, const char *path, struct tpo_error *err);
/* All ranks: a warning where they compute with different kernels (tpo_backend_kernels), since results then
 * differ. */
int warn_of_kernels(struct tpo_comm *comm, const char *kernels, struct tpo_error *err);

#endif
