import ArgumentParser
import Forwarding
import FoundationEssentials
import Gateway
import Glibc
import Storage

struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup in the place of the database.",
        discussion: """
            The gateway must be stopped. The backup is checked first. A database that is there already is never overwritten:
            with --replace it is moved aside, under a name that is printed.
            """)

    @Argument(help: "The backup, as mreg backup made it.") var backup: String
    @OptionGroup var instance: Instance
    @Option(help: "The database's name, as DB_NAME.") var name = "gateway"
    @Flag(help: "Move the database that is there aside.") var replace = false

    func run() async throws {
        umask(0o077)
        let state = try StateDirectory(instance.path)
        let target = "\(state.path)/\(name).sqlite"
        let exists = ["", "-wal", ".open"].contains { access(target + $0, F_OK) == 0 }
        guard replace || !exists else {
            throw OperatorError("\(target) is there, and is not overwritten. Move it away, or let --replace move it aside.")
        }
        // The copy is checked, so that the backup itself is not touched.
        let partial = target + ".restoring"
        try? FileManager.default.removeItem(atPath: partial)
        do { try FileManager.default.copyItem(atPath: backup, toPath: partial) } catch {
            throw OperatorError("\(backup) cannot be read, or there is no room for it: \(error)")
        }
        chmod(partial, 0o600)
        let key = try RecordKeyFile.read(RecordKeyFile.path(in: state.path))
        let checked: Backup
        do { checked = try Database.check(partial, key) } catch {
            try? FileManager.default.removeItem(atPath: partial)
            throw error
        }
        try Files.sync(partial)
        if exists {
            let aside = "\(target).aside-\(Clocks.now().wall.microseconds)"
            // The log goes with the database it belongs to, and first: a database without its log is not the same one.
            for suffix in ["-wal", "-shm", ""] where access(target + suffix, F_OK) == 0 { try Files.rename(target + suffix, aside + suffix) }
            print("The database that was there is now \(aside).")
        }
        unlink(target + ".open")
        try Files.rename(partial, target)
        // Heads that were signed since are not in the backup; that is no forgery.
        let heads = "\(state.path)/audit-heads"
        if access(heads, F_OK) == 0 { try Files.rename(heads, "\(heads)-before-\(Clocks.now().wall.microseconds)") }
        print(
            "Restored \(checked.auditRows) audit rows, up to row \(checked.lastRow)\(key == nil ? "; the record key is missing, so only the chain was checked" : "")."
        )
    }
}
