#include <malloc.h>

/* In Swift mallinfo2() makes the structure of that name, all zeros. */
static inline size_t malloc_free_bytes(void) { return mallinfo2().fordblks; }
