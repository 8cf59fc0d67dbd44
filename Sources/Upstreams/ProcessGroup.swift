#if canImport(Glibc)
    import Glibc
#endif

/// A child process and whatever it started in its group.
///
/// Looked at, not reaped: whoever started the leader waits for it. Until then its id, and so the group's, is nobody
/// else's.
struct ProcessGroup: Sendable {
    let leader: pid_t

    /// How often is looked. The library that started the leader keeps its descriptor to itself, and at most 128 processes
    /// are looked at.
    private static let glance = Duration.milliseconds(25)

    /// Returns when the leader has ended, or the task is cancelled.
    func leaderEnds() async {
        while isLeaderRunning {
            do { try await Task.sleep(for: Self.glance) } catch { return }
        }
    }

    /// Waits for everybody to leave, asks them to after a while (SIGTERM), and makes them after another (SIGKILL).
    /// In a cancelled task nobody is waited for.
    func seeOff(grace: Duration) async {
        await leaves(within: grace, isEmpty: { !isLeaderRunning })
        if !members.isEmpty { kill(-leader, SIGTERM) }
        await leaves(within: grace, isEmpty: { members.isEmpty })
        kill(-leader, SIGKILL)
    }

    private func leaves(within wait: Duration, isEmpty: () -> Bool) async {
        let end = ContinuousClock.now + wait
        while !isEmpty() && ContinuousClock.now < end {
            do { try await Task.sleep(for: Self.glance) } catch { return }
        }
    }

    private var isLeaderRunning: Bool {
        var info = siginfo_t()
        // Without reaping: WNOWAIT leaves the dead where it is.
        return waitid(P_PID, id_t(leader), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_signo == 0
    }

    /// The processes of the group that have not ended.
    private var members: [pid_t] {
        guard let folder = opendir("/proc") else { return [] }
        defer { closedir(folder) }
        var found: [pid_t] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            guard let process = pid_t(name), let (state, group) = Self.stateAndGroup(of: process) else { continue }
            if group == leader && state != "Z" && state != "X" { found.append(process) }
        }
        return found
    }

    /// Fields 3 and 5 of `/proc/PID/stat`; the second is a name in parentheses that may hold anything.
    private static func stateAndGroup(of process: pid_t) -> (String, pid_t)? {
        let file = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = read(file, &buffer, buffer.count)
        guard count > 0, let end = buffer.prefix(count).lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = String(decoding: buffer[(end + 1)..<count], as: UTF8.self).split(separator: " ")
        guard fields.count > 2, let group = pid_t(fields[2]) else { return nil }
        return (String(fields[0]), group)
    }
}
