/* The backend and what hangs on it, for commands that compute. */
#ifndef TPO_CLI_SESSION_H
#define TPO_CLI_SESSION_H

#include "base/progress.h"
#include "cli/cli.h"
#include "tpo/run.h"

struct cli_session {
  struct tpo_session session; /* backend open, progress shown on rank 0 unless --quiet is given */
  struct progress bar;        /* or lines, where standard error is no terminal or the log is JSON */
};
/* Commands without a communicator, which one rank of a launcher's runs alone, get one of that rank here. */
int cli_session_open(struct cli_session *s, struct invocation *in, struct tpo_error *err);
/* For a command that computes with no model: the same without a backend. */
void cli_session_open_plain(struct cli_session *s, struct invocation *in);
/* The one or the other. */
int cli_session_open_for(struct cli_session *s, struct invocation *in, bool computes, struct tpo_error *err);
void cli_session_close(struct cli_session *s);
bool cli_first_rank(const struct cli_session *s);

#endif
