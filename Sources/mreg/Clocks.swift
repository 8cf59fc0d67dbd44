// Whichever module the compiler met first owns the types of C that both have.
import CoreFoundation
import Forwarding
import Gateway
import Glibc

/// The two clocks of the system.
enum Clocks {
    static func now() -> Moment {
        Moment(
            wall: Timestamp(microseconds: nanoseconds(CLOCK_REALTIME) / 1000), boot: BootInstant(nanoseconds: nanoseconds(CLOCK_BOOTTIME)))
    }

    private static func nanoseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
