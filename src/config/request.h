/* What judge.request may hold. */
#ifndef TPO_CONFIG_REQUEST_H
#define TPO_CONFIG_REQUEST_H

/* request: the text of a JSON object, or NULL. NULL: it is in order; else what is wrong, behind "judge.request: ". */
const char *config_request_problem(const char *request);

#endif
