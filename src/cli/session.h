/* The backend and what hangs on it, for commands that compute. */
#ifndef TPO_CLI_SESSION_H
#define TPO_CLI_SESSION_H

#include "cli/cli.h"
#include "tpo/run.h"

struct cli_session {
  struct tpo_session session; /* backend open, progress wired to the bar */
  struct progress_bar bar;
};
/* Commands without a communicator, which one rank of a launcher's runs alone, get one of that rank here. */
int cli_session_open(struct cli_session *s, struct invocation *in, struct tpo_error *err);
void cli_session_close(struct cli_session *s);
bool cli_first_rank(const struct cli_session *s);

#endif
