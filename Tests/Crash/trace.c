// LD_PRELOAD: writes down what a program does to the files under $CRASH_TRACE_DIR, into $CRASH_TRACE_LOG.
//
// Every operation is one record: when it began, when it had returned (CLOCK_MONOTONIC), and what was written. Also the
// head of every HTTP answer the program sends, so that an acknowledgement has its place among the operations.
// Stores into mapped memory are not seen. Children of the program are left alone.
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, SYNC, TRUNCATE, UNLINK, RENAME, MKDIR, ALLOCATE, ANSWER, CLOSE };

struct record {
    uint32_t pid, op, tid, handle;
    uint64_t sequence, begin, end;
    int64_t offset, result, argument;
    uint32_t length1, length2;
};

#define DESCRIPTORS 65536
static _Atomic uint32_t handles[DESCRIPTORS]; // of each descriptor; 0 is a file that is not watched
static _Atomic uint32_t next_handle = 1;
static _Atomic uint64_t sequence = 1;
static char directory[PATH_MAX];
static size_t directory_length;
static int log_descriptor = -1;
static pid_t watched;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((constructor)) static void start(void) {
    const char *dir = getenv("CRASH_TRACE_DIR"), *log = getenv("CRASH_TRACE_LOG");
    unsetenv("LD_PRELOAD");
    if (!dir || !log || strlen(dir) >= sizeof directory) return;
    strcpy(directory, dir);
    directory_length = strlen(dir);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    log_descriptor = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
    syscall(SYS_close, fd);
    watched = (pid_t)syscall(SYS_getpid);
}

static int is_watching(void) { return log_descriptor >= 0 && (pid_t)syscall(SYS_getpid) == watched; }

static uint32_t handle_of(int fd) {
    return fd >= 0 && fd < DESCRIPTORS ? atomic_load_explicit(&handles[fd], memory_order_relaxed) : 0;
}

static void note(uint32_t op, uint32_t handle, uint64_t begin, int64_t offset, int64_t result, int64_t argument, const void *data1,
                 size_t length1, const void *data2, size_t length2) {
    if (!is_watching()) return;
    int saved = errno;
    struct record record = {(uint32_t)watched, op, (uint32_t)syscall(SYS_gettid), handle, atomic_fetch_add(&sequence, 1), begin, now(),
                            offset, result, argument, (uint32_t)length1, (uint32_t)length2};
    struct iovec parts[3] = {{&record, sizeof record}, {(void *)data1, length1}, {(void *)data2, length2}};
    ssize_t whole = (ssize_t)(sizeof record + length1 + length2);
    if (syscall(SYS_writev, log_descriptor, parts, 3) != whole) {
        static const char text[] = "trace: the log could not be written\n";
        syscall(SYS_write, 2, text, sizeof text - 1);
        syscall(SYS_exit_group, 99);
    }
    errno = saved;
}

// The whole path, if it is watched.
static int resolve(int at, const char *path, char *whole) {
    if (!is_watching() || !path) return 0;
    if (path[0] == '/') {
        if (strlen(path) >= PATH_MAX) return 0;
        strcpy(whole, path);
    } else {
        char base[PATH_MAX], link[64];
        ssize_t length;
        if (at == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        length = (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        if ((size_t)snprintf(whole, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return strncmp(whole, directory, directory_length) == 0 && (whole[directory_length] == '/' || whole[directory_length] == 0);
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    int saved = errno;
    int is_watched = resolve(at, path, whole);
    int is_new = is_watched && (flags & O_CREAT) && syscall(SYS_faccessat, at, path, F_OK) != 0;
    errno = saved;
    uint64_t begin = now();
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS) {
        uint32_t handle = is_watched ? atomic_fetch_add(&next_handle, 1) : 0;
        atomic_store(&handles[fd], handle);
        if (is_watched) note(OPEN, handle, begin, is_new, fd, flags, whole, strlen(whole), NULL, 0);
    }
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
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    uint32_t handle = handle_of(fd);
    if (handle) {
        atomic_store(&handles[fd], 0);
        note(CLOSE, handle, now(), 0, 0, 0, NULL, 0, NULL, 0);
    }
    return (int)syscall(SYS_close, fd);
}

static int copied(int from, int to) {
    if (to >= 0 && to < DESCRIPTORS) atomic_store(&handles[to], handle_of(from));
    return to;
}
int dup(int fd) { return copied(fd, (int)syscall(SYS_dup, fd)); }
int dup2(int fd, int to) { return copied(fd, (int)syscall(SYS_dup2, fd, to)); }
int dup3(int fd, int to, int flags) { return copied(fd, (int)syscall(SYS_dup3, fd, to, flags)); }
static int controlled(int fd, int command, void *argument) {
    int result = (int)syscall(SYS_fcntl, fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) copied(fd, result);
    return result;
}
#define ARGUMENT                                                                                                                           \
    va_list list;                                                                                                                          \
    va_start(list, command);                                                                                                               \
    void *argument = va_arg(list, void *);                                                                                                 \
    va_end(list);
int fcntl(int fd, int command, ...) { ARGUMENT return controlled(fd, command, argument); }
int fcntl64(int fd, int command, ...) { ARGUMENT return controlled(fd, command, argument); }

static ssize_t written(uint32_t handle, uint64_t begin, int64_t offset, ssize_t result, const void *data) {
    if (handle && result > 0) note(WRITE, handle, begin, offset, result, 0, data, (size_t)result, NULL, 0);
    return result;
}
static int64_t position(int fd, ssize_t result) {
    int saved = errno;
    int64_t at = syscall(SYS_lseek, fd, 0, SEEK_CUR) - (result > 0 ? result : 0);
    errno = saved;
    return at;
}
// Noted before it is sent: whoever gets it may rely on it from then on.
static void answered(const void *data, size_t length) {
    if (length > 12 && memcmp(data, "HTTP/1.1 ", 9) == 0) {
        const char *end = memmem(data, length, "\r\n\r\n", 4);
        note(ANSWER, 0, now(), 0, 0, 0, data, end ? (size_t)(end - (const char *)data) + 2 : (length < 1024 ? length : 1024), NULL, 0);
    }
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    uint64_t begin = now();
    return written(handle_of(fd), begin, offset, syscall(SYS_pwrite64, fd, data, length, offset), data);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite(fd, data, length, offset); }
ssize_t write(int fd, const void *data, size_t length) {
    uint32_t handle = handle_of(fd);
    if (!handle) answered(data, length);
    uint64_t begin = now();
    ssize_t result = syscall(SYS_write, fd, data, length);
    return written(handle, begin, handle ? position(fd, result) : 0, result, data);
}
static void written_parts(uint32_t handle, uint64_t begin, int64_t offset, ssize_t result, const struct iovec *parts, int count) {
    if (!handle || result <= 0) return;
    char *data = malloc((size_t)result);
    size_t length = 0;
    for (int i = 0; i < count && length < (size_t)result; i++) {
        size_t part = parts[i].iov_len < (size_t)result - length ? parts[i].iov_len : (size_t)result - length;
        memcpy(data + length, parts[i].iov_base, part);
        length += part;
    }
    written(handle, begin, offset, result, data);
    free(data);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    uint32_t handle = handle_of(fd);
    if (!handle && count > 0) answered(parts[0].iov_base, parts[0].iov_len);
    uint64_t begin = now();
    ssize_t result = syscall(SYS_writev, fd, parts, count);
    if (handle) written_parts(handle, begin, position(fd, result), result, parts, count);
    return result;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    uint64_t begin = now();
    ssize_t result = syscall(SYS_pwritev, fd, parts, count, offset, 0);
    written_parts(handle_of(fd), begin, offset, result, parts, count);
    return result;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }
ssize_t send(int fd, const void *data, size_t length, int flags) {
    answered(data, length);
    return syscall(SYS_sendto, fd, data, length, flags, NULL, 0);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (message->msg_iovlen > 0) answered(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return syscall(SYS_sendmsg, fd, message, flags);
}

static int synced(int fd, int number, int is_data_only) {
    uint64_t begin = now();
    int result = (int)syscall(number, fd);
    if (handle_of(fd)) note(SYNC, handle_of(fd), begin, 0, result, is_data_only, NULL, 0, NULL, 0);
    return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync, 0); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync, 1); }

int ftruncate(int fd, off_t length) {
    uint64_t begin = now();
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (handle_of(fd) && result == 0) note(TRUNCATE, handle_of(fd), begin, length, result, 0, NULL, 0, NULL, 0);
    return result;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }
int fallocate(int fd, int mode, off_t offset, off_t length) {
    uint64_t begin = now();
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, length);
    if (handle_of(fd) && result == 0) note(ALLOCATE, handle_of(fd), begin, offset, length, mode, NULL, 0, NULL, 0);
    return result;
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) {
    int saved = errno;
    int result = fallocate(fd, 0, offset, length) == 0 ? 0 : errno;
    errno = saved;
    return result;
}
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

static int removed(int at, const char *path, int flags) {
    char whole[PATH_MAX];
    int saved = errno;
    int is_watched = resolve(at, path, whole);
    errno = saved;
    uint64_t begin = now();
    int result = (int)syscall(SYS_unlinkat, at, path, flags);
    if (is_watched && result == 0) note(UNLINK, 0, begin, 0, result, flags, whole, strlen(whole), NULL, 0);
    return result;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    int saved = errno;
    if (unlink(path) == 0) return 0;
    if (errno != EISDIR && errno != EPERM) return -1;
    errno = saved;
    return rmdir(path);
}

static int renamed(int at1, const char *path1, int at2, const char *path2, unsigned flags) {
    char whole1[PATH_MAX], whole2[PATH_MAX];
    int saved = errno;
    int from = resolve(at1, path1, whole1), to = resolve(at2, path2, whole2);
    errno = saved;
    uint64_t begin = now();
    int result = (int)syscall(SYS_renameat2, at1, path1, at2, path2, flags);
    if ((from || to) && result == 0) note(RENAME, 0, begin, 0, result, flags, whole1, strlen(whole1), whole2, strlen(whole2));
    return result;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int at1, const char *from, int at2, const char *to) { return renamed(at1, from, at2, to, 0); }
int renameat2(int at1, const char *from, int at2, const char *to, unsigned flags) { return renamed(at1, from, at2, to, flags); }

static int made(int at, const char *path, mode_t mode) {
    char whole[PATH_MAX];
    int saved = errno;
    int is_watched = resolve(at, path, whole);
    errno = saved;
    uint64_t begin = now();
    int result = (int)syscall(SYS_mkdirat, at, path, mode);
    if (is_watched && result == 0) note(MKDIR, 0, begin, 0, result, mode, whole, strlen(whole), NULL, 0);
    return result;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return made(at, path, mode); }
