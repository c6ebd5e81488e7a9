/* Tree -> Pb__Job, the one mapping for all formats. Only for the files of this folder. */
#ifndef JOBFILE_MAP_H
#define JOBFILE_MAP_H

#include "jobfile/jobfile.h"
#include "tree.h"

/* format is not JOBFILE_GUESS. *why begins with the line, where known, and the path of the key. */
enum err map_job(struct arena *a, enum jobfile_format format, const struct node *root,
                 Pb__Job **out, struct reason *why);

#endif
