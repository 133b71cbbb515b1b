/* Folders of files that are about to be written. */
#ifndef CORE_FOLDERS_H
#define CORE_FOLDERS_H

/** Makes the folders above the file `path` that are not there, as mode 0755 less the umask. Says
 * nothing of failures: opening the file does. `path` is changed meanwhile, and restored. */
void folders_make(char *path);

#endif
