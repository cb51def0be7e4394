/* Files that are mapped, and names that stay in their folder. */
#ifndef PR_FILES_H
#define PR_FILES_H

#include "common.h"

struct pr_file {
    const void *data;
    size_t bytes;
};

/* Map `name` in `folder`; false with a message when it is missing or empty. */
bool pr_map(struct pr_file *file, const char *folder, const char *name, char *error);
bool pr_file_exists(const char *folder, const char *name);
void pr_unmap(struct pr_file *file);

/* Copy the name of a file of a folder; false when it would lead out of it, or is too long. */
bool pr_inside(struct pr_text name, char *copy, size_t room);

#endif
