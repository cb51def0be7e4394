#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE
#endif
#include "files.h"

#if !defined(__wasm__)
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_PATH = 4096 };

static bool path_of(char *path, const char *folder, const char *name) {
    return snprintf(path, LONGEST_PATH, "%s/%s", folder, name) < LONGEST_PATH;
}

bool pr_file_exists(const char *folder, const char *name) {
    char path[LONGEST_PATH];
    return path_of(path, folder, name) && access(path, R_OK) == 0;
}

bool pr_map(struct pr_file *file, const char *folder, const char *name, char *error) {
    char path[LONGEST_PATH];
    struct stat facts;
    file->data = NULL;
    file->bytes = 0;
    if (!path_of(path, folder, name)) return pr_fail(error, "the path of %s is too long; move the folder", name);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return pr_fail(error, "%s: %s; check the path", path, strerror(errno));
    if (fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0) {
        void *data = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data != MAP_FAILED) {
            file->data = data;
            file->bytes = (size_t)facts.st_size;
        }
    }
    close(descriptor);
    return file->data != NULL || pr_fail(error, "%s is empty or cannot be read; fetch or build it again", path);
}

void pr_unmap(struct pr_file *file) {
    if (file->data != NULL) munmap((void *)(uintptr_t)file->data, file->bytes);
    file->data = NULL;
}

bool pr_inside(struct pr_text name, char *copy, size_t room) {
    if (name.size == 0 || name.size >= room || name.data[0] == '/') return false;
    size_t start = 0;
    for (size_t place = 0; place <= name.size; place++) {
        char letter = place < name.size ? name.data[place] : '/';
        if (letter == '\\' || letter == 0) return false;
        if (letter != '/') continue;
        size_t size = place - start;
        const char *part = name.data + start;
        if (size == 0 || (size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.')) return false;
        start = place + 1;
    }
    memcpy(copy, name.data, name.size);
    copy[name.size] = 0;
    return true;
}
#else
typedef int pr_no_files;
#endif
