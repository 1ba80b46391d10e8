/* What a selection counted, for the pairs file and the metrics. */
#ifndef TPO_PAIRS_STATISTICS_H
#define TPO_PAIRS_STATISTICS_H

#include <jansson.h>
#include "tpo/pairs.h"

/* A mean that does not exist is null. NULL when memory is short. */
json_t *pair_statistics_object(const struct tpo_pair_statistics *statistics);

#endif
