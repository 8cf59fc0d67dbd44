// Whichever module the compiler met first owns the types of C that both have.
import CoreFoundation
import Glibc

/// Starts the program again, in its place, when a file it had mapped was cut off beneath it (SIGBUS): at once, where
/// waiting for systemd would take longer and a shell would not do it at all.
///
/// All memory is left behind, as after a kill; what was acknowledged is on disk. A program that has not run for
/// `shortest` dies instead, so that a disk that is broken for good makes no loop.
enum SelfRestart {
    /// In ticks of `times`, a hundred a second.
    private static let shortest: clock_t = 500

    // Safe: written once before the handler is set, and only read by it.
    private nonisolated(unsafe) static var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    private nonisolated(unsafe) static var startedAt: clock_t = 0
    private nonisolated(unsafe) static var path: UnsafeMutablePointer<CChar>?
    private nonisolated(unsafe) static var descriptors: Int32 = 3
    private static let mostDescriptors: rlim_t = 65_536

    /// To be called once, early.
    static func arm() {
        startedAt = times(nil)
        arguments = CommandLine.unsafeArgv
        path = strdup("/proc/self/exe")
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        descriptors = Int32(min(limit.rlim_cur, mostDescriptors))
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in SelfRestart.again() }
        sigemptyset(&action.sa_mask)
        sigaction(SIGBUS, &action, nil)
    }

    /// Does only what a signal handler may (signal-safety(7)).
    private static func again() {
        if times(nil) - startedAt >= shortest {
            let message: StaticString = "a mapped file was cut off; starting again\n"
            write(STDERR_FILENO, message.utf8Start, message.utf8CodeUnitCount)
            // What is open would stay so, the port among it. Not closed here: threads are still at work with it.
            for descriptor in 3..<descriptors { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
            // And the new program would inherit that the signal is blocked while it is handled.
            var signals = sigset_t()
            sigemptyset(&signals)
            sigprocmask(SIG_SETMASK, &signals, nil)
            if let path, let arguments { execve(path, arguments, environ) }
        }
        signal(SIGBUS, SIG_DFL)
        raise(SIGBUS)
    }
}
