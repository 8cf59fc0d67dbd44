// LD_PRELOAD: writes down who locks what on *-shm files, and who writes to SQLite's files when, into $CRASH_LOCKS_LOG.
//
// Within one process all SQLite connections share one descriptor for the -shm file, so the thread tells them apart.
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOCK = 1, WRITE = 2, SYNC = 3 };
enum { DATABASE = 1, WAL = 2, SHM = 3 };

struct record {
    uint32_t pid, tid, op, file;
    uint64_t begin, end;
    int64_t start, length;
    int32_t type, result; // type: F_RDLCK 0, F_WRLCK 1, F_UNLCK 2
};

#define DESCRIPTORS 65536
static _Atomic unsigned char files[DESCRIPTORS];
static int log_descriptor = -1;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((constructor)) static void start(void) {
    const char *log = getenv("CRASH_LOCKS_LOG");
    if (!log) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    log_descriptor = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
    syscall(SYS_close, fd);
}

static int file_of(int fd) { return fd >= 0 && fd < DESCRIPTORS ? files[fd] : 0; }

static void note(uint32_t op, uint32_t file, uint64_t begin, int64_t start, int64_t length, int32_t type, int32_t result) {
    if (log_descriptor < 0) return;
    int saved = errno;
    struct record record = {(uint32_t)syscall(SYS_getpid), (uint32_t)syscall(SYS_gettid), op, file, begin, now(), start, length, type, result};
    if (syscall(SYS_write, log_descriptor, &record, sizeof record) != sizeof record) syscall(SYS_exit_group, 99);
    errno = saved;
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd < 0 || fd >= DESCRIPTORS) return fd;
    size_t length = path ? strlen(path) : 0;
    int file = 0;
    if (length > 7 && strcmp(path + length - 7, ".sqlite") == 0) file = DATABASE;
    if (length > 11 && strcmp(path + length - 11, ".sqlite-wal") == 0) file = WAL;
    if (length > 11 && strcmp(path + length - 11, ".sqlite-shm") == 0) file = SHM;
    files[fd] = (unsigned char)file;
    return fd;
}

#define MODE(flags, last)                                                                                                                  \
    mode_t mode = 0;                                                                                                                       \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                                               \
        va_list list;                                                                                                                      \
        va_start(list, last);                                                                                                              \
        mode = va_arg(list, mode_t);                                                                                                       \
        va_end(list);                                                                                                                      \
    }
int open(const char *path, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, flags) return opened(at, path, flags, mode); }
int close(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS) files[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

static int controlled(int fd, int command, void *argument) {
    int file = file_of(fd);
    int is_lock = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    if (file != SHM || !is_lock) {
        int result = (int)syscall(SYS_fcntl, fd, command, argument);
        if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0 && result < DESCRIPTORS) files[result] = (unsigned char)file;
        return result;
    }
    struct flock lock = *(struct flock *)argument;
    uint64_t begin = now();
    int result = (int)syscall(SYS_fcntl, fd, command, argument);
    note(LOCK, (uint32_t)file, begin, lock.l_start, lock.l_len, lock.l_type, result == 0 ? 0 : errno);
    return result;
}
#define ARGUMENT                                                                                                                           \
    va_list list;                                                                                                                          \
    va_start(list, command);                                                                                                               \
    void *argument = va_arg(list, void *);                                                                                                 \
    va_end(list);
int fcntl(int fd, int command, ...) { ARGUMENT return controlled(fd, command, argument); }
int fcntl64(int fd, int command, ...) { ARGUMENT return controlled(fd, command, argument); }

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    int file = file_of(fd);
    uint64_t begin = now();
    ssize_t result = syscall(SYS_pwrite64, fd, data, length, offset);
    if (file == DATABASE || file == WAL) note(WRITE, (uint32_t)file, begin, offset, (int64_t)length, 0, result < 0 ? errno : 0);
    return result;
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite(fd, data, length, offset); }

static int synced(int fd, int number) {
    int file = file_of(fd);
    uint64_t begin = now();
    int result = (int)syscall(number, fd);
    if (file == DATABASE || file == WAL) note(SYNC, (uint32_t)file, begin, 0, 0, 0, result);
    return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
