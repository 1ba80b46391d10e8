/* A key whose value is a mapping of names of anybody's choosing: kept as the text of a JSON object. */
#ifndef TPO_CONFIG_MAP_H
#define TPO_CONFIG_MAP_H

#include "config/tree.h"

#define CONFIG_MAP_TOLD "a mapping"

/* *out: the node's mapping; NULL for an empty one or null. free() it. Plain scalars are numbers, true, false or null
 * where they look like one, else text; quoted ones are text. A failure tells the problem, and its line. */
int config_map_read(char **out, const struct tree_node *node, const char *path, struct tpo_buf *problem,
                    int *line);
/* Sets what `name`, "a.b", names in *map (may be NULL), making the mappings above it; path: of the key, for
 * messages. */
int config_map_set(char **map, const char *name, size_t len, const struct tree_node *value, const char *path,
                   struct tpo_buf *problem);
/* As YAML that reads back the same. */
void config_map_append(const char *map, struct tpo_buf *out);

#endif
