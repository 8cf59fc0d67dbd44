// Whichever module the compiler met first owns the types of C that both have.
import CoreFoundation
import Glibc

/// How many files and connections the process may have open.
enum OpenFiles {
    /// Nobody needs more, and some programs that are started here look at each up to their limit.
    private static let most: rlim_t = 65_536

    /// Takes what the operator allows, which a login shell does not hand out by itself.
    ///
    /// - Returns: how many there may be from now on.
    static func raise() -> Int {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        getrlimit(resource, &limit)
        let wanted = min(limit.rlim_max, most)
        if wanted > limit.rlim_cur {
            limit.rlim_cur = wanted
            setrlimit(resource, &limit)
            getrlimit(resource, &limit)
        }
        return Int(min(limit.rlim_cur, most))
    }

    /// How many of them may be connections of clients: a quarter and some stay for servers, their programs, and the database.
    static func connections(of all: Int) -> Int { max(64, min(10_000, all * 3 / 4 - 256)) }
}
